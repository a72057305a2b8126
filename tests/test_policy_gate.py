"""A model is registered behind a condition on the accuracy of our own evaluation, and in no other way."""

import copy
from typing import Any

import pytest

from function_settings import Policy
from pipeline_problems import Problem
from policy_cases import Definition, arguments, judge, pointer, said_at, shipped, step
from policy_gate import ACCURACY

CHECK = pointer(shipped(), "CheckSpotAccuracy", "Conditions", 0)
REGISTER = "/Steps/5/Arguments/IfSteps/0"
ALWAYS = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}


def condition(definition: Definition) -> Definition:
    """Give the condition that guards RegisterSpot."""
    found: Definition = arguments(definition, "CheckSpotAccuracy")["Conditions"][0]
    return found


def guarded_by(*conditions: Any) -> list[Problem]:
    """Judge the shipped definition with other conditions on the way to RegisterSpot."""
    definition = shipped()
    arguments(definition, "CheckSpotAccuracy")["Conditions"] = list(conditions)
    return judge(definition)


def spot(**changed: Any) -> Definition:
    """Give the shipped condition, changed."""
    return {**copy.deepcopy(condition(shipped())), **changed}


def is_gate(problem: Problem) -> bool:
    return problem.message.endswith("[rule registration_gate]")


SCORE, MINIMUM = spot()["LeftValue"], spot()["RightValue"]


@pytest.mark.parametrize(
    "conditions",
    [
        [spot()],
        [spot(Type="GreaterThan")],
        [spot(RightValue=0.5)],
        [spot(RightValue=1)],
        [{"Type": "LessThanOrEqualTo", "LeftValue": MINIMUM, "RightValue": SCORE}],
        [{"Type": "LessThan", "LeftValue": 0.9, "RightValue": SCORE}],
        [ALWAYS, spot()],
        [spot(), {"Type": "Not", "Condition": ALWAYS}],
        [{"Type": "Or", "Conditions": [spot()]}],
        [{"Type": "Or", "Conditions": [spot(), spot(RightValue=0.8)]}],
        [{"Type": "Or", "Conditions": [{"Type": "Or", "Conditions": [spot()]}, spot()]}],
    ],
)
def test_a_condition_that_implies_the_minimum_is_proof(conditions: list[Any]) -> None:
    assert guarded_by(*conditions) == []


@pytest.mark.parametrize(
    ("given", "place", "said"),
    [
        (ALWAYS, "/Type", '"Equals" does not prove that "TrainSpot" is accurate enough; write GreaterThan'),
        (spot(Type="Equals"), "/Type", '"Equals" does not prove'),
        (spot(Type="In"), "/Type", '"In" does not prove'),
        (spot(Type="Future"), "/Type", '"Future" does not prove'),
        ({"Type": "Not", "Condition": spot(Type="LessThan")}, "/Type", '"Not" does not prove'),
        ({"Type": "Not", "Condition": {"Type": "Not", "Condition": spot()}}, "/Type", '"Not" does not prove'),
        (spot(Type="LessThan"), "/RightValue", "only the accuracy in our own evaluation"),
        (spot(LeftValue=MINIMUM, RightValue=SCORE), "/LeftValue", "only the accuracy in our own evaluation"),
        (spot(Type="LessThanOrEqualTo", RightValue=SCORE, LeftValue=0.4), "/LeftValue", "0.4; at least 0.5"),
        (spot(RightValue=SCORE), "/RightValue", "; at least 0.5 is due here (min_accuracy_threshold)"),
        (spot(RightValue=0.49), "/RightValue", "0.49; at least 0.5 is due here (min_accuracy_threshold)"),
        (spot(RightValue=-1), "/RightValue", "-1; at least 0.5 is due here"),
        (spot(RightValue="0.9"), "/RightValue", '"0.9"; at least 0.5 is due here'),
        (spot(RightValue=True), "/RightValue", "true; at least 0.5 is due here"),
        (spot(RightValue={"Get": "Parameters.Backbone"}), "/RightValue", "Parameters.Backbone is"),
        (spot(RightValue={"Get": "Steps.TrainSpot.BillableTimeInSeconds"}), "/RightValue", "at least 0.5"),
        (spot(LeftValue=0.9), "/LeftValue", "write a Std:JsonGet of its PropertyFile here"),
        (spot(LeftValue={"Get": "Parameters.AccuracyThreshold"}), "/LeftValue", "write a Std:JsonGet"),
        (
            spot(LeftValue={"Get": "Steps.TrainSpot.FinalMetricDataList['validation:accuracy'].Value"}),
            "/LeftValue",
            "write a Std:JsonGet",
        ),
        ({"Type": "Or", "Conditions": [spot(), ALWAYS]}, "/Conditions/1/Type", '"Equals" does not prove'),
        (
            {"Type": "Or", "Conditions": [spot(), spot(RightValue=0.1)]},
            "/Conditions/1/RightValue",
            "0.1; at least 0.5",
        ),
        ({"Type": "Or", "Conditions": [ALWAYS, spot()]}, "/Conditions/0/Type", '"Equals" does not prove'),
        ({"Type": "Or", "Conditions": []}, "/Conditions", "no alternatives"),
        (
            {"Type": "Or", "Conditions": [spot(), {"Type": "Or", "Conditions": [ALWAYS]}]},
            "/Conditions/1/Conditions/0/Type",
            '"Equals" does not prove',
        ),
    ],
)
def test_any_other_condition_is_none_and_the_message_says_what_is_missing(
    given: Definition, place: str, said: str
) -> None:
    problems = guarded_by(given)
    told = said_at([each for each in problems if is_gate(each)], f"{CHECK}{place}")
    assert said in told


