"""What an expression of a definition comes to at the start of an execution, and where a location may lie.

What only the run will tell becomes a *token*: `Execution.PipelineExecutionId` between two NUL characters,
inside a text. So a Join is judged by what is known of it. Nothing else looks like a token: a NUL in a text is
refused, and what a step made is written with slashes (`Steps/Preprocess/Outputs/train`), not with dots.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pipeline_walk
from function_settings import Policy
from pipeline_problems import Path, entries, find, show

Scalar = str | int | float | bool
TOKEN = re.compile("\0([^\0]*)\0")
LONGEST = 4096
"""No text that the policy judges is longer: an S3 URI has at most 1,024 characters."""
_MADE = re.compile(
    r"Steps\.(?P<step>[A-Za-z0-9_-]{1,64})\.(?:ModelArtifacts\.S3ModelArtifacts|ProcessingOutputConfig"
    r"\.Outputs\[(['\"])(?P<output>[A-Za-z0-9_-]{1,64})\2\]\.S3Output\.S3Uri)"
)
_MADE_TOKEN = re.compile("\0Steps/([^/\0]+)/(?:ModelArtifacts|Outputs/([^/\0]+))\0")
_TEXTS: dict[str, tuple[re.Pattern[str], Callable[[str], Scalar]]] = {
    "Boolean": (re.compile("true|false", re.IGNORECASE | re.ASCII), lambda text: text.lower() == "true"),
    "Float": (re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?"), float),
    "Integer": (re.compile("[+-]?[0-9]{1,18}"), int),
}
"""The texts that stand for values of a type, and what reads them."""
INPUT, OUTPUT = "/opt/ml/processing/input/", "/opt/ml/processing/output/"
# Characters of a key that mean nothing to a URI, a shell or a listing; a token has no slash in it.
_KEY = re.compile(
    r"(?:[A-Za-z0-9!_.'()/=@,:+ -]|\0Execution\.(?:PipelineExecutionId|PipelineName)\0|\0model\0)*"
)
_URI = re.compile(r"s3://([^/]*)/(.*)", re.DOTALL)


class Refusal(NamedTuple):
    """One value that a rule does not allow."""

    rule: str
    path: Path
    message: str


class UnknownValueError(ValueError):
    """Nothing sensible can be said of an expression; the message says why."""


def token(target: str) -> str:
    """Write what stands for a value that only the run will tell."""
    return f"\0{target}\0"


def made_token(step: str, output: str | None = None) -> str:
    """Write what stands for the location of a Processing step's output, or of a Training step's model."""
    return token(f"Steps/{step}/Outputs/{output}" if output else f"Steps/{step}/ModelArtifacts")


def made_by(value: object) -> tuple[str, str | None, str]:
    """Split a text that begins with what a step made: step, output (None: its model), the rest."""
    match = _MADE_TOKEN.match(value) if isinstance(value, str) else None
    return (match[1], match[2], match.string[match.end() :]) if match else ("", None, str(value))


def shown(value: Scalar) -> str:
    """Write a value for people, tokens as `<Execution.PipelineExecutionId>`."""
    return show(TOKEN.sub(r"<\1>", value) if isinstance(value, str) else value)


class Scope:
    """A definition, what its expressions may name, the values of this start, and what judges it."""

    def __init__(
        self,
        definition: dict[str, Any],
        values: Mapping[str, object],
        deployed: Mapping[str, str],
        policy: Policy,
    ) -> None:
        self.definition, self.policy = definition, policy
        self.values, self.deployed = values, deployed
        self.parameters = pipeline_walk.parameters(definition)
        self.steps: dict[str, tuple[Path, dict[str, Any]]] = {}
        for path, step, _ in pipeline_walk.steps(definition):
            if isinstance(step.get("Name"), str):
                self.steps.setdefault(step["Name"], (path, step))
        self.outputs: dict[str, dict[str, Any]] = {}
        """The S3Uri of each output, by step, looked up once."""

    def step(self, name: object) -> dict[str, Any]:
        """Give a step of the definition, an empty one where there is none of this name."""
        return self.steps.get(str(name), ((), {}))[1]

    def given(self, name: str) -> list[str]:
        """Give what the deployment fills in for SubnetId1, SubnetId2, ..."""
        return [value for each, value in self.deployed.items() if re.fullmatch(rf"{name}\d+", each)]

    def evaluate(self, value: Any) -> Scalar:
        """Give what a value of the definition comes to; raise UnknownValueError when nothing does."""
        if isinstance(value, str):
            if "\0" in value or len(value) > LONGEST:
                raise UnknownValueError(f"{show(value)} is too long, or has a NUL character in it")
            return value
        if isinstance(value, bool | int | float):
            return value
        (name, body), *more = value.items() if isinstance(value, dict) and value else [("", None)]
        if not more and name == "Get" and isinstance(body, str):
            return self._get(body)
        if not more and name == "Std:Join":
            return self._join(body)
        if not more and name == "Std:JsonGet":
            return self._json_get(body)
        raise UnknownValueError(f"{show(value)} is no value that can be judged before the execution")

    def value(self, value: Any) -> Scalar | None:
        """Give what a value comes to, None when nothing sensible can be said."""
        try:
            return self.evaluate(value)
        except UnknownValueError:
            return None

    def say(self, value: Any, known: Scalar) -> str:
        """Write a value and, when it is a reference, where it comes from."""
        target = find(value, "Get")
        return f"{target} is {shown(known)}" if isinstance(target, str) else shown(known)

    def _get(self, target: str) -> Scalar:
        root, _, name = target.partition(".")
        if "\0" in target or len(target) > LONGEST:
            raise UnknownValueError(f"{show(target)} is no reference")
        if root == "Parameters":
            return self._parameter(name)
        made = _MADE.fullmatch(target)
        if made:
            return made_token(made["step"], made["output"])
        if root in ("Execution", "Steps"):
            return token(target)
        raise UnknownValueError(f"{show(target)} is no reference that can be judged before the execution")

    def _parameter(self, name: str) -> Scalar:
        value = self.values.get(name)
        if name not in self.parameters or value is None:
            raise UnknownValueError(f"parameter {show(name)} has no value")
        known = typed(value, self.parameters[name].get("Type"))
        if known is None or (isinstance(known, str) and ("\0" in known or len(known) > LONGEST)):
            raise UnknownValueError(
                f"Parameters.{name} is {show(value)}, no {self.parameters[name].get('Type')}"
            )
        return known

    def _join(self, body: Any) -> str:
        between, values = find(body, "On"), find(body, "Values")
        if not (isinstance(between, str) and isinstance(values, list) and len(body) == 2):
            raise UnknownValueError('a Std:Join is written {"On": "<separator>", "Values": [...]}')
        parts: list[str] = []
        size = 0
        for each in values:
            parts.append(self._joined(each))
            size += len(parts[-1]) + len(between)
            if size > LONGEST:
                raise UnknownValueError(f"a Std:Join of more than {LONGEST:,} characters")
        return str(self.evaluate(between)).join(parts)

    def _joined(self, value: Any) -> str:
        known = self.evaluate(value)
        if isinstance(known, str):
            return known
        # How SageMaker writes 0.0001 is not documented, so only the run will tell.
        return str(known) if type(known) is int else token(f"a number or flag, {json.dumps(known)}")

    def _json_get(self, body: Any) -> str:
        target, inside = find(body, "PropertyFile", "Get"), find(body, "Path")
        texts = isinstance(target, str) and isinstance(inside, str)
        if not texts or len(body) != 2 or len(body["PropertyFile"]) != 1:
            raise UnknownValueError('a Std:JsonGet is written {"PropertyFile": {"Get": ...}, "Path": "a.b"}')
        if not target.startswith("Steps.") or "\0" in target + inside:
            raise UnknownValueError('a property file is written {"Get": "Steps.<name>.PropertyFiles.<name>"}')
        return token(f"{target}: {inside}")


def typed(value: Any, kind: object) -> Scalar | None:
    """Read a parameter's value, a text when StartPipelineExecution got one; None when it is no `kind`."""
    if not isinstance(kind, str) or kind not in pipeline_walk.PARAMETER_TYPES:
        return None
    if isinstance(value, str) and kind in _TEXTS:
        form, read = _TEXTS[kind]
        value = read(value) if form.fullmatch(value) else None
    if not pipeline_walk.is_a(kind, value):
        return None
    known: Scalar = float(value) if kind == "Float" else value
    return known if kind != "Float" or math.isfinite(value) else None


