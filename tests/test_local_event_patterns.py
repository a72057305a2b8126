"""Event patterns on the laptop: what a rule takes, and what is refused because it is not implemented."""

from typing import Any

import pytest

from local.aws.event_patterns import PatternError, check_pattern, matches

EVENT = {
    "source": "aws.sagemaker",
    "resources": ["a", "b"],
    "detail": {"status": "Failed", "count": 1, "last": True, "reason": None, "arn": "pipeline/birds-small"},
}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.sagemaker"]},
        {"source": ["aws.s3", "aws.sagemaker"]},
        {"resources": ["b"]},
        {"detail": {"status": ["Failed"], "count": [1], "last": [True], "reason": [None]}},
        {"detail": {"arn": ["pipeline/birds", {"prefix": "pipeline/birds-"}]}},
        {"source": [{"prefix": ""}]},
    ],
)
def test_an_event_with_everything_that_a_pattern_asks_for_is_taken(pattern: dict[str, Any]) -> None:
    check_pattern(pattern)
    assert matches(pattern, EVENT)


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["aws.s3"]},
        {"source": ["aws.sagemaker"], "detail": {"status": ["Succeeded"]}},
        {"detail": {"count": ["1"]}},
        {"detail": {"last": [1]}},
        {"detail": {"count": [True]}},
        {"detail": {"arn": [{"prefix": "pipeline/cats"}]}},
        {"detail": {"count": [{"prefix": "1"}]}},
        {"detail": {"absent": [None]}},
        {"absent": {"status": ["Failed"]}},
        {"source": {"deeper": ["aws.sagemaker"]}},
    ],
)
def test_an_event_that_lacks_anything_is_not_taken(pattern: dict[str, Any]) -> None:
    check_pattern(pattern)
    assert not matches(pattern, EVENT)


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        ({}, "EventPattern must be an object"),
        ({"source": "aws.s3"}, "EventPattern.source must be"),
        ({"source": []}, "EventPattern.source must be"),
        ({"detail": {"size": [{"numeric": [">", 1]}]}}, "EventPattern.detail.size"),
        ({"detail": {"size": [{"anything-but": ["a"]}]}}, "anything-but"),
        ({"source": [{"prefix": {"equals-ignore-case": "a"}}]}, "EventPattern.source"),
        ({"$or": [{"source": ["a"]}]}, r"\$or"),
        ({"source": [["a"]]}, "plain values"),
    ],
)
def test_what_the_laptop_does_not_match_with_is_refused_by_name(pattern: dict[str, Any], where: str) -> None:
    with pytest.raises(PatternError, match=where):
        check_pattern(pattern)
