"""What DescribeTrainingJob and DescribeProcessingJob answer, kept up to date while the job runs."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.engine.signals import Signal

REASON_LIMIT = 1024
"""Characters that SageMaker keeps of a failure reason or an exit message."""
RUNNING = ("InProgress", "Stopping")

_PROCESSING_MEMBERS = (
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingJobName",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
)
_TRAINING_MEMBERS = (
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
    "ExperimentConfig",
    "DebugHookConfig",
    "ProfilerConfig",
)


class JobFailedError(Exception):
    """A job that cannot go on; its text is the job's FailureReason."""


class JobStoppedError(Exception):
    """A job that was asked to stop before or while it ran."""


def now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)


class JobRecord:
    """One job: its request, its status, and the wish to stop it; safe to read while it runs."""

    def __init__(self, name: str, arn: str, request: Mapping[str, Any]) -> None:
        self.name = name
        self.arn = arn
        self.request = copy.deepcopy(dict(request))
        self.tags: list[dict[str, str]] = list(self.request.get("Tags") or [])
        self.status = "InProgress"
        self.creation_time = self.last_modified_time = now()
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.failure_reason: str | None = None
        self.exit_message: str | None = None
        self.stop_requested = threading.Event()
        self.ended = Signal()
        self.lock = threading.RLock()

    @property
    def running(self) -> bool:
        """Whether the job has not ended yet."""
        return self.status in RUNNING

    def describe(self) -> dict[str, Any]:
        """Return the answer of the job's Describe operation."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """Return the job's entry of its List operation."""
        raise NotImplementedError

    def request_stop(self) -> None:
        """Ask the thread that runs the job to stop it; nothing happens when it has ended."""
        with self.lock:
            if self.running:
                self.status = "Stopping"
                self.last_modified_time = now()
                self.stop_requested.set()

    def finish(self, status: str, failure_reason: str | None = None) -> None:
        """Write the job's end: "Completed", "Failed" or "Stopped"."""
        with self.lock:
            self.status = status
            self.failure_reason = failure_reason[:REASON_LIMIT] if failure_reason else None
            self.last_modified_time = self.end_time = now()
            self.ended.set()


class ProcessingJob(JobRecord):
    """A processing job."""

    def begin(self) -> None:
        """Note that the containers start now."""
        with self.lock:
            self.start_time = self.last_modified_time = now()

    def describe(self) -> dict[str, Any]:
        """Return the answer of DescribeProcessingJob."""
        with self.lock:
            return _without_none(
                {member: self.request.get(member) for member in _PROCESSING_MEMBERS}
                | self.summary()
                | {"ProcessingStartTime": self.start_time}
            )

    def summary(self) -> dict[str, Any]:
        """Return the job's entry of ListProcessingJobs."""
        return _without_none(
            {
                "ProcessingJobName": self.name,
                "ProcessingJobArn": self.arn,
                "CreationTime": self.creation_time,
                "ProcessingEndTime": self.end_time,
                "LastModifiedTime": self.last_modified_time,
                "ProcessingJobStatus": self.status,
                "FailureReason": self.failure_reason,
                "ExitMessage": self.exit_message,
            }
        )


class TrainingJob(JobRecord):
    """A training job, with its secondary statuses, metrics and the seconds it trained."""

    def __init__(self, name: str, arn: str, request: Mapping[str, Any]) -> None:
        super().__init__(name, arn, request)
        self.secondary_status = "Starting"
        self.transitions: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.training_seconds = 0.0
        self.billable_share = 1.0
        self.model_artifacts: str | None = None
        self.enter("Starting", "Starting the training job")

    def enter(self, secondary_status: str, message: str) -> None:
        """Open the next secondary status; Training for the first time is the job's start."""
        with self.lock:
            moment = now()
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", moment)
            self.transitions.append(
                {"Status": secondary_status, "StartTime": moment, "StatusMessage": message}
            )
            self.secondary_status = secondary_status
            self.last_modified_time = moment
            if secondary_status == "Training" and self.start_time is None:
                self.start_time = moment

    def request_stop(self) -> None:
        """Ask the thread that runs the job to stop it; nothing happens when it has ended."""
        with self.lock:
            if self.status == "InProgress":
                super().request_stop()
                self.enter("Stopping", "Stopping the training job")

    def end(self, status: str, secondary_status: str, message: str, reason: str | None = None) -> None:
        """Write the job's end and its last secondary status."""
        with self.lock:
            self.enter(secondary_status, message)
            self.finish(status, reason)
            self.transitions[-1]["EndTime"] = self.end_time

    def describe(self) -> dict[str, Any]:
        """Return the answer of DescribeTrainingJob."""
        with self.lock:
            request = {member: self.request.get(member) for member in _TRAINING_MEMBERS}
            return _without_none(
                request
                | _defaults(self.request)
                | self.summary()
                | {
                    "FailureReason": self.failure_reason,
                    "TrainingStartTime": self.start_time,
                    "SecondaryStatusTransitions": copy.deepcopy(self.transitions),
                    "FinalMetricDataList": copy.deepcopy(self.metrics) or None,
                    "ModelArtifacts": {"S3ModelArtifacts": self.model_artifacts}
                    if self.model_artifacts
                    else None,
                    **self._seconds(),
                }
            )

    def summary(self) -> dict[str, Any]:
        """Return the job's entry of ListTrainingJobs."""
        return _without_none(
            {
                "TrainingJobName": self.name,
                "TrainingJobArn": self.arn,
                "CreationTime": self.creation_time,
                "TrainingEndTime": self.end_time,
                "LastModifiedTime": self.last_modified_time,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary_status,
            }
        )

    def _seconds(self) -> dict[str, int]:
        if self.end_time is None or self.start_time is None:
            return {}
        return {
            "TrainingTimeInSeconds": math.ceil(self.training_seconds),
            "BillableTimeInSeconds": math.ceil(self.training_seconds * self.billable_share),
        }


def _defaults(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a request that SageMaker fills in where nobody gave them."""
    names: Sequence[str] = (
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
    )
    algorithm = request["AlgorithmSpecification"]
    profiler = request.get("ProfilerConfig") or {}
    channels = request.get("InputDataConfig")
    return {
        **{name: bool(request.get(name, False)) for name in names},
        # AWS generates them by itself for whoever defines a metric.
        "AlgorithmSpecification": {
            "EnableSageMakerMetricsTimeSeries": bool(algorithm.get("MetricDefinitions")),
            **algorithm,
        },
        "InputDataConfig": channels
        and [{"CompressionType": "None", "RecordWrapperType": "None", **channel} for channel in channels],
        "ProfilingStatus": "Enabled" if profiler and not profiler.get("DisableProfiler") else "Disabled",
    }


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
