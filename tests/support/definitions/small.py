"""The smallest definitions that have what a test is about, and what the reading says of them."""

import copy
from typing import Any

from pipeline_definition import checks
from pipeline_definition.checks import Finding, Place
from pipeline_definition.checks.service_model import bundled_model
from pipeline_definition.checks.values import defaults
from upload_trigger.definition import walk

Step = dict[str, Any]
Said = list[tuple[str, str]]
"""Pointers and messages."""

ROLE = "arn:aws:iam::111122223333:role/jobs"
CONDITION = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}


def small(*steps: Step, **members: Any) -> dict[str, Any]:
    """Make a definition of steps; other members come beside them."""
    return {"Version": "2020-12-01", "Steps": list(steps)} | members


def step(name: str = "A", **members: Any) -> Step:
    """Make a Fail step."""
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "stop"}} | members


def saying(message: Any, name: str = "B") -> Step:
    """Make a Fail step with a message, which may be any expression."""
    return step(name, Arguments={"ErrorMessage": message})


def referring(target: Any) -> Step:
    """Make a step that refers to something."""
    return saying({"Get": target})


def condition(*conditions: Any, **branches: Any) -> Step:
    """Make a Condition step, C."""
    return step("C", Type="Condition", Arguments={"Conditions": list(conditions)} | branches)


def deciding(name: str = "A", *after: Any) -> Step:
    """Make a Condition step that waits for others; others may wait for it, as nothing may for a Fail step."""
    return condition(CONDITION) | {"Name": name, "DependsOn": list(after)}


def for_each(*body: Step, **arguments: Any) -> Step:
    """Make a ForEach step, E."""
    given = {"ForEachBody": list(body), "IterableItems": [1], "MaxConcurrency": 1} | arguments
    return step("E", Type="ForEach", Arguments=given)


def parameter(**members: Any) -> dict[str, Any]:
    """Make a definition with one parameter, an Integer unless told otherwise."""
    return small(step(), Parameters=[{"Name": "Epochs", "Type": "Integer"} | members])


def processing(name: str = "P", **arguments: Any) -> Step:
    """Make a Processing step with an output, train, and a property file in it, Scores."""
    output = {"S3Uri": "s3://bucket/key", "LocalPath": "/opt/ml", "S3UploadMode": "EndOfJob"}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    needed = {
        "AppSpecification": {"ImageUri": "scores:1"},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "train", "S3Output": output}]},
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": ROLE,
    }
    file = {"PropertyFileName": "Scores", "OutputName": "train", "FilePath": "s.json"}
    return {"Name": name, "Type": "Processing", "Arguments": needed | arguments, "PropertyFiles": [file]}


def training(name: str = "T", **arguments: Any) -> Step:
    """Make a Training step on demand."""
    needed = {
        "AlgorithmSpecification": {"TrainingImage": "train:1", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "RoleArn": ROLE,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    return {"Name": name, "Type": "Training", "Arguments": needed | arguments}


def spot(wait: Any = 60, **arguments: Any) -> Step:
    """Make a Training step on spot instances, with a checkpoint."""
    stopping = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": wait}
    given: dict[str, Any] = {
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
        "EnableManagedSpotTraining": True,
        "StoppingCondition": stopping,
    }
    return training(**given | arguments)


def changed(definition: dict[str, Any], *path: str | int, to: Any) -> dict[str, Any]:
    """Copy a definition with something else at a path."""
    copied = copy.deepcopy(definition)
    place: Any = copied
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return copied


def without(definition: dict[str, Any], *path: str | int) -> dict[str, Any]:
    """Copy a definition without the member at a path."""
    copied = copy.deepcopy(definition)
    place: Any = copied
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return copied


def check(definition: dict[str, Any]) -> list[Finding]:
    """List what AWS would refuse of a definition that is started with its default values."""
    return [each for each in _found(definition) if each.place is not Place.ADVICE]


def problems(definition: dict[str, Any]) -> Said:
    """Return what AWS would refuse."""
    return [(each.pointer, each.message) for each in check(definition)]


def warnings(definition: dict[str, Any]) -> Said:
    """Return the advice."""
    return [(each.pointer, each.message) for each in _found(definition) if each.place is Place.ADVICE]


def _found(definition: dict[str, Any]) -> list[Finding]:
    return checks.check(definition, bundled_model(), defaults(walk.parameters(definition)))


def the_problem(definition: dict[str, Any]) -> tuple[str, str]:
    """Return the one thing that is wrong."""
    (found,) = problems(definition)
    return found


def the_warning(definition: dict[str, Any]) -> tuple[str, str]:
    """Return the one advice on a definition in which nothing is wrong."""
    assert problems(definition) == []
    (found,) = warnings(definition)
    return found
