"""An in-memory SageMaker for pipelines, put behind a real boto3 client or a direct one.

It keeps what moto leaves out and the delivery of uploads rests on: pipeline versions, executions pinned to
one, idempotency tokens, names that are taken, lists that lag behind. `attach` puts it behind boto3, where
botocore's own model checks it; `direct_client.DirectClient` calls it without HTTP, thousands of times.
Any call can be made to fail before or after its effect.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from botocore.awsrequest import AWSRequest, AWSResponse
from moto.core.models import botocore_stubber

from tests.support.services.service_answers import FakeServiceError, Killed

__all__ = ["FakeExecution", "FakePipeline", "FakeSageMaker", "FakeServiceError", "Fault", "Killed"]

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DESCRIPTION = 3072
REFUSED_WHEN_STORED, REFUSED_WHEN_STARTED = "RefusedWhenStored", "RefusedWhenStarted"
"""Names of steps: a definition with one is refused when it is stored, or when it is started."""
MUTATING = frozenset(
    {"CreatePipeline", "UpdatePipeline", "DeletePipeline", "StartPipelineExecution", "StopPipelineExecution"}
)


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
    number: int = 0
    started_at: datetime = EPOCH
    status: str = "Executing"
    unlisted: int = 0
    """How many lists of executions will not show it yet."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """What ListPipelineExecutionSteps tells of it."""

    @property
    def values(self) -> dict[str, str]:
        """The value of every parameter, the defaults of the definition included."""
        declared = json.loads(self.definition).get("Parameters", [])
        return {each["Name"]: str(each.get("DefaultValue")) for each in declared} | self.parameters


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
    interludes: dict[str, Callable[[], object]] = field(default_factory=dict)
    """What somebody else does just before the first call of an operation."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    lag: int = 0
    """How many lists of executions a new one is missing from."""
    listed_after: timedelta = timedelta(0)
    """How old an execution has to be for a list to show it."""
    token_lifetime: timedelta = timedelta.max
    """How old a token is when it is forgotten."""
    refused: int = 0
    """How often a definition, or the values to start it with, was refused as not valid."""
    strict_tokens: bool = True
    """Whether a token that comes again with other parameters is refused; AWS tells neither."""
    _tokens: dict[str, str] = field(default_factory=dict)
    _requests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fork(self) -> "FakeSageMaker":
        """Return another one with the same pipelines: what one of them is told the other does not know."""
        pipelines = {
            name: FakePipeline(each.role_arn, list(each.versions)) for name, each in self.pipelines.items()
        }
        return replace(
            self,
            pipelines=pipelines,
            executions=[replace(each) for each in self.executions],
            calls=[],
            faults=list(self.faults),
            interludes=dict(self.interludes),
            _tokens=dict(self._tokens),
            _requests=dict(self._requests),
        )

    @property
    def start_tokens(self) -> dict[str, str]:
        """The tokens of starts that are remembered, each with its execution."""
        return {name: arn for name, arn in self._tokens.items() if name.startswith("start ")}

    def request_of(self, token: str) -> dict[str, Any]:
        """Return the request that a token of a start was first sent with."""
        return self._requests[token]

    def is_listed(self, execution: FakeExecution) -> bool:
        """Return whether a list of executions would show one now."""
        return not execution.unlisted and self.clock() - execution.started_at >= self.listed_after

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
            body, status = self.call(operation, json.loads(request.body)), 200
        except FakeServiceError as error:
            body, status = {"__type": error.code, "message": error.message}, error.status
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        text = json.dumps(body, default=datetime.timestamp)
        return AWSResponse(request.url, status, headers, _WholeBody(text.encode()))

    def call(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """Answer one request or raise a `FakeServiceError`."""
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

    def forget_tokens(self) -> None:
        """Let so much time pass that no idempotency token is remembered."""
        self._tokens.clear()

    def _CreatePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the operation's name
        name, token = given["PipelineName"], f"create {given['ClientRequestToken']}"
        if token not in self._tokens:
            if name in self.pipelines:
                raise FakeServiceError("ValidationException", f"Pipeline names must be unique: {name}")
            self._check(given["PipelineDefinition"], REFUSED_WHEN_STORED)
            self.pipelines[name] = FakePipeline(given["RoleArn"], [given["PipelineDefinition"]])
            self._tokens[token] = name
        return {"PipelineArn": f"{ARN}/{name}"}

    def _UpdatePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pipeline = self._pipeline(given)
        definition = given.get("PipelineDefinition", pipeline.versions[-1])
        self._check(definition, REFUSED_WHEN_STORED)
        pipeline.role_arn = given.get("RoleArn", pipeline.role_arn)
        if pipeline.versions[-1] != definition:
            pipeline.versions.append(definition)
        return {"PipelineArn": f"{ARN}/{given['PipelineName']}", "PipelineVersionId": len(pipeline.versions)}

    def _DescribePipeline(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        pipeline = self._pipeline(given)
        version = _version(pipeline, given)
        return {
            "PipelineArn": f"{ARN}/{given['PipelineName']}",
            "PipelineName": given["PipelineName"],
            "PipelineDefinition": pipeline.versions[version - 1],
            "PipelineStatus": "Active",
            "RoleArn": pipeline.role_arn,
        }

    def _ListPipelineVersions(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        numbers = range(1, len(self._pipeline(given).versions) + 1)
        shown, following = _page(list(numbers), given)
        return {"PipelineVersionSummaries": [{"PipelineVersionId": each} for each in shown], **following}

    def _StartPipelineExecution(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        token = f"start {given['ClientRequestToken']}"
        old = [e.arn for e in self.executions if self.clock() - e.started_at >= self.token_lifetime]
        for name, arn in self.start_tokens.items():
            if arn in old:
                del self._tokens[name]
        if token not in self._tokens:
            self._tokens[token] = self._start(given, len(self.executions)).arn
            self._requests[token] = given
        elif self.strict_tokens and self._requests[token] != given:
            raise FakeServiceError(
                "ConflictException", "The token was used for a request with other parameters"
            )
        return {"PipelineExecutionArn": self._tokens[token]}

    def _start(self, given: dict[str, Any], number: int) -> FakeExecution:
        pipeline = self._pipeline(given)
        version = _version(pipeline, given)
        definition = pipeline.versions[version - 1]
        parameters = {each["Name"]: each["Value"] for each in given.get("PipelineParameters", [])}
        self._check(definition, REFUSED_WHEN_STARTED)
        wrong = list(_wrong_parameters(json.loads(definition), parameters))
        if len(given.get("PipelineExecutionDescription", "")) > MAX_DESCRIPTION:
            wrong.append("PipelineExecutionDescription is too long")
        if wrong:
            self._refuse(f"not valid: {wrong}")
        execution = FakeExecution(
            arn=f"{ARN}/{given['PipelineName']}/execution/{number:012d}",
            pipeline=given["PipelineName"],
            version=version,
            definition=definition,
            parameters=parameters,
            description=given.get("PipelineExecutionDescription", ""),
            number=number,
            started_at=self.clock(),
            unlisted=self.lag,
        )
        self.executions.append(execution)
        return execution

    def _ListPipelineExecutions(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._pipeline(given)
        listed = [each for each in self.executions if each.pipeline == given["PipelineName"]]
        after, before = (_moment(given.get(name)) for name in ("CreatedAfter", "CreatedBefore"))
        listed = [each for each in listed if self.is_listed(each)]
        for execution in self.executions:
            execution.unlisted = max(execution.unlisted - 1, 0)
        listed = [each for each in listed if after is None or each.started_at > after]
        listed = [each for each in listed if before is None or each.started_at < before]
        numbers, following = _page([each.number for each in listed], given)
        shown = [self.executions[number] for number in numbers]
        return {"PipelineExecutionSummaries": [_summary(each) for each in shown], **following}

    def _DescribePipelineExecution(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        execution = self._execution(given)
        return {
            "PipelineArn": f"{ARN}/{execution.pipeline}",
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": execution.status,
            "PipelineExecutionDescription": execution.description,
            "PipelineVersionId": execution.version,
            "CreationTime": execution.started_at,
        }

    def _ListPipelineParametersForExecution(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        values = self._execution(given).values
        shown, following = _page(list(range(len(values))), {"SortOrder": "Ascending", **given})
        listed = [{"Name": name, "Value": value} for name, value in values.items()]
        return {"PipelineParameters": [listed[number] for number in shown], **following}

    def _ListPipelineExecutionSteps(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"PipelineExecutionSteps": self._execution(given).steps}

    def _StopPipelineExecution(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        execution, token = self._execution(given), f"stop {given['ClientRequestToken']}"
        if token not in self._tokens:
            if execution.status != "Executing":
                message = f"Only executions that run can be stopped, not {execution.status}"
                raise FakeServiceError("ValidationException", message)
            execution.status = "Stopping"
            self._tokens[token] = execution.arn
        return {"PipelineExecutionArn": execution.arn}

    def _check(self, definition: str, refused: str) -> None:
        """Refuse a definition that is marked so, and one that is none to anybody."""
        document = json.loads(definition)
        declared, steps = (document.get(name, []) for name in ("Parameters", "Steps"))
        if not all(isinstance(each, list) for each in (declared, steps)):
            self._refuse("Parameters and Steps must be lists")
        if not all(isinstance(each, dict) and isinstance(each.get("Name"), str) for each in declared + steps):
            self._refuse("every parameter and step must be an object with a Name")
        if any(step["Name"] == refused for step in steps):
            self._refuse(f"step {refused} is not valid")

    def _refuse(self, message: str) -> NoReturn:
        self.refused += 1
        raise FakeServiceError("ValidationException", message)

    def _execution(self, given: dict[str, Any]) -> FakeExecution:
        for execution in self.executions:
            if execution.arn == given["PipelineExecutionArn"]:
                return execution
        raise FakeServiceError("ResourceNotFound", f"{given['PipelineExecutionArn']} does not exist")

    def _pipeline(self, given: dict[str, Any]) -> FakePipeline:
        try:
            return self.pipelines[given["PipelineName"]]
        except KeyError:
            raise FakeServiceError(
                "ResourceNotFound", f"Pipeline {given['PipelineName']} does not exist"
            ) from None


def _version(pipeline: FakePipeline, given: dict[str, Any]) -> int:
    """Return the version that a request is pinned to, else the latest."""
    latest = len(pipeline.versions)
    version = int(given.get("PipelineVersionId", latest))
    if not 1 <= version <= latest:
        raise FakeServiceError("ResourceNotFound", f"no version {version}")
    return version


def _page(numbers: list[int], given: dict[str, Any]) -> tuple[list[int], dict[str, str]]:
    """Return the page of ascending numbers that a request asks for, and the token of the next one."""
    descending = given.get("SortOrder", "Descending") == "Descending"
    if descending:
        numbers = numbers[::-1]
    if "NextToken" in given:
        # The token names the last item, so that what is new meanwhile moves nothing to another page.
        last = int(given["NextToken"])
        numbers = [each for each in numbers if (each < last if descending else each > last)]
    shown = numbers[: given.get("MaxResults", 10)]
    return shown, {"NextToken": str(shown[-1])} if len(shown) < len(numbers) else {}


def _moment(value: object) -> datetime | None:
    """Read a time as boto3 is given it, or as it is sent."""
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else value  # type: ignore[return-value]


def _summary(execution: FakeExecution) -> dict[str, Any]:
    summary = {
        "PipelineExecutionArn": execution.arn,
        "StartTime": execution.started_at,
        "PipelineExecutionStatus": execution.status,
    }
    if execution.description:
        summary["PipelineExecutionDescription"] = execution.description
    return summary


def _wrong_parameters(definition: dict[str, Any], given: dict[str, str]) -> Iterator[str]:
    declared = {each["Name"]: each for each in definition.get("Parameters", [])}
    yield from given.keys() - declared.keys()
    yield from (name for name, each in declared.items() if "DefaultValue" not in each and name not in given)


class _WholeBody(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()
