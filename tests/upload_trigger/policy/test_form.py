"""What the policy cannot walk it refuses by itself, with a place and a reason, and nothing makes it raise."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.definitions.policy_cases import (
    DEFAULT,
    SHIPPED,
    Definition,
    arguments,
    judge,
    policy,
    said_at,
    shipped,
    step,
    values,
)
from upload_trigger.policy import worst_case_cost
from upload_trigger.settings import RULES

Change = Callable[[Definition], object]
EVERYTHING_OFF = policy(policy_off=dict.fromkeys(RULES, "so that the form alone is judged"))
DECLARED = len(SHIPPED["Parameters"])
INSTANCE_TYPE = [each["Name"] for each in SHIPPED["Parameters"]].index("TrainingInstanceType")
FAIL: Definition = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "stop"}}


def condition(name: str, *steps: Any) -> Definition:
    always = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    inner = {"Conditions": [always], "IfSteps": list(steps), "ElseSteps": []}
    return {"Name": name, "Type": "Condition", "Arguments": inner}


def nested(count: int) -> Definition:
    """Nest conditions, as Airflow's DummyCond30 does."""
    inner = dict(FAIL)
    for number in range(count):
        inner = condition(f"If{number}", inner)
    return inner


def again(name: str) -> Change:
    return lambda d: d["Steps"].append({**copy.deepcopy(FAIL), "Name": name})


