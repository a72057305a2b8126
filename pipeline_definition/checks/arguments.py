"""A step's Arguments against botocore's model of the request that SageMaker makes of them.

An expression may stand where one value is due, for a list or an object only when it reads the result of a
step: parameters, execution variables and joined text are single values. A member or an instance type that the
model does not know may be newer than the model: a warning. Any other value that it does not allow is wrong.
"""

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pipeline_walk
import service_patterns
from pipeline_problems import Doubt, Finding, Path, did_you_mean, entries, find, no_such, problem, show
from pipeline_walk import is_expression

if TYPE_CHECKING:
    from botocore.model import ServiceModel

OPERATIONS = {
    "AutoML": "CreateAutoMLJob",
    "ClarifyCheck": "CreateProcessingJob",
    "Endpoint": "CreateEndpoint",
    "EndpointConfig": "CreateEndpointConfig",
    "InferenceComponent": "CreateInferenceComponent",
    "Job": "CreateJob",
    "Model": "CreateModel",
    "Processing": "CreateProcessingJob",
    "QualityCheck": "CreateProcessingJob",
    "RegisterModel": "CreateModelPackage",
    "Training": "CreateTrainingJob",
    "Transform": "CreateTransformJob",
    "Tuning": "CreateHyperParameterTuningJob",
}
LINEAGE = {"Actions": "CreateAction", "Artifacts": "CreateArtifact", "Contexts": "CreateContext"}
_AUTO_ML_V2 = ("AutoMLProblemTypeConfig", "AutoMLJobInputDataConfig")
# SageMaker names these itself; given, they are the beginning of the name.
NAMED_BY_THE_SERVICE = frozenset(
    {
        "AutoMLJobName",
        "HyperParameterTuningJobName",
        "JobName",
        "ModelName",
        "ModelPackageName",
        "ProcessingJobName",
        "TrainingJobName",
        "TransformJobName",
    }
)
_SCALARS: dict[str, tuple[str, tuple[type, ...], tuple[str, ...]]] = {
    # type of the shape: what is due, as JSON has it, from which types of parameter
    "string": ("a text", (str,), ("String",)),
    "integer": ("a whole number", (int,), ("Integer",)),
    "long": ("a whole number", (int,), ("Integer",)),
    "float": ("a number", (int, float), ("Integer", "Float")),
    "double": ("a number", (int, float), ("Integer", "Float")),
    "boolean": ("true or false", (bool,), ("Boolean",)),
}
_CONTAINERS = {"structure": "an object", "map": "an object", "list": "a list"}
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]{1,20}\.(?:small|medium|large|[0-9]{0,3}xlarge|metal)", re.ASCII)


def findings(definition: dict[str, Any], model: "ServiceModel") -> Iterator[Finding]:
    """Yield what is wrong with the Arguments of each step that makes a request of SageMaker."""
    check = _Check(pipeline_walk.parameters(definition))
    known = frozenset(model.operation_names)
    for path, step, _ in pipeline_walk.steps(definition):
        for at, arguments, operation in _requests(step, (*path, "Arguments")):
            if operation in known:
                shape = model.operation_model(operation).input_shape
                yield from check.value(arguments, shape, at)
            else:
                yield Doubt(at, functools.partial("{} is not known here: unchecked".format, operation))


def _requests(step: dict[str, Any], path: Path) -> Iterator[tuple[Path, dict[str, Any], str]]:
    kind, arguments = step.get("Type"), step.get("Arguments")
    if not isinstance(arguments, dict) or not isinstance(kind, str):
        return
    if kind == "AutoML" and not arguments.keys().isdisjoint(_AUTO_ML_V2):
        yield path, arguments, "CreateAutoMLJobV2"
    elif kind in OPERATIONS:
        yield path, arguments, OPERATIONS[kind]
    elif kind == "Lineage":
        for member, operation in LINEAGE.items():
            for at, entity in entries(arguments, path, member):
                yield at, entity, operation


