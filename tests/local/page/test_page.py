"""The page of local AWS in a browser, on a phone and on a desk, by mouse and by keyboard."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import ROOT, SHIPPED

pytestmark = pytest.mark.slow
PICTURES = ROOT / ".artifacts" / "page"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60_000
SIZES = {"phone": (390, 844), "desk": (1280, 800)}
TO_REACH = """() => {
  const scrolls = (each) => ["auto", "scroll"].some((how) =>
    getComputedStyle(each).overflowX === how && each.scrollWidth > each.clientWidth + 1
    || getComputedStyle(each).overflowY === how && each.scrollHeight > each.clientHeight + 1);
  const named = (each) => each.getAttribute("aria-label") || each.labels?.[0]?.innerText
    || (scrolls(each) ? "" : each.textContent.trim());
  window.toReach = [...document.body.querySelectorAll("*")].filter((each) => each.checkVisibility()
    && (each.matches("a[href], button, summary, input:not([type=hidden])") || scrolls(each)));
  return window.toReach.map((each) => [each.outerHTML.slice(0, 120), named(each)]);
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        absent = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        absent(f"none of {', '.join(BROWSERS)} is on PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # CI is root
        yield browser
        browser.close()


@pytest.fixture(params=list(SIZES))
def page(chromium: Browser, deployed: DeployedStack, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window whose console stays empty, and which asks nobody but the page of this local AWS."""
    width, height = SIZES[request.param]
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if not is_ours(asked.url) else None)

    def is_ours(url: str) -> bool:
        return url.startswith((deployed.aws.page_url, "data:"))

    page.goto(deployed.aws.page_url)
    yield page
    context.close()
    assert not said


def look(page: Page, name: str) -> None:
    """Take a picture, and check what each page promises to every reader."""
    width = page.evaluate("innerWidth")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == page.locator("main").count() == 1
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    wanted = page.evaluate(TO_REACH)
    assert not [each for each, name in wanted if not name], "no name for a screen reader"
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(3 * len(wanted) + 3):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("window.toReach.indexOf(document.activeElement)"))
    assert not [each for number, (each, _) in enumerate(wanted) if number not in reached], "no Tab gets there"


def test_an_execution_is_followed_to_its_end_its_model_approved_and_its_report_read(
    page: Page, deployed: DeployedStack
) -> None:
    execution = deployed.start(SHIPPED).rpartition("/")[2]
    page.get_by_role("link", name=f"cv-birds {execution}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cv-birds")
    expect(page.locator("h1 .chip")).to_have_text("Succeeded", timeout=PATIENCE)
    expect(page).to_have_title(f"Succeeded: cv-birds {execution}")
    page.get_by_text("TrainOnDemand", exact=True).and_(page.locator("summary")).click()
    look(page, "execution")

    page.get_by_role("link", name="approve or reject them").click()
    model = page.locator("[id^='model-']").filter(has_text=execution).first
    name = str(model.get_by_role("heading").text_content())
    look(page, "home")
    page.get_by_role("button", name=f"Approve {name}", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text(f"{name} is Approved")
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{name}"
    assert (
        deployed.sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"
    )
    look(page, "approved")

    page.get_by_role("link", name=f"cv-birds {execution}").click()
    page.get_by_role("link", name="Report as one file").click()
    expect(page.locator("h1 .chip")).to_have_text("Succeeded")
    look(page, "report")


def test_what_somebody_is_doing_survives_that_the_page_is_drawn_again(
    page: Page, deployed: DeployedStack
) -> None:
    hostile = "too <b onclick=alert(1)>few</b> & <script>alert(2)</script>"
    model = page.locator("[id^='model-']").last
    name = str(model.get_by_role("heading").text_content())
    model.locator("summary").click()
    page.get_by_label(f"Reason for rejecting {name}").fill(hostile)
    page.get_by_label(f"Reason for rejecting {name}").evaluate("each => window.typed = each")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    execution = deployed.start(SHIPPED).rpartition("/")[2]
    row = page.get_by_role("link", name=f"cv-birds {execution}")
    expect(row).to_have_count(1, timeout=PATIENCE)
    assert page.evaluate("document.activeElement === window.typed && window.typed.isConnected")
    assert page.evaluate("window.typed.value") == hostile
    assert page.evaluate("scrollY") > 0 or page.evaluate("document.body.scrollHeight <= innerHeight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_have_text(f"{name} is Rejected: {hostile}")
    deployed.follow(execution if execution.startswith("arn:") else arn_of(deployed, execution))
    # The next window's turn.
    sagemaker = deployed.sagemaker
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{name}"
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="PendingManualApproval")


def arn_of(deployed: DeployedStack, execution: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/cv-birds/execution/{execution}"


@pytest.mark.parametrize(
    "path", ["executions/{}", "executions/{}/events", "executions/{}/report", "?decided={}"]
)
def test_what_is_not_there_is_said_in_a_page(path: str, deployed: DeployedStack) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(deployed.aws.page_url + path.format("%3Cb%3Enone"))
    with caught.value as answer:
        assert (answer.code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        body = answer.read()
    assert b"&lt;b&gt;none" in body
    assert b"<b>" not in body
