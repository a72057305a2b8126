"""Definitions and parameters are judged whole, before anything runs, with where, what and what to write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.engine.definition import DefinitionError, ParameterError, parse, resolve_parameters
from tests.support.engine.pipelines import birds, compare, condition, get, output_of, pipeline, processing


def errors_of(document: Any) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse(json.dumps(document))
    return caught.value.errors


def test_the_order_comes_from_references_and_the_branch_from_the_condition() -> None:
    steps = parse(json.dumps(birds())).steps

    assert steps["EvaluateSpot"].needs == ("TrainSpot", "Preprocess")
    assert steps["CheckAnyAccuracy"].needs == ("EvaluateSpot", "EvaluateOnDemand")
    assert steps["AccuracyTooLow"].gate == ("CheckAnyAccuracy", True)
    assert steps["CheckSpotAccuracy"].needs == ("EvaluateSpot",)


def test_a_json_get_by_s3_uri_waits_for_the_steps_its_uri_names() -> None:
    uri = {"Std:Join": {"On": "/", "Values": [output_of("A"), "x.json"]}}
    left = {"Std:JsonGet": {"S3Uri": uri, "Path": "a"}}
    steps = parse(json.dumps(pipeline(processing("A"), condition("C", compare("Equals", left, 1))))).steps

    assert steps["C"].needs == ("A",)


def test_every_fault_is_said_at_once_with_its_pointer() -> None:
    document = pipeline(
        processing("A", inputs={"x": get("Parameters.Inpt")}),
        processing("A"),
        {"Name": "T", "Type": "Tuning", "Arguments": {}},
        processing("B", CacheConfig={"Enabled": True, "ExpireAfter": "soon"}),
        processing("C", RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": -1}]),
        parameters=[{"Name": "Input", "Type": "String"}],
    )
    errors = "\n".join(errors_of(document))

    for said in (
        "/Steps/0/Arguments/ProcessingInputs/0/S3Input/S3Uri",
        "did you mean Input?",
        "/Steps/1/Name",
        "/Steps/2/Type: step T is of type Tuning, which local AWS does not run",
        '/Steps/3/CacheConfig/ExpireAfter: "soon" is no ISO 8601 duration',
        "/Steps/4/RetryPolicies/0/MaxAttempts: must be a whole number from 0 to 20, not -1",
    ):
        assert said in errors


def test_an_unsupported_step_inside_a_branch_is_refused_by_name() -> None:
    inner = {"Name": "Notify", "Type": "Lambda", "FunctionArn": "arn", "Arguments": {}}
    [error] = errors_of(pipeline(condition("C", compare("Equals", 1, 1), else_steps=[inner])))

    assert error.startswith("/Steps/0/Arguments/ElseSteps/0/Type: step Notify is of type Lambda")


def test_steps_that_wait_for_each_other_are_refused() -> None:
    one, two = processing("A", inputs={"x": output_of("B")}), processing("B", DependsOn=["A"])

    assert any("wait for each other" in error for error in errors_of(pipeline(one, two)))


def test_a_step_that_waits_for_a_failure_is_refused_by_what_it_waits_for() -> None:
    after = [{"Step": "A", "Trigger": "Failed"}]
    [error] = errors_of(pipeline(processing("A"), processing("B", DependsOn=after)))

    assert error.startswith("/Steps/1/DependsOn: step B waits for a Trigger, which local AWS does not know")


def test_what_only_the_api_of_a_job_refuses_is_left_to_it() -> None:
    step = processing("A", inputs={"x": get("Parameters.Input")})
    step["Arguments"]["RoleArn"] = "no ARN"
    step["Arguments"]["ProcessingInputs"] *= 11

    assert parse(json.dumps(pipeline(step, parameters=[{"Name": "Input", "Type": "String"}]))).steps


@pytest.mark.parametrize("text", ["{", '{"Version": 1, "Version": 2}', "[]", '{"Version": NaN}', '"\ud800"'])
def test_what_is_not_strict_json_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError):
        parse(text)


PARAMETERS: list[dict[str, Any]] = [
    {"Name": "Bucket", "Type": "String"},
    {"Name": "Group", "Type": "String"},
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Fast", "Type": "Boolean", "DefaultValue": False},
    {"Name": "Status", "Type": "String", "DefaultValue": "Off", "EnumValues": ["On", "Off"]},
]
DEFINITION = parse(json.dumps(pipeline(processing("A"), parameters=PARAMETERS)))


def test_given_strings_become_values_of_the_declared_types() -> None:
    given = {"Bucket": "b", "Group": "7", "Epochs": "12", "Rate": "1e-4", "Fast": "True", "Status": "On"}

    assert resolve_parameters(DEFINITION, given) == {
        "Bucket": "b",
        "Group": "7",
        "Epochs": 12,
        "Rate": 0.0001,
        "Fast": True,
        "Status": "On",
    }


def test_defaults_stand_where_nothing_is_given() -> None:
    values = resolve_parameters(DEFINITION, {"Bucket": "b", "Group": "g"})

    assert values == {"Bucket": "b", "Group": "g", "Epochs": 3, "Rate": 0.5, "Fast": False, "Status": "Off"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"Epoch": "3"}, "Unknown parameter Epoch; did you mean Epochs?"),
        ({"X": "3"}, "; legal: Bucket, Group, Epochs, Rate, Fast, Status"),
        ({}, "must be given: Bucket, Group"),
        ({"Epochs": "1.5"}, "Parameter Epochs: '1.5' is not of type Integer"),
        ({"Epochs": "1_0"}, "Parameter Epochs: '1_0' is not of type Integer"),
        ({"Rate": "nan"}, "Parameter Rate: 'nan' is not of type Float"),
        ({"Fast": "yes"}, "Parameter Fast: 'yes' is not of type Boolean"),
        ({"Status": "Maybe"}, "Parameter Status: 'Maybe' is none of On, Off"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_plainly(given: dict[str, str], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve_parameters(DEFINITION, given)
    assert said in str(caught.value)


def test_all_faults_of_the_parameters_are_said_together() -> None:
    with pytest.raises(ParameterError) as caught:
        resolve_parameters(DEFINITION, {"Foo": "1", "Epochs": "x"})
    assert all(word in str(caught.value) for word in ("Foo", "Bucket", "Epochs"))