UNWALKABLE: list[tuple[Change, str, str]] = [
    (lambda d: d.pop("Steps"), "/Steps", "must be a list of steps, not null"),
    (lambda d: d.update(Steps=None), "/Steps", "must be a list of steps, not null"),
    (lambda d: d.update(Steps={"0": d["Steps"][0]}), "/Steps", "must be a list of steps, not an object"),
    (lambda d: d.update(Steps={"Get": "Parameters.X"}), "/Steps", "not an expression"),
    (lambda d: d.update(Steps="all"), "/Steps", 'must be a list of steps, not "all"'),
    (lambda d: d["Steps"].append([FAIL]), "/Steps/8", "must be a step, which is an object, not a list"),
    (lambda d: d["Steps"].append(None), "/Steps/8", "must be a step"),
    (lambda d: d["Steps"].append("Preprocess"), "/Steps/8", "must be a step"),
    (lambda d: d["Steps"][0].pop("Name"), "/Steps/0/Name", "must be 1 to 64 of A-Z a-z 0-9 - _, not null"),
    (lambda d: d["Steps"][0].update(Name={}), "/Steps/0/Name", "not an object"),
    (lambda d: d["Steps"][0].update(Name={"Get": "Parameters.Backbone"}), "/Steps/0/Name", "an expression"),
    (lambda d: d["Steps"][0].update(Name="Pre process"), "/Steps/0/Name", 'not "Pre process"'),
    (lambda d: d["Steps"][0].update(Name="x" * 65), "/Steps/0/Name", "must be 1 to 64"),
    (again("Preprocess"), "/Steps/8/Name", "another step has this name; names must be unique"),
    (again("RegisterSpot"), "/Steps/8/Name", "another step has this name"),
    (again("PREPROCESS"), "/Steps/8/Name", "step Preprocess differs in case only"),
    (
        lambda d: arguments(d, "CheckSpotAccuracy")["IfSteps"].append({**FAIL, "Name": "RegisterOnDemand"}),
        "/Steps/6/Arguments/IfSteps/0/Name",
        "another step has this name",
    ),
    (lambda d: d["Steps"][0].pop("Arguments"), "/Steps/0/Arguments", "must be an object, not null"),
    (lambda d: d["Steps"][1].update(Arguments=[]), "/Steps/1/Arguments", "must be an object, not a list"),
    (lambda d: d["Steps"][1].update(Arguments={"Get": "x"}), "/Steps/1/Arguments", "not an expression"),
    (lambda d: d["Steps"][5].update(Arguments=None), "/Steps/5/Arguments", "must be an object"),
    (
        lambda d: arguments(d, "CheckSpotAccuracy").update(IfSteps={"0": FAIL}),
        "/Steps/5/Arguments/IfSteps",
        "must be a list of steps",
    ),
    (
        lambda d: arguments(d, "CheckSpotAccuracy").update(ElseSteps=None),
        "/Steps/5/Arguments/ElseSteps",
        "must be a list of steps",
    ),
    (
        lambda d: arguments(d, "CheckSpotAccuracy").update(Conditions={"Type": "Equals"}),
        "/Steps/5/Arguments/Conditions",
        "must be a list of conditions, not an object",
    ),
    (
        lambda d: arguments(d, "CheckAnyAccuracy")["Conditions"][0]["Condition"].update(Conditions="x"),
        "/Steps/7/Arguments/Conditions/0/Condition/Conditions",
        "must be a list of conditions",
    ),
    (lambda d: d.update(Parameters={}), "/Parameters", "must be a list, not an object"),
    (lambda d: d.update(Parameters="none"), "/Parameters", "must be a list"),
    (
        lambda d: d["Parameters"].append("X"),
        f"/Parameters/{DECLARED}",
        "must be an object with a Name and a Type",
    ),
    (
        lambda d: d["Parameters"].append({"Type": "String"}),
        f"/Parameters/{DECLARED}/Name",
        "must be 1 to 256",
    ),
    (
        lambda d: d["Parameters"].append({"Name": ["X"], "Type": "String"}),
        f"/Parameters/{DECLARED}/Name",
        "a list",
    ),
    (
        lambda d: d["Parameters"].append({"Name": "a.b", "Type": "String"}),
        f"/Parameters/{DECLARED}/Name",
        '"a.b"',
    ),
    (
        lambda d: d["Parameters"].append({"Name": "X", "Type": ["String"]}),
        f"/Parameters/{DECLARED}/Type",
        "a list",
    ),
    (
        lambda d: d["Parameters"].append({"Name": "X", "Type": "Text"}),
        f"/Parameters/{DECLARED}/Type",
        "must be String or",
    ),
    (
        lambda d: d["Parameters"].append({"Name": "X", "Type": "Integer", "DefaultValue": "many"}),
        f"/Parameters/{DECLARED}/DefaultValue",
        'must be of Type Integer, not "many"',
    ),
    (
        lambda d: d["Parameters"].append({"Name": "X", "Type": "String", "DefaultValue": {"Get": "y"}}),
        f"/Parameters/{DECLARED}/DefaultValue",
        "must be of Type String, not an expression",
    ),
    (
        # What the first of them says would be judged, and the other one would count.
        lambda d: d["Parameters"].insert(
            0, {"Name": "TrainingInstanceType", "Type": "String", "DefaultValue": "ml.p4d.24xlarge"}
        ),
        f"/Parameters/{INSTANCE_TYPE + 1}/Name",
        "TrainingInstanceType is declared more than once",
    ),
    (
        lambda d: d["Parameters"].extend({"Name": f"P{n}", "Type": "String"} for n in range(200)),
        "/Parameters",
        f"must be at most 200, not {DECLARED + 200}",
    ),
    (
        lambda d: arguments(d, "EvaluateSpot")["ProcessingInputs"].append(
            arguments(d, "EvaluateSpot")["ProcessingInputs"][0]
        ),
        "/Steps/3/Arguments/ProcessingInputs/3/InputName",
        "another entry has this InputName; each must be there once",
    ),
    (
        lambda d: arguments(d, "Preprocess")["ProcessingOutputConfig"]["Outputs"][3].update(
            OutputName="train"
        ),
        "/Steps/0/Arguments/IfSteps/0/Arguments/ProcessingOutputConfig/Outputs/3/OutputName",
        "another entry has this OutputName",
    ),
    (
        lambda d: arguments(d, "TrainSpot")["InputDataConfig"][1].update(ChannelName="train"),
        "/Steps/1/Arguments/InputDataConfig/1/ChannelName",
        "another entry has this ChannelName",
    ),
    (
        lambda d: arguments(d, "TrainSpot")["Tags"].append({"Key": "project", "Value": "another"}),
        "/Steps/1/Arguments/Tags/3/Key",
        "another entry has this Key",
    ),
    (
        lambda d: step(d, "EvaluateSpot")["PropertyFiles"].append(
            {"PropertyFileName": "EvaluationSpot", "OutputName": "evaluation", "FilePath": "other.json"}
        ),
        "/Steps/3/PropertyFiles/1/PropertyFileName",
        "another entry has this PropertyFileName",
    ),
    (lambda d: step(d, "TrainSpot").update(DependsOn="Preprocess"), "/Steps/1/DependsOn", "must be a list"),
    (lambda d: step(d, "TrainSpot").update(RetryPolicies={}), "/Steps/1/RetryPolicies", "must be a list"),
    (lambda d: step(d, "TrainSpot").update(PropertyFiles={}), "/Steps/1/PropertyFiles", "must be a list"),
    (lambda d: step(d, "TrainSpot").update(CacheConfig=[]), "/Steps/1/CacheConfig", "must be an object"),
    (
        lambda d: arguments(d, "TrainSpot").update(InputDataConfig={"0": {}}),
        "/Steps/1/Arguments/InputDataConfig",
        "must be a list, written out, not an object",
    ),
    (
        lambda d: arguments(d, "TrainSpot")["InputDataConfig"].append("train"),
        "/Steps/1/Arguments/InputDataConfig/2",
        "must be an object, written out",
    ),
    (
        lambda d: arguments(d, "TrainSpot").update(ResourceConfig={"Get": "Steps.X.ResourceConfig"}),
        "/Steps/1/Arguments/ResourceConfig",
        "not an expression",
    ),
    (lambda d: d.update(Metadata=[]), "/Metadata", "must be an object"),
    (lambda d: d.update(PipelineExperimentConfig="x"), "/PipelineExperimentConfig", "must be an object"),
    (
        lambda d: step(d, "TrainSpot").update(
            Surprise={"Name": "Hidden", "Type": "Training", "Arguments": {}}
        ),
        "/Steps/1/Surprise",
        'a "Training" step in a place where nobody judges it',
    ),
    (
        lambda d: arguments(d, "TrainSpot").update(IfSteps=[{**FAIL, "Name": "Hidden"}]),
        "/Steps/1/Arguments/IfSteps/0",
        'a "Fail" step in a place where nobody judges it',
    ),
    (
        lambda d: d.update(FurtherSteps=[{"Name": "Hidden", "Type": "Lambda", "FunctionArn": "arn"}]),
        "/FurtherSteps/0",
        'a "Lambda" step in a place where nobody judges it',
    ),
    (lambda d: d["Steps"].append(nested(90)), "", "nested deeper than 256 levels"),
    (
        lambda d: d["Steps"].extend({**FAIL, "Name": f"S{n}"} for n in range(1000)),
        "/Steps/995",
        "more than 1,000 steps",
    ),
]


