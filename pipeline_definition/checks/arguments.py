"""A step's Arguments against botocore's model of the request that SageMaker makes of them.

An expression may stand for one value, for a list or an object only when it reads the result of a
step: parameters, execution variables and joined text are single values.

CreatePipeline is known to refuse members that a request does not have, an object or a list that is none, a
value outside of an enumeration, and a parameter of another type where a text must stand. What it is not known
to look at (lengths, numbers, patterns, what is missing), the API of the job refuses when the step starts. A
member or an instance type that the model does not know, and that is no slip of the pen, may be newer than it.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline_definition.checks import patterns
from pipeline_definition.checks.findings import Found, Place, advice, create, no_member, no_such, run
from pipeline_definition.checks.values import parameter_of
from upload_trigger.definition.problems import Path, did_you_mean, entries, find, is_slip, show
from upload_trigger.definition.walk import is_expression

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
NOT_IN_A_PIPELINE = frozenset({("CreateModelPackageInput", "ModelPackageName")})
"""Members of a request that are none of a step's arguments: the service gives a version its name."""
NOT_ALWAYS_IN_A_PIPELINE = {
    ("ContainerDefinition", "AdditionalModelDataSources"): 4994,
    ("ModelPackageContainerDefinition", "AdditionalModelDataSources"): 4994,
}
"""Members that CreatePipeline once did not know, and the issue of aws/sagemaker-python-sdk that tells so. It
learns members later than the API of the job does, so this is no more than a doubt."""
_SCALARS: dict[str, tuple[str, tuple[type, ...], tuple[str, ...]]] = {
    # type of the shape: what must stand there, as JSON has it, from which types of parameter
    "string": ("a text", (str,), ("String",)),
    "integer": ("a whole number", (int,), ("Integer",)),
    "long": ("a whole number", (int,), ("Integer",)),
    "float": ("a number", (int, float), ("Integer", "Float")),
    "double": ("a number", (int, float), ("Integer", "Float")),
    "boolean": ("true or false", (bool,), ("Boolean",)),
}
_CONTAINERS = {"structure": "an object", "map": "an object", "list": "a list"}
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9-]{1,20}\.(?:small|medium|large|[0-9]{0,3}xlarge|metal)", re.ASCII)


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


class Arguments:
    """One pass over the Arguments of a definition's steps."""

    def __init__(
        self, model: "ServiceModel", parameters: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]
    ) -> None:
        self._model, self._parameters, self._values = model, parameters, values
        self._known = frozenset(model.operation_names)
        self._said: dict[tuple[str, str], list[Found]] = {}

    def findings(self, step: dict[str, Any], path: Path) -> Iterator[Found]:
        """Yield what is wrong with the Arguments of a step that makes a request of SageMaker."""
        for at, arguments, operation in _requests(step, (*path, "Arguments")):
            if operation in self._known:
                shape = self._model.operation_model(operation).input_shape
                yield from self._value(arguments, shape, at)
            else:
                yield advice(at, functools.partial("{} is not known here: unchecked".format, operation))

    def _value(self, value: Any, shape: Any, path: Path) -> Iterator[Found]:
        """Check a value against the shape of its place."""
        kind = shape.type_name
        if is_expression(value):
            yield from self._expression(value, shape, path)
        elif kind in _CONTAINERS and not isinstance(value, dict if kind != "list" else list):
            name = f" ({shape.name})" if kind == "structure" else ""
            # What null is to CreatePipeline is not known.
            refused = run if value is None else create
            yield refused(path, f"must be {_CONTAINERS[kind]}{name}, not {show(value)}")
        elif kind == "structure":
            yield from self._structure(value, shape, path)
        elif kind == "list":
            yield from self._list(value, shape, path)
        elif kind == "map":
            yield from self._map(value, shape, path)
        elif kind in _SCALARS:
            yield from _scalar(value, shape, path)

    def _structure(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Found]:
        members = shape.members
        for key in shape.required_members:
            if key not in value and key not in NAMED_BY_THE_SERVICE:
                yield run((*path, key), f"missing: {shape.name} needs it")
        if shape.is_tagged_union and len(value) != 1:
            yield run(path, f"must have exactly one of {', '.join(members)}")
        for key, child in value.items():
            if (shape.name, key) in NOT_IN_A_PIPELINE:
                yield create((*path, key), "CreatePipeline knows no such argument; leave it out")
            elif key in members:
                if issue := NOT_ALWAYS_IN_A_PIPELINE.get((shape.name, key)):
                    what = (
                        "CreatePipeline was seen to refuse this argument (aws/sagemaker-python-sdk issue {})"
                    )
                    yield advice((*path, key), what.format(issue))
                yield from self._value(child, members[key], (*path, key))
            else:
                absent = [member for member in members if member not in value]
                said = functools.partial(no_member, key, absent, shape.name)
                yield (create if is_slip(key, absent) else advice)((*path, key), said)

    def _list(self, value: list[Any], shape: Any, path: Path) -> Iterator[Found]:
        yield from _size(len(value), shape, path, " entries")
        for index, child in enumerate(value[: shape.metadata.get("max")]):
            yield from self._value(child, shape.member, (*path, index))

    def _map(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Found]:
        yield from _size(len(value), shape, path, " members")
        for key, child in value.items():
            yield from _scalar(key, shape.key, (*path, key))
            yield from self._value(child, shape.value, (*path, key))

    def _expression(self, value: dict[str, Any], shape: Any, path: Path) -> Iterator[Found]:
        kind = self._type_of(value)
        if shape.type_name in _CONTAINERS:
            if kind is not None:
                wanted = _CONTAINERS[shape.type_name]
                yield create(path, f"must be {wanted} ({shape.name}); {_say(value)} is one value")
            return
        wanted, _, takes = _SCALARS.get(shape.type_name, ("", (), ()))
        if kind is not None and takes and kind not in takes:
            said = f"must be {wanted}, and {_say(value)} is of type {kind}"
            if shape.type_name == "string":
                yield create(path, said + '; write {"Std:Join": {"On": "", "Values": [...]}}')
            else:
                yield advice(path, said)
        elif "Std:Join" in value:
            yield from _joined(value["Std:Join"], shape, path)
        elif (name := parameter_of(value)) is not None:
            yield from self._parameter(name, shape, path)

    def _type_of(self, expression: dict[str, Any]) -> str | None:
        """Return the type of parameter that an expression is like, None when only a run will tell."""
        if "Std:Join" in expression:
            return "String"
        root, _, name = str(expression.get("Get")).partition(".")
        if root == "Execution":
            return "String"
        kind = self._parameters.get(name, {}).get("Type") if root == "Parameters" else None
        return kind if isinstance(kind, str) else None

    def _parameter(self, name: str, shape: Any, path: Path) -> Iterator[Found]:
        """Check the value that a parameter has against the shape of the place where it is used."""
        value = self._values.get(name)
        types = _SCALARS.get(shape.type_name, ("", (), ()))[1]
        if isinstance(value, bool) or not isinstance(value, types):
            return
        # One long value may be used ten thousand times.
        if (name, shape.name) not in self._said:
            self._said[name, shape.name] = list(_scalar(value, shape, path))
        for found in self._said[name, shape.name]:
            said = functools.partial("the value of {} does not fit here: {}".format, name, found.text())
            yield Found(_later(found.place), path, said)


