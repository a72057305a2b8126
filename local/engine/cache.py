"""The step cache: which earlier job a step may reuse, and why it does or does not.

A step is its earlier self when SageMaker's key attributes for its type have the same values in the same
pipeline under the same step name. Outputs, instances and roles are not among them.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

KEY_ATTRIBUTES = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}

_KEPT = 200  # entries a step; more only cost memory
_DURATION = re.compile(
    r"P?(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE
)
_UNITS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)
"""Seconds of the units of a duration; years and months have no calendar here."""


@dataclass(frozen=True)
class CacheEntry:
    """What a succeeded step left: its key attributes, its properties and where it ran."""

    key: Mapping[str, Any]
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]
    execution_arn: str
    stored_at: datetime


@dataclass(frozen=True)
class CacheDecision:
    """Whether a step is reused, why (one sentence), and on a hit the `source`."""

    hit: bool
    reason: str
    source: CacheEntry | None = None


class StepCache:
    """The succeeded steps of every pipeline of this machine, in memory; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], list[CacheEntry]] = {}

    def lookup(
        self,
        pipeline: str,
        step: str,
        step_type: str,
        arguments: Mapping[str, Any],
        *,
        expire_after: timedelta | None,
        now: datetime,
    ) -> CacheDecision:
        """Return the newest earlier run of `step` with the same key attributes that has not expired."""
        with self._lock:
            entries = self._entries.get((pipeline, step), [])[::-1]
        if not entries:
            return CacheDecision(
                False, f"no earlier execution of pipeline {pipeline} has a succeeded step {step}"
            )
        key = _key(step_type, arguments)
        source = next((entry for entry in entries if entry.key == key), None)
        if source is None:
            newest = entries[0]
            changed = next(_differences(newest.key, key))
            return CacheDecision(False, f"{changed} since step {step} of execution {_id(newest)}, the newest")
        age = now - source.stored_at
        if expire_after is not None and age > expire_after:
            reason = (
                f"expired: the same step {step} of execution {_id(source)} is {_say(age)} old, more than the"
            )
            return CacheDecision(False, f"{reason} {_say(expire_after)} of ExpireAfter")
        return CacheDecision(
            True, f"same {_enumerate(key)} as step {step} of execution {_id(source)}", source
        )

    def store(
        self,
        pipeline: str,
        step: str,
        step_type: str,
        arguments: Mapping[str, Any],
        *,
        properties: Mapping[str, Any],
        metadata: Mapping[str, Any],
        execution_arn: str,
        now: datetime,
    ) -> None:
        """Keep a step that has just succeeded."""
        key = copy.deepcopy(_key(step_type, arguments))
        entry = CacheEntry(key, copy.deepcopy(properties), copy.deepcopy(metadata), execution_arn, now)
        with self._lock:
            entries = self._entries.setdefault((pipeline, step), [])
            entries.append(entry)
            del entries[:-_KEPT]


def expiry(cache_config: Mapping[str, Any]) -> timedelta | None:
    """Return a CacheConfig's ExpireAfter ("P30D", "30d", "T12H", "30dT5h"); None: it never expires."""
    text = cache_config.get("ExpireAfter")
    if not text:
        return None
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError(f'ExpireAfter {text!r} is not an ISO 8601 duration such as "P30D" or "T12H"')
    seconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), _UNITS, strict=True))
    return timedelta(seconds=min(seconds, timedelta.max // timedelta(seconds=1)))


def _key(step_type: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that count; one that is absent is the same as an empty one."""
    return {name: arguments[name] for name in KEY_ATTRIBUTES[step_type] if arguments.get(name)}


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield each path at which two values differ, and how."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            below = f"{path}.{name}" if path else str(name)
            if name not in new:
                yield f"{below} was removed"
            elif name not in old:
                yield f"{below} was added"
            else:
                yield from _differences(old[name], new[name], below)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path} changed from {len(old)} to {len(new)} items"
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from _differences(one, other, f"{path}[{_label(one, index)}]")
    elif old != new:
        yield f"{path} changed from {_short(old)} to {_short(new)}"


def _label(item: Any, index: int) -> str:
    """Return an item's place in a list: its own name where it has one, as in ProcessingInputs['data']."""
    names = (item.get(n) for n in ("InputName", "ChannelName")) if isinstance(item, Mapping) else ()
    return next((f"'{name}'" for name in names if name), str(index))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _id(entry: CacheEntry) -> str:
    return entry.execution_arn.rpartition("/")[2]


def _enumerate(names: Mapping[str, Any]) -> str:
    *rest, last = names or ("empty arguments",)
    return f"{', '.join(rest)} and {last}" if rest else last


def _say(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} seconds"