DATA = "data/"
READABLE = (DATA, "executions/", "checkpoints/")
EXECUTION = f"executions/{token('Execution.PipelineExecutionId')}/"
CHECKPOINTS = (f"checkpoints/{token('Execution.PipelineName')}/", EXECUTION)
"""Where they may be kept."""


def why_not_read(scope: Scope, value: Any, below: tuple[str, ...] = READABLE) -> str | None:
    """Say why a location may not be read; None when it may."""
    uri = str(scope.evaluate(value))
    why = _why_not_below(scope, _expanded(scope, uri), below)
    return (
        None if why is None else f"{scope.say(value, uri)}{why}; jobs read below {_said(scope, below, ', ')}"
    )


def why_not_written(scope: Scope, value: Any, allowed: tuple[str, ...] = (EXECUTION,)) -> str | None:
    """Say why a location may not be written; None when it may."""
    uri = str(scope.evaluate(value))
    why = _why_not_below(scope, uri, allowed)
    return (
        None if why is None else f"{scope.say(value, uri)}{why}; write below {_said(scope, allowed, ' or ')}"
    )


def local_paths(step: dict[str, Any], path: Path) -> Iterator[Refusal]:
    """Refuse other folders: an output in that of an input would hand on foreign data as the job's own."""
    for member, folder in (("ProcessingInputs", INPUT), ("ProcessingOutputConfig", OUTPUT)):
        for at, name, target in processing_targets(step, path, member):
            if target.get("LocalPath") != f"{folder}{name}" or re.search(r"[^A-Za-z0-9_-]", name):
                what = f"{show(target.get('LocalPath'))} is not the folder of {show(name)}"
                yield Refusal("locations", (*at, "LocalPath"), f"{what}; write {folder}<name>")