@pytest.mark.parametrize(
    "metric",
    [
        "multiclass_classification_metrics.top_5_accuracy.value",
        "multiclass_classification_metrics.accuracy.confidence_interval.upper",
        "multiclass_classification_metrics.accuracy",
        "multiclass_classification_metrics['accuracy'].value",
        "dataset.item_count",
        "version",
        "",
    ],
)
def test_no_other_number_of_the_evaluation_is_proof(metric: str) -> None:
    definition = shipped()
    condition(definition)["LeftValue"]["Std:JsonGet"]["Path"] = metric
    said = said_at(judge(definition), f"{CHECK}/LeftValue/Std:JsonGet/Path")
    assert f'is not the accuracy; write "{ACCURACY}"' in said


def test_the_threshold_is_the_value_that_the_execution_starts_with() -> None:
    definition = shipped()
    at = f"{CHECK}/RightValue"
    said = said_at(judge(definition, given={"AccuracyThreshold": 0.49}), at)
    assert "Parameters.AccuracyThreshold is 0.49; at least 0.5 is due here (min_accuracy_threshold)" in said
    assert judge(definition, given={"AccuracyThreshold": "0.5"}) == []
    (threshold,) = [each for each in definition["Parameters"] if each["Name"] == "AccuracyThreshold"]
    threshold["DefaultValue"] = 0.1
    assert "is 0.1; at least 0.5" in said_at(judge(definition), at)
    threshold["Type"], threshold["DefaultValue"] = "String", "0.9"
    assert "at least 0.5 is due here" in said_at(judge(definition), at)


def test_the_minimum_is_the_deployments() -> None:
    assert judge(shipped(), Policy(min_accuracy_threshold=0.7)) == []
    said = said_at(judge(shipped(), Policy(min_accuracy_threshold=0.71)), f"{CHECK}/RightValue")
    assert "Parameters.AccuracyThreshold is 0.7; at least 0.71 is due here" in said


def move_out(definition: Definition) -> list[Definition]:
    """Take RegisterSpot from behind its gate."""
    inner = arguments(definition, "CheckSpotAccuracy")
    steps: list[Definition] = inner["IfSteps"]
    inner["IfSteps"] = []
    return steps


def refused(definition: Definition, at: str) -> None:
    said = said_at(judge(definition), at)
    assert '"RegisterSpot" registers a model whatever its accuracy; put it into IfSteps' in said
    assert ACCURACY in said


def test_a_registration_outside_of_any_condition_is_refused() -> None:
    definition = shipped()
    definition["Steps"] += move_out(definition)
    refused(definition, f"/Steps/{len(definition['Steps']) - 1}")


def test_waiting_for_the_condition_is_not_being_behind_it() -> None:
    definition = shipped()
    definition["Steps"] += move_out(definition)
    definition["Steps"][-1]["DependsOn"] = ["CheckSpotAccuracy"]
    refused(definition, f"/Steps/{len(definition['Steps']) - 1}")


