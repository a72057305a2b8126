"""A pipeline execution as SageMaker describes it: its steps in the pipeline's order, and what it ran with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import AbsentError, error_code, error_message
from upload_trigger.definition import walk
from upload_trigger.definition.problems import Path
from upload_trigger.definition.problems import walk as walk_values

FINAL = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
RUNNING = frozenset({"Starting", "Executing", "Stopping"})
ABSENT = frozenset({"ResourceNotFound", "ResourceNotFoundException"})
STEP_REFERENCE = re.compile(r"Steps\.([A-Za-z0-9_-]+)[.\[]")
BRANCH_WORDS = {"IfSteps": "True", "ElseSteps": "False"}


@dataclass(frozen=True)
class PlannedStep:
    """A step of the definition, whether it started or not."""

    name: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    property_files: tuple[Mapping[str, Any], ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    """The steps it waits for; of a condition whose branch it stands in, which one: True or False."""

    @property
    def training_type(self) -> str:
        """Return the TrainingType tag (Spot, OnDemand), or the step's name where it has none."""
        tags = self.arguments.get("Tags") or ()
        values = [tag.get("Value") for tag in tags if tag.get("Key") == "TrainingType"]
        return values[0] if values and isinstance(values[0], str) else self.name


@dataclass(frozen=True)
class StartedStep:
    """A step that started, as ListPipelineExecutionSteps tells it."""

    name: str
    type: str
    status: str
    start: datetime | None
    end: datetime | None
    attempts: int
    failure_reason: str | None
    metadata: Mapping[str, Any]
    cache_source: str | None
    exit_message: str | None = None
    """What a processing job that failed said itself; the step's FailureReason only gives its exit code."""
    selected_from: str | None = None
    """The execution whose step stands here because a selective execution left this one out."""

    @property
    def job_name(self) -> str | None:
        """Name the training or processing job of the step."""
        for kind in ("TrainingJob", "ProcessingJob"):
            arn = self.metadata.get(kind, {}).get("Arn")
            if arn:
                return str(arn).rpartition("/")[2]
        return None

    @property
    def source(self) -> str | None:
        """Return the ARN of the execution that ran the step's job, where it was not this one."""
        return self.cache_source or self.selected_from

    @property
    def model_package(self) -> str | None:
        """Return the ARN of the model package the step registered."""
        arn = self.metadata.get("RegisterModel", {}).get("Arn")
        return str(arn) if arn else None

    @property
    def outcome(self) -> str | None:
        """Return a condition's outcome, True or False."""
        outcome = self.metadata.get("Condition", {}).get("Outcome")
        return str(outcome) if outcome else None

    @property
    def reason(self) -> str:
        """Return why the step failed."""
        said = self.failure_reason or self.metadata.get("Fail", {}).get("ErrorMessage") or "no reason given"
        return f"{self.exit_message.rstrip()} ({said})" if self.exit_message else said

    def seconds(self, now: datetime) -> float | None:
        """Return how long the step took, up to `now` while it runs."""
        return ((self.end or now) - self.start).total_seconds() if self.start else None


@dataclass(frozen=True)
class ExecutionState:
    """One execution at one moment."""

    arn: str
    pipeline_name: str
    status: str
    failure_reason: str | None
    start: datetime
    last_modified: datetime
    plan: tuple[PlannedStep, ...]
    steps: tuple[StartedStep, ...]

    @property
    def id(self) -> str:
        """Return the PipelineExecutionId, the last part of the ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def finished(self) -> bool:
        """Return whether nothing will change any more."""
        return self.status in FINAL

    def step(self, name: str) -> StartedStep | None:
        """Find a step that started."""
        return next((step for step in self.steps if step.name == name), None)

    def planned(self, step: StartedStep) -> PlannedStep:
        """Find what the definition says of `step`."""
        return next((each for each in self.plan if each.name == step.name), PlannedStep(step.name, step.type))

    def end(self, now: datetime) -> datetime:
        """Return when the execution ended, or `now` while it runs."""
        return self.last_modified if self.finished else now


def find(sagemaker: Any, wanted: str, pipeline_name: str) -> str:
    """Find an execution's ARN: `latest` of the pipeline, or one by its PipelineExecutionId.

    Raises:
        AbsentError: There is no such pipeline, or it has no such execution.
    """
    request = {"PipelineName": pipeline_name, "SortBy": "CreationTime", "SortOrder": "Descending"}
    try:
        for page in sagemaker.get_paginator("list_pipeline_executions").paginate(**request):
            for summary in page["PipelineExecutionSummaries"]:
                arn = str(summary["PipelineExecutionArn"])
                if wanted in ("latest", arn.rpartition("/")[2]):
                    return arn
    except ClientError as error:
        if error_code(error) not in ABSENT:
            raise
        raise AbsentError(
            f"no pipeline {pipeline_name} yet: the first `cv-pipeline upload` makes it "
            "(`aws sagemaker list-pipelines` names the ones there are)"
        ) from error
    if wanted == "latest":
        raise AbsentError(
            f"pipeline {pipeline_name} has no execution yet: start one with `cv-pipeline upload`"
        )
    raise AbsentError(
        f"pipeline {pipeline_name} has no execution {wanted}: "
        f"`aws sagemaker list-pipeline-executions --pipeline-name {pipeline_name}` lists them"
    )


def read_definition(sagemaker: Any, arn: str) -> dict[str, Any]:
    """Read the definition this execution runs, which may be older than the pipeline's."""
    text = _ask(sagemaker.describe_pipeline_definition_for_execution, arn)["PipelineDefinition"]
    definition = json.loads(text)
    return definition if isinstance(definition, dict) else {}


