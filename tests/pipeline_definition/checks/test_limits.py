"""Every limit of a definition: what is exactly at it passes, and what is one past it is refused at its place.

Where botocore's service model states a limit, it is taken from there, so that a change of it shows.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from local.engine.definition import parse
from ops.uploads.parameters import with_defaults
from pipeline_definition.checks import options, patterns, structure
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.small import (
    condition,
    for_each,
    parameter,
    problems,
    processing,
    referring,
    small,
    spot,
    step,
    the_problem,
    training,
    warnings,
)
from tests.support.services.direct_client import DirectClient
from tests.support.services.fake_s3 import FakeS3
from upload_trigger import admission, uploads
from upload_trigger.definition import loading, walk
from upload_trigger.definition.loading import MAX_DEPTH, InvalidDefinitionError, load, serialise
from upload_trigger.settings import PARALLEL, Policy, Settings


def most(shape: str) -> int:
    """Return the maximum that the service model states."""
    limit: int = bundled_model().shape_for(shape).metadata["max"]
    return limit


def retried(**policy: Any) -> dict[str, Any]:
    return small(step(RetryPolicies=[{"ExceptionType": ["Step.THROTTLING"]} | policy]))


def parameters(count: int) -> dict[str, Any]:
    return small(step(), Parameters=[{"Name": f"P{number}", "Type": "String"} for number in range(count)])


def named(name: str) -> dict[str, Any]:
    return small(step(name), referring("Execution.PipelineName"))


def container(*arguments: Any) -> dict[str, Any]:
    return small(processing(AppSpecification={"ImageUri": "i", "ContainerArguments": list(arguments)}))


def tagged(count: int) -> dict[str, Any]:
    return small(processing(Tags=[{"Key": f"k{number}", "Value": ""} for number in range(count)]))


def trained(**environment: str) -> dict[str, Any]:
    return small(training(Environment=environment))


Made = Callable[[int], dict[str, Any]]
POLICY = "/Steps/0/RetryPolicies/0"
LIMITS: dict[str, tuple[Made, int, str]] = {
    # what of it grows, what it may grow to, where what is past it is told
    "parameters": (parameters, most("ParameterList"), "/Parameters"),
    "name of a parameter": (
        lambda size: parameter(Name="p" * size),
        most("PipelineParameterName"),
        "/Parameters/0/Name",
    ),
    "default value": (
        lambda size: parameter(Type="String", DefaultValue="v" * size),
        most("String1024"),
        "/Parameters/0/DefaultValue",
    ),
    "value of an enumeration": (
        lambda size: parameter(Type="String", EnumValues=["a", "v" * size]),
        most("String1024"),
        "/Parameters/0/EnumValues/1",
    ),
    "name of a step": (lambda size: named("s" * size), most("StepName"), "/Steps/0/Name"),
    "display name": (
        lambda size: small(step(DisplayName="d" * size)),
        most("StepDisplayName"),
        "/Steps/0/DisplayName",
    ),
    "description": (
        lambda size: small(step(Description="d" * size)),
        most("StepDescription"),
        "/Steps/0/Description",
    ),
    "attempts": (lambda size: retried(MaxAttempts=size), 20, f"{POLICY}/MaxAttempts"),
    "minutes of retries": (lambda size: retried(ExpireAfterMin=size), 14_400, f"{POLICY}/ExpireAfterMin"),
    "seconds between retries": (
        lambda size: retried(IntervalSeconds=size),
        43_200,
        f"{POLICY}/IntervalSeconds",
    ),
    "items": (
        lambda size: small(for_each(step(Type="Lambda", FunctionArn="f"), IterableItems=["i"] * size)),
        100,
        "/Steps/0/Arguments/IterableItems",
    ),
    "steps at a time": (
        lambda size: small(for_each(step(Type="Lambda", FunctionArn="f"), MaxConcurrency=size)),
        50,
        "/Steps/0/Arguments/MaxConcurrency",
    ),
    "container argument": (
        lambda size: container("a", "b" * size),
        most("ContainerArgument"),
        "/Steps/0/Arguments/AppSpecification/ContainerArguments/1",
    ),
    "container arguments": (
        lambda size: container(*["a"] * size),
        most("ContainerArguments"),
        "/Steps/0/Arguments/AppSpecification/ContainerArguments",
    ),
    "text of a Std:Join": (
        lambda size: container({"Std:Join": {"On": "-", "Values": ["a" * (size - 2), "b"]}}),
        most("ContainerArgument"),
        "/Steps/0/Arguments/AppSpecification/ContainerArguments/0",
    ),
    "known text of a Std:Join": (
        lambda size: container(
            {"Std:Join": {"On": "-", "Values": ["a" * (size - 1), {"Get": "Execution.PipelineName"}]}}
        ),
        most("ContainerArgument"),
        "/Steps/0/Arguments/AppSpecification/ContainerArguments/0",
    ),
    "tags": (tagged, most("TagList"), "/Steps/0/Arguments/Tags"),
    "environment": (
        lambda size: trained(**{f"K{number}": "" for number in range(size)}),
        most("TrainingEnvironmentMap"),
        "/Steps/0/Arguments/Environment",
    ),
    "key of the environment": (
        lambda size: trained(**{"K" * size: ""}),
        most("TrainingEnvironmentKey"),
        "/Steps/0/Arguments/Environment/" + "K" * 128,  # cut, to stay readable
    ),
    "hyper-parameter": (
        lambda size: small(training(HyperParameters={"k": "v" * size})),
        most("HyperParameterValue"),
        "/Steps/0/Arguments/HyperParameters/k",
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_what_is_at_a_limit_passes_and_what_is_past_it_is_refused_at_its_place(what: str) -> None:
    make, limit, pointer = LIMITS[what]
    assert problems(make(limit)) == []
    found, message = the_problem(make(limit + 1))
    assert found == pointer
    assert str(limit) in message.replace(",", "")


LEAST: dict[str, tuple[Made, int, str]] = {
    "attempts": (lambda size: retried(MaxAttempts=size), 0, f"{POLICY}/MaxAttempts"),
    "minutes of retries": (lambda size: retried(ExpireAfterMin=size), 0, f"{POLICY}/ExpireAfterMin"),
    "seconds between retries": (lambda size: retried(IntervalSeconds=size), 0, f"{POLICY}/IntervalSeconds"),
    "backoff rate": (lambda size: retried(BackoffRate=size), 0, f"{POLICY}/BackoffRate"),
    "items": (LIMITS["items"][0], 1, "/Steps/0/Arguments/IterableItems"),
    "steps at a time": (LIMITS["steps at a time"][0], 1, "/Steps/0/Arguments/MaxConcurrency"),
    "seconds that a spot job waits": (
        lambda size: small(spot(wait=size)),
        60,  # it runs that long
        "/Steps/0/Arguments/StoppingCondition/MaxWaitTimeInSeconds",
    ),
}


@pytest.mark.parametrize("what", LEAST)
def test_what_is_below_the_least_is_refused_at_its_place(what: str) -> None:
    make, limit, pointer = LEAST[what]
    assert problems(make(limit)) == []
    assert the_problem(make(limit - 1))[0] == pointer


def test_the_limits_that_are_written_here_are_the_service_model_s() -> None:
    assert most("PipelineDefinition") == loading.MAX_BYTES
    assert most("ParameterList") == structure.MAX_PARAMETERS
    assert most("String1024") == walk.MAX_PARAMETER_LENGTH
    assert most("String1024") == walk.MAX_PARAMETER_LENGTH
    assert most("StepDisplayName") == options.MAX_DISPLAY_NAME
    assert most("StepDescription") == options.MAX_DESCRIPTION


def test_a_definition_of_the_greatest_size_is_read_and_one_of_a_byte_more_is_not() -> None:
    room = most("PipelineDefinition") - 2
    assert load(b"{" + b" " * room + b"}") == {}
    with pytest.raises(InvalidDefinitionError, match="1,048,577 bytes; SageMaker takes at most 1,048,576"):
        load(b"{" + b" " * (room + 1) + b"}")


def test_what_sagemaker_would_get_is_measured_as_it_is_sent() -> None:
    room = most("PipelineDefinition") - len('{"a":""}')
    assert len(serialise({"a": "b" * room})) == most("PipelineDefinition")
    with pytest.raises(InvalidDefinitionError, match="1,048,577 characters as ASCII JSON"):
        serialise({"a": "b" * (room + 1)})
    with pytest.raises(InvalidDefinitionError, match="characters as ASCII JSON"):
        serialise({"a": "\u00e9" * (room // 2)})


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_the_last_level_is_read_and_the_next_is_not(brackets: str) -> None:
    begin, end = ("[", "]") if brackets == "[]" else ('{"a":', "}")
    inner = MAX_DEPTH - 2
    deepest = load(f'{{"a":{begin * inner}{brackets}{end * inner}}}'.encode())
    assert load(serialise(deepest).encode()) == deepest
    with pytest.raises(InvalidDefinitionError, match=f"nested deeper than {MAX_DEPTH} levels"):
        load(f'{{"a":{begin * (inner + 1)}{brackets}{end * (inner + 1)}}}'.encode())


def deepest(inner: Any, wrap: Callable[[Any], Any], put: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Wrap something until the definition that it is put in is as deep as one may be."""
    definition: dict[str, Any] = put(inner)
    while True:
        inner = wrap(inner)
        try:
            definition = load(json.dumps(put(inner)).encode())
        except InvalidDefinitionError:
            return definition


