"""The documents say what is so: generated parts are fresh; links, files and costs are the product's."""

import re
from pathlib import Path

import pytest

from tests.support.definitions.policy_cases import DEFAULT, shipped, values
from tools import reference
from tools.reference import DOCS, ROOT
from upload_trigger.definition import walk
from upload_trigger.policy import worst_case_cost
from upload_trigger.policy.cost import JOBS, STOPPING_SECONDS

README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
A_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_the_generated_parts_are_up_to_date() -> None:
    for document, wanted in reference.blocks().items():
        text = document.read_text(encoding="utf-8")
        assert reference.replace(text, wanted) == text, f"{document.name}: run make generate"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@A_PAGE
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for file, heading in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", page.read_text(encoding="utf-8")):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {file}"
        assert not heading or heading in anchors(target), f"{page.name} links to {file}#{heading}"


@A_PAGE
def test_every_file_and_folder_that_a_document_names_exists(page: Path) -> None:
    islands = "|".join((*reference.ISLANDS, "docs", "tests"))
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{islands})/[\w./-]*)", text)
    if page.name == "AGENTS.md":
        named += re.findall(r"`([\w-]+\.(?:py|json|md|toml))`", text)
        assert len(named) > 20
    for name in named:
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def rows_of(text: str, header: str) -> list[str]:
    """Return what stands between back quotes in the first column of the table with this header."""
    table = text.split(f"| {header} |", 1)[1].split("\n\n", maxsplit=1)[0]
    return [said for row in table.splitlines() for said in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def test_the_first_ten_minutes_explain_lines_of_the_run_that_they_show() -> None:
    text = (DOCS / "first-ten-minutes.md").read_text(encoding="utf-8")
    explained = rows_of(text, "line")
    assert len(explained) > 10
    for said in explained:
        assert said in text.split("```")[1], said


def test_the_first_ten_minutes_quote_refusals_in_the_product_s_own_words() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for island in reference.ISLANDS
        for path in (ROOT / island).rglob("*.py")
    )
    sources += (ROOT / "Makefile").read_text(encoding="utf-8")
    quoted = rows_of((DOCS / "first-ten-minutes.md").read_text(encoding="utf-8"), "it says")
    assert len(quoted) > 8
    for part in (part for said in quoted for part in said.split("...")):
        assert part in sources, part


def test_a_document_uploads_a_definition_as_oneself_or_with_the_profile_that_operations_explains() -> None:
    found = 0
    for document in PAGES:
        for line in document.read_text(encoding="utf-8").splitlines():
            for command in re.findall(
                r"aws (?:--profile \S+ )?s3 cp [^`;]* s3://\S+?/pipeline/[^`]*`?[^;|]*", line
            ):
                found += 1
                assert "--profile" not in command or "--profile cv-birds-uploader" in command, line
    assert found > 2


def test_the_readme_is_read_to_its_end_and_leads_to_every_document() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    named = set(re.findall(r"\]\((?:docs/)?([\w-]+\.md)", text))
    assert {page.name for page in PAGES} - {"README.md", "AGENTS.md"} <= named


def test_the_readme_says_what_an_execution_costs_as_the_product_counts_it() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    worst = shipped()
    # Five jobs of a quarter of an hour are the worst case where each job may take no more, and is tried once.
    usual = shipped()
    for _, step, _ in walk.steps(usual):
        if step["Type"] in JOBS:
            step["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] = 15 * 60 - STOPPING_SECONDS
            step["RetryPolicies"] = []
    for definition, said in (
        (worst, "at most {:.2f} USD"),
        (usual, "jobs take a quarter of an hour each costs {:.2f} USD"),
    ):
        cost = worst_case_cost(definition, values(definition), DEFAULT)
        assert cost is not None
        assert said.format(cost) in text
    assert f"over {DEFAULT.max_execution_cost_usd:g} USD" in text
