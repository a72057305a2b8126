"""Conditions and policy variables of IAM policies hold as AWS documents it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iam_cases import BUCKET, access, allowed, identity, statement
from local.aws.iam import PolicyError, decide

# --- conditions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "wanted", "have", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "abc", False),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringEqualsIgnoreCase", "A", "a", True),
        ("StringNotEqualsIgnoreCase", "A", "a", False),
        ("StringLike", "data/*", "data/x/y", True),
        ("StringLike", "data/?", "data/xy", False),
        ("StringNotLike", "data/*", "other", True),
        (
            "ArnLike",
            "arn:aws:sagemaker:*:123456789012:*",
            "arn:aws:sagemaker:us-east-1:123456789012:pipeline/x",
            True,
        ),
        ("ArnLike", "arn:aws:*:pipeline/x", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/x", False),
        ("ArnEquals", "arn:aws:s3:::b*", "arn:aws:s3:::birds", True),
        ("ArnNotLike", "arn:aws:s3:::b*", "arn:aws:s3:::birds", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "true", "false", False),
        ("NumericLessThanEquals", "3600", "3600", True),
        ("NumericLessThanEquals", "3600", "86400", False),
        ("NumericLessThan", 10, "9", True),
        ("NumericEquals", "1", "1.0", True),
        ("NumericNotEquals", "1", "2", True),
        ("NumericGreaterThan", "3", "4", True),
        ("NumericGreaterThanEquals", "3", "2", False),
        ("NumericLessThan", "10", "many", False),
        ("DateLessThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59Z", True),
        ("DateGreaterThan", "2030-01-01T00:00:00Z", "1900000000", True),
        ("DateGreaterThan", "2030-01-01", "2029-01-01T00:00:00Z", False),
        ("IpAddress", "127.0.0.0/8", "127.0.0.1", True),
        ("IpAddress", "10.0.0.0/8", "127.0.0.1", False),
        ("NotIpAddress", "10.0.0.0/8", "127.0.0.1", True),
    ],
)
def test_each_operator_compares_as_documented(operator: str, wanted: Any, have: str, expected: bool) -> None:
    assert allowed({operator: {"aws:Key": wanted}}, {"AWS:key": have}) is expected


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringEqualsIfExists", True),
        ("StringNotEquals", True),
        ("StringNotEqualsIfExists", True),
        ("NumericLessThanEquals", False),
        ("NumericLessThanEqualsIfExists", True),
        ("Bool", False),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
    ],
)
def test_an_absent_key_passes_only_negated_if_exists_and_for_all_values(
    operator: str, expected: bool
) -> None:
    assert allowed({operator: {"sagemaker:KeepAlivePeriod": "1"}}, {}) is expected


@pytest.mark.parametrize(
    ("operator", "have", "expected"),
    [
        ("ForAllValues:StringEquals", ["ml.m5.large", "ml.c5.large"], True),
        ("ForAllValues:StringEquals", ["ml.m5.large", "ml.p5.48xlarge"], False),
        ("ForAllValues:StringLike", ["ml.m5.large"], True),
        ("ForAnyValue:StringEquals", ["ml.p5.48xlarge", "ml.m5.large"], True),
        ("ForAnyValue:StringEquals", ["ml.p5.48xlarge"], False),
        ("ForAnyValue:StringNotEquals", ["ml.p5.48xlarge", "ml.m5.large"], True),
        ("ForAllValues:StringNotEquals", ["ml.p5.48xlarge", "ml.m5.large"], False),
        ("ForAllValues:StringEquals", "ml.m5.large", True),
    ],
)
def test_set_operators_judge_every_value_of_a_key(
    operator: str, have: str | list[str], expected: bool
) -> None:
    condition = {operator: {"sagemaker:InstanceTypes": ["ml.m5.large", "ml.c5.large"]}}
    assert allowed(condition, {"sagemaker:InstanceTypes": have}) is expected


def test_null_asks_whether_the_key_is_there() -> None:
    assert allowed({"Null": {"sagemaker:InstanceTypes": "false"}}, {"sagemaker:InstanceTypes": ["x"]})
    assert not allowed({"Null": {"sagemaker:InstanceTypes": "false"}}, {})
    assert allowed({"Null": {"sagemaker:KeepAlivePeriod": "true"}}, {})
    assert not allowed({"Null": {"sagemaker:KeepAlivePeriod": "true"}}, {"sagemaker:KeepAlivePeriod": "60"})


def test_all_keys_and_all_operators_must_hold() -> None:
    condition = {"StringEquals": {"a:x": "1", "a:y": "2"}, "Bool": {"a:z": "true"}}
    assert allowed(condition, {"a:x": "1", "a:y": "2", "a:z": "true"})
    assert not allowed(condition, {"a:x": "1", "a:y": "3", "a:z": "true"})
    assert not allowed(condition, {"a:x": "1", "a:y": "2", "a:z": "false"})


def test_several_values_without_a_set_operator_are_refused_rather_than_guessed() -> None:
    with pytest.raises(PolicyError, match="ForAnyValue:StringEquals"):
        allowed({"StringEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a", "b"]})


@pytest.mark.parametrize(
    "operator", ["StringEqual", "BinaryEquals", "ForSomeValues:StringEquals", "NullIfExists"]
)
def test_an_operator_that_is_not_known_is_an_error(operator: str) -> None:
    with pytest.raises(PolicyError, match="unknown condition operator"):
        allowed({operator: {"a:b": "c"}}, {"a:b": "c"})


def test_a_misspelt_operator_gets_a_suggestion() -> None:
    with pytest.raises(PolicyError, match="did you mean 'StringEquals'"):
        allowed({"StringEqual": {"a:b": "c"}}, {})


# --- policy variables ---------------------------------------------------------------------------------


def test_policy_variables_stand_for_the_requests_values() -> None:
    policy = identity(statement(Resource=f"{BUCKET}/home/${{aws:username}}/*"))
    mine = access(on=f"{BUCKET}/home/ada/x", context={"aws:username": "ada"})
    yours = access(on=f"{BUCKET}/home/bob/x", context={"aws:username": "ada"})
    nobody = access(on=f"{BUCKET}/home/ada/x")
    assert decide(mine, identity=[policy]).allowed
    assert not decide(yours, identity=[policy]).allowed
    assert not decide(nobody, identity=[policy]).allowed


def test_a_variables_value_is_never_a_pattern() -> None:
    policy = identity(statement(Resource=f"{BUCKET}/home/${{aws:username}}/*"))
    star = access(on=f"{BUCKET}/home/ada/x", context={"aws:username": "*"})
    assert not decide(star, identity=[policy]).allowed


def test_variables_have_defaults_and_plain_characters() -> None:
    policy = identity(statement(Resource=f"{BUCKET}/${{aws:PrincipalTag/team, 'none'}}/${{*}}"))
    assert decide(access(on=f"{BUCKET}/none/*"), identity=[policy]).allowed
    assert not decide(access(on=f"{BUCKET}/none/other"), identity=[policy]).allowed
    assert allowed({"StringEquals": {"a:b": "${aws:username}"}}, {"a:b": "a*", "aws:username": "a*"})


def test_the_first_policy_version_has_no_variables() -> None:
    policy = identity(statement(Resource=f"{BUCKET}/${{aws:username}}"), version="2008-10-17")
    assert not decide(access(on=f"{BUCKET}/ada", context={"aws:username": "ada"}), identity=[policy]).allowed


@given(st.dictionaries(st.sampled_from(["a:x", "a:y", "a:z"]), st.text(max_size=3), max_size=3))
def test_a_condition_key_is_found_whatever_its_case(context: dict[str, str]) -> None:
    condition = {"StringEquals": {key.upper(): value or "" for key, value in context.items()}}
    assert allowed(condition if context else {}, context)


TEXTS = st.text(alphabet="ab:*?/.$[", max_size=8)


@given(TEXTS, TEXTS)
def test_wildcards_match_as_a_plain_matcher_says(pattern: str, text: str) -> None:
    policy = identity(statement(Resource=pattern), version="2008-10-17")
    assert decide(access(on=text), identity=[policy]).allowed is matches(pattern, text)


def matches(pattern: str, text: str) -> bool:
    """The definition of a wildcard, as slow and plain as it can be."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])
