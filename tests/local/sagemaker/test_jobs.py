"""CreateTrainingJob, CreateProcessingJob and what belongs to them, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.refusals import error_of
from tests.support.sagemaker.toy_jobs import BUCKET, processing_request, spot, training_request


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (spot(StoppingCondition={"MaxRuntimeInSeconds": 60}), "Invalid MaxWaitTimeInSeconds"),
        (
            spot(StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}),
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        ({"StoppingCondition": {"MaxWaitTimeInSeconds": 59}}, "EnableManagedSpotTraining"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "at 'stoppingCondition.maxRuntimeInSeconds'"),
        ({"StoppingCondition": None}, "StoppingCondition"),
        (
            {"ResourceConfig": {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
            "Member must satisfy enum value set",
        ),
        ({"OutputDataConfig": {"S3OutputPath": "/tmp/out"}}, "at 'outputDataConfig.s3OutputPath'"),
        ({"HyperParameters": {"x" * 300: "1"}}, "length less than or equal to 256"),
        ({"algorithm": {"AlgorithmName": "a"}}, "TrainingImage or AlgorithmName"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/data"}}, "must be under /opt/ml"),
        ({"inputs": {"train": "s3://b/c"}, "algorithm": {"TrainingInputMode": "Pipe"}}, "Pipe"),
        ({"algorithm": {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=("}]}}, "metric loss"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
    ],
)
def test_a_training_request_that_sagemaker_refuses_is_refused(
    account: ToyAccount, changes: dict[str, Any], said: str
) -> None:
    code, message = error_of(account, "create_training_job", **training_request("refused", "pass", **changes))
    assert code == "ValidationException"
    assert said in message
    assert account.sagemaker.list_training_jobs(NameContains="refused")["TrainingJobSummaries"] == []


def test_every_constraint_that_is_not_satisfied_is_named(account: ToyAccount) -> None:
    request = training_request("-bad-", "pass", StoppingCondition={"MaxRuntimeInSeconds": 0})
    _, message = error_of(account, "create_training_job", **request)
    assert message.startswith("2 validation errors detected: ")
    assert "'trainingJobName'" in message


def test_a_heterogeneous_cluster_is_refused(account: ToyAccount) -> None:
    group = {"InstanceGroupName": "wide", "InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    cluster = {"InstanceGroups": [group], "VolumeSizeInGB": 10}
    request = training_request("wide", "pass", ResourceConfig=cluster)
    code, message = error_of(account, "create_training_job", **request)
    assert (code, message) == ("ValidationException", "ResourceConfig needs InstanceType and InstanceCount.")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("ProcessingInputs", 0, "S3Input", "LocalPath"), "/data", "must be under /opt/ml/processing"),
        (("ProcessingInputs", 0, "S3Input", "LocalPath"), "/opt/ml/processing/../x", "must be under"),
        (("ProcessingInputs", 0, "S3Input", "S3DataType"), "ManifestFile", "S3Prefix"),
        (("ProcessingInputs", 0, "InputName"), "other", "names must be globally unique: [other]"),
        (("ProcessingInputs", 0, "InputName"), "result", "names must be globally unique: [result]"),
        (("AppSpecification", "ContainerArguments"), ["-k", ""], "string in ContainerArguments at index 1"),
        (("AppSpecification", "ContainerEntrypoint"), [""], "string in ContainerEntrypoint at index 0"),
        (("ProcessingOutputConfig", "Outputs", 0, "S3Output", "LocalPath"), "/out", "Outputs['result']"),
        (("AppSpecification", "ContainerArguments"), ["x" * 257], "length less than or equal to 256"),
        (("ProcessingResources", "ClusterConfig", "InstanceCount"), 0, "greater than or equal to 1"),
    ],
)
def test_a_processing_request_that_sagemaker_refuses_is_refused(
    account: ToyAccount, path: tuple[str | int, ...], value: Any, said: str
) -> None:
    uri = f"s3://{BUCKET}/x"
    request: Any = processing_request(
        "refused", "pass", inputs={"data": uri, "other": uri}, outputs={"result": uri}
    )
    *parents, last = path
    place = request
    for name in parents:
        place = place[name]
    place[last] = value
    code, message = error_of(account, "create_processing_job", **request)
    assert code == "ValidationException"
    assert said in message


def test_a_jobs_name_can_be_used_once(account: ToyAccount) -> None:
    account.train("unique", "pass")
    code, message = error_of(account, "create_training_job", **training_request("unique", "pass"))
    assert code == "ResourceInUse"
    assert "already exists" in message
    account.process("unique", "pass")
    assert (
        error_of(account, "create_processing_job", **processing_request("unique", "pass"))[0]
        == "ResourceInUse"
    )
    account.sagemaker.delete_training_job(TrainingJobName="unique")
    assert account.train("unique", "pass")["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize("operation", ["describe", "stop", "delete"])
def test_a_job_that_does_not_exist_is_refused_as_sagemaker_refuses_it(
    account: ToyAccount, operation: str
) -> None:
    training = error_of(account, f"{operation}_training_job", TrainingJobName="nobody")
    assert training == ("ValidationException", "Requested resource not found.")
    code, message = error_of(account, f"{operation}_processing_job", ProcessingJobName="nobody")
    assert code == "ValidationException"
    assert "nobody" in message


def test_a_job_is_described_with_what_was_asked_for(account: ToyAccount) -> None:
    request = training_request(
        "described",
        "pass",
        HyperParameters={"epochs": "3"},
        EnableInterContainerTrafficEncryption=True,
        **spot(),
    )
    account.sagemaker.create_training_job(**request)
    described = account.wait_training("described")
    filled_in = {"EnableSageMakerMetricsTimeSeries": False, **request["AlgorithmSpecification"]}
    assert {name: described[name] for name in request} == {**request, "AlgorithmSpecification": filled_in}
    assert described["EnableNetworkIsolation"] is False
    processing = processing_request(
        "described", "pass", outputs={"r": f"s3://{BUCKET}/r"}, NetworkConfig={"EnableNetworkIsolation": True}
    )
    account.sagemaker.create_processing_job(**processing)
    found = account.wait_processing("described")
    assert {name: found.get(name, []) for name in processing} == processing


def test_jobs_are_listed_by_name_status_and_time(account: ToyAccount) -> None:
    for name, code in (("list-b", "pass"), ("list-a", "sys.exit(1)"), ("list-c", "pass")):
        account.train(name, code)

    def names(**request: Any) -> list[str]:
        answer = account.sagemaker.list_training_jobs(NameContains="list-", **request)
        return [job["TrainingJobName"] for job in answer["TrainingJobSummaries"]]

    assert names() == ["list-c", "list-a", "list-b"]
    assert names(SortBy="Name", SortOrder="Ascending") == ["list-a", "list-b", "list-c"]
    assert names(StatusEquals="Failed") == ["list-a"]
    assert names(MaxResults=1) == ["list-c"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert names(CreationTimeAfter=tomorrow) == []
    assert len(names(CreationTimeBefore=tomorrow)) == 3
    pages = account.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="list-", PaginationConfig={"PageSize": 2}
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 1]


def test_a_jobs_tags_are_found_by_its_arn(account: ToyAccount) -> None:
    job = account.train("Tagged", "pass", Tags=[{"Key": "TrainingType", "Value": "Spot"}])
    assert job["TrainingJobArn"].endswith(":training-job/tagged")
    tags = account.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "TrainingType", "Value": "Spot"}]


def test_a_processing_job_can_be_stopped(account: ToyAccount) -> None:
    account.sagemaker.create_processing_job(**processing_request("to-stop", "time.sleep(60)"))
    account.sagemaker.stop_processing_job(ProcessingJobName="to-stop")
    assert account.wait_processing("to-stop")["ProcessingJobStatus"] == "Stopped"


def test_a_processing_job_that_runs_too_long_is_stopped_and_says_so(account: ToyAccount) -> None:
    job = account.process("too-long", "time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeInSeconds" in job["ExitMessage"]
