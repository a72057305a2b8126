"""Whether a function's own policy, made of AWS::Lambda::Permission, lets a service invoke it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any


def may_invoke(function: Any, service: str, source_arn: str, account: str) -> bool:
    """Tell whether a service, such as s3.amazonaws.com, may invoke a function for a source in an account."""
    facts = {"aws:sourcearn": source_arn, "aws:sourceaccount": account}
    return any(_allows(statement, service, facts) for statement in function.policy.statements)


def _allows(statement: Mapping[str, Any], service: str, facts: Mapping[str, str]) -> bool:
    principal = statement.get("Principal")
    named = principal.get("Service") if isinstance(principal, dict) else principal
    if statement["Effect"] != "Allow" or named not in (service, "*"):
        return False
    if not fnmatch.fnmatchcase("lambda:invokefunction", str(statement["Action"]).lower()):
        return False
    return all(
        _holds(operator, pattern, facts.get(key.lower()))
        for operator, pairs in statement.get("Condition", {}).items()
        for key, pattern in pairs.items()
    )


def _holds(operator: str, pattern: str, fact: str | None) -> bool:
    """Judge one condition of an AddPermission; an operator that it cannot make is not fulfilled."""
    if fact is None:
        return False
    if operator in ("ArnLike", "StringLike"):
        return fnmatch.fnmatchcase(fact, pattern.replace("[", "[[]"))
    return operator in ("ArnEquals", "StringEquals") and fact == pattern
