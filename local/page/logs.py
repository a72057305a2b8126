"""The end of what each job of an execution has printed, read again while the job runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.executions import job_logs
from ops.executions.execution import RUNNING, StartedStep
from ops.executions.job_logs import GROUPS
from ops.executions.jobs import log_name
from ops.executions.snapshot import Snapshot

LINES = 200
"""More than a screen; CloudWatch Logs has the rest."""
_LINE_CHARACTERS = 2000


@dataclass(frozen=True)
class StepLog:
    """The end of the log of one step's job."""

    step: str
    job: str
    text: str
    running: bool


class StepLogs:
    """Reads the logs of an execution's jobs; that of a job that has ended once."""

    def __init__(self, sagemaker: Any, logs: Any) -> None:
        self._sagemaker, self._logs = sagemaker, logs
        self._names: dict[str, str] = {}
        self._ended: dict[str, StepLog] = {}

    def read(self, snapshot: Snapshot) -> list[StepLog]:
        """Return the log of each job, in the order of the steps."""
        steps = [step for step in snapshot.execution.steps if step.type in GROUPS]
        return [self._read(step, job) for step in steps if (job := step.job_name)]

    def _read(self, step: StartedStep, job: str) -> StepLog:
        if job in self._ended:
            return self._ended[job]
        if job not in self._names:
            self._names[job] = log_name(self._sagemaker, step) or job
        found = job_logs.tail(self._logs, step.type, self._names[job], LINES)
        text = "\n".join(line.text[:_LINE_CHARACTERS] for line in found.lines)
        log = StepLog(step.name, self._names[job], text, step.status in RUNNING)
        if not log.running:
            self._ended[job] = log
        return log
