"""A SageMaker and an S3 in memory for the engine's tests.

Jobs pass through SageMaker's states (InProgress, Stopping, Stopped, Completed, Failed), each ended by a timer
after a few hundredths of a second, and requests are judged by botocore's own model of the service.
"""

from __future__ import annotations

import copy
import functools
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator

from local.engine.cache import StepCache
from local.engine.executor import ExecutionVariables, Executor, StepRecord
from local.engine.signals import Signal
from tests.support.engine.pipelines import ROLE

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
RETRY_SCALE = 0.0005


def refusal(operation: str, code: str, message: str, status: int = 400) -> ClientError:
    """Make the error that a call to `operation` raises."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


@functools.cache
def _service_model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


class EngineS3:
    """Objects by bucket and key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, uri: str, document: Any) -> None:
        self.objects[uri] = json.dumps(document).encode()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 -- boto3's words
        uri = f"s3://{Bucket}/{Key}"
        if uri not in self.objects:
            raise refusal("GetObject", "NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": io.BytesIO(self.objects[uri])}


@dataclass
class JobScript:
    """What the jobs of one step do: how long each takes, and what goes wrong attempt by attempt."""

    seconds: float = 0.01
    create_errors: list[ClientError] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    on_complete: Callable[[dict[str, Any]], None] | None = None
    stop_error: ClientError | None = None
    describe_errors: list[Exception] = field(default_factory=list)


@dataclass
class _ScriptedJob:
    step: str
    noun: str
    response: dict[str, Any]
    failure: str | None
    on_complete: Callable[[dict[str, Any]], None] | None
    ended: Signal = field(default_factory=Signal)


