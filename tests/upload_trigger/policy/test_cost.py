"""The most that an execution may cost: sums worked out by hand, from the prices that the tests give."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DEFAULT,
    DEPLOYED,
    Definition,
    judge,
    own,
    policy,
    said_at,
    shipped,
    values,
)
from upload_trigger.definition.problems import Problem
from upload_trigger.policy import worst_case_cost
from upload_trigger.policy.prices import PRICES
from upload_trigger.settings import Policy

ROOT = Path(__file__).resolve().parents[3]
GIGABYTE_HOUR = 0.14 / 730
"""What a gigabyte costs an hour where a month of it costs 14 cents."""
A_DOLLAR = {"ml.m5.xlarge": 1.0, "ml.c5.xlarge": 1.0}


def processing(
    name: str, seconds: Any = 3480, count: Any = 1, kind: Any = "ml.m5.xlarge", **more: Any
) -> Definition:
    """A step of one hour, with the two minutes that a job may take to stop, on a volume of a gigabyte."""
    cluster = {"InstanceCount": count, "InstanceType": kind, "VolumeSizeInGB": 1}
    made = {
        "AppSpecification": {
            "ContainerEntrypoint": ["python", "-m", "training.preprocess"],
            "ImageUri": DEPLOYED["TrainingImageUri"],
        },
        "NetworkConfig": {"EnableInterContainerTrafficEncryption": True, "EnableNetworkIsolation": True},
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": DEPLOYED["ExecutionRoleArn"],
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
    }
    return {"Name": name, "Type": "Processing", "Arguments": made, **more}


def training(name: str, **more: Any) -> Definition:
    made = {
        "AlgorithmSpecification": {
            "ContainerEntrypoint": ["python", "-m", "training.train"],
            "TrainingImage": DEPLOYED["TrainingImageUri"],
            "TrainingInputMode": "File",
        },
        "EnableInterContainerTrafficEncryption": True,
        "EnableNetworkIsolation": True,
        "OutputDataConfig": {"S3OutputPath": own(name)},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.c5.xlarge", "VolumeSizeInGB": 1},
        "RoleArn": DEPLOYED["ExecutionRoleArn"],
        "StoppingCondition": {"MaxRuntimeInSeconds": 7080, **more.pop("stopping", {})},
        **more,
    }
    return {"Name": name, "Type": "Training", "Arguments": made}


def retried(attempts: Any, *kinds: str) -> Definition:
    listed = list(kinds) or ["SageMaker.CAPACITY_ERROR"]
    return {"BackoffRate": 1, "IntervalSeconds": 1, "MaxAttempts": attempts, "ExceptionType": listed}


def definition(*steps: Definition, parameters: list[Definition] | None = None) -> Definition:
    bucket = {"Name": "ArtifactBucket", "Type": "String"}
    return {"Version": "2020-12-01", "Parameters": [bucket, *(parameters or [])], "Steps": list(steps)}


def cost(*steps: Definition, limits: Policy | None = None, **given: Any) -> float | None:
    made = definition(*steps, parameters=given.pop("parameters", None))
    prices = limits or policy(instance_prices=A_DOLLAR)
    return worst_case_cost(made, values(made, given), prices)


def dollars(amount: float | None, expected: float) -> bool:
    return amount is not None and math.isclose(amount, expected, abs_tol=1e-9)


HOUR = 1 + GIGABYTE_HOUR
"""An hour of an instance of a dollar and its volume of a gigabyte."""


@pytest.mark.parametrize(
    ("step", "hours"),
    [
        (processing("A"), 1),
        (processing("A", seconds=3480 + 3600), 2),
        (processing("A", count=3), 3),
        (processing("A", RetryPolicies=[]), 1),
        (processing("A", RetryPolicies=[retried(0)]), 1),
        (processing("A", RetryPolicies=[retried(2)]), 3),
        (processing("A", RetryPolicies=[retried(2), retried(3)]), 6),
        (processing("A", RetryPolicies=[retried(2, "Step.SERVICE_FAULT", "Step.THROTTLING")]), 3),
        # A job that was refused for a limit, or a throttled call, has billed nothing.
        (
            processing(
                "A", RetryPolicies=[retried(5, "Step.THROTTLING"), retried(5, "SageMaker.RESOURCE_LIMIT")]
            ),
            1,
        ),
        # What is retried for nothing in particular may be retried for anything.
        (processing("A", RetryPolicies=[{**retried(2), "ExceptionType": []}]), 3),
        (processing("A", RetryPolicies=[{"MaxAttempts": 2}]), 3),
        (training("A"), 2),
        (training("A", EnableManagedSpotTraining=True, stopping={"MaxWaitTimeInSeconds": 86_400}), 2),
    ],
)
def test_a_step_costs_its_instances_for_its_whole_time_in_every_attempt(step: Definition, hours: int) -> None:
    assert dollars(cost(step), hours * HOUR)


def test_a_volume_costs_as_long_as_its_instance() -> None:
    made = processing("A", count=2)
    made["Arguments"]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] = 73
    assert dollars(cost(made), 2 * (1 + 73 * 0.14 / 730))
    assert math.isclose(73 * 0.14 / 730, 0.014)


def test_steps_add_up_in_both_branches_and_what_bills_nothing_costs_nothing() -> None:
    fail = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "stop"}}
    always = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    branches = {"Conditions": [always], "IfSteps": [processing("B"), fail], "ElseSteps": [training("C")]}
    assert dollars(
        cost(processing("A"), {"Name": "If", "Type": "Condition", "Arguments": branches}), 4 * HOUR
    )


def test_numbers_may_be_parameters() -> None:
    parameters = [
        {"Name": "Count", "Type": "Integer", "DefaultValue": 1},
        {"Name": "Seconds", "Type": "Integer", "DefaultValue": 3480},
        {"Name": "Kind", "Type": "String", "DefaultValue": "ml.m5.xlarge"},
    ]
    get = [{"Get": f"Parameters.{name}"} for name in ("Seconds", "Count", "Kind")]
    assert dollars(cost(processing("A", *get), parameters=parameters), HOUR)
    assert dollars(cost(processing("A", *get), parameters=parameters, Count="4", Seconds=7080), 8 * HOUR)


def test_a_job_that_says_no_time_may_run_for_a_day() -> None:
    made = processing("A")
    del made["Arguments"]["StoppingCondition"]
    assert dollars(cost(made), HOUR * (24 + 120 / 3600))


def test_a_configured_price_wins_over_the_known_one() -> None:
    assert dollars(cost(processing("A"), limits=DEFAULT), PRICES["ml.m5.xlarge"] + GIGABYTE_HOUR)
    assert dollars(
        cost(processing("A"), limits=policy(instance_prices={"ml.m5.xlarge": 9})), 9 + GIGABYTE_HOUR
    )


def test_the_shipped_definition_costs_what_the_document_works_out() -> None:
    made = shipped()
    # Preprocess and the evaluations: 7,200 + 120 s, ml.m5.xlarge, 30 GB; the trainings: 14,400 + 120 s on
    # ml.c5.4xlarge. 1 + 5 + 5 attempts each.
    hour, training_hour = 0.23 + 30 * GIGABYTE_HOUR, 0.816 + 30 * GIGABYTE_HOUR
    by_hand = 3 * 11 * hour * 7320 / 3600 + 2 * 11 * training_hour * 14_520 / 3600
    assert math.isclose(by_hand, 88.74, abs_tol=0.005)
    told = worst_case_cost(made, values(made), DEFAULT)
    assert told is not None
    assert dollars(told, by_hand)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_instance_of_both_trainings_counts(count: int) -> None:
    made = shipped()
    one = worst_case_cost(made, values(made), DEFAULT)
    told = worst_case_cost(made, values(made, {"TrainingInstanceCount": str(count)}), DEFAULT)
    training_hour = 0.816 + 30 * GIGABYTE_HOUR
    assert one is not None
    assert dollars(told, one + (count - 1) * 2 * 11 * training_hour * 14_520 / 3600)


def test_the_document_tells_the_worst_case_of_every_type_in_its_table() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(ml\.[\w.]+)`.* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) == 6
    for kind, price, *told in rows:
        assert price == f"{PRICES[kind]:.3f}"
        for count, said in enumerate(told, 1):
            given = {"TrainingInstanceType": kind, "TrainingInstanceCount": str(count)}
            assert said == f"{worst_case_cost(shipped(), values(shipped(), given), DEFAULT):.2f}"


def refused(made: Definition, limits: Policy) -> list[Problem]:
    return [each for each in judge(made, limits) if "[rule cost]" in each.message]


def test_the_limit_itself_may_be_spent_and_no_cent_more() -> None:
    made = definition(processing("Short"), processing("Long", count=2))
    limits = {"instance_prices": A_DOLLAR}
    exact = cost(*made["Steps"])
    assert dollars(exact, 3 * HOUR)
    assert judge(made, policy(max_execution_cost_usd=exact, **limits)) == []
    (problem,) = judge(made, policy(max_execution_cost_usd=2.99, **limits))
    assert problem.pointer == "/Steps"
    assert (
        "an execution may cost 3.00 USD, and max_execution_cost_usd is 2.99: Long 2.00, Short 1.00"
        in problem.message
    )
    assert (
        "; ask for less MaxRuntimeInSeconds, fewer or cheaper instances, or fewer retries" in problem.message
    )
    assert "or deploy with more max_execution_cost_usd in deployment_policy.json" in problem.message


def test_the_shipped_definition_is_refused_where_it_may_cost_less() -> None:
    assert refused(shipped(), policy(max_execution_cost_usd=88.74)) == []
    assert "88.74" in said_at(refused(shipped(), policy(max_execution_cost_usd=88)), "/Steps")


CLUSTER, STOPPING = "/Arguments/ProcessingResources/ClusterConfig", "/Arguments/StoppingCondition"
NO_PRICE, NO_NUMBER, NO_BOUND = (
    "its price is not known",
    "is no number above 0",
    "has no bound; write a number",
)
NOT_KNOWN = "what such a step costs is not known here"
FOREVER = {"ExceptionType": ["Step.SERVICE_FAULT"], "ExpireAfterMin": 9}


@pytest.mark.parametrize(
    ("step", "place", "said"),
    [
        (processing("A", kind="ml.x9.large"), f"{CLUSTER}/InstanceType", f'"ml.x9.large", and {NO_PRICE}'),
        (processing("A", kind={"Get": "Steps.B.InstanceType"}), f"{CLUSTER}/InstanceType", NO_PRICE),
        (processing("A", kind={"Get": "Parameters.X"}), f"{CLUSTER}/InstanceType", '"X" has no value'),
        (processing("A", count={"Get": "Execution.PipelineName"}), f"{CLUSTER}/InstanceCount", NO_NUMBER),
        (processing("A", count=-5), f"{CLUSTER}/InstanceCount", f"-5 {NO_NUMBER}"),
        (processing("A", seconds=0), f"{STOPPING}/MaxRuntimeInSeconds", f"0 {NO_NUMBER}"),
        (processing("A", seconds=True), f"{STOPPING}/MaxRuntimeInSeconds", f"true {NO_NUMBER}"),
        (processing("A", seconds=None), f"{STOPPING}/MaxRuntimeInSeconds", "is no value"),
        (processing("A", RetryPolicies=[retried(1), FOREVER]), "/RetryPolicies/1/MaxAttempts", NO_BOUND),
        (processing("A", RetryPolicies=[retried({"Get": "x"})]), "/RetryPolicies/0/MaxAttempts", NO_BOUND),
        (processing("A", RetryPolicies=[retried(-9)]), "/RetryPolicies/0/MaxAttempts", NO_BOUND),
        (processing("A") | {"Type": "Transform"}, "", NOT_KNOWN),
        (processing("A") | {"Type": "ForEach"}, "", NOT_KNOWN),
        ({"Name": "A", "Type": "Training", "Arguments": None}, "", NOT_KNOWN),
    ],
)
def test_what_has_no_bound_is_refused_where_it_has_none(step: Definition, place: str, said: str) -> None:
    made = definition(processing("First"), step)
    off = policy(instance_prices=A_DOLLAR, policy_off={"instance_types": "so that the cost is what refuses"})
    assert said in said_at(refused(made, off), f"/Steps/1{place}")
    assert cost(*made["Steps"]) is None


def test_no_sum_is_told_while_a_part_of_it_is_unknown() -> None:
    made = definition(processing("A"), *(processing(f"B{n}", kind="ml.x9.large") for n in range(2)))
    problems = refused(made, policy(max_execution_cost_usd=0))
    assert [each.pointer.split("/")[2:3] for each in problems] == [["1"], ["2"]]
