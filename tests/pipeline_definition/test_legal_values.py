"""The legal values of parameters: training, the pipeline and the checks before an upload agree on them."""

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.conditions import all_hold
from local.engine.definition import read
from pipeline_definition import checks
from pipeline_definition.checks.service_model import bundled_model
from pipeline_definition.checks.values import defaults
from pipeline_definition.parameters import LEGAL_VALUES, hyper_parameters, legal_values, parameters
from tests.support.definitions.small import changed
from tools.legal_values import render
from training.hyper_parameters import parse_hyper_parameters
from training.job import JobError
from upload_trigger.definition import walk

SHIPPED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "pipeline_definition" / "pipeline.json").read_text(encoding="utf-8")
)
STEPS = {step["Name"]: step for _, step, _ in walk.steps(SHIPPED)}
DEFAULTS = {each.name: each.default for each in parameters()}
NUMBERS = {name: legal for name, legal in legal_values().items() if "enum" not in legal}
TYPED = {name: legal for name, legal in NUMBERS.items() if "also" not in legal}
"""Those that are declared as numbers, so that the pipeline's own condition can look at them."""


def edges(legal: dict[str, Any]) -> Iterator[float]:
    """Yield the numbers at the bounds and directly beside them."""
    for bound in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        edge = legal.get(bound)
        if edge is not None and legal["type"] == "integer":
            yield from (edge - 1, edge, edge + 1)
        elif edge is not None:
            yield from (math.nextafter(edge, -math.inf), float(edge), math.nextafter(edge, math.inf))


EDGES = [(name, number) for name, legal in NUMBERS.items() for number in edges(legal)]


def holds_in_the_pipeline(values: dict[str, Any]) -> bool:
    """Decide CheckParameters as local AWS does."""

    def value(expression: Any) -> Any:
        is_get = isinstance(expression, dict)
        return values[expression["Get"].removeprefix("Parameters.")] if is_get else expression

    return all_hold(STEPS["CheckParameters"]["Arguments"]["Conditions"], value)


def trains(name: str, value: Any) -> bool:
    hyper_parameter = {each.name: each.hyper_parameter for each in hyper_parameters()}[name]
    try:
        # One of epochs and fine-tune-epochs may be 0, and not both.
        parse_hyper_parameters({"epochs": "1", hyper_parameter: str(value)})
    except JobError:
        return False
    return True


def test_the_committed_file_is_what_training_says() -> None:
    assert LEGAL_VALUES.read_text(encoding="utf-8") == render(), "run make generate"


def test_every_number_that_training_or_a_threshold_reads_is_in_it() -> None:
    typed = {each.name for each in hyper_parameters() if each.type != "String"}
    assert TYPED.keys() - {"TrainingInstanceCount"} == typed | {"AccuracyThreshold"}


@pytest.mark.parametrize("name", [name for name, legal in legal_values().items() if "also" in legal])
def test_what_the_profile_decides_is_auto_or_a_number(name: str) -> None:
    for value, legal in (("auto", True), ("automatic", False), ("", False)):
        assert trains(name, value) is legal
        assert (checks.illegal_values(SHIPPED, {name: value}) == {}) is legal
    assert DEFAULTS[name] == "auto"


@pytest.mark.parametrize(("name", "number"), EDGES)
def test_training_the_pipeline_and_the_checks_refuse_the_same_numbers(name: str, number: float) -> None:
    legal = trains(name, number) if name != "AccuracyThreshold" else 0 <= number <= 1
    found = checks.illegal_values(SHIPPED, {**DEFAULTS, name: number})
    assert (found == {}) is legal
    assert checks.illegal_values(SHIPPED, {name: repr(number)}).keys() == found.keys()
    if name in TYPED:
        assert holds_in_the_pipeline({**DEFAULTS, name: number}) is legal


@pytest.mark.parametrize("text", ["3", " 3 ", "+3", "03", "1e1", "3.0", "1_0", "\u0663", "nan", "inf", "0x3"])
@pytest.mark.parametrize("name", ["FineTuneEpochs", "FineTuneLearningRate"])
def test_training_and_the_checks_read_a_number_s_text_alike(name: str, text: str) -> None:
    assert (checks.illegal_values(SHIPPED, {name: text}) == {}) is trains(name, text)


def test_a_wrong_value_is_told_with_what_it_must_be() -> None:
    given = {
        "AccuracyThreshold": 7.0,
        "Epochs": "-1",
        "FineTuneEpochs": "1e1",
        "Dropout": 1,
        "LearningRate": 0.0,
        "Seed": -1,
    }
    assert checks.illegal_values(SHIPPED, given) == {
        "AccuracyThreshold": "AccuracyThreshold is 7 but must be a number from 0 to 1",
        "Epochs": "Epochs is -1 but must be a whole number from 0 to 10000",
        "FineTuneEpochs": "FineTuneEpochs is 1e1 but must be auto or a whole number from 0 to 10000",
        "Dropout": "Dropout is 1 but must be a number of at least 0 and below 1",
        "LearningRate": "LearningRate is 0 but must be a number above 0 and at most 10",
        "Seed": "Seed is -1 but must be a whole number from 0 to 2147483647",
    }