@pytest.mark.parametrize(("change", "at", "said"), UNWALKABLE, ids=range(len(UNWALKABLE)))
def test_what_cannot_be_walked_is_refused_where_it_is_whatever_is_off(
    change: Change, at: str, said: str
) -> None:
    for limits in (DEFAULT, EVERYTHING_OFF):
        definition = shipped()
        change(definition)
        told = said_at(judge(definition, limits), at)
        assert said in told
        assert "[rule form]" in told


def test_no_parameters_are_as_good_as_an_empty_list() -> None:
    """Whether SageMaker takes null is its own matter."""
    assert judge({"Version": "2020-12-01", "Parameters": None, "Steps": [FAIL]}) == []
    assert judge({"Version": "2020-12-01", "Parameters": [], "Steps": [FAIL]}) == []
    assert judge({"Version": "2020-12-01", "Steps": [FAIL]}) == []


@pytest.mark.parametrize("kind", [["Training"], {"Get": "Parameters.X"}, {}, None, True, 7, "", "training"])
def test_a_type_of_step_that_is_none_is_refused(kind: Any) -> None:
    definition = shipped()
    definition["Steps"][1]["Type"] = kind
    assert said_at(judge(definition), "/Steps/1/Type").endswith("[rule step_types]")


def test_conditions_may_nest_as_deep_as_real_ones_do() -> None:
    definition = shipped()
    definition["Steps"].append(nested(31))
    assert judge(definition) == []
    inner: Definition = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    for _ in range(60):
        inner = {"Type": "Not", "Condition": {"Type": "Or", "Conditions": [inner]}}
    definition["Steps"][-1]["Arguments"]["Conditions"] = [inner]
    assert judge(definition) == []
    inner["Condition"]["Conditions"][0]["Surprise"] = 1
    at = "/Steps/8/Arguments/Conditions/0/Condition/Conditions/0/Surprise"
    assert said_at(judge(definition), at).endswith("[rule members]")


