"""The Chromium that is installed, driven by playwright: what a page shows, asks for and complains about.

Screenshots are left in .artifacts/, which CI keeps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
ARTIFACTS = Path(__file__).resolve().parents[2] / ".artifacts"
OUTSIDE = """() => [...document.querySelectorAll('main *')]
  .filter(each => !each.closest('.scroll') || each.matches('.scroll'))
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
  .map(each => each.outerHTML.slice(0, 120))"""
FOCUSED = (
    "() => document.activeElement?.getAttribute('aria-label') || document.activeElement?.innerText || ''"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium; where none is installed CI fails, and other machines skip."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        message = f"none of {', '.join(NAMES)} is installed"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        # CI is root in a container, where Chromium's sandbox does not start.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page that is looked at, and what it did meanwhile."""

    page: Page
    messages: list[str] = field(default_factory=list)
    """What it wrote to the console, errors included."""
    requests: list[str] = field(default_factory=list)
    """Every URL it asked for, but for those that have their content in them."""

    def note(self, request: Request) -> None:
        """Keep what a request asks for."""
        if not request.url.startswith("data:"):
            self.requests.append(request.url)

    def beyond_the_edge(self) -> list[str]:
        """Return what of the page is cut at the right, but for what lies in a part that scrolls."""
        found: list[str] = self.page.evaluate(OUTSIDE)
        return found

    def by_keyboard(self, presses: int) -> list[str]:
        """Press Tab so often, and return the name of what has the focus each time."""
        names = []
        for _ in range(presses):
            self.page.keyboard.press("Tab")
            names.append(str(self.page.evaluate(FOCUSED)))
        return names

    def keep(self, name: str) -> None:
        """Leave a picture of the whole page as an artefact."""
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


@contextmanager
def visit(browser: Browser, url: str, size: str, *, dark: bool = False) -> Iterator[Visit]:
    """Open a URL on a screen of one of SIZES."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    visited = Visit(page)
    page.on("console", lambda message: visited.messages.append(message.text))
    page.on("pageerror", lambda error: visited.messages.append(str(error)))
    page.on("request", visited.note)
    try:
        page.goto(url)
        yield visited
    finally:
        context.close()
