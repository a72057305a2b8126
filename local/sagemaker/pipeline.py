"""One pipeline as the clients see it: its versions, and its executions with their status and steps."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local.engine.executor import Executor, Outcome, StepRecord
from local.engine.jobs.records import now
from local.sagemaker.errors import ResourceNotFoundError

RUNNING = ("Executing", "Stopping")


@dataclass
class PipelineVersion:
    """One definition that a pipeline has or had."""

    number: int
    definition: str
    creation_time: datetime = field(default_factory=now)
    display_name: str | None = None
    description: str | None = None
    last_execution_arn: str | None = None


@dataclass
class Pipeline:
    """A pipeline with all its versions, the last one current, and its executions."""

    name: str
    arn: str
    role_arn: str
    versions: list[PipelineVersion]
    display_name: str
    description: str | None = None
    parallelism: dict[str, int] | None = None
    tags: list[dict[str, str]] = field(default_factory=list)
    creation_time: datetime = field(default_factory=now)
    last_modified_time: datetime = field(default_factory=now)
    last_run_time: datetime | None = None
    executions: dict[str, PipelineExecution] = field(default_factory=dict)

    def version(self, number: int | None) -> PipelineVersion:
        """Return one version, the current one for None."""
        if number is None:
            return self.versions[-1]
        if not 1 <= number <= len(self.versions):
            raise ResourceNotFoundError(
                f"Pipeline version {number} of pipeline '{self.arn}' does not exist: "
                f"it has the versions 1 to {len(self.versions)}."
            )
        return self.versions[number - 1]

    def describe(self, number: int | None) -> dict[str, Any]:
        """Return the answer of DescribePipeline for one version."""
        version = self.version(number)
        return {
            **self.summary(),
            "PipelineDefinition": version.definition,
            "PipelineStatus": "Active",
            "LastRunTime": self.last_run_time,
            "CreatedBy": {},
            "LastModifiedBy": {},
            "ParallelismConfiguration": self.parallelism,
            "PipelineVersionDisplayName": version.display_name,
            "PipelineVersionDescription": version.description,
        }

    def summary(self) -> dict[str, Any]:
        """Return the pipeline's entry of ListPipelines."""
        return {
            "PipelineArn": self.arn,
            "PipelineName": self.name,
            "PipelineDisplayName": self.display_name,
            "PipelineDescription": self.description,
            "RoleArn": self.role_arn,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
            "LastExecutionTime": self.last_run_time,
        }


@dataclass
class PipelineExecution:
    """One execution of one version of a pipeline."""

    arn: str
    pipeline: Pipeline
    version: PipelineVersion
    role_arn: str
    parameters: Mapping[str, str]
    """As given at the start."""
    values: list[dict[str, str]]
    """All parameters with the values they have here."""
    display_name: str
    description: str | None
    parallelism: dict[str, int] | None
    tags: list[dict[str, str]]
    status: str = "Executing"
    failure_reason: str | None = None
    creation_time: datetime = field(default_factory=now)
    last_modified_time: datetime = field(default_factory=now)
    executor: Executor | None = None
    experiment: dict[str, str] = field(default_factory=dict)
    """Its PipelineExperimentConfig, with the values that the names have."""
    final_steps: list[StepRecord] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def running(self) -> bool:
        """Whether the execution has not ended yet."""
        return self.status in RUNNING

    def begin(self, executor: Executor) -> None:
        """Take the executor, and stop it when that was asked for already."""
        with self.lock:
            self.executor = executor
            if self.status == "Stopping":
                executor.stop()

    def stop(self) -> None:
        """Stop the execution unless it has ended."""
        with self.lock:
            if self.status == "Executing":
                self.status = "Stopping"
                self.last_modified_time = now()
                if self.executor:
                    self.executor.stop()

    def end(self, outcome: Outcome) -> None:
        """Write the end, and let go of the executor and its clients."""
        with self.lock:
            self.final_steps = self.steps()
            self.executor = None
            self.status, self.failure_reason = outcome.status, outcome.failure_reason
            self.last_modified_time = now()

    def steps(self) -> list[StepRecord]:
        """Return the records of the steps that have started."""
        with self.lock:
            return self.executor.steps() if self.executor else self.final_steps

    def describe(self) -> dict[str, Any]:
        """Return the answer of DescribePipelineExecution."""
        return {
            "PipelineArn": self.pipeline.arn,
            "PipelineExecutionArn": self.arn,
            "PipelineExecutionDisplayName": self.display_name,
            "PipelineExecutionStatus": self.status,
            "PipelineExecutionDescription": self.description,
            "PipelineExperimentConfig": self.experiment or None,
            "FailureReason": self.failure_reason,
            "CreationTime": self.creation_time,
            "LastModifiedTime": self.last_modified_time,
            "CreatedBy": {},
            "LastModifiedBy": {},
            "ParallelismConfiguration": self.parallelism,
            "PipelineVersionId": self.version.number,
        }

    def summary(self) -> dict[str, Any]:
        """Return the execution's entry of ListPipelineExecutions."""
        return {
            "PipelineExecutionArn": self.arn,
            "StartTime": self.creation_time,
            "PipelineExecutionStatus": self.status,
            "PipelineExecutionDescription": self.description,
            "PipelineExecutionDisplayName": self.display_name,
            "PipelineExecutionFailureReason": self.failure_reason,
        }


def describe_step(record: StepRecord) -> dict[str, Any]:
    """Return a step's entry of ListPipelineExecutionSteps."""
    step = {
        "StepName": record.name,
        "StepDisplayName": record.display_name,
        "StepDescription": record.description,
        "StartTime": record.start,
        "EndTime": record.end,
        "StepStatus": record.status,
        "AttemptCount": record.attempt_count,
        "FailureReason": record.failure_reason,
        "Metadata": record.metadata or None,
    }
    if record.cache_source:
        step["CacheHitResult"] = {"SourcePipelineExecutionArn": record.cache_source}
    return {name: value for name, value in step.items() if value is not None}
