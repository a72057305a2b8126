"""What becomes of an upload when a call fails, the process dies, or somebody else changes the pipeline."""

import json

import boto3
import pytest

from tests.support.delivery.handler_uploads import (
    HANDLERS_CONFIG,
    ROLE,
    HandlerBench,
    bench,
    definition,
    handle,
    reconcile,
    services,
)
from tests.support.services.fake_sagemaker import FakePipeline, FakeServiceError, Fault, Killed
from upload_trigger import handler
from upload_trigger.delivery import Clients
from upload_trigger.handler import StartError

__all__ = ["bench", "services"]  # fixtures


ERRORS = [
    FakeServiceError("ThrottlingException", "slow down"),
    FakeServiceError("ResourceLimitExceeded", "too many"),
    FakeServiceError("ConflictException", "being changed"),
    FakeServiceError("InternalFailure", "oops", status=500),
    FakeServiceError("ServiceUnavailable", "later", status=503),
]
OPERATIONS = {
    "create": [
        "ListPipelineExecutions",
        "UpdatePipeline",
        "CreatePipeline",
        "ListPipelineVersions",
        "StartPipelineExecution",
    ],
    "update": ["ListPipelineExecutions", "UpdatePipeline", "StartPipelineExecution"],
}
CALLS = [(situation, each) for situation, operations in OPERATIONS.items() for each in operations]


@pytest.mark.parametrize("after_effect", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
@pytest.mark.parametrize(("situation", "operation"), CALLS)
def test_an_error_of_any_call_is_raised_and_the_retry_ends_with_one_execution(
    bench: HandlerBench, situation: str, operation: str, error: FakeServiceError, after_effect: bool
) -> None:
    if situation == "update":
        handle(bench.put(definition("before")))
        bench.sagemaker.executions.clear()
    upload = bench.put(definition("after"))
    bench.sagemaker.faults.append(Fault(operation, error, after_effect))

    if operation == "CreatePipeline" and after_effect:
        handle(upload)  # the pipeline is there after all, so there is nothing to give up for
    else:
        with pytest.raises(StartError, match=error.code):
            handle(upload)
        assert upload["s3"]["object"]["versionId"] not in "".join(bench.verdicts())
    (verdict,) = handle(upload)

    (execution,) = bench.sagemaker.executions
    assert json.loads(execution.definition) == definition("after")
    assert (verdict["verdict"], verdict["executionArn"]) == ("STARTED", execution.arn)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("operation", ["ListPipelineExecutions", "CreatePipeline", "StartPipelineExecution"])
def test_a_refused_call_has_failed_with_its_reason_and_a_redrive_starts_it(
    bench: HandlerBench, operation: str, after_effect: bool
) -> None:
    upload = bench.put(definition())
    refused = FakeServiceError("AccessDeniedException", "not authorized to perform")
    bench.sagemaker.faults.append(Fault(operation, refused, after_effect))

    (verdict,) = handle(upload)

    if not (operation == "CreatePipeline" and after_effect):  # the pipeline is there after all
        assert verdict == bench.verdict(upload)
        assert verdict["verdict"] == "FAILED"
        (reason,) = verdict["reasons"]
        assert reason["message"] == (
            f"{operation} failed with AccessDeniedException: not authorized to perform"
        )
        (verdict,) = reconcile(failed=True)
    (execution,) = bench.sagemaker.executions
    assert (verdict["verdict"], verdict["executionArn"]) == ("STARTED", execution.arn)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize(("situation", "operation"), CALLS)
def test_killed_at_any_call_and_delivered_again_it_ends_with_one_execution(
    bench: HandlerBench, situation: str, operation: str, after_effect: bool
) -> None:
    if situation == "update":
        handle(bench.put(definition("before")))
        bench.sagemaker.executions.clear()
    upload = bench.put(definition("after"))
    bench.sagemaker.faults.append(Fault(operation, Killed(), after_effect))

    with pytest.raises(Killed):
        handle(upload)
    handle(upload)

    (execution,) = bench.sagemaker.executions
    assert json.loads(execution.definition) == definition("after")
    assert len(bench.sagemaker.pipelines["cv-birds"].versions) == (1 if situation == "create" else 2)


def test_whoever_creates_the_pipeline_first_the_upload_becomes_its_next_version(bench: HandlerBench) -> None:
    upload = bench.put(definition("ours"))
    theirs = FakePipeline(ROLE, ["{}"])
    bench.sagemaker.interludes["CreatePipeline"] = lambda: bench.sagemaker.pipelines.update(
        {"cv-birds": theirs}
    )

    handle(upload)

    assert [each.version for each in bench.sagemaker.executions] == [2]
    assert json.loads(bench.sagemaker.executions[0].definition) == definition("ours")


def test_a_change_by_somebody_else_does_not_change_what_is_started(bench: HandlerBench) -> None:
    upload = bench.put(definition("ours"))
    pipelines = bench.sagemaker.pipelines
    bench.sagemaker.interludes["StartPipelineExecution"] = lambda: pipelines["cv-birds"].versions.append("{}")

    handle(upload)

    assert json.loads(bench.sagemaker.executions[0].definition) == definition("ours")


def test_a_change_between_create_and_list_does_not_change_what_is_started(bench: HandlerBench) -> None:
    upload = bench.put(definition("ours"))
    pipelines = bench.sagemaker.pipelines
    bench.sagemaker.interludes["ListPipelineVersions"] = lambda: pipelines["cv-birds"].versions.append("{}")

    handle(upload)

    assert json.loads(bench.sagemaker.executions[0].definition) == definition("ours")


def test_a_passing_throttle_is_retried_within_the_call(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of this test depends on the random pause, in which a loaded machine may lose seconds.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    retrying = Clients(bench.s3, boto3.client("sagemaker", config=HANDLERS_CONFIG))
    bench.sagemaker.attach(retrying.sagemaker)
    monkeypatch.setattr(handler, "clients", lambda: retrying)
    bench.sagemaker.faults.append(Fault("ListPipelineExecutions", FakeServiceError("ThrottlingException")))

    handle(bench.put(definition()))

    assert bench.sagemaker.calls.count("ListPipelineExecutions") == 2
