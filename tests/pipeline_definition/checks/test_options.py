"""What a step may have beside its Arguments: names for people, cache, retries, property files."""

from typing import Any

import pytest

from tests.support.definitions.small import problems, processing, small, step, the_problem, the_warning
from upload_trigger.definition.walk import EXCEPTION_TYPES

THROTTLED = {"ExceptionType": ["Step.THROTTLING"]}
FILE = {"PropertyFileName": "Scores", "OutputName": "train", "FilePath": "s.json"}
POLICY = "/Steps/0/RetryPolicies/0"


def retried(*policies: Any) -> dict[str, Any]:
    return small(step(RetryPolicies=list(policies)))


@pytest.mark.parametrize("member", ["DisplayName", "Description"])
@pytest.mark.parametrize("value", [5, None, {"Get": "Execution.PipelineName"}, ["a"]])
def test_what_people_read_is_a_text(member: str, value: Any) -> None:
    pointer, said = the_problem(small(step() | {member: value}))
    assert pointer == f"/Steps/0/{member}"
    assert said.startswith("must be a text, not")


@pytest.mark.parametrize(
    ("member", "hint"), [("Dependson", "did you mean DependsOn?"), ("RetryPolicy", ""), ("Timeout", "")]
)
def test_a_member_that_may_be_newer_is_a_warning(member: str, hint: str) -> None:
    pointer, said = the_warning(small(step() | {member: 1}))
    assert pointer == f"/Steps/0/{member}"
    assert said.startswith("no member of a step that is known here")
    assert hint in said


@pytest.mark.parametrize(("kind", "member"), [("Callback", "SqsQueueUrl"), ("Lambda", "FunctionArn")])
def test_a_step_that_calls_out_says_whom_it_calls(kind: str, member: str) -> None:
    def calling(**members: Any) -> dict[str, Any]:
        return small({"Name": "A", "Type": kind, "OutputParameters": []} | members)

    assert problems(calling(**{member: "a"})) == []
    assert problems(calling(**{member: {"Get": "Execution.PipelineName"}})) == []
    for wrong in ({}, {member: None}, {member: ["a"]}):
        pointer, said = the_problem(calling(**wrong))
        assert pointer == f"/Steps/0/{member}"
        assert said == f"missing, or no text: a {kind} step needs it"


def test_what_one_type_of_step_has_another_does_not() -> None:
    assert the_warning(small(step(FunctionArn="a")))[0] == "/Steps/0/FunctionArn"


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ("P30D", ""),
        ([], ""),
        ({}, "/Enabled"),
        ({"Enabled": "true"}, "/Enabled"),
        ({"Enabled": 1, "ExpireAfter": "P30D"}, "/Enabled"),
        ({"Enabled": True, "ExpireAfter": "30 days"}, "/ExpireAfter"),
    ],
)
def test_a_cache_is_switched_on_or_off_and_may_expire(config: Any, pointer: str) -> None:
    assert the_problem(small(step(CacheConfig=config)))[0] == f"/Steps/0/CacheConfig{pointer}"


def test_a_step_without_a_cache_may_say_so() -> None:
    assert problems(small(step(CacheConfig=None), step("B", CacheConfig={"Enabled": False}))) == []


def test_what_a_cache_does_not_have_is_a_warning() -> None:
    found = the_warning(small(step(CacheConfig={"Enabled": True, "ExpiresAfter": "P30D"})))
    assert found == (
        "/Steps/0/CacheConfig/ExpiresAfter",
        "no member of a step that is known here; did you mean ExpireAfter?",
    )


def test_every_exception_is_retried() -> None:
    assert (
        problems(retried({"ExceptionType": list(EXCEPTION_TYPES), "MaxAttempts": 2, "BackoffRate": 1.5}))
        == []
    )


@pytest.mark.parametrize("policies", [{}, "Step.THROTTLING", None])
def test_retry_policies_are_a_list(policies: Any) -> None:
    found = the_problem(small(step(RetryPolicies=policies)))
    assert found == ("/Steps/0/RetryPolicies", "must be a list of policies")


@pytest.mark.parametrize(
    ("policy", "pointer", "message"),
    [
        (["Step.THROTTLING"], "", "must be an object (a policy), not a list"),
        ({}, "/ExceptionType", "must be a list of at least one of Step.SERVICE_FAULT, "),
        ({"ExceptionType": []}, "/ExceptionType", "must be a list of at least one of"),
        ({"ExceptionType": "Step.THROTTLING"}, "/ExceptionType", "must be a list of at least one of"),
        ({"ExceptionType": ["Step.THROTLING"]}, "/ExceptionType/0", "no exception type: "),
        ({"ExceptionType": [5]}, "/ExceptionType/0", "no exception type: 5"),
        (
            THROTTLED | {"MaxAttempts": 2, "ExpireAfterMin": 5},
            "",
            "write MaxAttempts or ExpireAfterMin, not both",
        ),
        (THROTTLED | {"MaxAttempts": True}, "/MaxAttempts", "must be a whole number from 0 to 20, not true"),
        (THROTTLED | {"MaxAttempts": 2.0}, "/MaxAttempts", "must be a whole number from 0 to 20, not 2.0"),
        (THROTTLED | {"MaxAttempts": "2"}, "/MaxAttempts", "must be a whole number from 0 to 20"),
        (THROTTLED | {"BackoffRate": "2"}, "/BackoffRate", "must be a number of at least 0"),
        (
            THROTTLED | {"IntervalSeconds": None},
            "/IntervalSeconds",
            "must be a whole number from 0 to 43,200",
        ),
    ],
)
def test_a_retry_policy_is_judged_member_by_member(policy: Any, pointer: str, message: str) -> None:
    found, said = the_problem(retried(policy))
    assert found == f"{POLICY}{pointer}"
    assert said.startswith(message)


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"ExceptionType": ["SageMaker.NEW_ERROR"]}, "/ExceptionType/0"),
        ({"BackoffRate": 0.5}, "/BackoffRate"),
        ({"IntervalSeconds": 0}, "/IntervalSeconds"),
        ({"MaxAttempt": 2}, "/MaxAttempt"),
    ],
)
def test_what_a_policy_may_well_mean_otherwise_is_a_warning(more: dict[str, Any], pointer: str) -> None:
    assert the_warning(retried(THROTTLED | more))[0] == f"{POLICY}{pointer}"


@pytest.mark.parametrize(
    ("files", "pointer", "message"),
    [
        ({}, "", "must be a list of property files"),
        (["Scores"], "/0", "missing, or no text: PropertyFileName, OutputName, FilePath"),
        ([FILE | {"FilePath": 1}], "/0", "missing, or no text: FilePath"),
        ([FILE, FILE], "/1/PropertyFileName", '"Scores" is declared more than once; keep one'),
        (
            [FILE | {"OutputName": "tran"}],
            "/0/OutputName",
            'the step has no output "tran"; did you mean train?',
        ),
    ],
)
def test_a_property_file_is_named_once_and_lies_in_an_output(files: Any, pointer: str, message: str) -> None:
    found = the_problem(small(processing() | {"PropertyFiles": files}))
    assert found == (f"/Steps/0/PropertyFiles{pointer}", message)
