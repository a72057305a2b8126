"""What the approver of a model is shown is true, and no execution prepares the ground for another one."""

import copy
from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    IMAGE,
    Definition,
    arguments,
    joined,
    judge,
    model_of,
    output,
    own,
    pointer,
    said_at,
    shipped,
    step,
)
from tests.support.delivery.handler_uploads import BUCKET
from upload_trigger.definition.problems import Problem
from upload_trigger.settings import Policy

OTHER_IMAGE = f"{IMAGE[:-1]}1"
CONTAINER = ("InferenceSpecification", "Containers", 0)
CONTAINERS = ("InferenceSpecification", "Containers", "ModelDataUrl")
STATISTICS = ("ModelMetrics", "ModelQuality", "Statistics")
NO_MODEL = '"RegisterSpot" must register the model of one Training step'
NUMBERS = "whoever approves the model reads the numbers there; write a Std:Join, On /, of Steps.<name>."


def registration(problems: list[Problem]) -> list[Problem]:
    return [each for each in problems if each.message.endswith("[rule registration]")]


def register(definition: Definition) -> Definition:
    return arguments(definition, "RegisterSpot")


def refused(definition: Definition, members: tuple[str | int, ...], said: str) -> None:
    problems = registration(judge(definition, Policy(allowed_images=(OTHER_IMAGE,))))
    assert said in said_at(problems, pointer(definition, "RegisterSpot", *members))


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{BUCKET}/data/evil/model.tar.gz",
        joined(model_of("TrainSpot"), "..", "other"),
        joined(model_of("TrainSpot"), ""),
        output("Preprocess", "train"),
        model_of("Nowhere"),
        {"Get": "Steps.TrainSpot.ModelArtifacts"},
        own("training", "spot"),
        None,
    ],
)
def test_only_a_model_that_the_definition_trains_is_registered(uri: Any) -> None:
    definition = shipped()
    register(definition)["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] = uri
    refused(definition, (*CONTAINER, "ModelDataUrl"), NO_MODEL)
    del register(definition)["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    refused(definition, (*CONTAINER, "ModelDataUrl"), NO_MODEL)


def test_a_model_package_has_one_container() -> None:
    definition = shipped()
    second = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/data/second.tar.gz"}
    register(definition)["InferenceSpecification"]["Containers"].append(second)
    refused(definition, CONTAINERS, NO_MODEL)
    register(definition)["InferenceSpecification"]["Containers"] = []
    refused(definition, CONTAINERS, NO_MODEL)


@pytest.mark.parametrize(
    "uri",
    [
        joined(output("EvaluateSpot", "evaluation"), "better.json"),
        output("EvaluateSpot", "evaluation"),
        own("evaluation", "spot", "evaluation.json"),
        f"s3://{BUCKET}/data/evaluation.json",
        joined(output("EvaluateSpot", "evaluation"), "x", "evaluation.json"),
        joined(model_of("TrainSpot"), "evaluation.json"),
        {"Get": "Parameters.Missing"},
        None,
    ],
)
def test_the_package_shows_the_numbers_of_its_evaluation(uri: Any) -> None:
    definition = shipped()
    register(definition)["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] = uri
    refused(definition, (*STATISTICS, "S3Uri"), NUMBERS)
    del register(definition)["ModelMetrics"]
    refused(definition, (*STATISTICS, "S3Uri"), NUMBERS)


def test_the_model_is_served_by_the_image_that_evaluated_it() -> None:
    allowing = Policy(allowed_images=(OTHER_IMAGE,))
    definition = shipped()
    arguments(definition, "EvaluateSpot")["AppSpecification"]["ImageUri"] = OTHER_IMAGE
    assert len(registration(judge(definition, allowing))) == 1
    refused(definition, (*CONTAINER, "Image"), 'not the image of "EvaluateSpot", which evaluated the model')
    register(definition)["InferenceSpecification"]["Containers"][0]["Image"] = OTHER_IMAGE
    assert judge(definition, allowing) == []


def test_what_a_job_tells_of_the_model_is_its_evaluation_s() -> None:
    definition = shipped()
    properties = register(definition)["CustomerMetadataProperties"]
    place = ("CustomerMetadataProperties", "DataDigest")
    file = properties["DataDigest"]["Std:JsonGet"]["PropertyFile"]
    said = 'not told by the evaluation.json of "EvaluateSpot", whose numbers "RegisterSpot" shows'
    for get in (
        "Steps.EvaluateOnDemand.PropertyFiles.EvaluationOnDemand",
        "Steps.EvaluateSpot.PropertyFiles.X",
    ):
        file["Get"] = get
        refused(definition, place, said)
    file["Get"] = "Steps.EvaluateSpot.PropertyFiles.EvaluationSpot"
    assert judge(definition) == []
    step(definition, "EvaluateSpot")["PropertyFiles"][0]["FilePath"] = "better.json"
    refused(definition, place, said)
    step(definition, "EvaluateSpot")["PropertyFiles"][0]["FilePath"] = "evaluation.json"
    for uri in (
        joined(output("EvaluateOnDemand", "evaluation"), "model-card.json"),
        joined(output("EvaluateSpot", "evaluation"), "x", "model-card.json"),
        model_of("TrainSpot"),
    ):
        properties["ModelCard"] = uri
        at = ("CustomerMetadataProperties", "ModelCard")
        refused(definition, at, 'not the model-card.json of "EvaluateSpot"')


def test_a_model_is_registered_whatever_decides_about_it() -> None:
    """A condition proves nothing against whoever writes data and definition: a person approves."""
    definition = shipped()
    check = arguments(definition, "CheckSpotAccuracy")
    check["Conditions"][0]["RightValue"] = 0
    assert judge(definition) == []
    check["Conditions"] = [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}]
    assert judge(definition) == []
    check["IfSteps"], check["ElseSteps"] = [], check["IfSteps"]
    assert judge(definition) == []
    definition["Steps"] += check.pop("ElseSteps")
    assert judge(definition) == []
    del register(definition)["ModelMetrics"]
    assert registration(judge(definition))


def test_every_registration_is_judged() -> None:
    definition = shipped()
    other = copy.deepcopy(step(definition, "RegisterOnDemand")) | {"Name": "Another"}
    other["Arguments"]["ModelMetrics"] = copy.deepcopy(register(definition)["ModelMetrics"])
    definition["Steps"].append(other)
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", 0, "S3Input", "S3Uri")
    said = said_at(registration(judge(definition)), at)
    assert 'not the model of "TrainOnDemand", whose model "Another" registers' in said


def test_what_is_written_over_and_over_is_not_registered() -> None:
    """Each iteration of a ForEach writes to the same place, so nobody could tell whose the numbers are."""
    further = Policy(
        further_step_types={"ForEach": "one model for each place"}, policy_off={"cost": "it is watched"}
    )
    definition = shipped()
    evaluate = definition["Steps"].pop(3)
    assert evaluate["Name"] == "EvaluateSpot"
    body = {"ForEachBody": [evaluate], "IterableItems": [1, 2]}
    definition["Steps"].append({"Name": "Each", "Type": "ForEach", "Arguments": body})
    at = f"/Steps/{len(definition['Steps']) - 1}/Arguments/ForEachBody/0"
    said = said_at(registration(judge(definition, further)), at)
    assert "each iteration would write over the other's results" in said


def test_it_holds_without_the_closed_world_around_it() -> None:
    off = Policy(policy_off={"members": "tried out", "locations": "tried out"})
    definition = shipped()
    names = arguments(definition, "EvaluateSpot")["ProcessingInputs"][0]
    names["InputName"] = {"Get": "Parameters.Backbone"}
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs")
    assert "input model is missing" in said_at(registration(judge(definition, off)), at)


def learns(definition: Definition, index: int, uri: Any, name: str = "TrainOnDemand") -> str:
    """Return a training another channel, and point at it."""
    channel = arguments(definition, name)["InputDataConfig"][index]
    channel["DataSource"]["S3DataSource"]["S3Uri"] = uri
    return pointer(definition, name, "InputDataConfig", index, "DataSource", "S3DataSource", "S3Uri")


def only(definition: Definition, *names: str) -> Definition:
    """Keep some steps of a definition, outside of any condition."""
    return {**definition, "Steps": [step(definition, name) for name in names]}


def test_a_training_that_may_look_at_the_test_images_leaves_no_checkpoints_for_later_executions() -> None:
    # Nothing is registered here. But a later execution with the same hyper-parameters and data would go on
    # from what this one learned by heart.
    definition = only(shipped(), "Preprocess", "TrainSpot")
    at = learns(definition, 0, output("Preprocess", "test"), "TrainSpot")
    said = said_at(registration(judge(definition)), at)
    assert "a later execution would go on from its checkpoints; keep them below executions/<id>/" in said


def test_no_other_data_and_no_other_code_leave_checkpoints_either() -> None:
    off = Policy(policy_off={"entry_points": "so that this rule is what refuses"})
    definition = only(shipped(), "Preprocess", "TrainSpot")
    learns(definition, 0, f"s3://{BUCKET}/data/with-a-forged-digest/", "TrainSpot")
    assert registration(judge(definition))
    definition = only(shipped(), "Preprocess", "TrainSpot")
    learns(definition, 1, output("Preprocess", "test"), "TrainSpot")
    assert registration(judge(definition))
    definition = only(shipped(), "Preprocess", "TrainSpot")
    arguments(definition, "TrainSpot")["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python", "x"]
    assert registration(judge(definition, off))


def test_checkpoints_of_the_execution_itself_are_its_own_matter() -> None:
    definition = only(shipped(), "Preprocess", "TrainSpot")
    learns(definition, 0, output("Preprocess", "test"), "TrainSpot")
    arguments(definition, "TrainSpot")["CheckpointConfig"]["S3Uri"] = own("checkpoints")
    assert judge(definition) == []
    del arguments(definition, "TrainSpot")["CheckpointConfig"]
    assert judge(definition) == []


def test_checkpoints_of_an_honest_training_may_be_shared() -> None:
    definition = only(shipped(), "Preprocess", "TrainSpot")
    assert judge(definition) == []
