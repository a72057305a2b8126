"""The numbers beside a model are its own: measured by our own code, on images that it has not seen."""

import copy
from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DATA,
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

MODEL, TEST, MANIFEST = range(3)
"""Where in an evaluation's inputs each is."""


def registration(problems: list[Problem]) -> list[Problem]:
    return [each for each in problems if each.message.endswith("[rule registration]")]


def evaluates(definition: Definition, index: int, uri: Any) -> str:
    """Return EvaluateSpot another input, and point at it."""
    arguments(definition, "EvaluateSpot")["ProcessingInputs"][index]["S3Input"]["S3Uri"] = uri
    return pointer(definition, "EvaluateSpot", "ProcessingInputs", index, "S3Input", "S3Uri")


def learns(definition: Definition, index: int, uri: Any, name: str = "TrainOnDemand") -> str:
    """Return a training another channel, and point at it."""
    channel = arguments(definition, name)["InputDataConfig"][index]
    channel["DataSource"]["S3DataSource"]["S3Uri"] = uri
    return pointer(definition, name, "InputDataConfig", index, "DataSource", "S3DataSource", "S3Uri")


def channel(name: str, uri: Any) -> Definition:
    source = {"S3DataDistributionType": "FullyReplicated", "S3DataType": "S3Prefix", "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def second_preprocess(definition: Definition) -> None:
    """Add a step that splits the same images otherwise."""
    other = copy.deepcopy(step(definition, "Preprocess")) | {"Name": "Again"}
    for each in other["Arguments"]["ProcessingOutputConfig"]["Outputs"]:
        each["S3Output"]["S3Uri"] = own("again", each["OutputName"])
    definition["Steps"].append(other)


@pytest.mark.parametrize(
    ("index", "uri", "said"),
    [
        (
            MODEL,
            model_of("TrainOnDemand"),
            'not the model of "TrainSpot", whose model "RegisterSpot" registers',
        ),
        (MODEL, f"s3://{BUCKET}/data/good/model.tar.gz", 'not the model of "TrainSpot"'),
        (MODEL, joined(model_of("TrainSpot"), "x"), 'not the model of "TrainSpot"'),
        (MODEL, own("training", "spot"), 'not the model of "TrainSpot"'),
        (TEST, output("Preprocess", "train"), 'not the test of "Preprocess"'),
        (TEST, output("Preprocess", "validation"), 'not the test of "Preprocess"'),
        (TEST, f"s3://{BUCKET}/data/easy/", 'not the test of "Preprocess"'),
        (TEST, own("preprocess", "test"), 'not the test of "Preprocess"'),
        (TEST, joined(output("Preprocess", "test"), "easy"), 'not the test of "Preprocess"'),
        (TEST, output("Again", "test"), 'not the test of "Preprocess"'),
        (MANIFEST, output("Again", "manifest"), 'not the manifest of "Preprocess"'),
        (MANIFEST, f"s3://{BUCKET}/data/manifest/", 'not the manifest of "Preprocess"'),
    ],
)
def test_an_evaluation_is_of_this_model_on_the_images_set_apart(index: int, uri: Any, said: str) -> None:
    definition = shipped()
    second_preprocess(definition)
    assert judge(definition, Policy(max_execution_cost_usd=1000)) == []
    at = evaluates(definition, index, uri)
    assert said in said_at(registration(judge(definition)), at)


@pytest.mark.parametrize("index", [MODEL, TEST, MANIFEST])
def test_an_evaluation_without_one_of_its_inputs_is_none(index: int) -> None:
    definition = shipped()
    del arguments(definition, "EvaluateSpot")["ProcessingInputs"][index]
    said = said_at(registration(judge(definition)), pointer(definition, "EvaluateSpot", "ProcessingInputs"))
    assert f"input {('model', 'test', 'manifest')[index]} is missing" in said


def _swap_names(definition: Definition) -> None:
    for each in arguments(definition, "EvaluateSpot")["ProcessingInputs"]:
        each["InputName"] = {"test": "manifest", "manifest": "test"}.get(each["InputName"], each["InputName"])


def test_inputs_count_by_their_names() -> None:
    definition = shipped()
    _swap_names(definition)
    problems = judge(definition)
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", TEST, "S3Input", "S3Uri")
    assert "input manifest is" in said_at(registration(problems), at)


def shows(definition: Definition, evaluation: str) -> str:
    """Let RegisterSpot show the numbers of another step, and point at them."""
    statistics = ("ModelMetrics", "ModelQuality", "Statistics")
    shown = joined(output(evaluation, "evaluation"), "evaluation.json")
    arguments(definition, "RegisterSpot")["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] = shown
    return pointer(definition, "RegisterSpot", *statistics, "S3Uri")


def test_the_numbers_of_another_model_are_not_shown() -> None:
    definition = shipped()
    shows(definition, "EvaluateOnDemand")
    at = pointer(definition, "EvaluateOnDemand", "ProcessingInputs", MODEL, "S3Input", "S3Uri")
    said = said_at(registration(judge(definition)), at)
    assert 'not the model of "TrainSpot", whose model "RegisterSpot" registers with these numbers' in said


@pytest.mark.parametrize("name", ["Preprocess", "TrainSpot", "CheckSpotAccuracy", "Nowhere"])
def test_only_an_evaluation_has_numbers(name: str) -> None:
    definition = shipped()
    at = shows(definition, name)
    assert "of a step that runs training.evaluate" in said_at(registration(judge(definition)), at)


@pytest.mark.parametrize(
    "command", [["python", "-m", "training.preprocess"], ["python", "mine.py"], [{"Get": "Parameters.X"}]]
)
def test_another_command_evaluates_nothing(command: list[Any]) -> None:
    definition = shipped()
    arguments(definition, "EvaluateSpot")["AppSpecification"]["ContainerEntrypoint"] = command
    off = Policy(policy_off={"entry_points": "so that this rule is what refuses"})
    at = shows(definition, "EvaluateSpot")
    assert "of a step that runs training.evaluate" in said_at(registration(judge(definition, off)), at)


@pytest.mark.parametrize(
    ("index", "uri", "said"),
    [
        (0, output("Preprocess", "test"), "not the output train of a step that runs training.preprocess"),
        (0, output("EvaluateSpot", "evaluation"), "not the output train of a step"),
        (0, f"s3://{BUCKET}/data/mine/", "not the output train of a step"),
        (0, own("preprocess", "train"), "not the output train of a step"),
        (0, joined(output("Preprocess", "train"), "x"), "not the output train of a step"),
        (1, output("Preprocess", "test"), 'not the validation of "Preprocess"'),
        (1, output("Preprocess", "train"), 'not the validation of "Preprocess"'),
        (1, f"s3://{BUCKET}/data/mine/", 'not the validation of "Preprocess"'),
    ],
)
def test_a_registered_model_has_seen_train_and_validation_only(index: int, uri: Any, said: str) -> None:
    definition = shipped()
    at = learns(definition, index, uri)
    told = said_at(registration(judge(definition)), at)
    assert said in told
    assert '"RegisterOnDemand" registers its model' in told


def test_a_registered_model_sees_no_other_channel() -> None:
    for name, uri, allowed in (
        ("extra", output("Preprocess", "test"), False),
        ("extra", DATA, False),
        ("test", output("Preprocess", "test"), False),
        ("pretrained", f"s3://{BUCKET}/data/weights/", True),
        ("pretrained", {"Get": "Parameters.InputDataUrl"}, True),
        # Weights that a job wrote may have been tuned on the test images.
        ("pretrained", output("Preprocess", "test"), False),
        ("pretrained", model_of("TrainSpot"), False),
        ("pretrained", f"s3://{BUCKET}/executions/abc/training/", False),
        ("pretrained", {"Get": "Parameters.Missing"}, False),
    ):
        definition = shipped()
        arguments(definition, "TrainOnDemand")["InputDataConfig"].append(channel(name, uri))
        problems = registration(judge(definition))
        assert (problems == []) is allowed, (name, uri)
        if not allowed:
            at = pointer(
                definition, "TrainOnDemand", "InputDataConfig", 2, "DataSource", "S3DataSource", "S3Uri"
            )
            assert f'channel "{name}" is ' in said_at(problems, at)


def test_a_registered_model_is_trained_by_our_own_code_on_our_own_split() -> None:
    off = Policy(policy_off={"entry_points": "so that this rule is what refuses"})
    definition = shipped()
    arguments(definition, "TrainOnDemand")["AlgorithmSpecification"]["ContainerEntrypoint"] = ["python", "x"]
    at = pointer(definition, "TrainOnDemand", "AlgorithmSpecification", "ContainerEntrypoint")
    assert 'step "TrainOnDemand" does not run training.train' in said_at(
        registration(judge(definition, off)), at
    )
    definition = shipped()
    arguments(definition, "Preprocess")["AppSpecification"]["ContainerEntrypoint"] = ["python", "x"]
    at = learns(definition, 0, output("Preprocess", "train"))
    said = said_at(registration(judge(definition, off)), at)
    assert "not the output train of a step that runs training.preprocess" in said
