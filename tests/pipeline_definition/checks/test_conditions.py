"""The conditions of a Condition step: what each type compares, at any depth."""

from typing import Any

import pytest

from tests.support.definitions.small import (
    CONDITION,
    condition,
    problems,
    small,
    step,
    the_problem,
    the_warning,
)
from upload_trigger.definition.walk import CONDITION_TYPES

AT = "/Steps/0/Arguments/Conditions"
TWO_SIDES = [name for name in CONDITION_TYPES if name not in ("In", "Not", "Or")]
SOUND: dict[str, dict[str, Any]] = {
    **{
        name: {"Type": name, "LeftValue": {"Get": "Execution.PipelineName"}, "RightValue": 1}
        for name in TWO_SIDES
    },
    "In": {"Type": "In", "QueryValue": "a", "Values": ["a", 1, 0.5, True, {"Get": "Execution.PipelineName"}]},
    "Not": {"Type": "Not", "Condition": CONDITION},
    "Or": {"Type": "Or", "Conditions": [CONDITION, CONDITION]},
}


def conditional(*conditions: Any) -> dict[str, Any]:
    return small(condition(*conditions, IfSteps=[step("A")], ElseSteps=[]))


@pytest.mark.parametrize("name", CONDITION_TYPES)
def test_every_type_of_condition_is_known(name: str) -> None:
    assert problems(conditional(SOUND[name])) == []


@pytest.mark.parametrize("name", CONDITION_TYPES)
def test_a_condition_needs_all_that_it_compares(name: str) -> None:
    for member in SOUND[name]:
        lacking = {key: value for key, value in SOUND[name].items() if key != member}
        pointer, said = the_problem(conditional(lacking))
        assert pointer == f"{AT}/0/{member}"
        assert member == "Type" or said == f"missing or empty: a condition of type {name} needs it"


@pytest.mark.parametrize("name", CONDITION_TYPES)
def test_what_a_type_of_condition_does_not_have_is_a_warning(name: str) -> None:
    pointer, said = the_warning(conditional(SOUND[name] | {"Comment": 1}))
    assert pointer == f"{AT}/0/Comment"
    assert said.startswith(f"no member of a condition of type {name} that is known here")


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"Get": "Execution.PipelineName", "Std:Join": {}}])
def test_what_cannot_be_compared_is_refused_where_it_stands(value: Any) -> None:
    found = problems(conditional(CONDITION | {"LeftValue": value}))
    assert {pointer for pointer, _ in found} <= {f"{AT}/0/LeftValue", f"{AT}/0/LeftValue/Std:Join"}
    assert f"{AT}/0/LeftValue" in [pointer for pointer, _ in found]


def test_each_of_several_values_is_compared() -> None:
    pointer, said = the_problem(conditional({"Type": "In", "QueryValue": "a", "Values": ["a", None]}))
    assert pointer == f"{AT}/0/Values/1"
    assert said.startswith("null cannot be compared; write a text, a number, true, false or a Get")


@pytest.mark.parametrize("values", ["a", {"Get": "Parameters.List"}, 1])
def test_the_values_of_in_are_a_list(values: Any) -> None:
    found = dict(problems(conditional({"Type": "In", "QueryValue": "a", "Values": values})))
    assert found[f"{AT}/0/Values"].startswith("must be a list, not ")


@pytest.mark.parametrize(
    "empty", [{"Type": "Or", "Conditions": []}, {"Type": "In", "QueryValue": 1, "Values": []}]
)
def test_an_empty_list_is_as_good_as_none(empty: Any) -> None:
    assert the_problem(conditional(empty))[1].startswith("missing or empty")


@pytest.mark.parametrize("conditions", [None, [], {}, "Equals"])
def test_a_condition_step_needs_a_condition(conditions: Any) -> None:
    definition = small(step(Type="Condition", Arguments={"Conditions": conditions, "IfSteps": []}))
    assert the_problem(definition) == (AT, "must be a list of at least one condition")


@pytest.mark.parametrize("value", [None, "Equals", 1, [CONDITION]])
def test_a_condition_is_an_object(value: Any) -> None:
    pointer, said = the_problem(conditional(CONDITION, value))
    assert pointer == f"{AT}/1"
    assert said.startswith('a condition is an object with a "Type", not')


@pytest.mark.parametrize(
    ("name", "meant"), [("Equal", "Equals"), ("GreaterThen", "GreaterThan"), ("not", "Not")]
)
def test_a_type_with_a_slip_of_the_pen_is_refused_with_the_one_meant(name: str, meant: str) -> None:
    pointer, said = the_problem(conditional(CONDITION | {"Type": name}))
    assert pointer == f"{AT}/0/Type"
    assert f"did you mean {meant}" in said


def test_a_type_that_may_be_newer_is_a_warning() -> None:
    pointer, said = the_warning(conditional({"Type": "MatchesPattern", "Pattern": "a*"}))
    assert pointer == f"{AT}/0/Type"
    assert said.startswith('no type of a condition that is known here: "MatchesPattern"')


def test_conditions_inside_conditions_are_judged_at_any_depth_and_all_at_once() -> None:
    inner: dict[str, Any] = {"Type": "Equals", "LeftValue": 1}
    for _ in range(3):
        inner = {"Type": "Not", "Condition": {"Type": "Or", "Conditions": [{"Type": "Equal"}, inner]}}
    assert [pointer for pointer, _ in problems(conditional(inner, {"Type": "In", "Values": [1]}))] == [
        f"{AT}/0/Condition/Conditions/0/Type",
        f"{AT}/0/Condition/Conditions/1/Condition/Conditions/0/Type",
        f"{AT}/0/Condition/Conditions/1/Condition/Conditions/1/Condition/Conditions/0/Type",
        f"{AT}/0/Condition/Conditions/1/Condition/Conditions/1/Condition/Conditions/1/RightValue",
        f"{AT}/1/QueryValue",
    ]


@pytest.mark.parametrize("branch", ["IfSteps", "ElseSteps"])
def test_a_branch_is_a_list_of_steps(branch: str) -> None:
    assert (
        the_problem(small(condition(CONDITION, **{branch: step("A")})))[0] == f"/Steps/0/Arguments/{branch}"
    )
    found = the_problem(small(condition(CONDITION, **{branch: ["A"]})))
    assert found == (f"/Steps/0/Arguments/{branch}/0", 'must be an object (a step), not "A"')


def test_what_a_condition_step_does_not_have_is_a_warning() -> None:
    assert the_warning(small(condition(CONDITION, OtherSteps=[])))[0] == "/Steps/0/Arguments/OtherSteps"
