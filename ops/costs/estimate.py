"""What an execution is likely to cost: how long earlier ones took, at the prices of what is asked for now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any

from botocore.exceptions import ClientError

from ops.costs.bill import GONE, describe, price_job
from ops.costs.prices import list_prices
from ops.errors import error_code
from ops.executions import execution
from ops.executions.execution import ABSENT, FINAL
from upload_trigger.definition import walk
from upload_trigger.policy import cost
from upload_trigger.policy.cost import JOBS, Resources, UnboundedError
from upload_trigger.policy.expressions import Scope
from upload_trigger.settings import Policy

EXECUTIONS = 20
"""The newest that are looked at: their data and their code are likely those of the next one."""
RULE_OF_THUMB_SECONDS = 15 * 60
"""What README takes for each job where nothing is known."""


@dataclass(frozen=True)
class CostHistory:
    """The jobs of earlier executions that Completed, by the name of their step."""

    executions: int
    """How many executions had one at least."""
    seconds: Mapping[str, list[int]] = field(default_factory=dict)
    """The billed seconds of each."""
    types: Mapping[str, set[str]] = field(default_factory=dict)
    """The instance types that they ran on."""


@dataclass(frozen=True)
class StepEstimate:
    """What one job is likely to cost in USD; None where no earlier one Completed."""

    step: str
    resources: Resources
    runs: int
    likely: float | None
    least: float | None
    most: float | None
    measured_on: tuple[str, ...] = ()
    """Other instance types than that asked for now, on which it ran."""


@dataclass(frozen=True)
class Estimate:
    """What an execution is likely to cost: medians, from minima to maxima."""

    steps: tuple[StepEstimate, ...]
    executions: int
    not_known: tuple[str, ...]
    """Steps whose cost nobody knows before, a sentence each."""

    @property
    def known(self) -> list[StepEstimate]:
        """Return the steps that ran before."""
        return [each for each in self.steps if each.likely is not None]

    @property
    def likely(self) -> float:
        """Return the sum of the medians in USD."""
        return math.fsum(each.likely or 0.0 for each in self.steps)

    @property
    def least(self) -> float:
        """Return the sum of the minima in USD."""
        return math.fsum(each.least or 0.0 for each in self.steps)

    @property
    def most(self) -> float:
        """Return the sum of the maxima in USD."""
        return math.fsum(each.most or 0.0 for each in self.steps)

    @property
    def rule_of_thumb(self) -> float:
        """Return what the jobs cost when each takes a quarter of an hour, at On-Demand prices."""
        return math.fsum(each.resources.usd_per_hour for each in self.steps) * RULE_OF_THUMB_SECONDS / 3600


def estimate_costs(
    definition: dict[str, Any], values: Mapping[str, Any], policy: Policy, history: CostHistory
) -> Estimate:
    """Price the jobs of a definition, started with `values`, by how long they took before."""
    scope = Scope(definition, values, {}, policy)
    steps, not_known = [], []
    for path, step, _ in walk.steps(definition):
        if step.get("Type") not in JOBS:
            continue
        name = str(step.get("Name"))
        try:
            resources = cost.resources(scope, step, path)
        except UnboundedError as error:
            not_known.append(f"step {name}: {error}")
            continue
        steps.append(_priced(name, resources, history))
    return Estimate(tuple(steps), history.executions, tuple(not_known))


def _priced(name: str, resources: Resources, history: CostHistory) -> StepEstimate:
    seconds = history.seconds.get(name)
    if not seconds:
        return StepEstimate(name, resources, 0, None, None, None)
    others = history.types.get(name, set()) - {resources.instance_type}
    likely, least, most = (
        resources.usd_per_hour * each / 3600 for each in (median(seconds), min(seconds), max(seconds))
    )
    return StepEstimate(name, resources, len(seconds), likely, least, most, tuple(sorted(others)))


def read_history(sagemaker: Any, pipeline: str) -> CostHistory:
    """Read how long the jobs of the newest finished executions took; no pipeline has no history."""
    seconds: dict[str, list[int]] = {}
    types: dict[str, set[str]] = {}
    executions = 0
    for arn in islice(_finished(sagemaker, pipeline), EXECUTIONS):
        found = False
        for step, kind, job in _own_jobs(sagemaker, arn):
            line = _completed(sagemaker, kind, job)
            if line is not None:
                seconds.setdefault(step, []).append(line[0])
                types.setdefault(step, set()).add(line[1])
                found = True
        executions += found
    return CostHistory(executions, seconds, types)


def _finished(sagemaker: Any, pipeline: str) -> Iterator[str]:
    request = {"PipelineName": pipeline, "SortBy": "CreationTime", "SortOrder": "Descending"}
    try:
        for page in sagemaker.get_paginator("list_pipeline_executions").paginate(**request):
            for each in page["PipelineExecutionSummaries"]:
                if each["PipelineExecutionStatus"] in FINAL:
                    yield str(each["PipelineExecutionArn"])
    except ClientError as error:
        if error_code(error) not in ABSENT:
            raise


def _own_jobs(sagemaker: Any, arn: str) -> Iterator[tuple[str, str, str]]:
    """Yield step, kind and job of each step that succeeded and that the execution ran itself."""
    for step in execution.read(sagemaker, arn, ()).steps:
        if step.type in JOBS and step.status == "Succeeded" and not step.source and step.job_name:
            yield step.name, step.type, step.job_name


def _completed(sagemaker: Any, kind: str, job: str) -> tuple[int, str] | None:
    """Return billed seconds and instance type of a job; None for one that is gone, or did not Complete."""
    try:
        line = price_job(kind, describe(sagemaker, kind, job), list_prices())
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        return None
    if line.status != "Completed" or line.billed_seconds is None:
        return None
    return line.billed_seconds, line.instance_type or "groups of instances"
