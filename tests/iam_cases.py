"""One role, one bucket, and policies and accesses around them, for tests of the IAM evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.aws.iam import Access, Policy, Principal, decide, parse_policy

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/trainer"
SESSION = Principal(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/trainer/job", account=ACCOUNT, role_arn=ROLE)
BUCKET = "arn:aws:s3:::birds"


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    given = {"Effect": effect, "Action": "s3:GetObject", "Resource": f"{BUCKET}/data/*", **elements}
    return {key: value for key, value in given.items() if value is not None}


def identity(*statements: Mapping[str, Any], version: str = "2012-10-17") -> Policy:
    return parse_policy(
        {"Version": version, "Statement": list(statements)}, kind="identity", name="role policy"
    )


def resource(*statements: Mapping[str, Any]) -> Policy:
    return parse_policy(
        {"Version": "2012-10-17", "Statement": list(statements)}, kind="resource", name="bucket"
    )


def access(
    action: str = "s3:GetObject",
    on: str = f"{BUCKET}/data/a.jpg",
    context: Mapping[str, str | list[str]] | None = None,
    principal: Principal = SESSION,
) -> Access:
    return Access(principal, action, on, context or {})


def allowed(condition: Mapping[str, Any], context: Mapping[str, str | list[str]]) -> bool:
    return decide(access(context=context), identity=[identity(statement(Condition=condition))]).allowed
