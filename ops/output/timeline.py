"""The steps of an execution over time: where each bar begins and how long it is, in percent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ops.executions.execution import StartedStep
from ops.executions.jobs import INTERRUPTED, Training
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration

TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)  # seconds
MOST_TICKS = 5  # that fit beside each other on a phone
LEAST = 0.4  # percent: so wide is a bar that took no time


@dataclass(frozen=True)
class Bar:
    """A step's time, or a part of it; `tip` is read out and shown on hover."""

    left: float
    width: float
    kind: str
    tip: str


@dataclass(frozen=True)
class Row:
    """One step: its bar, the parts worth showing in it, and how long it took."""

    name: str
    bar: Bar
    parts: tuple[Bar, ...]
    label: str


@dataclass(frozen=True)
class Tick:
    """A moment on the axis."""

    left: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """Everything of the picture; `interrupted` tells whether a Spot instance was taken away."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    interrupted: bool


def timeline(snapshot: Snapshot) -> Timeline | None:
    """Lay out the steps that started; None before the first one has."""
    steps = [step for step in snapshot.execution.steps if step.start]
    if not steps:
        return None
    start = snapshot.execution.start
    ends = [step.end or snapshot.taken for step in steps]
    scale = _Scale(start, max(1.0, (max(ends) - start).total_seconds()))
    rows = tuple(_row(snapshot, step, scale) for step in steps)
    interrupted = any(training.interruptions for training in snapshot.trainings.values())
    return Timeline(rows, tuple(scale.ticks()), interrupted)


@dataclass(frozen=True)
class _Scale:
    start: datetime
    seconds: float

    def left(self, moment: datetime) -> float:
        share = (moment - self.start).total_seconds() / self.seconds
        return round(100 * min(1.0, max(0.0, share)), 2)

    def ticks(self) -> Iterator[Tick]:
        step = next((each for each in TICKS if self.seconds / each <= MOST_TICKS), TICKS[-1])
        for second in range(0, int(self.seconds) + 1, step):
            yield Tick(round(100 * second / self.seconds, 2), duration(second))

    def bar(self, begin: datetime, end: datetime, kind: str, tip: str) -> Bar:
        left = min(self.left(begin), 100 - LEAST)
        return Bar(left, max(LEAST, round(self.left(end) - left, 2)), kind, tip)


def _row(snapshot: Snapshot, step: StartedStep, scale: _Scale) -> Row:
    seconds = step.seconds(snapshot.taken) or 0.0
    took = duration(seconds)
    cached = snapshot.cache.get(step.name)
    kind = "cached" if cached and cached.hit else step.status.lower()
    training = snapshot.trainings.get(step.name)
    parts = tuple(_interruptions(training, step, snapshot, scale)) if training and kind != "cached" else ()
    tip = f"{step.name}: {step.status}, {took}" + (", from the cache" if kind == "cached" else "")
    bar = scale.bar(step.start or snapshot.execution.start, step.end or snapshot.taken, kind, tip)
    return Row(step.name, bar, parts, _label(took, kind, bool(step.end)))


def _label(took: str, kind: str, ended: bool) -> str:
    return "cached" if kind == "cached" else took if ended else f"{took} ..."


def _interruptions(training: Training, step: StartedStep, snapshot: Snapshot, scale: _Scale) -> Iterator[Bar]:
    """Yield the times from each interruption to the next time the job was training."""
    transitions = training.transitions
    for place, transition in enumerate(transitions):
        if transition.status == INTERRUPTED:
            later = (each.start for each in transitions[place + 1 :] if each.status == "Training")
            end = next(later, step.end or snapshot.taken)
            lost = duration((end - transition.start).total_seconds())
            yield scale.bar(
                transition.start, end, "interrupted", f"Spot interruption: {lost} until training went on"
            )
