"""The report in Chromium, on a phone and on a desk: nothing cut, nothing loaded, everything in reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto import mock_aws
from playwright.sync_api import Browser

from ops.output.report import write_report
from tests.support.browser import chromium, visit
from tests.support.services.fake_execution import ScriptedExecution, ScriptedSageMaker, client_of
from tests.support.services.fake_execution_scenarios import (
    CLASSES,
    failed_training,
    fill_bucket,
    succeeded,
)
from tests.support.services.report_clients import ReportClients

pytestmark = pytest.mark.slow
Scenario = Callable[[], ScriptedExecution]
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Path]:
    """Write the report of a scenario, `seconds` after its start."""

    def write(scenario: Scenario, seconds: float = 100.0) -> Path:
        with mock_aws():
            execution = scenario()
            fake = ScriptedSageMaker(execution, succeeded("source00000a"))
            fake.clock = seconds
            fill_bucket(client_of("s3"), execution)
            write_report(ReportClients(fake), execution.arn, tmp_path / "run", ("The images are drawings.",))
        return tmp_path / "run" / "report.html"

    return write


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize(
    ("scenario", "seconds"), [(succeeded, 100.0), (succeeded, 20.0), (failed_training, 100.0)]
)
def test_nothing_is_cut_and_every_step_status_is_in_sight(
    browser: Browser, report: Callable[..., Path], size: str, scenario: Scenario, seconds: float
) -> None:
    path = report(scenario, seconds)
    with visit(browser, path.as_uri(), size) as seen:
        seen.keep(f"report-{scenario.__name__}-{seconds:.0f}-{size}")
        page = seen.page
        assert seen.messages == []
        assert seen.requests == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert seen.beyond_the_edge() == []
        width = page.evaluate("innerWidth")
        steps = page.get_by_role("region", name="Steps", exact=True)
        cells = steps.locator("tbody tr td:nth-child(3)").all()
        assert len(cells) == 13
        for cell in cells:
            box = cell.bounding_box()
            assert box
            assert box["x"] + box["width"] <= width
            assert cell.inner_text().strip()


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_what_scrolls_sideways_is_reached_by_keyboard_and_has_a_name(
    browser: Browser, report: Callable[..., Path], size: str
) -> None:
    with visit(browser, report(succeeded).as_uri(), size) as seen:
        scrolling = seen.page.evaluate(
            "() => [...document.querySelectorAll('main *')].filter(each => "
            "/auto|scroll/.test(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth)"
            ".map(each => each.getAttribute('aria-label'))"
        )
        assert None not in scrolling
        assert set(scrolling) <= set(seen.by_keyboard(20))
        if size == "phone":
            assert scrolling == ["Every class"], "tables of few columns need no scrolling"


def test_it_is_dark_where_the_reader_s_screen_is_and_all_there_on_paper(
    browser: Browser, report: Callable[..., Path]
) -> None:
    url = report(succeeded).as_uri()
    background = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, url, "desktop") as light, visit(browser, url, "desktop", dark=True) as dark:
        dark.keep("report-dark")
        assert sum(map(int, light.page.evaluate(background)[4:-1].split(","))) > 700
        assert sum(map(int, dark.page.evaluate(background)[4:-1].split(","))) < 100
        light.page.emulate_media(media="print")
        assert light.page.evaluate(
            "() => [...document.querySelectorAll('.scroll')].every(each => "
            "getComputedStyle(each).overflowX === 'visible')"
        )
        loaded = "() => [...document.images].map(each => each.complete && each.naturalWidth > 0)"
        pictures = light.page.evaluate(loaded)
        assert pictures
        assert all(pictures)


def test_two_hundred_classes_stay_below_two_megabytes(
    browser: Browser, report: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:03}.Bird_with_a_rather_long_name" for number in range(200)]
    monkeypatch.setattr("tests.support.services.fake_execution_scenarios.CLASSES", names)
    assert len(CLASSES) == 8
    path = report(succeeded)
    assert path.stat().st_size < MOST_BYTES
    with visit(browser, path.as_uri(), "phone") as seen:
        assert seen.messages == []
        assert seen.beyond_the_edge() == []
