"""Any bytes, and any value anywhere in a definition, are judged in bounded time without an accident."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline_document
from pipeline_document import InvalidDefinition, check, load, serialise

COMMITTED = Path(__file__).parent.parent / "pipeline_definition" / "pipeline.json"
DEFINITION = json.loads(COMMITTED.read_text(encoding="utf-8"))

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=6)


@given(objects)
def test_what_is_json_everywhere_is_read_as_it_is(document: dict[str, Any]) -> None:
    assert load(json.dumps(document).encode()) == document
    assert load(json.dumps(document, ensure_ascii=False).encode()) == document


@given(objects)
def test_what_is_sent_means_what_was_read(document: dict[str, Any]) -> None:
    text = serialise(document)
    assert text.isascii()
    assert load(text.encode()) == document


@given(st.binary(max_size=200) | texts.map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_definition_or_invalid(body: bytes) -> None:
    try:
        read: object = load(body)
    except InvalidDefinition as error:
        read = {"problems": error.problems}
    assert isinstance(read, dict)


def step(name: str, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "stop"}} | more


def small(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2020-12-01", "Steps": list(steps)}


def conditions(count: int) -> dict[str, Any]:
    return step("C", Type="Condition", Arguments={"Conditions": [{"Type": "Or"}] * count})


def referring(target: str) -> dict[str, Any]:
    return step("B", Arguments={"ErrorMessage": {"Get": target}})


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


@settings(max_examples=150)
@given(st.data())
def test_a_definition_with_anything_anywhere_is_judged_without_an_accident(data: st.DataObject) -> None:
    definition = copy.deepcopy(DEFINITION)
    found = places(definition)
    container, key = found[data.draw(st.integers(0, len(found) - 1))]
    container[key] = data.draw(values)
    assert all(each.message for each in check(definition))


@given(objects)
def test_any_object_is_judged_without_an_accident(document: dict[str, Any]) -> None:
    assert check(document)


def wide(count: int) -> dict[str, Any]:
    """Many steps, each with a reference that leads nowhere."""
    return small(*(step(f"S{number}", DependsOn=[f"T{number}"]) for number in range(count)))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * 1_048_576,
    "closing brackets": lambda: b"]" * 1_048_576,
    "escaped quotes": lambda: b'"' + b'\\"' * 524_000,
    "backslashes": lambda: b'{"a": "' + b"\\" * 1_048_000,
    "digits": lambda: b'{"a": ' + b"9" * 1_048_000 + b"}",
    "fraction": lambda: b'{"a": 0.' + b"9" * 1_048_000 + b"}",
    "repeated keys": lambda: b"{" + b'"a":1,' * 170_000 + b'"a":1}',
    "wrong references": lambda: json.dumps(wide(9_000)).encode(),
    "a long key": lambda: b'{"' + b"k" * 500_000 + b'": [' + b"NaN," * 130_000 + b"1]}",
    "a long reference": lambda: json.dumps(small(referring("Steps." + "x" * 900_000))).encode(),
    "many tokens": lambda: json.dumps(small(referring("Steps.A" + ".b" * 450_000))).encode(),
    "one cycle": lambda: json.dumps(
        small(*(step(f"S{number}", DependsOn=[f"S{(number + 1) % 9000}"]) for number in range(9_000)))
    ).encode(),
    "many cycles": lambda: json.dumps(
        small(*(step(f"S{number}", DependsOn=[f"S{number}"]) for number in range(9_000)))
    ).encode(),
    "conditions": lambda: json.dumps(small(referring("x"), conditions(60_000))).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_keeps_the_reader_busy_or_makes_it_write_a_book(name: str) -> None:
    body = HOSTILE[name]()
    assert len(body) <= pipeline_document.MAX_BYTES
    begin = time.process_time()
    try:
        problems = check(load(body))
    except InvalidDefinition as error:
        problems = error.problems
    assert time.process_time() - begin < 5
    assert 1 <= len(problems) <= 100
    assert sum(len(str(each)) for each in problems) < 100_000
