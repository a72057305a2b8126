"""Executions of pipelines: started, listed, stopped; the engine runs each with the rights of its role."""

from __future__ import annotations

import json
import secrets
import string
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.definition import (
    Definition,
    ParameterError,
    ParameterValue,
    parse,
    resolve_parameters,
)
from local.engine.executor import ExecutionVariables, Executor, Outcome
from local.engine.expressions import ExpressionError, ExpressionScope
from local.engine.host import AccessDeniedError
from local.engine.jobs.log import LogStream
from local.engine.jobs.records import now
from local.sagemaker.errors import ResourceNotFoundError, ValidationError
from local.sagemaker.events import execution_changed
from local.sagemaker.listing import between, in_order, page
from local.sagemaker.pipeline import PipelineExecution, describe_step
from local.sagemaker.pipelines import Pipelines
from local.sagemaker.requests import Call
from local.sagemaker.tokens import Tokens

LOG_GROUP = "/local/sagemaker/pipelines"
_OWN_FAULT = "InternalServerError: A fault of local AWS itself ended the execution; its console shows it."
_ID_ALPHABET = string.ascii_lowercase + string.digits


class Executions:
    """All executions of one account and region."""

    def __init__(self, pipelines: Pipelines) -> None:
        self._pipelines = pipelines
        self._runtime = pipelines.runtime
        self._tokens = Tokens()
        self._runtime.before_close(self._stop_all)

    def find(self, arn: str) -> PipelineExecution:
        """Return an execution by ARN."""
        for pipeline in list(self._pipelines.by_name.values()):
            if found := pipeline.executions.get(arn):
                return found
        raise ResourceNotFoundError(f"Pipeline execution with ARN {arn} does not exist.")

    def start(self, call: Call) -> dict[str, Any]:
        """Answer StartPipelineExecution."""
        call.refuse("SelectiveExecutionConfig", "MlflowExperimentName", "PipelineVersionAlias")
        with self._pipelines.lock:
            if answer := self._tokens.answer(call):
                return answer
        with self._pipelines.changing(call["PipelineName"]):
            return self._start(call)

    def _start(self, call: Call) -> dict[str, Any]:
        with self._pipelines.lock:
            if answer := self._tokens.answer(call):
                return answer  # the same request, answered since we looked
            execution = self._new(call)
            pipeline = execution.pipeline
            self._runtime.spawn(f"execution {execution.arn}", self._run, execution)
            pipeline.executions[execution.arn] = execution
            pipeline.last_run_time = execution.creation_time
            execution.version.last_execution_arn = execution.arn
            return self._tokens.keep(call, {"PipelineExecutionArn": execution.arn})

    def _new(self, call: Call) -> PipelineExecution:
        pipeline = self._pipelines.find(call["PipelineName"])
        version = pipeline.version(call.get("PipelineVersionId"))
        definition = parse(version.definition)
        given = _given(call)
        values = _values(definition, given)
        self._runtime.check_role(pipeline.role_arn, pipeline.arn)
        identifier = "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        execution = PipelineExecution(
            arn=f"{pipeline.arn}/execution/{identifier}",
            pipeline=pipeline,
            version=version,
            role_arn=pipeline.role_arn,
            parameters=given,
            values=[{"Name": n, "Value": given.get(n, _text(value))} for n, value in values.items()],
            display_name=call.get("PipelineExecutionDisplayName", f"execution-{int(time.time() * 1000)}"),
            description=call.get("PipelineExecutionDescription"),
            parallelism=call.get("ParallelismConfiguration", pipeline.parallelism),
            tags=[dict(tag) for tag in pipeline.tags],
        )
        execution.experiment = _experiment(definition, values, _variables(execution))
        return execution

    def _run(self, execution: PipelineExecution) -> None:
        outcome = Outcome("Failed", _OWN_FAULT)
        execution_changed(self._runtime.host, execution, "Executing", None)
        try:
            executor = self._executor(execution)
            execution.begin(executor)
            outcome = executor.run()
        except (ClientError, BotoCoreError, AccessDeniedError) as error:
            outcome = Outcome("Failed", f"ClientError: {error}")
        finally:
            previous = execution.status
            execution.end(outcome)
            execution_changed(self._runtime.host, execution, outcome.status, previous)

    def _executor(self, execution: PipelineExecution) -> Executor:
        host, variables = self._runtime.host, _variables(execution)
        return Executor(
            definition=json.loads(execution.version.definition),
            parameters=execution.parameters,
            variables=variables,
            role_arn=execution.role_arn,
            sagemaker=host.client("sagemaker", execution.role_arn),
            jobs=self._runtime,
            s3=host.client("s3", execution.role_arn),
            cache=self._runtime.cache,
            note=_Notes(LogStream(host.client("logs"), LOG_GROUP, variables.execution_id)),
            max_parallel_steps=(execution.parallelism or {}).get("MaxParallelExecutionSteps"),
        )

    def stop(self, call: Call) -> dict[str, Any]:
        """Answer StopPipelineExecution."""
        execution = self.find(call["PipelineExecutionArn"])
        with self._pipelines.lock:
            if answer := self._tokens.answer(call):
                return answer
            if execution.status != "Executing":
                raise ValidationError(
                    f"Pipeline execution with ARN {execution.arn} is in status '{execution.status}'. "
                    "Only pipelines with 'Executing' status can be stopped."
                )
            execution.stop()
            answer = self._tokens.keep(call, {"PipelineExecutionArn": execution.arn})
        execution_changed(self._runtime.host, execution, "Stopping", "Executing")
        return answer

    def update(self, call: Call) -> dict[str, Any]:
        """Answer UpdatePipelineExecution; a new parallelism does not reach steps that are being run."""
        execution = self.find(call["PipelineExecutionArn"])
        with execution.lock:
            execution.description = call.get("PipelineExecutionDescription", execution.description)
            execution.display_name = call.get("PipelineExecutionDisplayName", execution.display_name)
            execution.parallelism = call.get("ParallelismConfiguration", execution.parallelism)
            execution.last_modified_time = now()
        return {"PipelineExecutionArn": execution.arn}

    def describe(self, call: Call) -> dict[str, Any]:
        """Answer DescribePipelineExecution."""
        return self.find(call["PipelineExecutionArn"]).describe()

    def describe_definition(self, call: Call) -> dict[str, Any]:
        """Answer DescribePipelineDefinitionForExecution."""
        execution = self.find(call["PipelineExecutionArn"])
        version = execution.version
        return {"PipelineDefinition": version.definition, "CreationTime": version.creation_time}

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListPipelineExecutions."""
        call.refuse("PipelineVersionAlias")
        found = [
            e
            for e in list(self._pipelines.find(call["PipelineName"]).executions.values())
            if between(call, e.creation_time, "CreatedAfter", "CreatedBefore")
        ]
        by_arn = call.get("SortBy") == "PipelineExecutionArn"
        ordered = in_order(call, found, lambda e: e.arn if by_arn else e.creation_time)
        return page(call, [e.summary() for e in ordered], "PipelineExecutionSummaries")

    def list_parameters(self, call: Call) -> dict[str, Any]:
        """Answer ListPipelineParametersForExecution: all parameters, those with their default too."""
        return page(call, self.find(call["PipelineExecutionArn"]).values, "PipelineParameters")

    def list_steps(self, call: Call) -> dict[str, Any]:
        """Answer ListPipelineExecutionSteps: the last step to start comes first, unless Ascending."""
        arn = call.get("PipelineExecutionArn")
        if arn is None:
            raise ValidationError("PipelineExecutionArn must be given.")
        steps = self.find(arn).steps()
        if call.get("SortOrder", "Descending") == "Descending":
            steps = steps[::-1]
        return page(call, [describe_step(record) for record in steps], "PipelineExecutionSteps")

    def _stop_all(self) -> None:
        for pipeline in list(self._pipelines.by_name.values()):
            for execution in list(pipeline.executions.values()):
                execution.stop()


class _Notes:
    """Writes what the engine has to say about an execution to its log stream, a JSON object a line."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._stream.add(json.dumps(event, default=str))
            self._stream.flush()


