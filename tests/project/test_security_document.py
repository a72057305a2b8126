"""The threat model names its guards: every threat has a test, and every test that it names exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text(encoding="utf-8")
THREATS = re.findall(r"^\| ([A-Z]\d+) \| (.+?) \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)


RULES = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| (`tests/[^|]+`) \|$",
    DOCUMENT.partition("## Rules and profiles")[2].partition("\n## ")[0],
    re.MULTILINE,
)


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`tests/([\w/]+\.py)::(test_\w+)`", text)


@pytest.mark.parametrize(("number", "threat", "control", "guards"), THREATS, ids=[row[0] for row in THREATS])
def test_every_threat_has_a_control_and_tests_that_exist(
    number: str, threat: str, control: str, guards: str
) -> None:
    assert threat.strip(), number
    assert control.strip(), number
    tests = named_tests(guards)
    # Nothing but references stands in the cell, so that no guard is left out by being written otherwise.
    assert ", ".join(f"`tests/{file}::{name}`" for file, name in tests) == guards
    for file, name in tests:
        source = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{number}: {file} has no {name}"


@pytest.mark.parametrize(
    ("rule", "stops", "default", "hardened", "guards"), RULES, ids=[row[0] for row in RULES]
)
def test_every_rule_says_for_each_profile_whether_it_holds_and_what_guards_it(
    rule: str, stops: str, default: str, hardened: str, guards: str
) -> None:
    assert all(each.strip() for each in (rule, stops, default, hardened))
    tests = named_tests(guards)
    assert ", ".join(f"`tests/{file}::{name}`" for file, name in tests) == guards
    for file, name in tests:
        source = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{rule}: {file} has no {name}"


def test_no_threat_is_lost_and_none_is_numbered_twice() -> None:
    numbers = [number for number, *_ in THREATS]
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) == len(re.findall(r"^\| [A-Z]\d+ \|", DOCUMENT, re.MULTILINE))
    assert len(named_tests(DOCUMENT)) == sum(len(named_tests(guards)) for *_, guards in [*THREATS, *RULES])
    assert len(RULES) > 10
