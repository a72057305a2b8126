"""Event patterns of EventBridge: whether a rule takes an event. What is not implemented is refused.

A pattern has the event's form, with a list of what is taken in the place of each value: texts, numbers,
booleans, null, and {"prefix": "text"}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PatternError(ValueError):
    """A pattern that the laptop cannot match with; the message says what to write instead."""


def check_pattern(pattern: Any, path: str = "EventPattern") -> None:
    """Raise `PatternError` for a pattern that is malformed or uses more than the laptop implements."""
    if not isinstance(pattern, Mapping) or not pattern:
        raise PatternError(f"{path} must be an object with at least one key")
    for key, wanted in pattern.items():
        where = f"{path}.{key}"
        if key.startswith("$"):
            raise PatternError(f"{where}: the laptop does not implement {key} in a pattern")
        if isinstance(wanted, Mapping):
            check_pattern(wanted, where)
        elif not isinstance(wanted, list) or not wanted:
            raise PatternError(f"{where} must be an object, or a list of what is taken")
        else:
            for item in wanted:
                _check_item(item, where)


def _check_item(item: Any, where: str) -> None:
    if isinstance(item, Mapping):
        if set(item) != {"prefix"} or not isinstance(item["prefix"], str):
            raise PatternError(
                f"{where}: of EventBridge's comparisons the laptop implements {{'prefix': 'text'}} alone, "
                f"not {dict(item)}"
            )
    elif isinstance(item, list):
        raise PatternError(f"{where} must be a list of plain values")


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Tell whether every part of the pattern takes the event's value there; what it omits may be anything."""
    return all(_takes(wanted, event.get(key, _ABSENT)) for key, wanted in pattern.items())


_ABSENT = object()


def _takes(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and matches(wanted, value)
    values = value if isinstance(value, list) else [value]
    return any(_is(item, each) for item in wanted for each in values)


def _is(item: Any, value: Any) -> bool:
    if isinstance(item, Mapping):
        return isinstance(value, str) and value.startswith(item["prefix"])
    # 1 is not true in JSON.
    return type(item) is type(value) and bool(item == value)
