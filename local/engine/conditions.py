"""The conditions of a Condition step: a list of them is AND; Not and Or nest."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.engine.expressions import ExpressionError

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}


def all_hold(conditions: Sequence[Mapping[str, Any]], value: Callable[[Any], Any]) -> bool:
    """Return whether every condition holds; `value` gives an expression's value."""
    return all(holds(condition, value) for condition in conditions)


def holds(condition: Mapping[str, Any], value: Callable[[Any], Any]) -> bool:
    """Return whether one condition holds; raise ExpressionError where its two sides cannot be compared."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Condition"], value)
    if kind == "Or":
        return any(holds(inner, value) for inner in condition["Conditions"])
    if kind == "In":
        query, values = value(condition["QueryValue"]), value(condition["Values"])
        if not isinstance(values, list):
            raise ExpressionError(f"In needs a list of Values, not {values!r}")
        return any(_equal(query, item) for item in values)
    if kind != "Equals" and kind not in _ORDER:
        raise ExpressionError(f"local AWS does not know conditions of type {kind}")
    left, right = value(condition["LeftValue"]), value(condition["RightValue"])
    if kind == "Equals":
        return _equal(left, right)
    if not _comparable(left, right):
        raise ExpressionError(
            f"{kind} cannot compare {left!r} with {right!r}: both must be numbers or both strings"
        )
    return _ORDER[kind](left, right)


def _equal(left: Any, right: Any) -> bool:
    # Python's True == 1 is not JSON's.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _comparable(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    return numbers or (isinstance(left, str) and isinstance(right, str))
