"""Judge the Condition block of an IAM policy statement; an unknown operator is an error, never a pass.

The rules are those of the IAM user guide: within one key any value may match, all keys and all operators
must; an absent key fails a positive operator and passes a negated one; `IfExists`, `ForAllValues` and
`ForAnyValue` change that as documented.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

Context = Mapping[str, str | Sequence[str]]
"""Condition keys of a request, lower-cased, with the value or the values of each."""


class PolicyError(Exception):
    """A policy that cannot be judged: malformed, or beyond what is implemented here."""


_TOKEN = re.compile(r"\$\{([*?$])\}|([*?])|([^*?$]+|\$)")


@functools.lru_cache(maxsize=8192)
def wildcard(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """Compile a pattern: `*` is any characters, `?` exactly one; `${*}`, `${?}`, `${$}` are plain."""
    text = "".join(
        {"*": ".*", "?": "."}[symbol] if symbol else re.escape(escaped or plain)
        for escaped, symbol, plain in _TOKEN.findall(pattern)
    )
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _unescape(text: str) -> str:
    return re.sub(r"\$\{([*?$])\}", r"\1", text)


def _string_equals(wanted: str, have: str) -> bool:
    return wanted == have


def _string_equals_ignore_case(wanted: str, have: str) -> bool:
    return wanted.casefold() == have.casefold()


def _string_like(wanted: str, have: str) -> bool:
    return wildcard(wanted).fullmatch(have) is not None


def _arn_like(wanted: str, have: str) -> bool:
    """Compare the six parts of two ARNs one by one, so that a wildcard stays within its part."""
    wanted_parts, have_parts = wanted.split(":", 5), have.split(":", 5)
    if wanted == "*":
        return True
    return len(wanted_parts) == len(have_parts) and all(
        _string_like(part, other) for part, other in zip(wanted_parts, have_parts, strict=True)
    )


def _bool(wanted: str, have: str) -> bool:
    return wanted.lower() == have.lower()


def _ip_address(wanted: str, have: str) -> bool:
    try:
        return ipaddress.ip_address(have) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _moment(text: str) -> float:
    """Read an ISO 8601 date or seconds since the epoch."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ordered(
    read: Callable[[str], float], compare: Callable[[float, float], bool]
) -> Callable[[str, str], bool]:
    """Make an operator that compares what `read` makes of the request's value and of the policy's."""

    def test(wanted: str, have: str) -> bool:
        try:
            return compare(read(have), read(wanted))
        except ValueError:
            return False

    return test


def _comparisons(prefix: str, read: Callable[[str], float]) -> dict[str, Callable[[str, str], bool]]:
    return {
        f"{prefix}Equals": _ordered(read, lambda have, wanted: have == wanted),
        f"{prefix}LessThan": _ordered(read, lambda have, wanted: have < wanted),
        f"{prefix}LessThanEquals": _ordered(read, lambda have, wanted: have <= wanted),
        f"{prefix}GreaterThan": _ordered(read, lambda have, wanted: have > wanted),
        f"{prefix}GreaterThanEquals": _ordered(read, lambda have, wanted: have >= wanted),
    }


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": _string_equals,
    "StringEqualsIgnoreCase": _string_equals_ignore_case,
    "StringLike": _string_like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _bool,
    "IpAddress": _ip_address,
    **_comparisons("Numeric", float),
    **_comparisons("Date", _moment),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}
_PATTERNS = {"StringLike", "ArnLike", "ArnEquals"}
"""Operators whose values are patterns; all others compare the text as it is."""


@dataclass(frozen=True)
class Condition:
    """One operator with one condition key and the values that the policy accepts."""

    operator: str
    """The operator without qualifier and IfExists, for example StringLike."""
    negated: bool
    qualifier: str
    """Empty, ForAllValues or ForAnyValue."""
    if_exists: bool
    key: str
    """The condition key, lower-cased."""
    values: tuple[str, ...]

    def holds(self, context: Context, resolve: Callable[[str], str | None]) -> bool:
        """Judge the condition; `resolve` fills in a value's policy variables (None: one is absent)."""
        have = context.get(self.key)
        if self.operator == "Null":
            return (have is None) == (self.values[0].lower() == "true")
        if have is None:
            return self._passes_when_absent()
        if not self.qualifier and not isinstance(have, str):
            raise PolicyError(
                f"the condition key {self.key} has several values: write ForAllValues:{self.operator} "
                f"or ForAnyValue:{self.operator}"
            )
        wanted = [value for value in map(resolve, self.values) if value is not None]
        results = [self._accepts(wanted, item) for item in ([have] if isinstance(have, str) else have)]
        return any(results) if self.qualifier == "ForAnyValue" else all(results)

    def _passes_when_absent(self) -> bool:
        if self.qualifier:
            return self.qualifier == "ForAllValues" or self.if_exists
        return self.if_exists or self.negated

    def _accepts(self, wanted: Sequence[str], have: str) -> bool:
        test = _TESTS[self.operator]
        if self.operator not in _PATTERNS:
            wanted = [_unescape(value) for value in wanted]
        return any(test(value, have) for value in wanted) != self.negated


def parse_conditions(block: object) -> tuple[Condition, ...]:
    """Read a statement's Condition element; raises PolicyError for an operator that is not known."""
    if not isinstance(block, Mapping):
        raise PolicyError("Condition must be an object of operators")
    return tuple(
        _parse_condition(operator, key, values)
        for operator, keys in block.items()
        for key, values in _keys_of(operator, keys)
    )


def _keys_of(operator: str, keys: object) -> list[tuple[str, object]]:
    if not isinstance(keys, Mapping):
        raise PolicyError(f"Condition.{operator} must be an object of condition keys")
    return list(keys.items())


def _parse_condition(operator: str, key: str, values: object) -> Condition:
    qualifier, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    if_exists = base != name
    if qualifier not in {"", "ForAllValues", "ForAnyValue"} or (base == "Null" and (qualifier or if_exists)):
        raise PolicyError(f"unknown condition operator {operator!r}")
    if base not in _TESTS and base not in _NEGATED and base != "Null":
        known = [*_TESTS, *_NEGATED, "Null"]
        close = difflib.get_close_matches(base, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
        raise PolicyError(f"unknown condition operator {operator!r}{hint}")
    return Condition(
        operator=_NEGATED.get(base, base),
        negated=base in _NEGATED,
        qualifier=qualifier,
        if_exists=if_exists,
        key=key.lower(),
        values=_texts(values, f"Condition.{operator}.{key}"),
    )


def _texts(values: object, where: str) -> tuple[str, ...]:
    items = values if isinstance(values, list) else [values]
    if not items or not all(isinstance(item, str | bool | int | float) for item in items):
        raise PolicyError(f"{where} must be a text or a list of texts, got {values!r}")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