def _variables(execution: PipelineExecution) -> ExecutionVariables:
    return ExecutionVariables(
        pipeline_name=execution.pipeline.name,
        pipeline_arn=execution.pipeline.arn,
        execution_id=execution.arn.rpartition("/")[2],
        execution_arn=execution.arn,
        start_time=execution.creation_time,
    )


def _given(call: Call) -> dict[str, str]:
    """Return the parameters as given; refuse what none may be."""
    given: dict[str, str] = {}
    for parameter in call.get("PipelineParameters", []):
        if parameter["Name"] in given:
            raise ValidationError(f"Parameter {parameter['Name']} is given twice.")
        if not parameter["Value"]:
            raise ValidationError('[string "" is too short (length: 0, required minimum: 1)]')
        given[parameter["Name"]] = parameter["Value"]
    return given


def _values(definition: Definition, given: dict[str, str]) -> dict[str, ParameterValue]:
    """Return all parameters with their values; refuse what does not fit."""
    try:
        return resolve_parameters(definition, given)
    except ParameterError as error:
        raise ValidationError(str(error)) from error


def _experiment(
    definition: Definition, values: dict[str, ParameterValue], variables: ExecutionVariables
) -> dict[str, str]:
    """Return the names of the experiment and the trial that the definition gives an execution."""
    try:
        return ExpressionScope(definition, values, variables, s3=None).experiment()
    except ExpressionError as error:
        raise ValidationError(str(error)) from error


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
