"""Java's patterns, tried with Python: what fits, what does not, and what could take for ever."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_definition.checks import arguments
from pipeline_definition.checks.patterns import LONGEST, matches
from pipeline_definition.checks.service_model import bundled_model

URI = "(https|s3)://([^/]+)/?(.*)"
NOT_TRIED = {
    # Characters beyond 16 bits, written as Java has them.
    r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*",
}
"""The patterns of the requests that steps make which are no use here."""


def shapes_of_requests() -> Iterator[Any]:
    """Every shape in a request that some step makes."""
    model = bundled_model()
    operations = {*arguments.OPERATIONS.values(), *arguments.LINEAGE.values()}
    pending = [model.operation_model(each).input_shape for each in (*operations, "CreateAutoMLJobV2")]
    seen: set[str] = set()
    while pending:
        shape = pending.pop()
        if shape.name not in seen:
            seen.add(shape.name)
            yield shape
            pending += getattr(shape, "members", {}).values() if shape.type_name == "structure" else []
            pending += [shape.member] if shape.type_name == "list" else []
            pending += [shape.key, shape.value] if shape.type_name == "map" else []


def test_every_pattern_of_a_step_s_request_is_tried() -> None:
    patterns = {each.metadata["pattern"] for each in shapes_of_requests() if "pattern" in each.metadata}
    odd = "\0\n\u2028 !"
    assert len(patterns) > 50
    assert {each for each in patterns if matches(each, odd) and not fits_as_written(each, odd)} == NOT_TRIED


def fits_as_written(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return False


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        (
            "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
            ["a", "a--b", "a" * 63],
            ["", "-a", "a-", "a" * 64, "a_b", "a\n"],
        ),
        (r"[a-z]+(-[a-z]+)*", ["a", "a-b-c"], ["a--b", "a-"]),
        (r"\d{12}", ["1" * 12], ["\u0661" * 12, "1" * 11]),
        (r"[\p{L}\p{Z}_]*", ["a b", "\u00e9\u00a0\u4e2d", ""], ["1", "\u0661", "a\n"]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn::x", "arn:\u00e9:x"]),
        (r"([a-z]*)${1,128}", ["abc"], ["1"]),
        (
            URI,
            ["s3://b", "s3://b/k", "s3://b//", "https://a\nb/c"],
            ["s3:///k", "s3://b/k\n", "s3://", "S3://b"],
        ),
    ],
)
def test_a_text_fits_as_a_whole_as_java_has_it(pattern: str, fits: list[str], does_not: list[str]) -> None:
    assert [text for text in fits if not matches(pattern, text)] == []
    assert [text for text in does_not if matches(pattern, text)] == []


@settings(deadline=None, derandomize=True, database=None, max_examples=500)
@given(st.text("s3:/a\n", max_size=12) | st.text("/a\n", max_size=8).map("s3://".__add__))
def test_the_pattern_of_a_uri_means_what_it_meant_before_it_was_made_quick(text: str) -> None:
    assert matches(URI, text) == (re.fullmatch(URI, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("https://([.a-z]+/?){3,1016}", "https://" + "a" * 25 + "!"),
        ("[a-z]([-a-z]*[a-z]){0,39}?", "a" * 25 + "!"),
        ("(a?a)*", "a" * 25 + "!"),
        ("(a*b*)*", "a" * 25 + "!"),
        ("((a+)+)", "a" * 25 + "!"),
        ("((ab*)c?)*", "ab" * 12 + "!"),
        (".*x+.*", "xxx\n"),
        (r"[^/]*-[^/]*", "a/"),
        ("(unclosed", "x"),
        (r"\p{Unheard}", "x"),
        ("[a-z]*", "!" * (LONGEST + 1)),
    ],
)
def test_what_could_take_for_ever_or_cannot_be_tried_counts_as_fitting(pattern: str, text: str) -> None:
    assert matches(pattern, text)


def test_the_longest_text_is_tried() -> None:
    assert not matches("[a-z]*", "!" * LONGEST)
