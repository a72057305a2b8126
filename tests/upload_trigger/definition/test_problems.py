"""How a fault is told: its JSON pointer, the value in one short line, the nearest legal names."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_definition.checks.service_model import bundled_model
from upload_trigger.definition.problems import Problem, did_you_mean, is_slip, problem, show, walk

LEGAL = ("Training", "Processing", "Condition", "AutoML", "Fail", "EMR")
documents = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def test_a_pointer_is_written_as_rfc_6901_has_it() -> None:
    assert problem((), "m") == Problem("", "m")
    assert problem(("a/b", "~1", 0, ""), "m").pointer == "/a~1b/~01/0/"
    assert problem(("k" * 200,), "m").pointer == "/" + "k" * 128
    assert str(problem(("a",), "m")) == "/a: m"
    assert str(problem((), "m")) == "the document: m"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": 1}, "an object"),
        ([1], "a list"),
        ("a", '"a"'),
        ("\u00e9\n", '"\\u00e9\\n"'),
        (True, "true"),
        (None, "null"),
        (0.5, "0.5"),
        ("a" * 78, '"' + "a" * 78 + '"'),
        ("a" * 79, '"' + "a" * 79 + "..."),
        ("\0" * 10_000, '"' + "\\u0000" * 13 + "\\..."),
    ],
)
def test_a_value_is_shown_on_one_short_line(value: Any, shown: str) -> None:
    assert show(value) == shown


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Trainig", "; did you mean Training?"),
        ("training", "; did you mean Training?"),
        ("Condtion", "; did you mean Condition?"),
        ("Process", "; did you mean Processing?"),
        ("TrainingStep", "; did you mean Training?"),
        ("emr", "; did you mean EMR?"),
        ("EM", "; did you mean EMR?"),
        ("E", "; legal: Training, Processing, Condition, AutoML, Fail, EMR"),
        ("Quantum", "; legal: Training, Processing, Condition, AutoML, Fail, EMR"),
        ("x" * 10_000, "; legal: Training, Processing, Condition, AutoML, Fail, EMR"),
    ],
)
def test_the_nearest_legal_name_is_named(name: str, hint: str) -> None:
    assert did_you_mean(name, LEGAL) == hint


@pytest.mark.parametrize(
    ("name", "shape", "meant"),
    [
        ("ProcessingOutputs", "CreateProcessingJobRequest", "ProcessingOutputConfig"),
        ("ProcessingOutput", "CreateProcessingJobRequest", "ProcessingOutputConfig"),
        ("Outputs", "CreateProcessingJobRequest", "ProcessingOutputConfig"),
        ("ProcessingInputConfig", "CreateProcessingJobRequest", "ProcessingInputs"),
        ("InputDataConfig", "CreateProcessingJobRequest", "ProcessingInputs"),
        ("ResourceConfig", "CreateProcessingJobRequest", "ProcessingResources"),
        ("Environments", "CreateProcessingJobRequest", "Environment"),
        ("EntryPoint", "AppSpecification", "ContainerEntrypoint"),
        ("Arguments", "AppSpecification", "ContainerArguments"),
        ("ImageURI", "AppSpecification", "ImageUri"),
        ("OutputConfig", "CreateTrainingJobRequest", "OutputDataConfig"),
        ("Inputs", "CreateTrainingJobRequest", "InputDataConfig"),
        ("Hyperparameters", "CreateTrainingJobRequest", "HyperParameters"),
        ("EnableSpotTraining", "CreateTrainingJobRequest", "EnableManagedSpotTraining"),
        ("MaxWaitTime", "StoppingCondition", "MaxWaitTimeInSeconds"),
        ("VolumeSize", "ResourceConfig", "VolumeSizeInGB"),
        ("Count", "ResourceConfig", "InstanceCount"),
        ("Mode", "ProcessingS3Input", "S3InputMode"),
    ],
)
def test_of_sagemaker_s_members_the_one_that_is_meant_is_named(name: str, shape: str, meant: str) -> None:
    members = bundled_model().shape_for(shape).members
    assert did_you_mean(name, members) == f"; did you mean {meant}?"


def test_of_many_names_two_near_ones_or_a_dozen_are_named() -> None:
    assert did_you_mean("Step", ["Steps", "Stop", "Stem", "Other"]) == "; did you mean Steps or Stop?"
    many = [f"n{number}" for number in range(20)]
    assert did_you_mean("other", many) == f"; legal: {', '.join(many[:12])}, ..."
    assert did_you_mean("a", []) == "; none is declared"


@pytest.mark.parametrize(
    ("name", "slip"),
    [
        ("Trainig", True),
        ("Trainnig", True),
        ("TRAINING", True),
        ("Fale", True),
        ("AutoMl", True),
        ("AutoML2", True),
        ("AutoMLV2", False),
        ("Tuning", False),
        ("Trng", False),
        ("EMRServerless", False),
        ("Em", False),
        ("F" * 200, False),
    ],
)
def test_a_slip_of_the_pen_is_told_from_a_name_that_may_be_newer(name: str, slip: bool) -> None:
    assert is_slip(name, list(LEGAL)) == slip


def all_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    """Do what `walk` does, as it is said and not as it is quick."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(each for key, child in inner for each in all_of(child, (*path, key)))]


@pytest.mark.slow
@settings(deadline=None, derandomize=True, database=None)
@given(documents)
def test_a_walk_comes_by_everything_in_its_order_or_by_all_objects_that_hold_something(document: Any) -> None:
    everything = all_of(document)
    assert list(walk(document)) == everything
    filled = [(path, each) for path, each in everything if isinstance(each, dict) and (each or not path)]
    assert list(walk(document, objects_only=True)) == filled


def test_a_walk_leaves_out_what_it_is_told_to() -> None:
    document = {"a": [{"b": 1}, {"c": 2}], "d": {"e": 3}}
    skip = frozenset({("x", "a", 0), ("x", "d")})
    found = [path for path, _ in walk(document, ("x",), skip)]
    assert found == [("x",), ("x", "a"), ("x", "a", 1), ("x", "a", 1, "c")]


def test_no_depth_is_too_deep_for_a_walk() -> None:
    deep: Any = {}
    for _ in range(2_000):
        deep = {"a": [deep]}
    assert sum(1 for _ in walk(deep)) == 4_001
    assert sum(1 for _ in walk(deep, objects_only=True)) == 2_000
    assert json.dumps(show(deep)) == '"an object"'
