"""Policies changed in one place each: what a slip of the pen or a hasty fix would make of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Statement = dict[str, Any]


class PolicyMutant(NamedTuple):
    """A policy's statements with one change, and what was changed."""

    what: str
    statements: list[Statement]


def mutants(statements: list[Statement]) -> Iterator[PolicyMutant]:
    """Yield every change of one statement: something dropped, or something widened."""
    for index, statement in enumerate(statements):
        sid, rest = statement["Sid"], (statements[:index], statements[index + 1 :])
        yield PolicyMutant(f"{sid} dropped", [*rest[0], *rest[1]])
        for what, changed in _changes(statement):
            yield PolicyMutant(f"{sid}: {what}", [*rest[0], changed, *rest[1]])


def _changes(statement: Statement) -> Iterator[tuple[str, Statement]]:
    for element in ("Action", "NotAction"):
        if element in statement:
            yield from _of_list(statement, element, _wider_actions)
    yield from _of_list(statement, "Resource", _wider_resources)
    for operator, keys in statement.get("Condition", {}).items():
        yield f"Condition {operator} dropped", _conditions(statement, operator, None)
        for key, value in keys.items():
            left = {name: each for name, each in keys.items() if name != key}
            yield f"Condition {operator} {key} dropped", _conditions(statement, operator, left or None)
            for wider in _wider_values(operator, value):
                changed = _conditions(statement, operator, {**keys, key: wider})
                yield f"Condition {operator} {key} = {wider}", changed
        # A negated operator passes without its key as it is.
        if not operator.endswith("IfExists") and operator != "Null" and "Not" not in operator:
            changed = _conditions(statement, operator, None)
            changed["Condition"] = {**changed.get("Condition", {}), f"{operator}IfExists": keys}
            yield f"Condition {operator} becomes {operator}IfExists", changed


def _of_list(statement: Statement, element: str, wider: Any) -> Iterator[tuple[str, Statement]]:
    given = statement[element]
    values = given if isinstance(given, list) else [given]
    for value in values:
        others = [each for each in values if each != value]
        if others:
            yield f"{element} {value} dropped", {**statement, element: others}
        for each in wider(value):
            yield f"{element} {value} becomes {each}", {**statement, element: [*others, each]}


def _wider_actions(action: str) -> Iterator[str]:
    service, _, name = action.partition(":")
    verb = re.match("[A-Z][a-z]+", name)
    if name != "*":
        yield f"{service}:*"
    if verb and name != f"{verb[0]}*":
        yield f"{service}:{verb[0]}*"


def _wider_resources(resource: str) -> Iterator[str]:
    if resource == "*":
        return
    yield "*"
    # The last part of the ARN replaced, cut short, or without its name.
    head, separator, tail = resource.rpartition("/")
    if separator:
        yield f"{head}/*" if tail != "*" else f"{head}*"
    arn = resource.split(":", 5)
    yield ":".join([*arn[:5], "*"])
    if not resource.endswith("*"):
        yield f"{resource}*"


def _wider_values(operator: str, value: Any) -> Iterator[Any]:
    if value in ("true", "false"):
        yield "false" if value == "true" else "true"
    elif operator.startswith("Numeric"):
        yield str(int(value) * 10)
    elif "Like" in operator:
        yield "*"
        yield re.sub(r"[^*]\*", "*", value) if isinstance(value, str) else [each[:1] + "*" for each in value]
    elif operator.startswith("Arn"):
        # To some, * alone is no ARN.
        yield from ("*", "arn:*:*:*:*:*")
        for each in value if isinstance(value, list) else [value]:
            yield from (f"{each}*", f"{each.rpartition('/')[0]}/*")
    if isinstance(value, list):
        yield from (each for index in range(len(value)) if (each := value[:index] + value[index + 1 :]))


def _conditions(statement: Statement, operator: str, keys: dict[str, Any] | None) -> Statement:
    changed = copy.deepcopy(statement)
    changed["Condition"].pop(operator)
    if keys:
        changed["Condition"][operator] = keys
    if not changed["Condition"]:
        changed.pop("Condition")
    return changed
