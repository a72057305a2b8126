"""Any bytes, and any value anywhere in a definition, are judged with bounded work and without an accident."""

import copy
import cProfile
import functools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_definition.checks import MAX_FINDINGS, Place
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions import policy_cases
from tests.support.definitions.hostile import HOSTILE, HOSTILE_VALUES
from tests.support.definitions.policy_cases import DEPLOYED
from tests.support.definitions.small import check
from tests.support.soak import sample
from upload_trigger import admission
from upload_trigger.definition.loading import MAX_BYTES, MAX_PROBLEMS, InvalidDefinitionError, load, serialise
from upload_trigger.definition.problems import Problem
from upload_trigger.settings import PARALLEL, RULES, Policy, Settings

pytestmark = pytest.mark.slow

COMMITTED = Path(__file__).parents[3] / "pipeline_definition" / "pipeline.json"
DEFINITION = json.loads(COMMITTED.read_text(encoding="utf-8"))
DEPLOYMENT = Settings("p", "r", {}, {}, Policy(), PARALLEL)
RULES_OFF = policy_cases.policy(policy_off=dict.fromkeys(RULES, "so that the form alone is judged"))
WORK = 12
"""Functions called and generators resumed, for each byte at most: no input makes it work for the square."""

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=6)
# How long an example takes says more of the machine than of the code.
unhurried = settings(deadline=None, derandomize=True, database=None)


@unhurried
@given(objects)
def test_what_is_json_everywhere_is_read_as_it_is(document: dict[str, Any]) -> None:
    assert load(json.dumps(document).encode()) == document
    assert load(json.dumps(document, ensure_ascii=False).encode()) == document


@unhurried
@given(objects)
def test_what_is_sent_means_what_was_read(document: dict[str, Any]) -> None:
    text = serialise(document)
    assert text.isascii()
    assert load(text.encode()) == document


@unhurried
@given(st.binary(max_size=200) | texts.map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_definition_or_invalid(body: bytes) -> None:
    try:
        read: object = load(body)
    except InvalidDefinitionError as error:
        read = {"problems": error.problems}
    assert isinstance(read, dict)


@unhurried
@given(st.from_regex(re.compile(r"-?[1-9][0-9]{0,30}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?"), fullmatch=True))
@example("1e309")
@example("1E0400")
@example("9223372036854775808")
def test_no_number_beyond_64_bits_is_read(number: str) -> None:
    read = json.loads(number)
    body = f'{{"a": [{number}]}}'.encode()
    if math.isfinite(read) if isinstance(read, float) else -(2**63) <= read < 2**63:
        assert load(body) == {"a": [read]}
    else:
        with pytest.raises(InvalidDefinitionError, match="/a/0: not a finite number of 64 bits"):
            load(body)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        node = pending.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
        found += [(node, key) for key in keys]
        pending += [node[key] for key in keys]
    return found


@settings(unhurried, max_examples=150)
@given(st.data())
def test_a_definition_with_anything_anywhere_is_judged_without_an_accident(data: st.DataObject) -> None:
    definition = copy.deepcopy(DEFINITION)
    found = places(definition)
    container, key = found[data.draw(st.integers(0, len(found) - 1))]
    container[key] = data.draw(values)
    assert all(each.message for each in [*check(definition), *judged(definition).problems])


@unhurried
@given(objects)
def test_any_object_is_judged_without_an_accident(document: dict[str, Any]) -> None:
    assert check(document)
    assert len(judged(document).problems) <= MAX_PROBLEMS


def judged(definition: dict[str, Any], given_values: dict[str, Any] | None = None) -> admission.Examination:
    return admission.examine(definition, json.dumps(given_values or {}).encode(), DEPLOYMENT)


def count_work(task: Callable[[], list[Problem]]) -> tuple[list[Problem], int]:
    """Run something and count what Python did for it."""
    profiler = cProfile.Profile()
    result = profiler.runcall(task)
    return result, sum(each.callcount for each in profiler.getstats())


def problems_of(body: bytes) -> list[Problem]:
    """What the function says of a definition."""
    try:
        return judged(load(body)).problems
    except InvalidDefinitionError as error:
        return error.problems


def problems_of_the_form(body: bytes) -> list[Problem]:
    """What the policy says of it with every rule off that can be, in a deployment that has a network."""
    try:
        definition = load(body)
    except InvalidDefinitionError as error:
        return error.problems
    deployed = {**DEPLOYED, "SubnetId1": "subnet-0a", "SecurityGroupId1": "sg-0a"}
    return policy_cases.judge(definition, RULES_OFF, deployed=deployed)


def findings_of(body: bytes) -> list[Problem]:
    """What the checks say of it."""
    try:
        return [*check(load(body))]
    except InvalidDefinitionError:
        return []


COSTLIEST = {"unknown members", "unknown step types"}
"""Those that take the most calls for each byte, so that what makes the others worse shows here first."""


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted({*COSTLIEST, *sample(list(HOSTILE), 18)}))
def test_no_file_keeps_the_reader_busy_or_makes_it_write_a_book(name: str) -> None:
    bundled_model()
    body = HOSTILE[name]()
    assert 600_000 < len(body) <= MAX_BYTES
    for judge, most in (
        (problems_of, MAX_PROBLEMS),
        (problems_of_the_form, MAX_PROBLEMS),
        (findings_of, len(Place) * MAX_FINDINGS),
    ):
        problems, work = count_work(functools.partial(judge, body))
        assert work < WORK * len(body)
        assert len(problems) <= most
        assert sum(len(str(each)) for each in problems) < most * 1_000


def problems_of_values(body: bytes) -> list[Problem]:
    try:
        return judged(DEFINITION, load(body)).problems
    except InvalidDefinitionError as error:
        return error.problems


@pytest.mark.parametrize("make", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_no_parameters_keep_the_reader_busy_or_make_it_write_a_book(make: Callable[[], bytes]) -> None:
    bundled_model()
    body = make()
    problems, work = count_work(lambda: problems_of_values(body))
    assert work < WORK * max(len(body), 20_000)
    assert 1 <= len(problems) <= MAX_PROBLEMS
    assert sum(len(str(each)) for each in problems) < 100_000
