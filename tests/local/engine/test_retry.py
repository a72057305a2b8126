"""Retries follow the step's RetryPolicies, by the kind of the error, and leave everything else alone."""

from __future__ import annotations

import threading
import time

import pytest

from local.engine.executor import Outcome
from local.engine.retry import Retries
from tests.support.engine.fakes import EngineWorld, JobScript, by_name, refusal
from tests.support.engine.pipelines import pipeline, processing, training

POLICY = {
    "ExceptionType": ["SageMaker.CAPACITY_ERROR"],
    "IntervalSeconds": 10,
    "BackoffRate": 2.0,
    "MaxAttempts": 3,
}


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("InternalServerError: We encountered an internal error. Please try again.", "JOB_INTERNAL_ERROR"),
        ("CapacityError: Unable to provision requested ML compute capacity.", "CAPACITY_ERROR"),
        ("ResourceLimitExceeded: too many ml.c5.4xlarge", "RESOURCE_LIMIT"),
    ],
)
def test_a_job_that_failed_for_the_services_reasons_is_made_again(failure: str, kind: str) -> None:
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(failures=[failure])
    policy = {**POLICY, "ExceptionType": [f"SageMaker.{kind}"]}
    executor = world.executor(pipeline(training("T", RetryPolicies=[policy])))

    assert executor.run() == Outcome("Succeeded")
    assert by_name(executor)["T"].attempt_count == 2
    assert by_name(executor)["T"].failure_reason is None
    names = [request["TrainingJobName"] for _, request in world.sagemaker.requests]
    assert len(set(names)) == 2
    [note] = world.noted("retry")
    assert (note["attempt"], note["exception_type"], note["reason"]) == (2, f"SageMaker.{kind}", failure)


def test_a_call_refused_for_a_quota_is_made_again() -> None:
    error = refusal("CreateTrainingJob", "ResourceLimitExceeded", "The account-level service limit")
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(create_errors=[error])
    policy = {**POLICY, "ExceptionType": ["SageMaker.RESOURCE_LIMIT"]}

    assert world.executor(pipeline(training("T", RetryPolicies=[policy]))).run() == Outcome("Succeeded")


def test_throttling_and_faults_of_the_service_are_retried_without_a_policy() -> None:
    errors = [
        refusal("CreateProcessingJob", "ThrottlingException", "Rate exceeded"),
        refusal("CreateProcessingJob", "InternalFailure", "oh", 500),
    ]
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(create_errors=errors)
    executor = world.executor(pipeline(processing("A")))

    assert executor.run() == Outcome("Succeeded")
    assert by_name(executor)["A"].attempt_count == 3


def test_an_error_of_the_algorithm_is_not_retried() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(failures=["AlgorithmError: exit code 1"])
    executor = world.executor(pipeline(training("T", RetryPolicies=[POLICY])))

    assert executor.run().status == "Failed"
    assert world.sagemaker.started() == ["T"]


def test_a_denied_call_is_not_retried() -> None:
    world = EngineWorld()
    error = refusal("CreateTrainingJob", "AccessDeniedException", "no")
    world.sagemaker.scripts["T"] = JobScript(create_errors=[error])

    assert world.executor(pipeline(training("T", RetryPolicies=[POLICY]))).run().status == "Failed"
    assert not world.sagemaker.started()


def test_a_look_at_a_job_that_fails_for_the_services_reasons_makes_no_second_job() -> None:
    errors: list[Exception] = [
        refusal("DescribeProcessingJob", "ThrottlingException", "Rate exceeded") for _ in range(3)
    ]
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(describe_errors=errors)
    executor = world.executor(pipeline(processing("A")))

    assert executor.run() == Outcome("Succeeded")
    assert world.sagemaker.started() == ["A"]
    assert by_name(executor)["A"].attempt_count == 1


def test_a_job_that_may_not_be_looked_at_is_stopped_and_fails_the_step_with_the_services_words() -> None:
    denied = refusal("DescribeProcessingJob", "AccessDeniedException", "no sagemaker:DescribeProcessingJob")
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(seconds=30, describe_errors=[denied])
    executor = world.executor(pipeline(processing("A")))

    assert executor.run().status == "Failed"
    assert "no sagemaker:DescribeProcessingJob" in str(by_name(executor)["A"].failure_reason)
    assert len(world.sagemaker.times("A", "stop")) == 1


def test_after_max_attempts_retries_the_step_fails_with_the_last_reason() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(failures=[f"CapacityError: {n}" for n in range(9)])
    executor = world.executor(pipeline(training("T", RetryPolicies=[POLICY])))
    executor.run()

    assert by_name(executor)["T"].attempt_count == 4
    assert by_name(executor)["T"].failure_reason == "CapacityError: 3"


def test_intervals_grow_by_the_backoff_rate_and_shrink_by_the_local_scale() -> None:
    retries = Retries([POLICY], scale=0.01)

    delays = [retries.delay("SageMaker.CAPACITY_ERROR", elapsed=0) for _ in range(4)]
    assert delays == [pytest.approx(0.1), pytest.approx(0.2), pytest.approx(0.4), None]


def test_each_policy_counts_its_own_attempts() -> None:
    once = {**POLICY, "MaxAttempts": 1}
    retries = Retries([once, {**once, "ExceptionType": ["Step.THROTTLING"]}], scale=0.01)

    assert retries.delay("SageMaker.CAPACITY_ERROR", 0) is not None
    assert retries.delay("Step.THROTTLING", 0) is not None
    assert retries.delay("SageMaker.CAPACITY_ERROR", 0) is None


def test_expire_after_min_ends_the_retries_by_the_clock() -> None:
    policy = {
        "ExceptionType": ["Step.THROTTLING"],
        "IntervalSeconds": 60,
        "BackoffRate": 1.0,
        "ExpireAfterMin": 5,
    }
    retries = Retries([policy], scale=0.01)

    assert retries.delay("Step.THROTTLING", elapsed=2.0) == pytest.approx(0.6)
    assert retries.delay("Step.THROTTLING", elapsed=2.9) is None


def test_a_policy_of_the_step_comes_before_the_services_own_retries() -> None:
    never = {"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 0}

    assert Retries([never], scale=1).delay("Step.THROTTLING", 0) is None
    assert Retries([], scale=1).delay("Step.THROTTLING", 0) == 1


def test_a_stop_ends_the_wait_for_the_next_attempt() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(failures=["CapacityError: none left"])
    executor = world.executor(pipeline(training("T", RetryPolicies=[POLICY])), retry_scale=10)
    outcome: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcome.append(executor.run()))
    thread.start()
    deadline = time.monotonic() + 5
    while not world.noted("retry") and time.monotonic() < deadline:
        time.sleep(0.002)
    executor.stop()
    thread.join(5)

    assert outcome == [Outcome("Stopped")]
    assert by_name(executor)["T"].status == "Stopped"
