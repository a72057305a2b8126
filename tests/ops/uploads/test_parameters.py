"""Parameters of an upload are typed and checked as the definition declares them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.errors import CannotUploadError
from ops.uploads.parameters import with_defaults

DEFINITION: dict[str, Any] = {
    "Parameters": [
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 20},
        {"Name": "AccuracyThreshold", "Type": "Float", "DefaultValue": 0.7},
        {"Name": "Shuffle", "Type": "Boolean", "DefaultValue": True},
        {"Name": "ClassSelection", "Type": "String", "DefaultValue": "13, 17"},
        {"Name": "ModelApprovalStatus", "Type": "String", "EnumValues": ["Approved", "Rejected"]},
        {"Name": "ExecutionRoleArn", "Type": "String"},
    ],
    "Steps": [],
}


def default(name: str, text: str) -> Any:
    changed = with_defaults(DEFINITION, {name: text})
    return next(entry["DefaultValue"] for entry in changed["Parameters"] if entry["Name"] == name)


@given(st.integers(-(10**17), 10**17))
def test_every_integer_written_down_becomes_that_integer(value: int) -> None:
    result = default("Epochs", str(value))
    assert type(result) is int
    assert result == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_written_down_becomes_that_float(value: float) -> None:
    result = default("AccuracyThreshold", repr(value))
    assert type(result) is float
    assert result == value


def test_an_empty_text_is_refused_as_sagemaker_refuses_it() -> None:
    with pytest.raises(
        CannotUploadError, match="ClassSelection= is empty, and SageMaker takes no empty value"
    ):
        with_defaults(DEFINITION, {"ClassSelection": ""})


def test_a_number_may_have_spaces_around_it_of_any_kind() -> None:
    assert default("Epochs", " 7\x1f") == 7


@given(st.text(min_size=1, max_size=1024).filter(str.isprintable))
def test_every_printable_text_is_kept_as_it_is(value: str) -> None:
    assert default("ClassSelection", value) == value


@given(st.sampled_from(["Epochs", "AccuracyThreshold", "Shuffle", "ClassSelection"]), st.text(max_size=20))
def test_a_value_is_typed_or_refused_and_the_result_is_always_portable_json(name: str, text: str) -> None:
    try:
        changed = with_defaults(DEFINITION, {name: text})
    except CannotUploadError as error:
        assert name in error.message  # noqa: PT017 - either outcome is right, the message matters
    else:
        assert json.loads(json.dumps(changed, allow_nan=False)) == changed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Epochs", "3.0"),
        ("Epochs", ""),
        ("Epochs", "9" * 400),
        ("AccuracyThreshold", "nan"),
        ("AccuracyThreshold", "1e999"),
        ("Shuffle", "yes"),
        ("ClassSelection", "1" * 1025),
    ],
)
def test_a_value_of_another_type_is_refused_by_name_and_type(name: str, text: str) -> None:
    with pytest.raises(CannotUploadError, match=f"{name}=.*is not an? (Integer|Float|Boolean|String)"):
        with_defaults(DEFINITION, {name: text})


def test_an_unknown_name_is_refused_with_the_nearest_one_or_the_list() -> None:
    with pytest.raises(
        CannotUploadError, match=r"no parameter Epoch in the definition; did you mean Epochs\?"
    ):
        with_defaults(DEFINITION, {"Epoch": "3"})
    with pytest.raises(
        CannotUploadError, match=r"no parameter Momentum .*; legal: Epochs, AccuracyThreshold, "
    ):
        with_defaults(DEFINITION, {"Momentum": "3"})


def test_a_value_outside_the_enumeration_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(CannotUploadError, match=r"must be one of its EnumValues; did you mean Approved\?"):
        with_defaults(DEFINITION, {"ModelApprovalStatus": "approved"})


def test_a_parameter_of_the_deployment_is_refused() -> None:
    with pytest.raises(CannotUploadError, match="ExecutionRoleArn is set by the deployment"):
        with_defaults(DEFINITION, {"ExecutionRoleArn": "arn:aws:iam::1:role/other"})


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(CannotUploadError, match=r"Epochs.*; no parameter Nothing"):
        with_defaults(DEFINITION, {"Epochs": "x", "Nothing": "1"})


def test_the_definition_given_is_left_alone() -> None:
    before = json.dumps(DEFINITION)
    assert default("AccuracyThreshold", "1.01") == pytest.approx(1.01)
    assert math.isclose(DEFINITION["Parameters"][1]["DefaultValue"], 0.7)
    assert json.dumps(DEFINITION) == before
