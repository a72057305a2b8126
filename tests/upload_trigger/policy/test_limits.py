"""Whose role, image and group a definition may name, and its limits, each at its boundary."""

from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DEFAULT,
    GROUP,
    IMAGE,
    arguments,
    judge,
    pointer,
    policy,
    put,
    said_at,
    shipped,
    step,
)
from tests.support.delivery.handler_uploads import ROLE
from upload_trigger.settings import Policy

OTHER_IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds@sha256:{'1' * 64}"
PLACES = {
    "Preprocess role": ("Preprocess", "RoleArn"),
    "TrainSpot role": ("TrainSpot", "RoleArn"),
    "Preprocess image": ("Preprocess", "AppSpecification", "ImageUri"),
    "TrainSpot image": ("TrainSpot", "AlgorithmSpecification", "TrainingImage"),
    "model's image": ("RegisterSpot", "InferenceSpecification", "Containers", 0, "Image"),
    "group": ("RegisterSpot", "ModelPackageGroupName"),
    "processing types": ("Preprocess", "ProcessingResources", "ClusterConfig", "InstanceType"),
    "training types": ("TrainSpot", "ResourceConfig", "InstanceType"),
    "processing count": ("Preprocess", "ProcessingResources", "ClusterConfig", "InstanceCount"),
    "training count": ("TrainSpot", "ResourceConfig", "InstanceCount"),
    "processing volume": ("Preprocess", "ProcessingResources", "ClusterConfig", "VolumeSizeInGB"),
    "training volume": ("TrainSpot", "ResourceConfig", "VolumeSizeInGB"),
    "processing time": ("Preprocess", "StoppingCondition", "MaxRuntimeInSeconds"),
    "training time": ("TrainSpot", "StoppingCondition", "MaxRuntimeInSeconds"),
    "wait": ("TrainSpot", "StoppingCondition", "MaxWaitTimeInSeconds"),
    "status": ("RegisterSpot", "ModelApprovalStatus"),
}


def refusal(place: str, value: Any, limits: Policy = DEFAULT) -> str:
    """Return what is said of a value, which must be refused."""
    definition, at = put(PLACES[place], value)
    return said_at(judge(definition, limits), at)


def is_allowed(place: str, value: Any, limits: Policy = DEFAULT) -> bool:
    definition, _ = put(PLACES[place], value)
    return judge(definition, limits) == []


@pytest.mark.parametrize(
    ("place", "value", "said", "write"),
    [
        ("Preprocess role", ROLE + "x", "roles", "ExecutionRoleArn"),
        ("TrainSpot role", "arn:aws:iam::123456789012:role/admin", "roles", "ExecutionRoleArn"),
        ("TrainSpot role", {"Get": "Parameters.TrainingImageUri"}, "roles", "ExecutionRoleArn"),
        ("TrainSpot role", {"Get": "Execution.PipelineArn"}, "roles", "ExecutionRoleArn"),
        ("Preprocess image", "public.ecr.aws/x/y:latest", "images", "TrainingImageUri"),
        ("TrainSpot image", IMAGE.replace("@sha256:", ":"), "images", "TrainingImageUri"),
        ("model's image", OTHER_IMAGE, "images", "TrainingImageUri"),
        ("group", f"{GROUP}-2", "model_package_group", "ModelPackageGroupName"),
    ],
)
def test_only_what_the_deployment_gives_is_its_own(place: str, value: Any, said: str, write: str) -> None:
    message = refusal(place, value)
    assert f'write {{"Get": "Parameters.{write}"}} [rule {said}]' in message


def test_an_image_may_be_allowed_by_its_digest() -> None:
    allowing = Policy(allowed_images=(OTHER_IMAGE,))
    assert is_allowed("TrainSpot image", OTHER_IMAGE, allowing)
    assert not is_allowed("TrainSpot image", OTHER_IMAGE)
    assert not is_allowed("TrainSpot image", OTHER_IMAGE[:-1], allowing)


@pytest.mark.parametrize(
    ("place", "setting", "types"),
    [
        ("processing types", "processing_instance_types", DEFAULT.processing_instance_types),
        ("training types", "training_instance_types", DEFAULT.training_instance_types),
    ],
)
def test_the_configured_instance_types_may_be_used_and_no_other(
    place: str, setting: str, types: tuple[str, ...]
) -> None:
    for each in types:
        assert is_allowed(place, each), each
    others: list[Any] = ["ml.p4d.24xlarge", "ml.m5.large ", "ML.M5.LARGE", "", 5, True]
    for other in others:
        assert f"allowed ({setting}): {', '.join(types)} [rule instance_types]" in refusal(place, other)
    only = policy(**{setting: ["ml.c5.9xlarge"]})
    assert "ml.c5.9xlarge" in refusal(place, types[0], only)