def test_a_registration_in_the_other_branch_is_refused() -> None:
    definition = shipped()
    arguments(definition, "CheckSpotAccuracy")["ElseSteps"] = move_out(definition)
    refused(definition, "/Steps/5/Arguments/ElseSteps/0")


def nested(
    name: str, steps: list[Definition], branch: str = "IfSteps", *conditions: Definition
) -> Definition:
    inner = {"Conditions": list(conditions) or [ALWAYS], "IfSteps": [], "ElseSteps": [], branch: steps}
    return {"Name": name, "Type": "Condition", "Arguments": inner}


def test_a_gate_further_out_counts_in_every_branch_inside() -> None:
    for branch in ("IfSteps", "ElseSteps"):
        definition = shipped()
        steps = move_out(definition)
        arguments(definition, "CheckSpotAccuracy")["IfSteps"] = [nested("Inner", steps, branch)]
        assert judge(definition) == []


def test_a_gate_further_in_counts() -> None:
    definition = shipped()
    steps = move_out(definition)
    definition["Steps"].append(nested("Outer", [nested("Inner", steps, "IfSteps", spot())], "ElseSteps"))
    assert judge(definition) == []


def test_a_gate_whose_other_branch_holds_the_registration_counts_at_no_depth() -> None:
    definition = shipped()
    steps = move_out(definition)
    arguments(definition, "CheckSpotAccuracy")["ElseSteps"] = [nested("Inner", steps)]
    problems = judge(definition)
    at = "/Steps/5/Arguments/ElseSteps/0/Arguments/Conditions/0/Type"
    assert '"Equals" does not prove' in said_at(problems, at)


def test_a_condition_beside_the_registration_is_no_gate() -> None:
    definition = shipped()
    steps = move_out(definition)
    arguments(definition, "CheckSpotAccuracy")["IfSteps"] = []
    definition["Steps"].append(nested("Beside", [*steps, nested("Gate", [], "IfSteps", spot())]))
    assert '"Equals" does not prove' in said_at(judge(definition), "/Steps/8/Arguments/Conditions/0/Type")


def test_every_registration_needs_its_own_proof() -> None:
    definition = shipped()
    other = copy.deepcopy(step(definition, "RegisterOnDemand")) | {"Name": "Another"}
    arguments(definition, "CheckSpotAccuracy")["IfSteps"].append(other)
    problems = judge(definition)
    at = pointer(definition, "EvaluateSpot", "ProcessingInputs", 0, "S3Input", "S3Uri")
    assert 'not the model of "TrainOnDemand", whose model "Another" registers' in said_at(problems, at)


def test_only_the_nearest_conditions_are_looked_at() -> None:
    assert guarded_by(*[ALWAYS] * 19, spot()) == []
    problems = guarded_by(*[ALWAYS] * 20, spot())
    assert any(is_gate(each) for each in problems)
    many = [{"Type": "Or", "Conditions": [ALWAYS] * 15}, {"Type": "Or", "Conditions": [ALWAYS] * 15}]
    problems = guarded_by(*many, spot())
    assert "only the nearest 20 conditions count as proof" in "\n".join(each.message for each in problems)


def test_the_gate_holds_without_the_closed_world_around_it() -> None:
    off = Policy(policy_off={"members": "tried out"})
    get = copy.deepcopy(SCORE)
    get["Std:JsonGet"]["S3Uri"] = "s3://another-bucket/evaluation.json"
    both = {**copy.deepcopy(SCORE), "Get": "Parameters.AccuracyThreshold"}
    file = copy.deepcopy(SCORE)
    file["Std:JsonGet"]["PropertyFile"]["S3Uri"] = "s3://another-bucket/evaluation.json"
    for operand in (get, both, file):
        definition = shipped()
        condition(definition)["LeftValue"] = operand
        said = said_at([each for each in judge(definition, off) if is_gate(each)], f"{CHECK}/LeftValue")
        assert "a Std:JsonGet has a PropertyFile and a Path, and nothing else" in said
    definition = shipped()
    condition(definition)["Condition"] = ALWAYS
    assert "says more than a comparison" in said_at(judge(definition, off), CHECK)