class EngineSageMaker:
    """The operations of SageMaker that the engine calls, and the ends of its jobs; `scripts` by step name."""

    def __init__(self, scripts: Mapping[str, JobScript] | None = None) -> None:
        self.scripts = dict(scripts or {})
        self.log: list[tuple[float, str, str]] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.packages: list[dict[str, Any]] = []
        self._jobs: dict[str, _ScriptedJob] = {}
        self._lock = threading.RLock()

    def create_processing_job(self, **request: Any) -> dict[str, Any]:
        return self._create("ProcessingJob", request, {})

    def create_training_job(self, **request: Any) -> dict[str, Any]:
        _validate("CreateTrainingJob", request)
        name, output = request["TrainingJobName"], request["OutputDataConfig"]["S3OutputPath"]
        artifacts = {"S3ModelArtifacts": f"{output}/{name}/output/model.tar.gz"}
        return self._create("TrainingJob", request, {"ModelArtifacts": artifacts})

    def describe_processing_job(self, *, ProcessingJobName: str) -> dict[str, Any]:  # noqa: N803
        return self._describe("ProcessingJob", ProcessingJobName)

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        return self._describe("TrainingJob", TrainingJobName)

    def stop_processing_job(self, *, ProcessingJobName: str) -> dict[str, Any]:  # noqa: N803
        return self._stop("ProcessingJob", ProcessingJobName)

    def stop_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        return self._stop("TrainingJob", TrainingJobName)

    def create_model_package(self, **request: Any) -> dict[str, Any]:
        _validate("CreateModelPackage", request)
        with self._lock:
            self.requests.append(("CreateModelPackage", copy.deepcopy(request)))
            version = len(self.packages) + 1
            arn = f"{ARN}:model-package/{request['ModelPackageGroupName']}/{version}"
            answer = {
                "ModelPackageArn": arn,
                "ModelPackageVersion": version,
                "ModelPackageStatus": "Completed",
            }
            self.packages.append({**request, **answer})
        return {"ModelPackageArn": arn}

    def describe_model_package(self, *, ModelPackageName: str) -> dict[str, Any]:  # noqa: N803
        return next(p for p in self.packages if p["ModelPackageArn"] == ModelPackageName)

    def ended(self, arn: str) -> Signal:
        """Return the signal of a job's end."""
        return next(job.ended for job in self._jobs.values() if arn in job.response.values())

    def times(self, step: str, event: str) -> list[float]:
        """Return when jobs of `step` saw `event` ("start", "end"), on the monotonic clock."""
        return [at for at, name, what in self.log if (name, what) == (step, event)]

    def started(self) -> list[str]:
        """Return the steps of the jobs in the order in which they were made."""
        return [name for _, name, what in self.log if what == "start"]

    def _create(self, noun: str, request: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        _validate(f"Create{noun}", request)
        name = request[f"{noun}Name"]
        step = name.split("-", 2)[2].rsplit("-", 1)[0]
        with self._lock:
            script = self.scripts.get(step, JobScript())
            if script.create_errors:
                raise script.create_errors.pop(0)
            if name in self._jobs:
                raise refusal(f"Create{noun}", "ResourceInUse", f"{noun} {name} already exists")
            arn = f"{ARN}:{noun[:-3].lower()}-job/{name.lower()}"
            response = {**copy.deepcopy(request), **extra, f"{noun}Arn": arn, f"{noun}Status": "InProgress"}
            failure = script.failures.pop(0) if script.failures else None
            now = time.monotonic()
            job = self._jobs[name] = _ScriptedJob(step, noun, response, failure, script.on_complete)
            self.requests.append((f"Create{noun}", copy.deepcopy(request)))
            self.log.append((now, step, "start"))
        _later(script.seconds, lambda: self._end(job, "Failed" if failure else "Completed"))
        return {f"{noun}Arn": arn}

    def _describe(self, noun: str, name: str) -> dict[str, Any]:
        with self._lock:
            job = self._jobs[name]
            if errors := self.scripts.get(job.step, JobScript()).describe_errors:
                raise errors.pop(0)
            return copy.deepcopy(job.response)

    def _end(self, job: _ScriptedJob, status: str) -> None:
        with self._lock:
            if job.ended.is_set():
                return
            job.response[f"{job.noun}Status"] = status
            if status == "Failed":
                job.response["FailureReason"] = job.failure
            if status == "Completed" and job.on_complete:
                job.on_complete(job.response)
            self.log.append((time.monotonic(), job.step, "end"))
            job.ended.set()

    def _stop(self, noun: str, name: str) -> dict[str, Any]:
        with self._lock:
            job = self._jobs[name]
            script = self.scripts.get(job.step, JobScript())
            if script.stop_error:
                raise script.stop_error
            job.response[f"{noun}Status"] = "Stopping"
            self.log.append((time.monotonic(), job.step, "stop"))
        _later(0.01, lambda: self._end(job, "Stopped"))
        return {}


def _later(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def _validate(operation: str, request: Mapping[str, Any]) -> None:
    shape = _service_model().operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


def variables(execution_id: str = "a1b2c3d4e5f6", pipeline: str = "cv-birds") -> ExecutionVariables:
    """Make the variables of an execution of `pipeline`."""
    arn = f"{ARN}:pipeline/{pipeline}"
    start = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    return ExecutionVariables(pipeline, arn, execution_id, f"{arn}/execution/{execution_id}", start)


@dataclass
class EngineWorld:
    """One SageMaker, S3 and cache, and the executions in them."""

    sagemaker: EngineSageMaker = field(default_factory=EngineSageMaker)
    s3: EngineS3 = field(default_factory=EngineS3)
    cache: StepCache = field(default_factory=StepCache)
    notes: list[dict[str, Any]] = field(default_factory=list)

    def executor(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        execution_id: str = "a1b2c3d4e5f6",
        **options: Any,
    ) -> Executor:
        """Make an execution of `document`."""
        return Executor(
            definition=document,
            parameters=parameters or {},
            variables=options.pop("variables", variables(execution_id)),
            role_arn=ROLE,
            sagemaker=self.sagemaker,
            jobs=self.sagemaker,
            s3=self.s3,
            cache=self.cache,
            note=self.notes.append,
            retry_scale=options.pop("retry_scale", RETRY_SCALE),
            **options,
        )

    def noted(self, event: str, step: str | None = None) -> list[dict[str, Any]]:
        """Return the notes of one kind, of one step if one is named."""
        return [n for n in self.notes if n["event"] == event and step in (None, n["step"])]


def by_name(executor: Executor) -> dict[str, StepRecord]:
    """Return an execution's step records by step name."""
    return {record.name: record for record in executor.steps()}


def birds_world(spot: float = 0.9, on_demand: float = 0.9, **scripts: JobScript) -> EngineWorld:
    """Make a world whose evaluation jobs write these accuracies."""
    world = EngineWorld()

    def evaluated(value: float) -> Callable[[dict[str, Any]], None]:
        document = {
            "multiclass_classification_metrics": {"accuracy": {"value": value}},
            "lineage": {
                "backbone": "efficientnet_lite0",
                "pretrained_sha256": "p1",
                "pretrained_licence": "Apache-2.0",
                "weights_sha256": "w1",
                "data_digest": "d1",
                "training_code_sha256": "c1",
            },
        }

        def write(job: dict[str, Any]) -> None:
            folder = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
            world.s3.put(f"{folder}/evaluation.json", document)

        return write

    world.sagemaker.scripts = {
        "EvaluateSpot": JobScript(on_complete=evaluated(spot)),
        "EvaluateOnDemand": JobScript(on_complete=evaluated(on_demand)),
        **scripts,
    }
    return world
