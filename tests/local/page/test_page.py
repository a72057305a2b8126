"""The page of local AWS in a browser, on a phone and on a desk, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import SIZES, Visit, chromium, visit
from tests.support.local_aws.clients import ask, port_of
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import SHIPPED

pytestmark = pytest.mark.slow
PATIENCE = 60_000
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
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(params=list(SIZES))
def visited(browser: Browser, deployed: DeployedStack, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The home page, in a window whose console stays empty and which asks nobody but this page's server."""
    with visit(browser, deployed.aws.page_url, request.param) as visited:
        visited.page.set_default_timeout(PATIENCE)
        yield visited
    assert not visited.messages
    assert visited.requests
    assert not [url for url in visited.requests if not url.startswith(deployed.aws.page_url)]


def look(visited: Visit, name: str) -> None:
    """Take a picture, and check what each page promises to every reader."""
    page = visited.page
    width = page.evaluate("innerWidth")
    visited.keep(f"page-{name}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == page.locator("main").count() == 1
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    wanted = page.evaluate(TO_REACH)
    assert not [each for each, name in wanted if not name], "no name for a screen reader"
    page.evaluate("document.activeElement.blur()")
    left = dict(enumerate(wanted))
    for _ in range(2 * len(wanted) + 2):
        page.keyboard.press("Tab")
        left.pop(page.evaluate("window.toReach.indexOf(document.activeElement)"), None)
        if not left:
            break
    assert not left, "no Tab gets there"


def test_an_execution_is_followed_to_its_end_its_model_approved_and_its_report_read(
    visited: Visit, deployed: DeployedStack
) -> None:
    page = visited.page
    execution = deployed.start(SHIPPED).rpartition("/")[2]
    page.get_by_role("link", name=f"cv-birds {execution}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cv-birds")
    expect(page.locator("h1 .chip")).to_have_text("Succeeded", timeout=PATIENCE)
    expect(page).to_have_title(f"Succeeded: cv-birds {execution}")
    page.get_by_text("TrainOnDemand", exact=True).and_(page.locator("summary")).click()
    look(visited, "execution")

    page.get_by_role("link", name="approve or reject them").click()
    model = page.locator("[id^='model-']").filter(has_text=execution).first
    name = str(model.get_by_role("heading").text_content())
    look(visited, "home")
    page.get_by_role("button", name=f"Approve {name}", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text(f"{name} is Approved")
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{name}"
    assert (
        deployed.sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "Approved"
    )
    expect(page.locator(f"[id='model-{name}'] .chip")).to_have_text("Approved", timeout=1)
    look(visited, "approved")
    expect(page.locator(f"[id='model-{name}'] .chip")).to_have_text("Approved", timeout=1)

    page.get_by_role("link", name=f"cv-birds {execution}").click()
    page.get_by_role("link", name="Report as one file").click()
    expect(page.locator("h1 .chip")).to_have_text("Succeeded")
    look(visited, "report")


def test_what_somebody_is_doing_survives_that_the_page_is_drawn_again(
    visited: Visit, deployed: DeployedStack
) -> None:
    page = visited.page
    hostile = "too <b onclick=alert(1)>few</b> & <script>alert(2)</script>"
    model = page.locator("[id^='model-']").last
    name = str(model.get_by_role("heading").text_content())
    model.locator("summary").click()
    page.get_by_label(f"Reason for rejecting {name}").fill(hostile)
    page.get_by_label(f"Reason for rejecting {name}").evaluate("each => window.typed = each")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    arn = deployed.start(SHIPPED)
    row = page.get_by_role("link", name=f"cv-birds {arn.rpartition('/')[2]}")
    expect(row).to_have_count(1, timeout=PATIENCE)
    assert page.evaluate("document.activeElement === window.typed && window.typed.isConnected")
    assert page.evaluate("window.typed.value") == hostile
    assert page.evaluate("scrollY") > 0 or page.evaluate("document.body.scrollHeight <= innerHeight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_have_text(f"{name} is Rejected: {hostile}")
    deployed.follow(arn)
    # As the next window expects it.
    deployed.sagemaker.update_model_package(
        ModelPackageArn=f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{name}",
        ModelApprovalStatus="PendingManualApproval",
    )


@pytest.mark.parametrize(
    "path", ["executions/{}", "executions/{}/events", "executions/{}/report", "?decided={}"]
)
def test_what_is_not_there_is_said_in_a_page(path: str, deployed: DeployedStack) -> None:
    place = deployed.aws.page_url.removeprefix(deployed.aws.endpoint_url) + path.format("%3Cb%3Enone")
    answer = ask(deployed.aws, "GET", place, Host=f"localhost:{port_of(deployed.aws)}")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    body = answer.body  # type: ignore[attr-defined]
    assert b"&lt;b&gt;none" in body
    assert b"<b>" not in body