class _Check:
    """One pass over the Arguments of a definition's steps."""

    def __init__(self, parameters: dict[str, dict[str, Any]]) -> None:
        self._parameters = parameters
        self._said: dict[tuple[str, str], list[str]] = {}

    def value(self, value: Any, shape: Any, path: Path) -> Iterator[Finding]:
        """Check a value against the shape that is due at its place."""
        kind = shape.type_name
        if is_expression(value):
            yield from self._expression(value, shape, path)
        elif kind in _CONTAINERS and not isinstance(value, dict if kind != "list" else list):
            name = f" ({shape.name})" if kind == "structure" else ""
            yield problem(path, f"{_CONTAINERS[kind]} is due{name}, not {show(value)}")
        elif kind == "structure":
            yield from self._structure(value, shape, path)
        elif kind == "list":
            yield from self._list(value, shape, path)
        elif kind == "map":
            yield from self._map(value, shape, path)
        elif kind in _SCALARS:
            yield from _scalar(value, shape, path)

    def _structure(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Finding]:
        members = shape.members
        for key in shape.required_members:
            if key not in value and key not in NAMED_BY_THE_SERVICE:
                yield problem((*path, key), f"missing: {shape.name} needs it")
        if shape.is_tagged_union and len(value) != 1:
            yield problem(path, f"exactly one of {', '.join(members)} is due")
        for key, child in value.items():
            if key in members:
                yield from self.value(child, members[key], (*path, key))
            else:
                yield Doubt((*path, key), functools.partial(_unknown_member, key, value, shape))

    def _list(self, value: list[Any], shape: Any, path: Path) -> Iterator[Finding]:
        yield from _size(len(value), shape, path, " entries")
        for index, child in enumerate(value[: shape.metadata.get("max")]):
            yield from self.value(child, shape.member, (*path, index))

    def _map(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Finding]:
        yield from _size(len(value), shape, path, " members")
        for key, child in value.items():
            yield from _scalar(key, shape.key, (*path, key))
            yield from self.value(child, shape.value, (*path, key))

    def _expression(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Finding]:
        given = self._type_of(value)
        if shape.type_name in _CONTAINERS:
            if given is not None:
                due = _CONTAINERS[shape.type_name]
                yield problem(path, f"{due} is due ({shape.name}); {_say(value)} is one value")
            return
        due, _, takes = _SCALARS.get(shape.type_name, ("", (), ()))
        if given is not None and takes and given not in takes:
            how = '; write {"Std:Join": {"On": "", "Values": [...]}}' if shape.type_name == "string" else ""
            yield Doubt(path, lambda: f"{due} is due, and {_say(value)} is of type {given}{how}")
        if "Std:Join" in value:
            yield from _joined(value["Std:Join"], shape, path)
        elif given is not None:
            yield from self._default(value, shape, path)

    def _type_of(self, expression: dict[str, Any]) -> str | None:
        """Give the type of parameter that an expression is like, None when only a run will tell."""
        if "Std:Join" in expression:
            return "String"
        root, _, name = str(expression.get("Get")).partition(".")
        if root == "Execution":
            return "String"
        kind = find(self._parameters, name, "Type") if root == "Parameters" else None
        return kind if isinstance(kind, str) else None

    def _default(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Finding]:
        name = str(value["Get"]).partition(".")[2]
        default = self._parameters.get(name, {}).get("DefaultValue")
        if not isinstance(default, str) or shape.type_name != "string":
            return
        # One long DefaultValue may be used ten thousand times.
        if (name, shape.name) not in self._said:
            wrong = _scalar(default, shape, path)
            self._said[name, shape.name] = [
                each.describe() if isinstance(each, Doubt) else each.message for each in wrong
            ]
        for said in self._said[name, shape.name]:
            what = "the DefaultValue of {} does not fit here: {}"
            yield Doubt(path, functools.partial(what.format, name, said))


def _joined(body: Any, shape: Any, path: Path) -> Iterator[Finding]:
    """Check a Std:Join that holds texts only, or else the length of its texts."""
    values, between = find(body, "Values"), find(body, "On")
    if not isinstance(values, list) or not isinstance(between, str) or shape.type_name != "string":
        return
    texts = [each for each in values if isinstance(each, str)]
    known = sum(map(len, texts)) + len(between) * max(0, len(values) - 1)
    most = shape.metadata.get("max")
    if len(texts) == len(values) and known <= service_patterns.LONGEST:
        yield from _scalar(between.join(texts), shape, path)
    elif most is not None and known > most:
        yield problem(path, f"the texts in it alone have {known:,} characters; at most {most:,} are due")


def _scalar(value: Any, shape: Any, path: Path) -> Iterator[Finding]:
    due, types, _ = _SCALARS[shape.type_name]
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if not fits:
        yield problem(path, f"{due} is due, not {show(value)}{_instead(value, shape)}")
    elif isinstance(value, str):
        wrong = list(_size(len(value), shape, path, " characters"))
        yield from wrong or _text(value, shape, path)
    else:
        yield from _size(value, shape, path)


def _text(value: str, shape: Any, path: Path) -> Iterator[Finding]:
    legal = shape.enum
    if legal and value not in legal:
        if shape.name.endswith("InstanceType") and _INSTANCE_TYPE.fullmatch(value):
            yield Doubt(
                path, lambda: f"no {shape.name} that is known here: {show(value)}{did_you_mean(value, legal)}"
            )
        else:
            yield no_such(path, f"no {shape.name}:", value, legal)
    pattern = shape.metadata.get("pattern")
    if pattern and not service_patterns.matches(pattern, value):
        yield problem(path, f"{show(value)} does not fit {shape.name}: {pattern}")


def _size(size: float, shape: Any, path: Path, unit: str = "") -> Iterator[Finding]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if most is not None and size > most:
        yield problem(path, f"{size:,}{unit}; at most {most:,} are due")
    elif least is not None and size < least:
        yield problem(path, f"{size:,}{unit}; at least {least:,} are due")


def _unknown_member(key: str, value: dict[str, Any], shape: Any) -> str:
    absent = [member for member in shape.members if member not in value]
    return f"no member of {shape.name} that is known here{did_you_mean(key, absent)}"


def _instead(value: Any, shape: Any) -> str:
    if shape.type_name == "string" and isinstance(value, int | float):
        return f'; write "{show(value)}"'
    if shape.type_name == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"; write {value.lower()}"
    if shape.type_name != "boolean" and re.fullmatch("[0-9]{1,18}", str(value), re.ASCII):
        return f"; write {int(value)}"
    return ""


def _say(expression: dict[str, Any]) -> str:
    name = next(iter(expression))
    return show(expression["Get"]) if name == "Get" else f"a {name}"
