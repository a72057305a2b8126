"""An in-memory SageMaker for pipelines, put behind a real boto3 client.

It keeps what moto leaves out and the delivery of uploads rests on: pipeline versions, executions pinned to
one, idempotency tokens, names that are taken. Being behind boto3 it is checked by botocore's own model, and
any call can be made to fail before or after its effect.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse
from moto.core.models import botocore_stubber

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline"


class Killed(BaseException):
    """The process ends here, as when Lambda's time is up."""


class ServiceError(Exception):
    """An error as the service answers it."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass
class FakePipeline:
    role_arn: str
    versions: list[str]


@dataclass
class FakeExecution:
    arn: str
    pipeline: str
    version: int
    definition: str
    parameters: dict[str, str]
    description: str


@dataclass
class Fault:
    operation: str
    error: BaseException
    after_effect: bool = False


@dataclass
class FakeSageMaker:
    pipelines: dict[str, FakePipeline] = field(default_factory=dict)
    executions: list[FakeExecution] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """Each is met once, by the first call of its operation ("*" is any)."""
    interludes: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What somebody else does just before the first call of an operation."""
    _tokens: dict[str, str] = field(default_factory=dict)

    def attach(self, client: Any) -> None:
        """Answer everything that this boto3 client sends."""
        # Every handler of this event is called, so moto's must go for moto not to answer as well.
        client.meta.events.unregister("before-send", botocore_stubber)
        client.meta.events.register("before-send.sagemaker", self._answer)

    def detach(self, client: Any) -> None:
        """Leave the client to the next test."""
        client.meta.events.unregister("before-send.sagemaker", self._answer)

    def _answer(self, request: AWSRequest, **_: object) -> AWSResponse:
        operation = request.headers["X-Amz-Target"]
        operation = (operation.decode() if isinstance(operation, bytes) else operation).rpartition(".")[2]
        try:
            body, status = self._call(operation, json.loads(request.body)), 200
        except ServiceError as error:
            body, status = {"__type": error.code, "message": error.message}, error.status
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(body).encode()))

    def _call(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(operation)
        self.interludes.pop(operation, lambda: None)()
        fault = next((each for each in self.faults if each.operation in (operation, "*")), None)
        if fault:
            self.faults.remove(fault)
        if fault and not fault.after_effect:
            raise fault.error
        try:
            answer: dict[str, Any] = getattr(self, f"_{operation}")(given)
        finally:
            if fault:
                raise fault.error
        return answer

    def _CreatePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the operation's name
        name, token = given["PipelineName"], given["ClientRequestToken"]
        if token not in self._tokens:
            if name in self.pipelines:
                raise ServiceError("ValidationException", f"Pipeline names must be unique: {name}")
            self.pipelines[name] = FakePipeline(given["RoleArn"], [given["PipelineDefinition"]])
            self._tokens[token] = name
        return {"PipelineArn": f"{ARN}/{name}"}

    def _UpdatePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pipeline = self._pipeline(given)
        pipeline.role_arn = given["RoleArn"]
        if pipeline.versions[-1] != given["PipelineDefinition"]:
            pipeline.versions.append(given["PipelineDefinition"])
        return {"PipelineArn": f"{ARN}/{given['PipelineName']}", "PipelineVersionId": len(pipeline.versions)}

    def _DescribePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pipeline = self._pipeline(given)
        return {"PipelineName": given["PipelineName"], "PipelineDefinition": pipeline.versions[-1]}

    def _ListPipelineVersions(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        ids = list(range(1, len(self._pipeline(given).versions) + 1))
        if given.get("SortOrder", "Descending") == "Descending":
            ids.reverse()
        return {
            "PipelineVersionSummaries": [{"PipelineVersionId": each} for each in ids[: given["MaxResults"]]]
        }

    def _StartPipelineExecution(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        token = f"start {given['ClientRequestToken']}"
        if token not in self._tokens:
            self._tokens[token] = self._start(given, len(self.executions)).arn
        return {"PipelineExecutionArn": self._tokens[token]}

    def _start(self, given: dict[str, Any], number: int) -> FakeExecution:
        pipeline, version = self._pipeline(given), given["PipelineVersionId"]
        if version > len(pipeline.versions):
            raise ServiceError("ResourceNotFound", f"no version {version}")
        definition = pipeline.versions[version - 1]
        parameters = {each["Name"]: each["Value"] for each in given["PipelineParameters"]}
        wrong = list(_wrong_parameters(json.loads(definition), parameters))
        if wrong:
            raise ServiceError("ValidationException", f"parameters: {wrong}")
        execution = FakeExecution(
            arn=f"{ARN}/{given['PipelineName']}/execution/{number:012d}",
            pipeline=given["PipelineName"],
            version=version,
            definition=definition,
            parameters=parameters,
            description=given["PipelineExecutionDescription"],
        )
        self.executions.append(execution)
        return execution

    def _pipeline(self, given: dict[str, Any]) -> FakePipeline:
        try:
            return self.pipelines[given["PipelineName"]]
        except KeyError:
            raise ServiceError(
                "ResourceNotFound", f"Pipeline {given['PipelineName']} does not exist"
            ) from None


def _wrong_parameters(definition: dict[str, Any], given: dict[str, str]) -> Iterator[str]:
    declared = {each["Name"]: each for each in definition.get("Parameters", [])}
    yield from given.keys() - declared.keys()
    yield from (name for name, each in declared.items() if "DefaultValue" not in each and name not in given)


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()
