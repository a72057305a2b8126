"""Conditions and expressions have the values that SageMaker gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from local.engine.conditions import all_hold, holds
from local.engine.definition import ParameterValue, read
from local.engine.expressions import ExpressionError, ExpressionScope, dig
from tests.support.engine.fakes import EngineS3, variables
from tests.support.engine.pipelines import accuracy, compare, get, pipeline, processing

NOW = datetime(2031, 1, 1, tzinfo=UTC)


def plain(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("kind", "less", "same", "more"),
    [
        ("Equals", False, True, False),
        ("GreaterThan", False, False, True),
        ("GreaterThanOrEqualTo", False, True, True),
        ("LessThan", True, False, False),
        ("LessThanOrEqualTo", True, True, False),
    ],
)
def test_comparisons_follow_their_truth_table(kind: str, less: bool, same: bool, more: bool) -> None:
    assert [holds(compare(kind, left, 2), plain) for left in (1, 2.0, 3.5)] == [less, same, more]
    assert [holds(compare(kind, left, "b"), plain) for left in "abc"] == [less, same, more]


def test_in_not_and_or_follow_their_truth_tables() -> None:
    yes, no = compare("Equals", 1, 1), compare("Equals", 1, 2)

    assert holds({"Type": "In", "QueryValue": "b", "Values": ["a", "b"]}, plain)
    assert not holds({"Type": "In", "QueryValue": "c", "Values": ["a", "b"]}, plain)
    assert not holds({"Type": "Not", "Condition": yes}, plain)
    assert holds({"Type": "Not", "Condition": no}, plain)
    for sides, outcome in (([yes, yes], True), ([yes, no], True), ([no, yes], True), ([no, no], False)):
        assert holds({"Type": "Or", "Conditions": sides}, plain) is outcome


def test_a_list_of_conditions_is_and() -> None:
    yes, no = compare("Equals", 1, 1), compare("Equals", 1, 2)

    assert all_hold([yes, yes], plain)
    assert not all_hold([yes, no], plain)


def test_numbers_booleans_and_strings_are_not_each_other() -> None:
    assert not holds(compare("Equals", True, 1), plain)
    assert not holds(compare("Equals", "1", 1), plain)
    assert holds(compare("Equals", 1, 1.0), plain)


@pytest.mark.parametrize(("left", "right"), [("0.9", 0.7), (None, 1), (True, 0)])
def test_sides_that_have_no_order_are_an_error_with_both_values(left: Any, right: Any) -> None:
    with pytest.raises(ExpressionError) as caught:
        holds(compare("GreaterThan", left, right), plain)
    assert repr(left) in str(caught.value)
    assert repr(right) in str(caught.value)


def scope(s3: EngineS3 | None = None) -> ExpressionScope:
    file = {"PropertyFileName": "EvaluationSpot", "OutputName": "out", "FilePath": "evaluation.json"}
    document = pipeline(processing("EvaluateSpot", PropertyFiles=[file]))
    parameters: dict[str, ParameterValue] = {"Rate": 0.0001, "Fast": True, "Epochs": 3, "Name": "x"}
    made = ExpressionScope(read(document), parameters, variables(), s3 or EngineS3(), lambda: NOW)
    outputs = [{"OutputName": "out", "S3Output": {"S3Uri": "s3://bucket/e/out"}}]
    inputs = [{"InputName": "data", "S3Input": {"S3Uri": "s3://bucket/in"}}]
    config = {"Outputs": outputs}
    made.record("EvaluateSpot", {"ProcessingOutputConfig": config, "ProcessingInputs": inputs})
    return made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (get("Parameters.Epochs"), 3),
        (get("Execution.PipelineName"), "cv-birds"),
        (get("Execution.StartDateTime"), "2030-01-02T03:04:05+00:00"),
        (get("Execution.CurrentDateTime"), "2031-01-01T00:00:00+00:00"),
        (get("Steps.EvaluateSpot.ProcessingInputs['data'].S3Input.S3Uri"), "s3://bucket/in"),
        (get("Steps.EvaluateSpot.ProcessingInputs[0].InputName"), "data"),
        (
            {"Std:Join": {"On": "-", "Values": [get("Parameters.Name"), 1, get("Parameters.Rate")]}},
            "x-1-0.0001",
        ),
        ({"Std:Join": {"On": "", "Values": [get("Parameters.Fast")]}}, "true"),
        ({"a": [get("Parameters.Epochs"), {"b": "c"}]}, {"a": [3, {"b": "c"}]}),
    ],
)
def test_expressions_have_these_values(expression: Any, value: Any) -> None:
    assert scope().value(expression) == value


def test_a_property_file_is_read_from_where_the_job_wrote_it() -> None:
    s3 = EngineS3()
    s3.put(
        "s3://bucket/e/out/evaluation.json",
        {"multiclass_classification_metrics": {"accuracy": {"value": 0.8}}},
    )

    assert scope(s3).value(accuracy("Spot")) == 0.8


def test_a_json_file_is_read_by_its_uri() -> None:
    s3 = EngineS3()
    s3.put("s3://bucket/e/out/x.json", {"a": [{"b c": 5}]})
    uri = get("Steps.EvaluateSpot.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri")
    joined = {"Std:Join": {"On": "/", "Values": [uri, "x.json"]}}

    assert scope(s3).value({"Std:JsonGet": {"S3Uri": joined, "Path": "$.a[0]['b c']"}}) == 5


def test_a_property_file_that_is_not_there_is_named_with_its_uri_and_the_services_error() -> None:
    with pytest.raises(ExpressionError) as caught:
        scope().value(accuracy("Spot"))
    said = str(caught.value)
    assert "property file EvaluationSpot of step EvaluateSpot" in said
    assert "s3://bucket/e/out/evaluation.json" in said
    assert "NoSuchKey" in said


def test_a_path_that_is_not_in_the_property_file_names_the_nearest_member() -> None:
    s3 = EngineS3()
    s3.put("s3://bucket/e/out/evaluation.json", {"multiclass_classification_metric": {}})
    with pytest.raises(ExpressionError) as caught:
        scope(s3).value(accuracy("Spot"))
    assert "did you mean multiclass_classification_metric?" in str(caught.value)


@pytest.mark.parametrize("path", ["a..b", "[x]", "a[", "a b"])
def test_what_is_no_path_is_said_to_be_none(path: str) -> None:
    with pytest.raises(ExpressionError, match="is not a path"):
        dig({"a": 1}, path, "x")


def test_an_index_beyond_the_end_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="has 1 items, none at"):
        dig({"a": [1]}, ".a[1]", "x")


def test_a_jobs_own_name_exists_only_in_its_arguments() -> None:
    assert scope().value(get("Execution.TrainingJobName"), "job-1") == "job-1"
    with pytest.raises(ExpressionError):
        scope().value(get("Execution.TrainingJobName"))