def _joined(body: Any, shape: Any, path: Path) -> Iterator[Found]:
    """Check a Std:Join that holds texts only, or else the length of its texts."""
    values, between = find(body, "Values"), find(body, "On")
    if not isinstance(values, list) or not isinstance(between, str) or shape.type_name != "string":
        return
    texts = [each for each in values if isinstance(each, str)]
    known = sum(map(len, texts)) + len(between) * max(0, len(values) - 1)
    most = shape.metadata.get("max")
    if len(texts) == len(values) and known <= patterns.LONGEST:
        # CreatePipeline joins nothing.
        for found in _scalar(between.join(texts), shape, path):
            yield found._replace(place=_later(found.place))
    elif most is not None and known > most:
        yield run(path, f"the texts in it alone have {known:,} characters; must be at most {most:,}")


def _later(place: Place) -> Place:
    """Return where a value is refused that is known when the step starts."""
    return Place.ADVICE if place is Place.ADVICE else Place.RUN


def _scalar(value: Any, shape: Any, path: Path) -> Iterator[Found]:
    wanted, types, _ = _SCALARS[shape.type_name]
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if not fits:
        yield run(path, f"must be {wanted}, not {show(value)}{_instead(value, shape)}")
    elif isinstance(value, str):
        wrong = list(_size(len(value), shape, path, " characters"))
        yield from wrong or _text(value, shape, path)
    else:
        yield from _size(value, shape, path)


def _text(value: str, shape: Any, path: Path) -> Iterator[Found]:
    legal = shape.enum
    if legal and value not in legal:
        if shape.name.endswith("InstanceType") and _INSTANCE_TYPE.fullmatch(value):
            yield advice(
                path, lambda: f"no {shape.name} that is known here: {show(value)}{did_you_mean(value, legal)}"
            )
        else:
            yield no_such(path, f"no {shape.name}:", value, legal)
    pattern = shape.metadata.get("pattern")
    if pattern and not patterns.matches(pattern, value):
        yield run(path, f"{show(value)} does not fit {shape.name}: {pattern}")


def _size(size: float, shape: Any, path: Path, unit: str = "") -> Iterator[Found]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if most is not None and size > most:
        yield run(path, f"{size:,}{unit}; must be at most {most:,}")
    elif least is not None and size < least:
        yield run(path, f"{size:,}{unit}; must be at least {least:,}")


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
