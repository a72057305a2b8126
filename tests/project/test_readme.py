"""The README says what is so: its generated parts are fresh, its links and commands exist."""

import re
import subprocess

from tools import readme_blocks
from tools.readme_blocks import README, ROOT


def test_the_generated_parts_are_up_to_date() -> None:
    for document, wanted in readme_blocks.blocks().items():
        text = document.read_text(encoding="utf-8")
        assert readme_blocks.replace(text, wanted) == text, f"{document.name}: run make generate"


def test_every_relative_link_in_the_documents_leads_somewhere() -> None:
    for document in [README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in [README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        named = set(re.findall(r"^ {4}make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE))
        assert named <= targets, document.name


def test_a_document_uploads_a_definition_as_oneself_or_with_the_profile_that_operations_explains() -> None:
    found = 0
    for document in [README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for line in document.read_text(encoding="utf-8").splitlines():
            for command in re.findall(
                r"aws (?:--profile \S+ )?s3 cp [^`;]* s3://\S+?/pipeline/[^`]*`?[^;|]*", line
            ):
                found += 1
                assert "--profile" not in command or "--profile cv-birds-uploader" in command, line
    assert found > 2


def test_the_readme_leads_to_every_document_and_names_every_folder() -> None:
    text = README.read_text(encoding="utf-8")
    assert {each.name for each in (ROOT / "docs").glob("*.md")} == set(
        re.findall(r"\]\(docs/([\w-]+\.md)\)", text)
    )
    layout = text.partition("## Layout")[2].partition("\n## ")[0]
    folders = {
        each.name
        for each in ROOT.iterdir()
        if each.is_dir() and not each.name.startswith(".") and any(each.rglob("*.py"))
    }
    assert folders - {"tests"} <= set(re.findall(r"`(\w+)/`", layout))


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"{target}\S*\s+\S*\s*\S+", done.stdout), target
    assert len(phony[1].split()) <= 16
