"""Each step's Arguments are the request of an AWS call: they must fit botocore's model of that call."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

COMMITTED = Path(__file__).parents[2] / "pipeline_definition" / "pipeline.json"
CALLS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "RegisterModel": "CreateModelPackage",
}
NAMED_BY_THE_SERVICE = {"ProcessingJobName", "TrainingJobName", "ModelPackageName"}
EXPRESSIONS = ({"Get"}, {"Std:Join"}, {"Std:JsonGet"})
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "float": (int, float),
    "double": (int, float),
}


def wrong(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield what does not fit; an expression fits wherever a scalar may stand."""
    if shape.type_name in TYPES:
        if not (isinstance(value, dict) and set(value) in EXPRESSIONS):
            yield from wrong_scalar(value, shape, path)
    elif shape.type_name == "list" and isinstance(value, list):
        yield from wrong_size(len(value), shape, path)
        for index, each in enumerate(value):
            yield from wrong(each, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, each in value.items():
            yield from wrong(key, shape.key, f"{path}<{key}>")
            yield from wrong(each, shape.value, f"{path}.{key}")
    elif shape.type_name == "structure" and isinstance(value, dict):
        yield from wrong_members(value, shape, path)
    else:
        yield f"{path}: {value!r} is no {shape.type_name}"


def wrong_members(value: dict[str, Any], shape: Any, path: str) -> Iterator[str]:
    yield from (f"{path}.{key}: unknown" for key in value.keys() - shape.members.keys())
    missing = set(shape.required_members) - value.keys() - NAMED_BY_THE_SERVICE
    yield from (f"{path}.{key}: missing" for key in missing)
    for key in value.keys() & shape.members.keys():
        yield from wrong(value[key], shape.members[key], f"{path}.{key}")


def wrong_scalar(value: Any, shape: Any, path: str) -> Iterator[str]:
    wanted = TYPES[shape.type_name]
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        yield f"{path}: {value!r} is no {shape.type_name}"
        return
    size: Any = len(value) if isinstance(value, str) else value
    yield from wrong_size(size, shape, path)
    if getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value!r} is not in the enum"
    pattern = python_pattern(shape.metadata.get("pattern", ".*"))
    if isinstance(value, str) and not re.fullmatch(pattern, value, re.DOTALL):
        yield f"{path}: {value!r} does not match {pattern}"


def python_pattern(pattern: str) -> str:
    """Rewrite a pattern of Java: its classes of characters have no names here, and $ takes no number."""
    pattern = re.sub(r"\\p\{[PS]\}", lambda _: r"!-/:-@\[-`{-~", pattern)
    pattern = re.sub(r"\\p\{\w+\}", lambda _: r"\w\s", pattern)
    return re.sub(r"\$\{\d+,\d+\}", "", pattern)


def wrong_size(size: float, shape: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{path}: {size} is outside {low}..{high}"


@pytest.fixture(scope="module")
def model() -> Any:
    return botocore.session.get_session().get_service_model("sagemaker")


def steps() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    pending = list(json.loads(COMMITTED.read_text(encoding="utf-8"))["Steps"])
    while pending:
        step = pending.pop()
        found[step["Name"]] = step
        pending += step["Arguments"].get("IfSteps", [])
    return {name: step for name, step in found.items() if step["Type"] in CALLS}


def findings(step: dict[str, Any], model: Any) -> list[str]:
    shape = model.operation_model(CALLS[step["Type"]]).input_shape
    return list(wrong(step["Arguments"], shape, step["Name"]))


@pytest.mark.parametrize("name", steps())
def test_the_arguments_fit_the_call_they_become(model: Any, name: str) -> None:
    assert findings(steps()[name], model) == []


MUTATIONS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "unknown member": ("Preprocess", lambda job: job.update(Environmet={})),
    "missing member": ("TrainSpot", lambda job: job.pop("OutputDataConfig")),
    "number as text": ("TrainSpot", lambda job: job["ResourceConfig"].update(InstanceCount="1")),
    "not in the enum": (
        "EvaluateSpot",
        lambda job: job["ProcessingInputs"][0]["S3Input"].update(S3DataType="Prefix"),
    ),
    "too small": (
        "EvaluateSpot",
        lambda job: job["ProcessingResources"]["ClusterConfig"].update(VolumeSizeInGB=0),
    ),
    "bad pattern": ("TrainSpot", lambda job: job["InputDataConfig"][0].update(ChannelName="a b")),
    "expression for a list": ("RegisterSpot", lambda job: job.update(InferenceSpecification={"Get": "x"})),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_arguments_that_do_not_fit_are_noticed(model: Any, name: str) -> None:
    step, mutate = MUTATIONS[name]
    broken = copy.deepcopy(steps()[step])
    mutate(broken["Arguments"])
    assert findings(broken, model)