def test_a_wrong_value_is_found_where_the_parameter_is_declared_and_only_in_an_execution() -> None:
    wrong = copy.deepcopy(SHIPPED)
    walk.parameters(wrong)["Epochs"]["DefaultValue"] = -1
    assert checks.check(wrong, bundled_model()) == [], "an execution may have another value"
    (found,) = checks.check(wrong, bundled_model(), defaults(walk.parameters(wrong)))
    pointer = f"/Parameters/{list(walk.parameters(wrong)).index('Epochs')}"
    assert (found.place, found.pointer, found.step) == (checks.Place.EXECUTION, pointer, "")
    # AWS makes a pipeline of it and starts it, and so does local AWS.
    assert read(wrong).steps


def unlike(*path: str, to: Any) -> dict[str, Any]:
    """Return the shipped definition with something else in both trainings."""
    copied = copy.deepcopy(SHIPPED)
    for _, step, _ in walk.steps(copied):
        if step["Type"] == "Training":
            step["Arguments"] = changed(step["Arguments"], *path, to=to)
    return copied


@pytest.mark.parametrize(
    "foreign",
    [
        unlike("AlgorithmSpecification", "ContainerEntrypoint", to=["python", "train.py"]),
        unlike("HyperParameters", to={"num-epochs": {"Get": "Parameters.Epochs"}}),
        unlike("HyperParameters", "epochs", to="3"),
    ],
)
def test_a_parameter_that_another_definition_uses_otherwise_is_left_alone(foreign: dict[str, Any]) -> None:
    assert checks.illegal_values(SHIPPED, {"Epochs": -1})
    assert checks.illegal_values(foreign, {"Epochs": -1}) == {}


def test_a_threshold_of_another_measure_is_left_alone() -> None:
    foreign = json.loads(json.dumps(SHIPPED).replace(".accuracy.value", ".accuracy.percent"))
    assert checks.illegal_values(SHIPPED, {"AccuracyThreshold": 70})
    assert checks.illegal_values(foreign, {"AccuracyThreshold": 70}) == {}


def without_enums(definition: dict[str, Any]) -> dict[str, Any]:
    copied = copy.deepcopy(definition)
    for each in copied["Parameters"]:
        each.pop("EnumValues", None)
    return copied


def test_a_backbone_needs_its_weights_in_the_image_or_in_a_channel() -> None:
    plain = without_enums(SHIPPED)
    assert checks.illegal_values(plain, {"Backbone": "efficientnet_lite0"}) == {}
    assert checks.illegal_values(plain, {"Backbone": "resnet50"})["Backbone"] == (
        'Backbone is "resnet50" but must be one whose weights the image has, without a channel "pretrained"; '
        "legal: efficientnet_lite0"
    )
    channels = STEPS["TrainSpot"]["Arguments"]["InputDataConfig"]
    variant = unlike("InputDataConfig", to=[*channels, {**channels[0], "ChannelName": "pretrained"}])
    variant = without_enums(variant)
    assert checks.illegal_values(variant, {"Backbone": "resnet50"}) == {}
    assert checks.illegal_values(variant, {"Backbone": "resnet5"})["Backbone"] == (
        'Backbone is "resnet5" but must be the name of a backbone; did you mean resnet50?'
    )


def test_sagemaker_itself_refuses_a_backbone_that_cannot_be_trained() -> None:
    # By the parameter's EnumValues, when an execution is to start.
    def enum(*, pretrained_channel: bool) -> list[str]:
        listed = parameters(pretrained_channel=pretrained_channel)
        return [name for each in listed if each.name == "Backbone" for name in each.enum]

    legal = legal_values()["Backbone"]
    assert enum(pretrained_channel=False) == legal["weights_in_image"]
    assert enum(pretrained_channel=True) == []  # there are too many
    assert walk.parameters(SHIPPED)["Backbone"]["EnumValues"] == legal["weights_in_image"]


def test_no_job_starts_beside_a_value_that_is_out_of_range() -> None:
    check = STEPS["CheckParameters"]["Arguments"]
    assert [each["Name"] for each in check["IfSteps"]] == ["Preprocess"]
    assert [each["Name"] for each in check["ElseSteps"]] == ["ParameterOutOfRange"]
    definition = read(SHIPPED)
    for name, step in definition.steps.items():
        if step.type in ("Processing", "Training") and name != "Preprocess":
            assert "Preprocess" in step.needs, f"{name} could start without Preprocess"


def test_the_failure_names_every_value_with_what_it_must_be_and_sagemaker_shows_it_whole() -> None:
    parts = STEPS["ParameterOutOfRange"]["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    widest = "-" + "9" * 18
    message = "".join(part if isinstance(part, str) else f"<{part['Get']}>" for part in parts)
    for name, legal in TYPED.items():
        low = legal.get("minimum", legal.get("exclusiveMinimum"))
        high = legal.get("maximum", legal.get("exclusiveMaximum"))
        (said,) = re.findall(rf" {name} <Parameters.{name}> \(([^)]*)\)", message)
        assert [float(number) for number in re.findall(r"[0-9.]+", said)] == [low, high]
        assert ("above" in said, "below" in said) == (
            "exclusiveMinimum" in legal,
            "exclusiveMaximum" in legal,
        )
    # The longest FailureReason of a step.
    assert len("".join(part if isinstance(part, str) else widest for part in parts)) <= 1024
