"""Training and processing jobs of an execution: metrics, interruptions, times and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ops.executions.execution import ExecutionState, StartedStep

INTERRUPTED = "Interrupted"


@dataclass(frozen=True)
class Transition:
    """One entry of a training job's SecondaryStatusTransitions."""

    status: str
    start: datetime
    end: datetime | None
    message: str


@dataclass(frozen=True)
class Training:
    """A training job at one moment. Times in seconds, metrics as last reported."""

    name: str
    type: str
    status: str
    spot: bool
    metrics: Mapping[str, float]
    transitions: tuple[Transition, ...]
    training_seconds: int | None
    billable_seconds: int | None
    instances: str
    hyper_parameters: Mapping[str, str]
    artifacts: str | None
    metric_definitions: Mapping[str, str] = field(default_factory=dict)
    """The expressions that find the metrics in the job's log, by name."""

    @property
    def interruptions(self) -> int:
        """Count how often the job lost its Spot instance."""
        return sum(transition.status == INTERRUPTED for transition in self.transitions)

    @property
    def saving(self) -> float | None:
        """Return 1 - billable / training (0.7 = 70 %), as SageMaker's console shows it.

        Work that an interruption lost, and that was done again, raises it: `ops.costs.bill` tells what Spot
        billed against what On-Demand did.
        """
        if self.training_seconds is None or self.billable_seconds is None or self.training_seconds <= 0:
            return None
        return 1 - self.billable_seconds / self.training_seconds

    @property
    def phase(self) -> str:
        """Return the job's secondary status, such as Downloading."""
        return self.transitions[-1].status if self.transitions else self.status


def with_job(sagemaker: Any, step: StartedStep) -> StartedStep:
    """Return the step whose job made the outputs: for a cache hit without a job of its own, the source's."""
    if step.job_name or not step.cache_source:
        return step
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=step.cache_source
    )
    for page in pages:
        for entry in page["PipelineExecutionSteps"]:
            if entry["StepName"] == step.name:
                return StartedStep(**{**step.__dict__, "metadata": entry.get("Metadata") or {}})
    return step


def read_training(sagemaker: Any, execution: ExecutionState, step: StartedStep) -> Training | None:
    """Describe the step's training job; None while it has none."""
    name = with_job(sagemaker, step).job_name
    if name is None:
        return None
    return _training(
        sagemaker.describe_training_job(TrainingJobName=name), execution.planned(step).training_type
    )


def _training(job: Mapping[str, Any], training_type: str) -> Training:
    resources = job.get("ResourceConfig", {})
    return Training(
        name=job["TrainingJobName"],
        type=training_type,
        status=job["TrainingJobStatus"],
        spot=bool(job.get("EnableManagedSpotTraining")),
        metrics={metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", [])},
        transitions=tuple(_transition(entry) for entry in job.get("SecondaryStatusTransitions", [])),
        training_seconds=job.get("TrainingTimeInSeconds"),
        billable_seconds=job.get("BillableTimeInSeconds"),
        instances=f"{resources.get('InstanceCount', 1)} x {resources.get('InstanceType', 'unknown')}",
        hyper_parameters=job.get("HyperParameters", {}),
        artifacts=(job.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        metric_definitions={
            each["Name"]: each["Regex"]
            for each in (job.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or ()
        },
    )


def _transition(entry: Mapping[str, Any]) -> Transition:
    return Transition(
        entry["Status"], entry["StartTime"], entry.get("EndTime"), entry.get("StatusMessage", "")
    )


def with_exit_message(sagemaker: Any, step: StartedStep) -> StartedStep:
    """Return a step that failed with what its processing job, if it has one, said as it ended."""
    if step.type != "Processing" or step.job_name is None:
        return step
    said = sagemaker.describe_processing_job(ProcessingJobName=step.job_name).get("ExitMessage")
    return replace(step, exit_message=said or None)


def log_name(sagemaker: Any, step: StartedStep) -> str | None:
    """Return what the log streams of the step's job begin with: its name, which ARNs write in lower case."""
    name = step.job_name
    if name is None:
        return None
    if step.type == "Training":
        return str(sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobName"])
    return str(sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobName"])


def property_file_urls(sagemaker: Any, execution: ExecutionState, step: StartedStep) -> list[str]:
    """Return where the step's property files are: `s3://.../evaluation.json`."""
    files = execution.planned(step).property_files
    name = with_job(sagemaker, step).job_name if files else None
    if name is None:
        return []
    job = sagemaker.describe_processing_job(ProcessingJobName=name)
    outputs = {
        output["OutputName"]: output["S3Output"]["S3Uri"]
        for output in job.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if "S3Output" in output
    }
    return [
        f"{outputs[file['OutputName']].rstrip('/')}/{file['FilePath']}"
        for file in files
        if file["OutputName"] in outputs
    ]