def read(sagemaker: Any, arn: str, plan: tuple[PlannedStep, ...]) -> ExecutionState:
    """Read the execution and the steps that started, in the order of `plan`."""
    # The execution first: when it is final, the steps read after it are final too.
    answer = _ask(sagemaker.describe_pipeline_execution, arn)
    steps = read_steps(sagemaker, arn, plan)
    return ExecutionState(
        arn=answer["PipelineExecutionArn"],
        pipeline_name=answer["PipelineArn"].rpartition("/")[2],
        status=answer["PipelineExecutionStatus"],
        failure_reason=answer.get("FailureReason"),
        start=answer["CreationTime"],
        last_modified=answer["LastModifiedTime"],
        plan=plan,
        steps=steps,
    )


def read_steps(sagemaker: Any, arn: str, plan: tuple[PlannedStep, ...] = ()) -> tuple[StartedStep, ...]:
    """Read the execution's steps that started, in the order of `plan`, others as they started."""
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    types = {planned.name: planned.type for planned in plan}
    steps = [_step(entry, types) for page in pages for entry in page["PipelineExecutionSteps"]]
    order = {planned.name: place for place, planned in enumerate(plan)}
    return tuple(sorted(steps, key=lambda step: order.get(step.name, len(order))))


def read_parameters(sagemaker: Any, arn: str) -> dict[str, str]:
    """Read the parameter values the execution runs with."""
    pages = sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
        PipelineExecutionArn=arn
    )
    return {entry["Name"]: entry["Value"] for page in pages for entry in page["PipelineParameters"]}


def _ask(operation: Any, arn: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = operation(PipelineExecutionArn=arn)
    except ClientError as error:
        if error_code(error) not in ABSENT | {"ValidationException"}:
            raise
        raise AbsentError(
            f"no execution {arn} ({error_message(error)}): `cv-pipeline watch latest` finds the newest one"
        ) from error
    return answer


def _step(entry: Mapping[str, Any], types: Mapping[str, str]) -> StartedStep:
    metadata = entry.get("Metadata") or {}
    return StartedStep(
        name=entry["StepName"],
        type=types.get(entry["StepName"]) or next(iter(metadata), "Unknown").removesuffix("Job"),
        status=entry["StepStatus"],
        start=entry.get("StartTime"),
        end=entry.get("EndTime"),
        attempts=max(1, entry.get("AttemptCount", 1)),
        failure_reason=entry.get("FailureReason"),
        metadata=metadata,
        cache_source=(entry.get("CacheHitResult") or {}).get("SourcePipelineExecutionArn"),
        selected_from=(entry.get("SelectiveExecutionResult") or {}).get("SourcePipelineExecutionArn"),
    )


def plan(definition: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    """Order the definition's steps as they can run: by how many are before them, then as written."""
    known = {
        str(step.get("Name")): (path, step, parent)
        for path, step, parent in walk.steps(dict(definition))
        if step.get("Name")
    }
    needs = {name: _needs(*found, known=frozenset(known)) for name, found in known.items()}
    depths: dict[str, int] = {}
    for _ in known:  # as many rounds as the longest chain could need; a cycle cannot keep us here
        depths = {
            name: 1 + max((depths.get(each, 0) for each in before), default=0)
            for name, before in needs.items()
        }
    ordered = sorted(known, key=lambda name: depths[name])
    return tuple(_planned(name, known[name][1], needs[name]) for name in ordered)


def _planned(name: str, step: Mapping[str, Any], needs: Mapping[str, str]) -> PlannedStep:
    arguments = step.get("Arguments") or {}
    return PlannedStep(name, str(step.get("Type")), arguments, tuple(step.get("PropertyFiles") or ()), needs)


def _needs(path: Path, step: dict[str, Any], parent: str | None, *, known: frozenset[str]) -> dict[str, str]:
    """Return the steps that this one waits for, with what the arrow from each says.

    Those whose values it takes, those in its DependsOn, and the condition whose branch it stands in. What its
    own branches take is theirs.
    """
    named = {
        match[1]: ""
        for _, value in walk_values(step, path, walk.inner_steps(step, path), objects_only=True)
        if isinstance(got := value.get("Get"), str) and (match := STEP_REFERENCE.match(got))
    }
    for each in step.get("DependsOn") or ():
        named[str(each.get("Step") if isinstance(each, dict) else each)] = ""
    if parent is not None:
        named[parent] = BRANCH_WORDS.get(str(path[-2]), "")
    return {name: word for name, word in named.items() if name in known and name != step["Name"]}
