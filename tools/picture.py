"""Take the picture of a report that README shows: the upper part of the page, as Chromium draws it.

make run
python tools/picture.py runs/<execution-id>/report.html
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1160, 1000


def main(report: Path) -> None:
    """Write docs/images/report.png."""
    with sync_playwright() as playwright:
        # Root in a container cannot have Chromium's sandbox; the page is ours and loads nothing.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(report.resolve().as_uri())
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