EQUAL = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
DEEP: dict[str, Callable[[], dict[str, Any]]] = {
    "conditions inside Not": lambda: deepest(
        EQUAL, lambda inner: {"Type": "Not", "Condition": inner}, lambda inner: small(condition(inner))
    ),
    "conditions inside Or": lambda: deepest(
        EQUAL, lambda inner: {"Type": "Or", "Conditions": [inner]}, lambda inner: small(condition(inner))
    ),
    "steps inside Condition steps": lambda: deepest(
        step("S0"),
        lambda inner: condition(EQUAL, ElseSteps=[inner]) | {"Name": f"S{int(inner['Name'][1:]) + 1}"},
        small,
    ),
    "joined texts": lambda: deepest(
        "a",
        lambda inner: {"Std:Join": {"On": "", "Values": [inner]}},
        lambda inner: container("b", inner),
    ),
    "an argument": lambda: deepest(
        {"a": 1}, lambda inner: {"a": [inner]}, lambda inner: small(processing(Environment={"K": inner}))
    ),
    "outside of the steps": lambda: deepest(
        {"a": 1}, lambda inner: {"a": [inner]}, lambda inner: small(step(), Metadata=inner)
    ),
}


@pytest.mark.parametrize("what", DEEP)
def test_all_that_walks_a_definition_bears_the_greatest_depth(what: str) -> None:
    definition = DEEP[what]()
    beside = json.dumps({}).encode()
    settings = Settings("p", "r", {}, {}, Policy(), PARALLEL)
    expected = {"an argument": 1}.get(what, 0)
    assert len(problems(definition)) == expected
    assert admission.examine(definition, beside, settings).text == serialise(definition)
    assert with_defaults(definition, {}) == definition
    if not expected:
        assert len(parse(json.dumps(definition)).steps) == sum(1 for _ in walk.steps(definition))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.7976931348623157e308, 5e-324])
