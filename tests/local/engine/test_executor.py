"""The executor runs a definition from JSON alone: order, outcome, properties, failures and stop."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from local.engine.executor import STEP_FAILURE, Outcome
from tests.support.engine.fakes import EngineWorld, JobScript, birds_world, by_name, refusal, variables
from tests.support.engine.pipelines import (
    ROLE,
    birds,
    compare,
    condition,
    get,
    pipeline,
    processing,
    training,
)

DATA = {"InputDataUrl": "s3://bucket/data/"}


def test_a_pipeline_of_the_products_shape_registers_both_models() -> None:
    world = birds_world()
    executor = world.executor(birds(), DATA)

    assert executor.run() == Outcome("Succeeded")

    records = by_name(executor)
    assert {r.status for r in records.values()} == {"Succeeded"}
    assert "AccuracyTooLow" not in records
    assert [p["CustomerMetadataProperties"]["TrainingType"] for p in world.sagemaker.packages].count(
        "Spot"
    ) == 1
    assert len(world.sagemaker.packages) == 2
    assert records["RegisterSpot"].metadata["RegisterModel"]["Arn"].startswith("arn:aws:sagemaker:")
    assert records["CheckAnyAccuracy"].metadata == {"Condition": {"Outcome": "False"}}
    assert (
        records["TrainSpot"]
        .metadata["TrainingJob"]["Arn"]
        .partition("training-job/")[2]
        .startswith("pipelines-")
    )
    assert records["TrainSpot"].attempt_count == 1


def test_the_shipped_pipeline_runs_as_it_is_and_every_request_is_one_that_sagemaker_takes() -> None:
    shipped = Path(__file__).resolve().parents[3] / "pipeline_definition" / "pipeline.json"
    given = {
        "ExecutionRoleArn": ROLE,
        "TrainingImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds:1",
        "ArtifactBucket": "bucket",
        "ModelPackageGroupName": "cv-birds",
        "InputDataUrl": "s3://bucket/data/",
    }
    world = birds_world()
    executor = world.executor(json.loads(shipped.read_text()), given)

    assert executor.run() == Outcome("Succeeded")
    assert len(world.sagemaker.packages) == 2
    assert len(world.sagemaker.requests) == 7
    (spot,) = (
        package["CustomerMetadataProperties"]
        for package in world.sagemaker.packages
        if package["CustomerMetadataProperties"]["TrainingType"] == "Spot"
    )
    assert spot.pop("PipelineExecutionArn").startswith("arn:aws:sagemaker:")
    assert spot.pop("ModelCard").endswith("/evaluation/spot/model-card.json")
    assert spot == {
        "TrainingType": "Spot",
        "Backbone": "efficientnet_lite0",
        "PretrainedSha256": "p1",
        "PretrainedLicence": "Apache-2.0",
        "WeightsSha256": "w1",
        "DataDigest": "d1",
        "TrainingCodeSha256": "c1",
    }


def test_the_two_trainings_overlap_and_nothing_starts_before_its_inputs_are_there() -> None:
    world = birds_world(TrainSpot=JobScript(seconds=0.05), TrainOnDemand=JobScript(seconds=0.05))
    world.executor(birds(), DATA).run()
    times = world.sagemaker.times

    assert abs(times("TrainSpot", "start")[0] - times("TrainOnDemand", "start")[0]) < 0.04
    assert times("TrainSpot", "start")[0] >= times("Preprocess", "end")[0]
    assert times("EvaluateSpot", "start")[0] >= times("TrainSpot", "end")[0]


def test_a_model_below_the_threshold_is_not_registered_and_the_other_one_is() -> None:
    world = birds_world(spot=0.2)
    executor = world.executor(birds(), DATA)

    assert executor.run().status == "Succeeded"

    assert by_name(executor)["CheckSpotAccuracy"].metadata == {"Condition": {"Outcome": "False"}}
    assert [p["CustomerMetadataProperties"] for p in world.sagemaker.packages] == [
        {"TrainingType": "OnDemand", "DataDigest": "d1"}
    ], "what the evaluation told is said of the model"
    assert world.noted("skip", "RegisterSpot")[0]["reason"] == "CheckSpotAccuracy is False"


def test_a_fail_step_fails_the_execution_and_keeps_its_message() -> None:
    world = birds_world()
    executor = world.executor(birds(), {**DATA, "AccuracyThreshold": "1.01"})

    assert executor.run() == Outcome("Failed", STEP_FAILURE)

    record = by_name(executor)["AccuracyTooLow"]
    assert (record.status, record.failure_reason) == ("Failed", "No model reached 1.01")
    assert record.metadata == {"Fail": {"ErrorMessage": "No model reached 1.01"}}
    assert not world.sagemaker.packages


def test_after_a_fail_step_running_steps_end_and_nothing_more_starts() -> None:
    fail = {"Name": "No", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
    world = EngineWorld()
    world.sagemaker.scripts["Slow"] = JobScript(seconds=0.05)
    executor = world.executor(pipeline(processing("Slow"), fail, processing("Next", DependsOn=["Slow"])))

    assert executor.run() == Outcome("Failed", STEP_FAILURE)
    assert {n: r.status for n, r in by_name(executor).items()} == {"Slow": "Succeeded", "No": "Failed"}


def test_after_a_failed_step_other_branches_go_on_and_its_dependents_do_not_start() -> None:
    world = birds_world(
        TrainSpot=JobScript(failures=["AlgorithmError: out of memory"]), TrainOnDemand=JobScript(seconds=0.05)
    )
    executor = world.executor(birds(), DATA)

    assert executor.run() == Outcome("Failed", STEP_FAILURE)

    records = by_name(executor)
    assert records["TrainSpot"].failure_reason == "AlgorithmError: out of memory"
    assert records["EvaluateOnDemand"].status == "Succeeded"
    assert {"EvaluateSpot", "CheckSpotAccuracy", "CheckAnyAccuracy", "AccuracyTooLow"}.isdisjoint(records)
    assert len(world.sagemaker.packages) == 1
    assert world.noted("skip", "EvaluateSpot")[0]["reason"] == "step TrainSpot failed"


def test_a_refused_call_fails_the_step_with_the_services_own_words() -> None:
    denied = (
        "User: arn:aws:sts::123456789012:assumed-role/cv-birds-pipeline/x is not authorized to perform: "
        "sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:us-east-1:123456789012:training-job/x"
    )
    error = refusal("CreateTrainingJob", "AccessDeniedException", denied)
    world = birds_world(TrainSpot=JobScript(create_errors=[error]))
    executor = world.executor(birds(), DATA)
    executor.run()

    reason = by_name(executor)["TrainSpot"].failure_reason
    assert reason == (
        "ClientError: Failed to invoke sagemaker:CreateTrainingJob. "
        f"Error Details: AccessDeniedException: {denied}"
    )


def test_arguments_that_the_service_does_not_know_fail_the_step_plainly() -> None:
    world = EngineWorld()
    executor = world.executor(pipeline(training("T", arguments={"NewerThanThis": {"epochs": 3}})))

    assert executor.run().status == "Failed"
    assert "NewerThanThis" in str(by_name(executor)["T"].failure_reason)


def test_a_property_that_the_job_does_not_have_is_named_in_the_failure() -> None:
    world = EngineWorld()
    modle = get("Steps.A.ModelArtifacts.S3ModelArtifact")
    executor = world.executor(pipeline(training("A"), processing("B", inputs={"x": modle})))
    executor.run()

    reason = str(by_name(executor)["B"].failure_reason)
    assert "Steps.A.ModelArtifacts has no member 'S3ModelArtifact'; did you mean S3ModelArtifacts?" in reason


def test_steps_that_are_ready_at_once_start_in_the_order_of_the_definition() -> None:
    world = EngineWorld()
    names = ["C", "A", "D", "B"]
    executor = world.executor(pipeline(*(processing(name) for name in names)))
    executor.run()

    assert [record.name for record in executor.steps()] == names


def test_no_more_steps_run_at_once_than_the_limit_allows() -> None:
    world = EngineWorld()
    names = ["A", "B", "C"]
    world.executor(pipeline(*(processing(name) for name in names)), max_parallel_steps=1).run()
    times = world.sagemaker.times

    assert world.sagemaker.started() == names
    assert times("A", "end")[0] <= times("B", "start")[0]
    assert times("B", "end")[0] <= times("C", "start")[0]


def test_depends_on_makes_an_order_without_data() -> None:
    world = EngineWorld()
    world.executor(pipeline(processing("B", DependsOn=["A"]), processing("A"))).run()

    assert world.sagemaker.started() == ["A", "B"]


def test_branches_nest_and_only_the_ones_taken_run() -> None:
    inner = condition(
        "Inner",
        compare("Equals", 1, 2),
        if_steps=[processing("InnerIf")],
        else_steps=[processing("InnerElse")],
    )
    outer = condition(
        "Outer", compare("Equals", 1, 1), if_steps=[inner], else_steps=[processing("OuterElse")]
    )
    world = EngineWorld()
    executor = world.executor(pipeline(outer, processing("After", DependsOn=["OuterElse"])))

    assert executor.run().status == "Succeeded"
    assert [r.name for r in executor.steps()] == ["Outer", "Inner", "InnerElse"]


def test_job_names_tell_the_execution_and_the_step_and_fit_63_characters() -> None:
    world = EngineWorld()
    name = "A_step_whose_name_is_as_long_as_a_step_name_may_be_in_a_pipeline"
    world.executor(pipeline(processing("Preprocess"), processing(name))).run()

    jobs = sorted(request["ProcessingJobName"] for _, request in world.sagemaker.requests)
    assert any(job.startswith("pipelines-a1b2c3d4e5f6-Preprocess-") and len(job) == 44 for job in jobs)
    assert all(len(job) <= 63 for job in jobs)


def test_tags_are_those_of_the_definition() -> None:
    world = EngineWorld()
    tags = [{"Key": "TrainingType", "Value": "Shared"}]
    world.executor(pipeline(processing("A", arguments={"Tags": tags}), processing("B"))).run()

    requests = {r["ProcessingJobName"].split("-")[2]: r for _, r in world.sagemaker.requests}
    assert requests["A"]["Tags"] == tags
    assert "Tags" not in requests["B"]


def test_execution_variables_reach_the_arguments() -> None:
    values = [get(f"Execution.{v}") for v in ("PipelineName", "PipelineExecutionId", "TrainingJobName")]
    joined = {"Std:Join": {"On": " ", "Values": values}}
    world = EngineWorld()
    world.executor(pipeline(training("T", arguments={"HyperParameters": {"x": joined}}))).run()

    request = world.sagemaker.requests[0][1]
    assert request["HyperParameters"]["x"] == f"cv-birds a1b2c3d4e5f6 {request['TrainingJobName']}"


def test_display_name_and_description_are_in_the_record() -> None:
    world = EngineWorld()
    executor = world.executor(pipeline(processing("A", DisplayName="The A", Description="what A does")))
    executor.run()

    record = executor.steps()[0]
    assert (record.display_name, record.description) == ("The A", "what A does")


def test_a_job_is_described_at_its_start_and_at_its_end_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = EngineWorld()
    described: list[str] = []
    describe = world.sagemaker.describe_processing_job

    def count(*, ProcessingJobName: str) -> dict[str, Any]:  # noqa: N803 -- boto3's words
        answer = describe(ProcessingJobName=ProcessingJobName)
        described.append(answer["ProcessingJobStatus"])
        return answer

    monkeypatch.setattr(world.sagemaker, "describe_processing_job", count)
    world.sagemaker.scripts["A"] = JobScript(seconds=0.5)
    world.executor(pipeline(processing("A"))).run()

    assert described == ["InProgress", "Completed"]


def test_an_engine_that_breaks_says_so_and_leaves_no_step_open() -> None:
    world = EngineWorld()

    class BrokenError(Exception):
        pass

    world.sagemaker.scripts = {
        "A": JobScript(describe_errors=[BrokenError("oh")]),
        "B": JobScript(seconds=30),
    }
    executor = world.executor(pipeline(processing("A"), processing("B")))
    with pytest.raises(BrokenError):
        executor.run()

    assert {r.name: r.status for r in executor.steps()} == {"A": "Failed", "B": "Stopped"}
    assert by_name(executor)["A"].failure_reason == "InternalServerError: BrokenError: oh"


def test_a_records_copy_does_not_change_the_execution() -> None:
    world = EngineWorld()
    executor = world.executor(pipeline(processing("A")))
    executor.run()
    executor.steps()[0].metadata.clear()

    assert executor.steps()[0].metadata


def test_step_records_can_be_read_while_the_execution_runs() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(seconds=0.2)
    executor = world.executor(pipeline(processing("A")), variables=variables("ffffffffffff"))
    thread = threading.Thread(target=executor.run)
    thread.start()
    _wait_until(lambda: bool(world.sagemaker.started()))
    record = executor.steps()[0]
    thread.join(5)

    assert (record.status, record.end) == ("Executing", None)


def _wait_until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)
