"""What the home page shows: the executions of all pipelines, and the model packages of all groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory
from ops.errors import AbsentError
from ops.executions import evaluations, models
from ops.executions.execution import FINAL
from ops.executions.models import RegisteredModel
from ops.output.page import NOTHING, measured

EXECUTIONS_SHOWN = 50
"""Each that is shown and has not ended is asked for when it is drawn."""


@dataclass(frozen=True)
class Execution:
    """One row of the list of executions."""

    arn: str
    status: str
    start: datetime
    end: datetime | None

    @property
    def id(self) -> str:
        """Return the PipelineExecutionId."""
        return self.arn.rpartition("/")[2]

    @property
    def pipeline(self) -> str:
        """Name the pipeline."""
        return self.arn.split("/")[-3]

    def took(self, now: datetime) -> float:
        """Return its seconds, up to `now` while it runs."""
        return ((self.end or now) - self.start).total_seconds()


@dataclass(frozen=True)
class Model:
    """One model package with the test accuracy that its evaluation tells."""

    package: RegisteredModel
    accuracy: str


class Registry:
    """Reads executions and models again and again, and what cannot change any more only once."""

    def __init__(self, clients: ClientFactory) -> None:
        self._clients = clients
        self._ended: dict[str, Execution] = {}
        self._accuracies: dict[str, str] = {}

    def executions(self) -> tuple[list[Execution], int]:
        """Return the newest executions of all pipelines, the newest first, and how many more there are."""
        found = sorted(self._summaries(), key=lambda each: each["StartTime"], reverse=True)
        shown = [self._execution(each["PipelineExecutionArn"]) for each in found[:EXECUTIONS_SHOWN]]
        return shown, len(found) - len(shown)

    def arn_of(self, execution_id: str) -> str:
        """Return the ARN of an execution of any pipeline; raises AbsentError where there is none."""
        for each in self._summaries():
            arn = str(each["PipelineExecutionArn"])
            if arn.rpartition("/")[2] == execution_id:
                return arn
        raise AbsentError(f"No pipeline has an execution {execution_id}.")

    def models(self) -> list[Model]:
        """Return the model packages of all groups, the newest of each group first."""
        sagemaker = self._clients.client("sagemaker")
        pages = sagemaker.get_paginator("list_model_package_groups").paginate(SortBy="Name")
        groups = [
            each["ModelPackageGroupName"] for page in pages for each in page["ModelPackageGroupSummaryList"]
        ]
        packages = [package for group in groups for package in models.list_packages(sagemaker, group)]
        return [Model(package, self._accuracy(package)) for package in packages]

    def package(self, name: str) -> RegisteredModel:
        """Describe a model package; raises AbsentError where there is none."""
        return models.read_package(self._clients.client("sagemaker"), name)

    def decide(self, name: str, status: str, reason: str) -> None:
        """Approve or reject a model package; raises AbsentError where there is none."""
        self._clients.client("sagemaker").update_model_package(
            ModelPackageArn=self.package(name).arn, ModelApprovalStatus=status, ApprovalDescription=reason
        )

    def _summaries(self) -> Iterator[dict[str, Any]]:
        sagemaker = self._clients.client("sagemaker")
        pipelines = sagemaker.get_paginator("list_pipelines").paginate()
        for name in [each["PipelineName"] for page in pipelines for each in page["PipelineSummaries"]]:
            pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=name)
            for page in pages:
                yield from page["PipelineExecutionSummaries"]

    def _execution(self, arn: str) -> Execution:
        if arn not in self._ended:
            answer = self._clients.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=arn)
            status = answer["PipelineExecutionStatus"]
            end = answer["LastModifiedTime"] if status in FINAL else None
            execution = Execution(arn, status, answer["CreationTime"], end)
            if end is None:
                return execution
            self._ended[arn] = execution
        return self._ended[arn]

    def _accuracy(self, package: RegisteredModel) -> str:
        if package.evaluation_url is None:
            return NOTHING
        if package.arn not in self._accuracies:
            try:
                s3 = self._clients.client("s3")
                found = evaluations.fetch(s3, package.evaluation_url, package.training_type)
            except (ClientError, ValueError):
                return "its evaluation.json cannot be read"
            self._accuracies[package.arn] = measured(found, "accuracy")
        return self._accuracies[package.arn]
