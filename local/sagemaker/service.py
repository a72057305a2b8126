"""SageMaker's API: pipelines, executions, jobs and model packages that are real, and nothing else.

An operation that is not listed here is an error that says so: nothing answers for what did not happen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.engine.host import Host
from local.engine.jobs.session import JobSettings
from local.sagemaker.errors import OperationMissingError, ServiceError
from local.sagemaker.executions import Executions
from local.sagemaker.jobs import processing_jobs, training_jobs
from local.sagemaker.packages import Packages
from local.sagemaker.pipelines import Pipelines
from local.sagemaker.requests import Call, check_request, known_members, service_model
from local.sagemaker.runtime import ServiceRuntime
from local.sagemaker.search import Record, Search
from local.sagemaker.tags import Tags

_INSTEAD = {
    "RetryPipelineExecution": ": start a new execution with the same parameters; steps with a CacheConfig "
    "that succeeded are taken from the cache"
}
"""What to do instead of an operation that is missing."""


class SageMaker:
    """SageMaker of one account and region; `close` ends everything that runs."""

    def __init__(self, host: Host, settings: JobSettings) -> None:
        self._runtime = ServiceRuntime(host, settings)
        self._pipelines = pipelines = Pipelines(self._runtime)
        self._training = training = training_jobs(self._runtime)
        self._processing = processing = processing_jobs(self._runtime)
        self._packages = packages = Packages(self._runtime)
        executions = Executions(pipelines)
        tags = Tags(self._taggable)
        search = Search(
            {
                "TrainingJob": lambda: _tagged(training.by_name.values(), lambda job: job.describe()),
                "Pipeline": lambda: _tagged(pipelines.by_name.values(), lambda each: each.describe(None)),
                "PipelineExecution": lambda: [
                    {**execution.describe(), "PipelineParameters": execution.values}
                    for pipeline in list(pipelines.by_name.values())
                    for execution in list(pipeline.executions.values())
                ],
                "ModelPackage": lambda: _tagged(packages.packages(), lambda each: each.describe()),
                "ModelPackageGroup": lambda: _tagged(packages.groups(), lambda each: each.summary()),
            }
        )
        self._operations: dict[str, Callable[[Call], Mapping[str, Any] | None]] = {
            "CreatePipeline": pipelines.create,
            "UpdatePipeline": pipelines.update,
            "UpdatePipelineVersion": pipelines.update_version,
            "DeletePipeline": pipelines.delete,
            "DescribePipeline": pipelines.describe,
            "ListPipelines": pipelines.list,
            "ListPipelineVersions": pipelines.list_versions,
            "StartPipelineExecution": executions.start,
            "StopPipelineExecution": executions.stop,
            "UpdatePipelineExecution": executions.update,
            "DescribePipelineExecution": executions.describe,
            "DescribePipelineDefinitionForExecution": executions.describe_definition,
            "ListPipelineExecutions": executions.list,
            "ListPipelineExecutionSteps": executions.list_steps,
            "ListPipelineParametersForExecution": executions.list_parameters,
            "CreateTrainingJob": training.create,
            "DescribeTrainingJob": training.describe,
            "ListTrainingJobs": training.list,
            "StopTrainingJob": training.stop,
            "DeleteTrainingJob": training.delete,
            "CreateProcessingJob": processing.create,
            "DescribeProcessingJob": processing.describe,
            "ListProcessingJobs": processing.list,
            "StopProcessingJob": processing.stop,
            "DeleteProcessingJob": processing.delete,
            "CreateModelPackageGroup": packages.create_group,
            "DescribeModelPackageGroup": packages.describe_group,
            "DeleteModelPackageGroup": packages.delete_group,
            "ListModelPackageGroups": packages.list_groups,
            "CreateModelPackage": packages.create,
            "DescribeModelPackage": packages.describe,
            "UpdateModelPackage": packages.update,
            "DeleteModelPackage": packages.delete,
            "ListModelPackages": packages.list,
            "Search": search.answer,
            "AddTags": tags.add,
            "ListTags": tags.list,
            "DeleteTags": tags.delete,
        }

    def answer(self, operation: str, parameters: Mapping[str, Any], access_key_id: str) -> dict[str, Any]:
        """Return the answer to a request, without members that are None; times are datetimes.

        Raises:
            ServiceError: The request is refused, or local AWS lacks the operation.
        """
        call = Call(operation, self.read(operation, parameters), access_key_id)
        handler = self._operations.get(operation)
        if handler is None:
            raise OperationMissingError(operation, _INSTEAD.get(operation, ""))
        return dict(_without_none(handler(call) or {}))

    def read(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a request asks for, which IAM is to judge.

        Raises:
            ServiceError: The request has another shape, or names a resource of somebody else.
        """
        if operation not in service_model().operation_names:
            raise ServiceError("UnknownOperationException", f"SageMaker has no operation {operation}.")
        if operation in self._operations:
            check_request(Call(operation, parameters))
        return known_members(operation, parameters, self._runtime.arn(""))

    def close(self) -> None:
        """Stop executions and jobs, kill what processes are left, and join the threads.

        Raises:
            RuntimeError: A thread did not end.
        """
        self._runtime.close()

    def _taggable(self) -> Iterable[Any]:
        pipelines = list(self._pipelines.by_name.values())
        return itertools.chain(
            pipelines,
            *(list(pipeline.executions.values()) for pipeline in pipelines),
            list(self._training.by_name.values()),
            list(self._processing.by_name.values()),
            self._packages.taggable(),
        )


def _tagged(resources: Iterable[Any], describe: Callable[[Any], Record]) -> list[Record]:
    """Return what Search says of each resource, its tags too."""
    return [{**describe(each), "Tags": list(each.tags)} for each in list(resources)]


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