@pytest.mark.parametrize(
    ("place", "setting", "most", "rule"),
    [
        ("processing count", "max_instance_count", 4, "instance_counts"),
        ("training count", "max_instance_count", 4, "instance_counts"),
        ("processing volume", "max_volume_gb", 100, "volume_sizes"),
        ("training volume", "max_volume_gb", 100, "volume_sizes"),
        ("processing time", "max_runtime_seconds", 86_400, "run_times"),
        ("training time", "max_runtime_seconds", 86_400, "run_times"),
        ("wait", "max_wait_seconds", 172_800, "run_times"),
    ],
)
def test_a_limit_itself_is_allowed_and_one_more_is_not(
    place: str, setting: str, most: int, rule: str
) -> None:
    rich = policy(max_execution_cost_usd=1e9)
    assert is_allowed(place, 1, rich)
    assert is_allowed(place, most, rich)
    others: list[Any] = [most + 1, 0, -1, 1.5, float(most), str(most), True]
    for other in others:
        message = refusal(place, other, rich)
        assert f"it must be a whole number from 1 to {most} ({setting}) [rule {rule}]" in message, other
    lower = policy(**{setting: 1})
    assert f"it must be a whole number from 1 to 1 ({setting})" in refusal(place, 2, lower)


@pytest.mark.parametrize(
    ("member", "allowed", "refused"),
    [
        ("MaxAttempts", [0, 5], [6, -1, 2.0, "2", True]),
        ("IntervalSeconds", [0, 3600], [3601, -1, 1.5, True]),
        ("BackoffRate", [0, 1.5, 10], [10.5, -1, "2", True]),
        ("ExceptionType", [["Step.THROTTLING"]], [["Step.THROTTLING", "Job.ANYTHING"], ["step.throttling"]]),
    ],
)
def test_a_retry_policy_is_within_bounds(member: str, allowed: list[Any], refused: list[Any]) -> None:
    for value in (*allowed, *refused):
        definition = shipped()
        step(definition, "RegisterSpot")["RetryPolicies"][0][member] = value
        problems = judge(definition)
        assert (problems == []) is (value in allowed and not isinstance(value, bool)), value
        assert all(each.message.endswith("[rule retries]") for each in problems)


def test_retries_have_a_bound() -> None:
    definition = shipped()
    retries = step(definition, "TrainSpot")["RetryPolicies"][0]
    del retries["MaxAttempts"]
    retries["ExpireAfterMin"] = 10_000
    said = {each.message.partition("[rule ")[2] for each in judge(definition)}
    assert said == {"retries]", "members]", "cost]"}


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("P30D", 30 * 86_400),
        ("p30d", 30 * 86_400),
        ("30d", 30 * 86_400),
        ("T12H", 43_200),
        ("PT12H", 43_200),
        ("P1DT12H30M5S", 86_400 + 43_200 + 1_805),
        ("P4W", 28 * 86_400),
        ("1M", 31 * 86_400),
        ("PT1M", 60),
        ("P1Y", 366 * 86_400),
        ("", None),
        ("P", None),
        ("T", None),
        ("PT", None),
        ("12H", None),
        ("-P1D", None),
        ("P1D ", None),
        ("P1.5D", None),
        ("P1DT", 86_400),
        ("P\u0661D", None),
        ("P9999999999D", None),
    ],
)
def test_a_cached_result_has_an_age(duration: str, seconds: int | None) -> None:
    at = "/Steps/0/Arguments/IfSteps/0/CacheConfig/ExpireAfter"
    days = 0 if seconds is None else -(-seconds // 86_400)
    definition = shipped()
    step(definition, "Preprocess")["CacheConfig"] = {"Enabled": True, "ExpireAfter": duration}
    if seconds is None:
        assert "is no duration; write how old" in said_at(judge(definition), at)
        return
    problems = judge(definition, policy(max_cache_days=days))
    assert not [each for each in problems if each.pointer == at]
    said = said_at(judge(definition, policy(max_cache_days=days - 1)), at)
    assert "is too long; write how old a result may be" in said
    assert f"at most {days - 1} days (max_cache_days), such as P{days - 1}D [rule cache]" in said


def test_a_cache_that_is_off_may_say_anything() -> None:
    for config in ({"Enabled": False}, {"Enabled": False, "ExpireAfter": "P9Y"}):
        definition = shipped()
        step(definition, "Preprocess")["CacheConfig"] = config
        assert judge(definition) == []


def test_the_approval_is_a_persons() -> None:
    for status in ("Approved", "Rejected", "approved", True):
        said = refusal("status", status)
        assert "allowed (model_approval_statuses): PendingManualApproval [rule approval_status]" in said
    assert is_allowed(
        "status", "Approved", Policy(model_approval_statuses=("Approved", "PendingManualApproval"))
    )
    definition = shipped()
    del arguments(definition, "RegisterSpot")["ModelApprovalStatus"]
    at = pointer(definition, "RegisterSpot", "ModelApprovalStatus")
    assert "missing; the policy wants it written" in said_at(judge(definition), at)


def test_an_approval_given_beside_the_definition_is_refused_as_well() -> None:
    problems = judge(shipped(), given={"ModelApprovalStatus": "Approved"})
    at = pointer(shipped(), "RegisterSpot", "ModelApprovalStatus")
    assert 'Parameters.ModelApprovalStatus is "Approved"' in said_at(problems, at)