def test_a_number_of_64_bits_is_read(number: float) -> None:
    assert load(json.dumps({"a": number}).encode()) == {"a": number}


@pytest.mark.parametrize(
    "number", [str(2**63), str(-(2**63) - 1), "1.8e308", "-1e309", "1" + "0" * 400 + ".0"]
)
def test_a_number_of_more_than_64_bits_is_refused_at_its_place(number: str) -> None:
    with pytest.raises(InvalidDefinitionError, match="/a/0: not a finite number of 64 bits"):
        load(f'{{"a": [{number}]}}'.encode())


def test_a_hundred_problems_are_told_and_no_more() -> None:
    def wrong(count: int) -> dict[str, Any]:
        return small(*(step(f"S{number}", DependsOn=["T"]) for number in range(count)))

    assert [len(problems(wrong(count))) for count in (99, 100, 101, 500)] == [99, 100, 100, 100]


def test_a_hundred_warnings_are_told_and_no_more_however_many_problems_come_after_them() -> None:
    doubtful = small(*(step(f"S{number}", Newer=1) for number in range(101)), referring("Parameters.P"))
    assert len(warnings(doubtful)) == 100
    assert the_problem(doubtful)[0] == "/Steps/101/Arguments/ErrorMessage/Get"


AFTER = ["P30D", "p30d", "30d", "T12H", "PT1M", "1Y", "P1Y2M3W4DT5H6M7S", "30dT5h", "PT0S", "P999999999D"]
NO_TIME = ["", "P", "T", "PT", "30", "P-1D", "P1.5D", "PD", "1H", "P1DT", "P9999999999D", "P\u0663D", "P1D "]


