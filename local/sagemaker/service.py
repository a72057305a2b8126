"""SageMaker on the laptop: moto's backend with pipelines, executions, jobs and model packages that are real.

`install(host)` puts it in before moto's first use; `close()` of what it returns ends everything that runs.
An operation that is neither here nor in moto answers 400 and says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from local.aws.host import Host
from local.sagemaker.executions import Executions
from local.sagemaker.jobs import processing_jobs, training_jobs
from local.sagemaker.packages import Packages
from local.sagemaker.pipelines import Pipelines
from local.sagemaker.requests import Call, check_request, service_model
from local.sagemaker.runtime import SageMakerRuntime
from local.sagemaker.tags import Tags
from local.engine.job_session import JobSettings

__all__ = ["JobSettings", "SageMakerRuntime", "install"]

Handler = Callable[["LocalSageMaker", Call], Mapping[str, Any] | None]


class LocalSageMaker(SageMakerModelBackend):  # type: ignore[misc]
    """The backend of one region; `runtime` is that of the LocalAWS that is open."""

    __module__ = "moto.sagemaker.models"  # where moto looks for the service's URLs
    runtime: ClassVar[SageMakerRuntime]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.pipeline_registry = Pipelines(self.runtime)
        self.executions = Executions(self.pipeline_registry)
        self.training = training_jobs(self.runtime)
        self.processing = processing_jobs(self.runtime)
        self.packages = Packages(self.runtime, self.model_package_groups, self.model_packages)
        self.tags = Tags(self.taggable)
        # moto's own code (resource tagging) looks here.
        self.pipelines = self.pipeline_registry.by_name
        self.training_jobs = self.training.by_name
        self.processing_jobs = self.processing.by_name

    def taggable(self) -> Iterable[Any]:
        """Give everything that can have tags."""
        pipelines = list(self.pipelines.values())
        return itertools.chain(
            pipelines,
            *(list(pipeline.executions.values()) for pipeline in pipelines),
            list(self.training_jobs.values()),
            list(self.processing_jobs.values()),
            list(self.model_package_groups.values()),
            list(self.model_packages.values()),
            list(self._models.values()),
            list(self.endpoints.values()),
            list(self.endpoint_configs.values()),
        )


_OPERATIONS: dict[str, Handler] = {
    "CreatePipeline": lambda b, call: b.pipeline_registry.create(call),
    "UpdatePipeline": lambda b, call: b.pipeline_registry.update(call),
    "UpdatePipelineVersion": lambda b, call: b.pipeline_registry.update_version(call),
    "DeletePipeline": lambda b, call: b.pipeline_registry.delete(call),
    "DescribePipeline": lambda b, call: b.pipeline_registry.describe(call),
    "ListPipelines": lambda b, call: b.pipeline_registry.list(call),
    "ListPipelineVersions": lambda b, call: b.pipeline_registry.list_versions(call),
    "StartPipelineExecution": lambda b, call: b.executions.start(call),
    "StopPipelineExecution": lambda b, call: b.executions.stop(call),
    "RetryPipelineExecution": lambda b, call: b.executions.retry(call),
    "UpdatePipelineExecution": lambda b, call: b.executions.update(call),
    "DescribePipelineExecution": lambda b, call: b.executions.describe(call),
    "DescribePipelineDefinitionForExecution": lambda b, call: b.executions.describe_definition(call),
    "ListPipelineExecutions": lambda b, call: b.executions.list(call),
    "ListPipelineExecutionSteps": lambda b, call: b.executions.list_steps(call),
    "ListPipelineParametersForExecution": lambda b, call: b.executions.list_parameters(call),
    "CreateTrainingJob": lambda b, call: b.training.create(call),
    "DescribeTrainingJob": lambda b, call: b.training.find(call).describe(),
    "ListTrainingJobs": lambda b, call: b.training.list(call),
    "StopTrainingJob": lambda b, call: b.training.stop(call),
    "DeleteTrainingJob": lambda b, call: b.training.delete(call),
    "CreateProcessingJob": lambda b, call: b.processing.create(call),
    "DescribeProcessingJob": lambda b, call: b.processing.find(call).describe(),
    "ListProcessingJobs": lambda b, call: b.processing.list(call),
    "StopProcessingJob": lambda b, call: b.processing.stop(call),
    "DeleteProcessingJob": lambda b, call: b.processing.delete(call),
    "CreateModelPackageGroup": lambda b, call: b.packages.create_group(call),
    "DescribeModelPackageGroup": lambda b, call: b.packages.describe_group(call),
    "DeleteModelPackageGroup": lambda b, call: b.packages.delete_group(call),
    "CreateModelPackage": lambda b, call: b.packages.create(call),
    "DescribeModelPackage": lambda b, call: b.packages.describe(call),
    "UpdateModelPackage": lambda b, call: b.packages.update(call),
    "DeleteModelPackage": lambda b, call: b.packages.delete(call),
    "ListModelPackages": lambda b, call: b.packages.list(call),
    "AddTags": lambda b, call: b.tags.add(call),
    "ListTags": lambda b, call: b.tags.list(call),
    "DeleteTags": lambda b, call: b.tags.delete(call),
}
_NOT_WITH_REAL_JOBS = ("Search",)
"""Operations of moto that read its own kind of pipelines and jobs."""


def install(host: Host, *, settings: JobSettings | None = None) -> SageMakerRuntime:
    """Put the backend into moto; `settings` say how jobs are run."""
    runtime = SageMakerRuntime(host, settings or JobSettings())
    LocalSageMaker.runtime = runtime
    sagemaker_backends.backend = LocalSageMaker
    # A backend that moto made before would go on answering.
    sagemaker_backends.clear()
    for operation in service_model().operation_names:
        method = camelcase_to_underscores(operation)
        if operation in _OPERATIONS:
            setattr(SageMakerResponse, method, _method(operation, _OPERATIONS[operation]))
        elif operation in _NOT_WITH_REAL_JOBS or not hasattr(SageMakerResponse, method):
            setattr(SageMakerResponse, method, _method(operation, _refuse))
    return runtime


def _method(operation: str, handler: Handler) -> Callable[[Any], Any]:
    def respond(response: Any) -> Any:
        call = Call(operation, response.params or {}, response.access_key)
        if handler is not _refuse:
            check_request(call)
        answer = handler(response.sagemaker_backend, call)
        return EmptyResult() if answer is None else ActionResult(_without_none(answer))

    return respond


def _refuse(_: LocalSageMaker, call: Call) -> None:
    raise ValidationError(f"{call.operation} is not implemented on the laptop.")


def _without_none(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}