def test_joins_nest_as_deep_as_a_definition_may() -> None:
    definition = shipped()
    joined: Any = "x"
    for _ in range(80):
        joined = {"Std:Join": {"On": "", "Values": [joined]}}
    arguments(definition, "TrainSpot")["HyperParameters"]["backbone"] = joined
    assert judge(definition) == []


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats()
texts = st.text(max_size=20) | st.sampled_from(
    [
        "Get",
        "Std:Join",
        "Type",
        "Name",
        "Arguments",
        "Steps",
        "Training",
        "Condition",
        "s3://x/y",
        "Preprocess",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | st.builds(lambda one: {"Get": one}, inner)
        | st.builds(lambda one: {"Std:Join": {"On": "", "Values": one}}, inner)
    ),
    max_leaves=12,
)
# How long an example takes says more of the machine than of the code.
unhurried = settings(deadline=None, derandomize=True, database=None, max_examples=150)


@unhurried
@given(st.dictionaries(texts, anything, max_size=5))
@example({"Steps": [{"Name": {}, "Type": [], "Arguments": None}], "Parameters": [None, [], {"Name": []}]})
@example({"Steps": [{"Name": "A", "Type": "Training", "Arguments": {"Tags": [{"Key": []}, {"Key": {}}]}}]})
def test_no_object_makes_it_raise_and_none_may_start(document: dict[str, Any]) -> None:
    assert judge(document)
    assert worst_case_cost(document, values(document), DEFAULT) in (None, 0)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List every place of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


PLACES = [place for place in places(SHIPPED) if place]


def unjudged(place: tuple[Any, ...]) -> bool:
    """Return whether anything of a kind may stand somewhere: texts for people, values and their defaults."""
    words = {"Description", "DisplayName", "ErrorMessage", "DefaultValue", "EnumValues", "HyperParameters"}
    lists = {"ContainerArguments", "Conditions", "CustomerMetadataProperties", "Tags", "MetricDefinitions"}
    return bool(words.union(lists).intersection(place)) or "Supported" in "".join(map(str, place))


@pytest.mark.slow
@unhurried
@given(st.data())
def test_anything_anywhere_in_the_shipped_definition_is_judged_without_an_accident(
    data: st.DataObject,
) -> None:
    definition = shipped()
    *members, last = data.draw(st.sampled_from(PLACES))
    target: Any = definition
    for member in members:
        target = target[member]
    new = data.draw(anything)
    changed = json.dumps(target[last]) != json.dumps(new)
    target[last] = new
    problems = judge(definition)
    worst_case_cost(definition, values(definition), DEFAULT)
    assert all(each.message for each in problems)
    # Where a container or a limited value stood, a container of another kind may not.
    if changed and isinstance(new, dict | list) and new and not unjudged((*members, last)):
        assert problems, (members, last, new)


def test_numbers_that_are_none_bound_nothing() -> None:
    for number in (math.nan, math.inf, -math.inf):
        definition = shipped()
        arguments(definition, "TrainSpot")["ResourceConfig"]["InstanceCount"] = number
        assert {"instance_counts", "cost"} <= {
            each.message.rpartition("[rule ")[2].rstrip("]") for each in judge(definition)
        }