def overlaps(scope: Scope) -> Iterator[Refusal]:
    """Refuse outputs that lie in one another: the later would change what the earlier reported.

    An S3Prefix is the beginning of a key and no folder: whoever reads t reads test, too.
    """
    written = []
    for path, step in scope.steps.values():
        for at, value in _written(step, path):
            try:
                written.append((str(scope.evaluate(value)).rstrip("/"), at))
            except UnknownValueError:
                continue  # refused where it stands
    written.sort(key=lambda each: each[0])
    for (outer, one), (inner, other) in itertools.pairwise(written):
        if inner.startswith(outer):
            for at in (one, other):
                keys = [shown(each.split("/", 3)[-1]) for each in (inner, outer)]
                message = f"{keys[0]} begins with {keys[1]}; give each output a prefix of its own"
                yield Refusal("locations", at, message)


def _expanded(scope: Scope, uri: str) -> str:
    """Put its location in the place of what a step made."""
    name, output, rest = made_by(uri)
    if not name:
        return uri
    step = scope.step(name)
    if output and name not in scope.outputs:
        targets = processing_targets(step, (), "ProcessingOutputConfig")
        scope.outputs[name] = {each: target.get("S3Uri") for _, each, target in targets}
    if output and scope.outputs[name].get(output) is not None:
        return f"{scope.evaluate(scope.outputs[name][output])}{rest}"
    where = find(step, "Arguments", "OutputDataConfig", "S3OutputPath")
    if not output and step.get("Type") == "Training" and where is not None:
        return f"{str(scope.evaluate(where)).rstrip('/')}/\0model\0{rest}"
    return uri


def _said(scope: Scope, prefixes: tuple[str, ...], between: str) -> str:
    bucket = scope.deployed.get("ArtifactBucket")
    return between.join(TOKEN.sub(r"<\1>", f"s3://{bucket}/{each}") for each in prefixes)


def _why_not_below(scope: Scope, uri: str, prefixes: tuple[str, ...]) -> str | None:
    """Say, maybe in no words, why a location is not below these prefixes; None when it is."""
    match, bucket = _URI.fullmatch(uri), scope.deployed.get("ArtifactBucket")
    if not match:
        return " is no s3://<bucket>/<prefix>"
    if not bucket or match[1] != bucket:
        return ' is not in the deployment\'s bucket, {"Get": "Parameters.ArtifactBucket"}'
    key = match[2]
    if not _KEY.fullmatch(key):
        return " has something in its key that may not be there"
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")):
        return " has an empty, . or .. folder in its key"
    return None if key.startswith(prefixes) else ""


def _written(step: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    if step.get("Type") == "Processing":
        for at, _, target in processing_targets(step, path, "ProcessingOutputConfig"):
            yield (*at, "S3Uri"), target.get("S3Uri")
    if step.get("Type") == "Training":
        for place in (("OutputDataConfig", "S3OutputPath"), ("CheckpointConfig", "S3Uri")):
            yield (*path, "Arguments", *place), find(step, "Arguments", *place)


def processing_targets(
    step: dict[str, Any], path: Path, member: str
) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Yield (path, name, S3Input or S3Output) of each input or output of a Processing step."""
    within: tuple[str, ...] = ("Arguments", member)
    name, target = "InputName", "S3Input"
    if member == "ProcessingOutputConfig":
        within, name, target = ("Arguments", member, "Outputs"), "OutputName", "S3Output"
    for at, each in entries(step, path, *within):
        if isinstance(each.get(name), str) and isinstance(each.get(target), dict):
            yield (*at, target), each[name], each[target]
