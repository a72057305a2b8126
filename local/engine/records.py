"""What an execution says about its steps: their records, kept for many readers, and its end."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from local.engine.definition import StepDefinition

_REASON_LIMIT = 1024
"""Characters that SageMaker keeps of a FailureReason."""


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: "Succeeded", "Failed" or "Stopped", and why."""

    status: str
    failure_reason: str | None = None


@dataclass
class StepRecord:
    """One step of one execution, as ListPipelineExecutionSteps tells it."""

    name: str
    type: str
    status: str
    start: datetime
    end: datetime | None = None
    attempt_count: int = 0
    failure_reason: str | None = None
    display_name: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    cache_source: str | None = None


class StepRecords:
    """The records of an execution's steps in the order of their start; safe to use from several threads."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._records: dict[str, StepRecord] = {}

    def start(self, step: StepDefinition) -> None:
        """Open the record of `step`: Starting, from now."""
        record = StepRecord(
            step.name,
            step.type,
            "Starting",
            self._now(),
            display_name=step.document.get("DisplayName"),
            description=step.document.get("Description"),
        )
        with self._lock:
            self._records[step.name] = record

    def update(self, name: str, **changes: Any) -> None:
        """Change members of the record of step `name`."""
        with self._lock:
            self._records[name] = replace(self._records[name], **changes)

    def finish(self, name: str, status: str, reason: str | None = None) -> None:
        """Close the record of step `name` with its last status."""
        # A Fail step without a message has no FailureReason.
        failure_reason = reason[:_REASON_LIMIT] if reason else None
        self.update(name, status=status, end=self._now(), failure_reason=failure_reason)

    def snapshot(self) -> list[StepRecord]:
        """Return copies of all records."""
        with self._lock:
            return copy.deepcopy(list(self._records.values()))
