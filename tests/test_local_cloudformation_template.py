"""A CloudFormation template as a document: its functions, its order, and what read back differs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.aws.cloudformation_resource import differences
from local.aws.cloudformation_template import (
    Made,
    Scope,
    TemplateError,
    creation_order,
    references,
    resolve_parameters,
)

SCOPE = Scope(
    {
        "Mappings": {"M": {"a": {"b": "mapped"}}},
        "Conditions": {"Yes": {"Fn::Not": [{"Fn::Equals": ["a", "b"]}]}},
    },
    {"P": "value", "L": ["x", "y"], "AWS::Region": "us-east-1"},
    {"R": Made("physical", {"Arn": "arn:r"})},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "P"}, "value"),
        ({"Ref": "R"}, "physical"),
        ({"Fn::GetAtt": ["R", "Arn"]}, "arn:r"),
        ({"Fn::GetAtt": "R.Arn"}, "arn:r"),
        ({"Fn::Sub": "${P}/${R}/${R.Arn}/${AWS::Region}/${!kept}"}, "value/physical/arn:r/us-east-1/${kept}"),
        ({"Fn::Sub": ["${A}-${P}", {"A": {"Ref": "R"}}]}, "physical-value"),
        ({"Fn::Join": ["-", ["a", {"Ref": "P"}, 1, True]]}, "a-value-1-true"),
        ({"Fn::Select": ["1", {"Ref": "L"}]}, "y"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::If": ["Yes", 1, 2]}, 1),
        ({"a": {"Fn::If": ["Yes", {"Ref": "AWS::NoValue"}, 2]}, "b": 1}, {"b": 1}),
        ({"Fn::FindInMap": ["M", "a", "b"]}, "mapped"),
        ({"Fn::Base64": "a"}, "YQ=="),
        ({"Fn::ToJsonString": {"a": {"Ref": "P"}}}, '{"a":"value"}'),
    ],
)
def test_intrinsic_functions_resolve(expression: Any, value: Any) -> None:
    assert SCOPE.resolve(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        {"Ref": "Missing"},
        {"Fn::GetAtt": ["R", "Missing"]},
        {"Fn::Sub": "${Missing}"},
        {"Fn::Transform": {}},
        {"Fn::Select": [5, ["a"]]},
        {"Fn::FindInMap": ["M", "a", "missing"]},
        {"Fn::If": ["Missing", 1, 2]},
    ],
)
def test_what_cannot_be_resolved_is_an_error_and_never_left_out(expression: Any) -> None:
    with pytest.raises(TemplateError):
        SCOPE.resolve(expression)


def test_resources_come_after_what_they_refer_to_and_a_circle_is_refused() -> None:
    resources = {
        "C": {"Properties": {"x": {"Fn::Sub": "${B.Arn}-${AWS::Region}"}}},
        "B": {"Properties": {"x": [{"Ref": "A"}]}},
        "A": {"DependsOn": ["D"]},
        "D": {},
    }
    assert creation_order(resources) == ["D", "A", "B", "C"]
    with pytest.raises(TemplateError, match="Circular dependency"):
        creation_order({**resources, "D": {"DependsOn": "C"}})


def test_references_in_a_substitution_with_its_own_variables_are_not_resources() -> None:
    assert set(references({"Fn::Sub": ["${A}${B}", {"A": {"Ref": "C"}}]})) == {"B", "C"}


def test_parameters_are_checked() -> None:
    declared = {
        "Parameters": {
            "N": {"Type": "Number"},
            "E": {"Type": "String", "AllowedValues": ["a"], "Default": "a"},
        }
    }
    assert resolve_parameters(declared, {"N": "3"}, str) == {"N": 3, "E": "a"}
    for wrong in ({}, {"N": "x"}, {"N": "1", "E": "b"}, {"N": "1", "Unknown": "1"}):
        with pytest.raises(TemplateError):
            resolve_parameters(declared, wrong, str)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_held_as_asked_has_no_differences(value: Any) -> None:
    assert differences({"a": value}, {"a": value, "more": 1}) == []


def test_differences_name_the_place() -> None:
    asked = {"A": {"B": [{"c": 1}, {"c": 2}]}, "N": None}
    assert differences(asked, {"A": {"B": [{"c": "2"}, {"c": 1.0}]}}) == []
    (line,) = differences(asked, {"A": {"B": [{"c": 1}]}})
    assert line.startswith("A.B: asked for")
    (line,) = differences(asked, {"A": asked["A"], "N": "something"})
    assert line.startswith("N: asked for null")
