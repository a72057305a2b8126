"""Everything the terminal and the report show of an execution, read at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ops.executions import cache_notes, execution, jobs
from ops.executions.cache_notes import CacheNote
from ops.executions.execution import RUNNING, ExecutionState, StartedStep
from ops.executions.jobs import Training


@dataclass(frozen=True)
class Snapshot:
    """An execution with its training jobs and what the step cache did, by step name."""

    execution: ExecutionState
    trainings: Mapping[str, Training]
    cache: Mapping[str, CacheNote]
    taken: datetime
    test_accuracies: Mapping[str, float] = field(default_factory=dict)
    """Of the evaluate steps whose evaluation.json was read."""

    @property
    def billed_trainings(self) -> dict[str, Training]:
        """Return the training jobs this execution ran itself: those from the cache were paid for earlier."""
        hits = {name for name, note in self.cache.items() if note.hit}
        return {name: training for name, training in self.trainings.items() if name not in hits}


class SnapshotReader:
    """Reads an execution again and again, and what cannot change any more only once."""

    def __init__(
        self, sagemaker: Any, logs: Any, arn: str, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._sagemaker, self._logs, self._arn = sagemaker, logs, arn
        self._clock = clock or (lambda: datetime.now(UTC))
        self.definition = execution.read_definition(sagemaker, arn)
        self._plan = execution.plan(self.definition)
        self._ended: dict[str, Training] = {}
        self._exit_messages: dict[str, str | None] = {}
        self._cache: dict[str, CacheNote] = {}
        self._judged: frozenset[str] = frozenset()

    def read(self) -> Snapshot:
        """Ask SageMaker for the execution as it is now."""
        now_execution = execution.read(self._sagemaker, self._arn, self._plan)
        now_execution = replace(now_execution, steps=tuple(map(self._explained, now_execution.steps)))
        trainings = {
            step.name: training
            for step in now_execution.steps
            if step.type == "Training" and (training := self._training(now_execution, step))
        }
        return Snapshot(now_execution, trainings, self._cache_of(now_execution), self._clock())

    def _explained(self, step: StartedStep) -> StartedStep:
        """Add to a processing step that failed what its job said, asked for once."""
        if step.type != "Processing" or step.status != "Failed":
            return step
        if step.name not in self._exit_messages:
            self._exit_messages[step.name] = jobs.with_exit_message(self._sagemaker, step).exit_message
        return replace(step, exit_message=self._exit_messages[step.name])

    def _training(self, now_execution: ExecutionState, step: StartedStep) -> Training | None:
        if step.name in self._ended:
            return self._ended[step.name]
        training = jobs.read_training(self._sagemaker, now_execution, step)
        if training and step.status not in RUNNING:
            self._ended[step.name] = training
        return training

    def _cache_of(self, now_execution: ExecutionState) -> Mapping[str, CacheNote]:
        """Read the log group again only when there are steps (or ends of steps) to explain."""
        judged = frozenset(f"{step.name} {step.status}" for step in now_execution.steps)
        if judged != self._judged:
            self._cache = cache_notes.read(self._logs, now_execution)
            self._judged = judged
        return self._cache
