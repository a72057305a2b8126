"""The end of the log of each job of an execution, read again while the job runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import error_code
from ops.executions.execution import ABSENT, RUNNING, StartedStep
from ops.executions.snapshot import Snapshot

LINES = 200
_LINE_CHARACTERS = 2000


@dataclass(frozen=True)
class JobLog:
    """The end of what one job has said."""

    step: str
    group: str
    job: str
    text: str
    running: bool


class JobLogs:
    """Reads the logs of an execution's jobs; that of a job that has ended once."""

    def __init__(self, sagemaker: Any, logs: Any) -> None:
        self._sagemaker, self._logs = sagemaker, logs
        self._names: dict[str, str] = {}
        self._ended: dict[str, JobLog] = {}

    def read(self, snapshot: Snapshot) -> list[JobLog]:
        """Return the log of each job, in the order of the steps."""
        return [self._read(step, step.job_name) for step in snapshot.execution.steps if step.job_name]

    def _read(self, step: StartedStep, spelling: str) -> JobLog:
        if spelling in self._ended:
            return self._ended[spelling]
        group, job, running = (
            f"/aws/sagemaker/{step.type}Jobs",
            self._name(step, spelling),
            step.status in RUNNING,
        )
        log = JobLog(step.name, group, job, self._text(group, job), running)
        if not running:
            self._ended[spelling] = log
        return log

    def _name(self, step: StartedStep, spelling: str) -> str:
        """Return the job's name as its log streams have it; the ARN that the step tells is in lower case."""
        if spelling not in self._names:
            if step.type == "Training":
                answer = self._sagemaker.describe_training_job(TrainingJobName=spelling)
            else:
                answer = self._sagemaker.describe_processing_job(ProcessingJobName=spelling)
            self._names[spelling] = answer[f"{step.type}JobName"]
        return self._names[spelling]

    def _text(self, group: str, job: str) -> str:
        """Return the last lines. A job has a stream for each host and each start after an interruption."""
        try:
            answer = self._logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")
        except ClientError as error:
            if error_code(error) in ABSENT:  # no job of this kind has said anything yet
                return ""
            raise
        streams = sorted(answer["logStreams"], key=lambda each: each["creationTime"])
        lines: list[str] = []
        for name in [each["logStreamName"] for each in streams]:
            if len(streams) > 1:
                lines.append(f"[{name.removeprefix(f'{job}/')}]")
            events = self._logs.get_log_events(logGroupName=group, logStreamName=name, limit=LINES)["events"]
            lines += [each["message"][:_LINE_CHARACTERS] for each in events]
        return "\n".join(lines[-LINES:])
