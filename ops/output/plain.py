"""The execution as lines, one for every change: for CI, files and NO_COLOR."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console

from ops.executions.execution import RUNNING, StartedStep
from ops.executions.jobs import INTERRUPTED, Training
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration, say
from ops.output.words import cache, notes, progress

PROGRESS_STEP = 25  # percent between two lines of one training


class PlainView:
    """Prints what changed between two snapshots; without colour, cursor movements or cut lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the lines as they are."""

    def show(self, snapshot: Snapshot) -> None:
        """Print a line for each change since the last snapshot, in the order in which they happened."""
        execution = snapshot.execution
        if not self._said:
            say(self._console, f"{execution.pipeline_name}  execution {execution.id}")
        width = max((len(each.name) for each in execution.plan), default=20)
        changes = [change for step in execution.steps for change in _changes(snapshot, step)]
        for change in sorted(changes, key=lambda change: change.when):
            if change.key not in self._said:
                elapsed = duration((change.when - execution.start).total_seconds())
                said = ", ".join(filter(None, change.said))
                line = f"{elapsed:>7}  {change.step:<{width}}  {change.status:<11}  {said}"
                say(self._console, line.rstrip())
        self._said |= {execution.arn, *(change.key for change in changes)}


class _Change(NamedTuple):
    when: datetime
    step: str
    status: str
    said: list[str]
    again: str = ""  # tells two changes of the same step to the same status apart

    @property
    def key(self) -> str:
        return f"{self.step} {self.status} {self.again}"


def _changes(snapshot: Snapshot, step: StartedStep) -> Iterator[_Change]:
    """Yield everything that happened to `step` so far."""
    training, running = snapshot.trainings.get(step.name), step.status in RUNNING
    began = step.start or snapshot.taken
    if running:
        yield _Change(began, step.name, step.status, cache(snapshot, step), str(step.attempts))
    if training and step.name in snapshot.billed_trainings:  # a cached job was interrupted in another time
        yield from _interruptions(training, step)
    done = progress(training)
    if running and done is not None and done >= PROGRESS_STEP:
        percent = int(done // PROGRESS_STEP) * PROGRESS_STEP
        yield _Change(snapshot.taken, step.name, f"{percent}%", notes(snapshot, step))
    if not running:
        note = snapshot.cache.get(step.name)
        hit = cache(snapshot, step) if note and note.hit else []
        said = [_took(snapshot, step), *notes(snapshot, step), *hit]
        yield _Change(step.end or snapshot.taken, step.name, step.status, said)


def _interruptions(training: Training, step: StartedStep) -> Iterator[_Change]:
    for transition in training.transitions:
        if transition.status == INTERRUPTED:
            when = transition.start
            yield _Change(when, step.name, INTERRUPTED, [transition.message], when.isoformat())


def _took(snapshot: Snapshot, step: StartedStep) -> str:
    seconds = step.seconds(snapshot.taken)
    return "" if seconds is None else f"in {duration(seconds)}"
