"""Policies and requests made up for two IAM evaluators to judge: real actions and keys, and few values.

What the laptop's evaluator refuses to judge is not among them (a key with several values under an operator
without ForAllValues or ForAnyValue): it raises a PolicyError, which denies and says why.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from iam_simulate import ACCOUNT, Question

ROLE = f"arn:aws:iam::{ACCOUNT}:role/trainer"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/trainer/job"
USER = f"arn:aws:iam::{ACCOUNT}:user/anna"
PRINCIPALS = (ROLE, SESSION, USER, f"arn:aws:iam::{ACCOUNT}:role/other")
SAGEMAKER = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"

REQUESTS: dict[str, tuple[str, ...]] = {
    "s3:GetObject": (
        "arn:aws:s3:::birds/data/a.jpg",
        "arn:aws:s3:::birds/Data/a:b",
        "arn:aws:s3:::birdsong/a",
    ),
    "s3:ListBucket": ("arn:aws:s3:::birds", "arn:aws:s3:::birdsong"),
    "sqs:SendMessage": (f"arn:aws:sqs:us-east-1:{ACCOUNT}:birds", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:birds"),
    "iam:PassRole": (ROLE, f"arn:aws:iam::{ACCOUNT}:role/service/trainer"),
    "sagemaker:CreateTrainingJob": (
        f"{SAGEMAKER}:training-job/pipelines-a",
        f"{SAGEMAKER}:training-job/mine",
    ),
    "sagemaker:StartPipelineExecution": (f"{SAGEMAKER}:pipeline/birds", f"{SAGEMAKER}:pipeline/birdsong"),
}
ACTIONS = (
    *REQUESTS,
    *("*", "s3:*", "S3:get*", "s3:?etObject", "s3:PutObject", "sagemaker:*", "sagemaker:Start*Execution"),
)
RESOURCES = (
    *(resource for resources in REQUESTS.values() for resource in resources),
    "*",
    "arn:aws:s3:::birds/*",
    "arn:aws:s3:::birds*",
    "arn:aws:s3:::*/data/?.jpg",
    "arn:aws:s3:::birds/${aws:username}*",
    "arn:aws:s3:::birds/${aws:PrincipalTag/team, 'data'}/*",
    f"arn:aws:sqs:*:{ACCOUNT}:*",
    "arn:aws:sqs:us-*:*:bird?",
    f"arn:aws:iam::{ACCOUNT}:role/*trainer",
    f"{SAGEMAKER}:training-job/pipelines-*",
    f"{SAGEMAKER}:pipeline/birds*",
)

TEXTS = ("birds", "Birds", "bird?", "b*", "*", "", "data", "${aws:username}", "${*}", "a*b")
ARNS = (ROLE, SESSION, USER, "arn:aws:iam::*:role/*", "arn:aws:*:*:*:*", f"arn:*:iam::{ACCOUNT}:role/train??")
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # Each key with the values of policies and those of requests; what a kind of operator may compare.
    "aws:PrincipalTag/team": (TEXTS, ("birds", "Birds", "data", "a*b", "")),
    "aws:username": (TEXTS, ("data", "birds", "b")),
    "aws:PrincipalArn": (ARNS, (ROLE, SESSION, USER)),
    "aws:SourceArn": (ARNS, (ROLE, "arn:aws:s3:::birds")),
    "aws:SecureTransport": (("true", "false", "TRUE"), ("true", "false")),
    "aws:MultiFactorAuthAge": (("0", "60", "60.0", "3600"), ("0", "60", "61", "86400")),
    "aws:CurrentTime": (
        ("2026-01-01T00:00:00Z", "2026-06-01T12:00:00Z"),
        ("2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2026-06-01T12:00:01Z"),
    ),
    "aws:SourceIp": (
        ("10.0.0.0/8", "10.1.2.3/32", "192.0.2.7"),
        ("10.1.2.3", "192.0.2.7", "192.0.2.8"),
    ),
    "aws:TagKeys": (TEXTS, ("birds", "data", "owner")),
}
VARIABLE = "aws:username"
"""In every request: what a variable without a value does is among the differences."""
SEVERAL = ("aws:TagKeys",)
OPERATORS: dict[str, tuple[str, ...]] = {
    "aws:SecureTransport": ("Bool",),
    "aws:MultiFactorAuthAge": tuple(
        f"Numeric{each}"
        for each in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    ),
    "aws:CurrentTime": tuple(
        f"Date{each}"
        for each in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    ),
    "aws:SourceIp": ("IpAddress", "NotIpAddress"),
    "aws:PrincipalArn": ("ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals", "StringLike", "StringEquals"),
    "aws:SourceArn": ("ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals", "StringNotLike"),
}
STRINGS = (
    *("StringEquals", "StringNotEquals", "StringLike", "StringNotLike"),
    *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Give a Condition block of up to three keys."""
    block: dict[str, dict[str, Any]] = {}
    for key in draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=3, unique=True)):
        if draw(st.integers(0, 5)) == 0:
            block.setdefault("Null", {})[key] = draw(st.sampled_from(["true", "false"]))
            continue
        qualifiers = ["ForAllValues:", "ForAnyValue:"] + ([] if key in SEVERAL else ["", "", ""])
        operator = draw(st.sampled_from(OPERATORS.get(key, STRINGS)))
        qualifier = draw(st.sampled_from(qualifiers))
        if_exists = "" if qualifier == "ForAnyValue:" else draw(st.sampled_from(["", "", "IfExists"]))
        name = qualifier + operator + if_exists
        values = draw(st.lists(st.sampled_from(KEYS[key][0]), min_size=1, max_size=3, unique=True))
        block.setdefault(name, {})[key] = values if len(values) > 1 or draw(st.booleans()) else values[0]
    return block