@pytest.mark.parametrize("after", AFTER)
def test_a_duration_of_the_cache_may_be_of_any_iso_form(after: str) -> None:
    assert problems(small(step(CacheConfig={"Enabled": True, "ExpireAfter": after}))) == []


@pytest.mark.parametrize("after", [*NO_TIME, 30, None, {"Get": "Parameters.P"}], ids=str)
def test_no_other_text_is_a_duration_of_the_cache(after: Any) -> None:
    pointer, message = problems(small(step(CacheConfig={"Enabled": True, "ExpireAfter": after})))[0]
    assert pointer == "/Steps/0/CacheConfig/ExpireAfter"
    assert "no ISO 8601 duration" in message


def test_the_name_of_a_pipeline_has_256_characters_at_most() -> None:
    longest = most("PipelineName")
    project, room = "cv-birds", longest - len("cv-birds-")
    assert len(uploads.pipeline_name(f"pipeline/{'n' * room}/pipeline.json", project)) == longest
    with pytest.raises(uploads.UnknownPipelineError, match="at most 256 characters"):
        uploads.pipeline_name(f"pipeline/{'n' * (room + 1)}/pipeline.json", project)


@pytest.mark.parametrize("name", ["a", "a-b", "0--1", "-a", "a-", "a_b", "a b", "\u00e9"])
def test_the_name_of_a_pipeline_has_the_form_that_the_service_model_states(name: str) -> None:
    legal = patterns.matches(bundled_model().shape_for("PipelineName").metadata["pattern"], name)
    assert (uploads.PIPELINE_NAME.fullmatch(name) is not None) == legal


def test_a_pipeline_s_name_is_in_lower_case_as_its_arn_is() -> None:
    with pytest.raises(uploads.UnknownPipelineError, match="lower-case"):
        uploads.pipeline_name("pipeline/Night/pipeline.json", "cv-birds")


def test_parameters_of_the_greatest_size_are_read_and_those_of_a_byte_more_are_not() -> None:
    s3 = FakeS3("bucket")
    s3.put("pipeline/parameters.json", b"{" + b" " * 262_142 + b"}")
    client = DirectClient("s3", s3, lambda operation, given, effect: effect())
    upload = uploads.Upload("bucket", "pipeline/pipeline.json", "version")
    assert admission.read_parameters_file(client, upload) == b"{" + b" " * 262_142 + b"}"
    s3.put("pipeline/parameters.json", b"{" + b" " * 262_143 + b"}")
    with pytest.raises(uploads.TooLargeError, match="262,145 bytes; at most 262,144 are read"):
        admission.read_parameters_file(client, upload)
