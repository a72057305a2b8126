"""How the metrics of a training went: every value that its log holds, by the job's own MetricDefinitions.

SageMaker keeps the last value of a metric, and CloudWatch one for a minute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.executions import job_logs
from ops.executions.jobs import Training

EPOCH = re.compile(r"\bepoch=(\d{1,6})\b")
LONGEST_LINE = 2000
"""Characters of a line that expressions are tried on: they are somebody's, and a line may be a megabyte."""


@dataclass(frozen=True)
class Curve:
    """One metric of one training: its values by epoch, or by their number where lines name no epoch."""

    metric: str
    training_type: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Curves:
    """Every curve that was found, and why some are missing."""

    curves: tuple[Curve, ...]
    by_epoch: bool
    missing: tuple[str, ...]


def read(logs: Any, trainings: Mapping[str, Training]) -> Curves:
    """Read the curves of trainings by step name."""
    curves: list[Curve] = []
    missing: list[str] = []
    by_epoch = True
    for step_name, training in trainings.items():
        log = job_logs.read(logs, "Training", training.name)
        if log.problem:
            missing.append(f"no curves of {training.type}: {log.problem}")
        found, told = _points(log.lines, _patterns(training.metric_definitions))
        by_epoch = by_epoch and (told or not found)
        curves += [Curve(name, training.type or step_name, points) for name, points in found.items()]
    return Curves(tuple(curves), by_epoch, tuple(missing))


def _patterns(definitions: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """Compile what compiles: SageMaker's expressions are not quite Python's."""
    patterns = {}
    for name, text in definitions.items():
        try:
            patterns[name] = re.compile(text)
        except re.error:
            continue  # the metric's last value is in the table of the trainings all the same
    return patterns


def _points(
    lines: tuple[job_logs.LogLine, ...], patterns: Mapping[str, re.Pattern[str]]
) -> tuple[dict[str, tuple[tuple[int, float], ...]], bool]:
    """Return the points by metric, and whether every line with one named its epoch.

    An epoch that an interruption repeated counts as it went the last time.
    """
    values: dict[str, dict[int, float]] = {}
    told = True
    for line in lines:
        text = line.text[:LONGEST_LINE]
        epoch = EPOCH.search(text)
        for name, pattern in patterns.items():
            value = _value(pattern.search(text))
            if value is not None:
                told = told and epoch is not None
                points = values.setdefault(name, {})
                points[int(epoch[1]) if epoch else len(points) + 1] = value
    return {name: tuple(sorted(points.items())) for name, points in values.items()}, told


def _value(match: re.Match[str] | None) -> float | None:
    try:
        value = float(match[1]) if match else None
    except (IndexError, TypeError, ValueError):
        return None  # the expression has no group, or took something that is no number
    return value if value is not None and abs(value) < 1e300 else None  # neither inf nor nan
