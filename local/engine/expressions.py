"""The values of a definition's expressions while an execution runs: Get, Std:Join and Std:JsonGet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.definition import Definition, ParameterValue
from local.engine.references import Reference, is_get, path_tokens, reference
from pipeline_definition.checks.references import EXPERIMENT_VARIABLES
from upload_trigger.definition.problems import did_you_mean, walk


class ExpressionError(Exception):
    """An expression without a value: a path that is not there, a property file that cannot be read."""


@dataclass(frozen=True)
class ExecutionVariables:
    """What `Execution.*` stands for."""

    pipeline_name: str
    pipeline_arn: str
    execution_id: str
    execution_arn: str
    start_time: datetime


class ExpressionScope:
    """Everything that an expression can refer to in one execution; safe to use from several threads."""

    def __init__(
        self,
        definition: Definition,
        parameters: Mapping[str, ParameterValue],
        variables: ExecutionVariables,
        s3: Any,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._definition = definition
        self._parameters = parameters
        self._s3 = s3
        self._now = now
        self._properties: dict[str, Mapping[str, Any]] = {}
        self._variables = {
            "PipelineExecutionId": variables.execution_id,
            "PipelineExecutionArn": variables.execution_arn,
            # Whatever its case: an experiment that is named after a pipeline tells that on AWS.
            "PipelineName": variables.pipeline_name.lower(),
            "PipelineArn": variables.pipeline_arn,
            "StartDateTime": variables.start_time.isoformat(),
        }

    def record(self, step: str, properties: Mapping[str, Any]) -> None:
        """Keep what `Steps.<step>.*` refers to: the Describe response of the step's job."""
        self._properties[step] = properties

    def experiment(self) -> dict[str, str]:
        """Return the names that PipelineExperimentConfig gives: ExperimentName, TrialName, or none."""
        config = self._definition.document.get("PipelineExperimentConfig") or {}
        for _, each in walk(config, objects_only=True):
            known = is_get(each) and reference(each["Get"]).root in ("Parameters", "Execution")
            if "Std:JsonGet" in each or ("Get" in each and not known):
                raise ExpressionError(
                    "PipelineExperimentConfig is read when an execution starts; only its parameters and "
                    "Execution variables are known then"
                )
        return {name: as_text(self.value(config[name])) for name in EXPERIMENT_VARIABLES if name in config}

    def value(self, expression: Any, job_name: str | None = None) -> Any:
        """Return `expression` with every reference replaced; `job_name` is the name of the job it is for."""
        if is_get(expression):
            return self._get(reference(expression["Get"]), job_name)
        if isinstance(expression, list):
            return [self.value(item, job_name) for item in expression]
        if not isinstance(expression, dict):
            return expression
        if set(expression) == {"Std:Join"}:
            join = expression["Std:Join"]
            return str(join.get("On", "")).join(as_text(self.value(v, job_name)) for v in join["Values"])
        if set(expression) == {"Std:JsonGet"}:
            return self._json_get(expression["Std:JsonGet"], job_name)
        for key in expression:
            if key.startswith("Std:"):
                raise ExpressionError(f"local AWS does not know the function {key}")
        return {key: self.value(item, job_name) for key, item in expression.items()}

    def _get(self, ref: Reference, job_name: str | None) -> Any:
        if ref.root == "Parameters":
            return self._parameters[ref.name]
        if ref.root == "PipelineExperimentConfig":
            return self._experiment_name(ref.name)
        if ref.root == "Steps":
            return dig(self._properties[ref.name], ref.path, f"Steps.{ref.name}")
        if ref.name == "CurrentDateTime":
            return self._now().isoformat()
        if ref.name in ("TrainingJobName", "ProcessingJobName"):
            if job_name is None:
                raise ExpressionError(f"Execution.{ref.name} has a value only in the arguments of a job")
            return job_name
        if ref.root != "Execution" or ref.name not in self._variables:
            raise ExpressionError(f"local AWS does not know {ref.root}.{ref.name}")
        return self._variables[ref.name]

    def _experiment_name(self, member: str) -> str:
        names = self.experiment()
        if member not in names:
            raise ExpressionError(f"PipelineExperimentConfig of this definition has no {member}")
        return names[member]

    def _json_get(self, arguments: Mapping[str, Any], job_name: str | None) -> Any:
        path = arguments["Path"]
        if "S3Uri" in arguments:
            uri, what = str(self.value(arguments["S3Uri"], job_name)), "the JSON file"
        else:
            ref = reference(arguments["PropertyFile"]["Get"])
            name = ref.path.removeprefix(".PropertyFiles.")
            uri, what = self._property_file_uri(ref.name, name), f"property file {name} of step {ref.name}"
        return dig(self._read_json(uri, what), path.removeprefix("$"), f"{what} ({uri})")

    def _property_file_uri(self, step: str, name: str) -> str:
        """Return where the step's job wrote the file: the output's S3Uri and the FilePath below it."""
        files = self._definition.steps[step].document.get("PropertyFiles") or []
        file = next(f for f in files if f["PropertyFileName"] == name)
        output = f".ProcessingOutputConfig.Outputs['{file['OutputName']}'].S3Output.S3Uri"
        folder = str(dig(self._properties[step], output, f"Steps.{step}"))
        return f"{folder.rstrip('/')}/{file['FilePath']}"

    def _read_json(self, uri: str, what: str) -> Any:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            return json.loads(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except (ClientError, BotoCoreError) as error:
            raise ExpressionError(f"cannot read {what} from {uri}: {error}") from error
        except ValueError as error:
            raise ExpressionError(f"{what} ({uri}) is not JSON: {error}") from error


def dig(value: Any, path: str, where: str) -> Any:
    """Follow `path` into a Describe response or a JSON document that errors call `where`."""
    try:
        tokens = path_tokens(path)
    except ValueError as error:
        raise ExpressionError(f"{where}: {error}") from error
    for token in tokens:
        value = _member(value, token, where)
        where += f"[{token}]" if isinstance(token, int) else f".{token}"
    return value


def _member(value: Any, token: str | int, where: str) -> Any:
    if isinstance(value, list) and isinstance(token, int):
        if token < len(value):
            return value[token]
        raise ExpressionError(f"{where} has {len(value)} items, none at [{token}]")
    if isinstance(value, list):
        # Outputs['train'] and ProcessingInputs['model'] are lists whose items have a name.
        value = {
            item.get("OutputName") or item.get("InputName"): item for item in value if isinstance(item, dict)
        }
    if not isinstance(value, Mapping):
        raise ExpressionError(f"{where} is {value!r}, which has no member {token!r}")
    if token not in value:
        known = [str(name) for name in value if name]
        raise ExpressionError(f"{where} has no member {token!r}{did_you_mean(str(token), known)}")
    return value[token]


def as_text(value: Any) -> str:
    """Write a value as JSON would: Std:Join makes `true` of True."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