@st.composite
def statements(draw: st.DrawFn, principals: bool = False) -> dict[str, Any]:
    """Give a statement of an identity-based policy, or of a resource-based one."""
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"]))}
    for element, values in (("Action", ACTIONS), ("Resource", RESOURCES)):
        negated = "Not" if draw(st.integers(0, 5)) == 0 else ""
        plain = [value for value in values if not negated or "${" not in value]
        chosen = draw(st.lists(st.sampled_from(plain), min_size=1, max_size=4, unique=True))
        statement[negated + element] = chosen
    if block := draw(conditions()):
        statement["Condition"] = block
    if principals:
        whom = draw(st.sampled_from([*PRINCIPALS, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, "*"]))
        statement["Principal"] = "*" if whom == "*" and draw(st.booleans()) else {"AWS": [whom]}
    return statement


def policies(*, principals: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Give a policy of up to three statements."""
    listed = st.lists(statements(principals), min_size=1, max_size=3)
    return listed.map(lambda each: {"Version": "2012-10-17", "Statement": each})


@st.composite
def contexts(draw: st.DrawFn) -> dict[str, str | list[str]]:
    """Give the condition keys of a request, some of them absent."""
    context: dict[str, str | list[str]] = {}
    for key, (_, values) in KEYS.items():
        if key != VARIABLE and not draw(st.booleans()):
            continue
        if key in SEVERAL:
            context[key] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
        else:
            context[key] = draw(st.sampled_from(values))
    return context


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Give a request with identity-based policies, at times a boundary and a resource-based policy."""
    action = draw(st.sampled_from(sorted(REQUESTS)))
    return Question(
        principal=draw(st.sampled_from(PRINCIPALS)),
        action=action,
        resource=draw(st.sampled_from(REQUESTS[action])),
        context=draw(contexts()),
        identity=draw(st.lists(policies(), max_size=2)),
        boundary=draw(st.one_of(st.just([]), st.just([]), policies().map(lambda each: [each]))),
        resource_policy=draw(st.one_of(st.none(), st.none(), policies(principals=True))),
    )
