"""The service behind its seam, with a host in memory: what it answers, refuses, sends and ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker.errors import ServiceError
from local.sagemaker.requests import service_model
from local.sagemaker.service import SageMaker
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import FakeHost, open_memory_account
from tests.support.sagemaker.toy_jobs import ROLE, SETTINGS, processing_request, training_request, wait
from tests.support.sagemaker.toy_pipelines import create, definition, error_of, fail, process, run, steps

HANDLED = {
    *(f"{verb}Pipeline" for verb in ("Create", "Update", "Delete", "Describe")),
    *("ListPipelines", "ListPipelineVersions", "UpdatePipelineVersion"),
    *(f"{verb}PipelineExecution" for verb in ("Start", "Stop", "Update", "Describe")),
    *("ListPipelineExecutions", "ListPipelineExecutionSteps", "ListPipelineParametersForExecution"),
    "DescribePipelineDefinitionForExecution",
    *(
        f"{verb}{kind}Job"
        for verb in ("Create", "Describe", "Stop", "Delete")
        for kind in ("Training", "Processing")
    ),
    *("ListTrainingJobs", "ListProcessingJobs"),
    *(f"{verb}ModelPackageGroup" for verb in ("Create", "Describe", "Delete")),
    *(f"{verb}ModelPackage" for verb in ("Create", "Describe", "Update", "Delete")),
    *("ListModelPackages", "ListModelPackageGroups"),
    *("Search", "AddTags", "ListTags", "DeleteTags"),
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        yield opened


def ask(account: ToyAccount, operation: str, **request: Any) -> dict[str, Any]:
    service: SageMaker = account.sagemaker.service
    return service.answer(operation, request, "key")


def error(account: ToyAccount, operation: str, **request: Any) -> tuple[str, str]:
    """Return code and message of what a request is refused with, and nothing for an answer."""
    try:
        ask(account, operation, **request)
    except ServiceError as refused:
        return refused.code, refused.message
    return "", ""


def test_every_operation_is_handled_or_says_that_it_is_not_implemented(account: ToyAccount) -> None:
    said = {operation: error(account, operation) for operation in service_model().operation_names}
    missing = {operation: message for operation, (code, message) in said.items() if code == "NotImplemented"}
    assert set(said) - set(missing) == HANDLED
    for operation, message in missing.items():
        assert message.startswith(f"{operation} is not implemented on local AWS")


def test_an_operation_that_sagemaker_does_not_have_is_unknown(account: ToyAccount) -> None:
    assert error(account, "CreateUnicorn")[0] == "UnknownOperationException"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"MaxResults": "10"}, "maxResults must be an integer"),
        ({"PipelineNamePrefix": 7}, "pipelineNamePrefix must be a string"),
        ({"CreatedAfter": "yesterday morning"}, "is not a time"),
    ],
)
def test_what_is_of_the_wrong_type_is_refused(
    account: ToyAccount, request_: dict[str, Any], said: str
) -> None:
    create(account, f"typed-{len(said)}", definition(fail()))
    assert said in error(account, "ListPipelines", **request_)[1]


def test_times_of_a_request_are_numbers_texts_or_datetimes(account: ToyAccount) -> None:
    account.process("timed", "pass")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for after in (tomorrow, tomorrow.timestamp(), tomorrow.isoformat()):
        assert ask(account, "ListProcessingJobs", CreationTimeAfter=after) == {"ProcessingJobSummaries": []}
        before = ask(account, "ListProcessingJobs", CreationTimeBefore=after, NameContains="timed")
        assert len(before["ProcessingJobSummaries"]) == 1


def test_no_member_of_an_answer_is_none(account: ToyAccount) -> None:
    create(account, "plain", definition(fail()))
    listed = ask(account, "ListPipelines", PipelineNamePrefix="plain")
    assert None not in listed["PipelineSummaries"][0].values()


def test_groups_are_listed_in_order_and_in_pages(account: ToyAccount) -> None:
    for name in ("list-c", "list-a", "list-b"):
        account.sagemaker.create_model_package_group(ModelPackageGroupName=name)
    pages = account.sagemaker.get_paginator("list_model_package_groups").paginate(
        NameContains="LIST-", MaxResults=2, SortBy="Name"
    )
    names = [[g["ModelPackageGroupName"] for g in page["ModelPackageGroupSummaryList"]] for page in pages]
    assert names == [["list-a", "list-b"], ["list-c"]]


def test_an_update_changes_what_it_names_and_adds_what_it_adds(account: ToyAccount) -> None:
    account.sagemaker.create_model_package_group(ModelPackageGroupName="updated")
    arn = account.sagemaker.create_model_package(
        ModelPackageGroupName="updated", SourceUri="s3://b/old", ModelPackageDescription="first"
    )["ModelPackageArn"]
    more = {"Name": "more", "Containers": [{"Image": "image"}]}
    account.sagemaker.update_model_package(
        ModelPackageArn=arn, SourceUri="s3://b/new", AdditionalInferenceSpecificationsToAdd=[more]
    )
    package = account.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["SourceUri"] == "s3://b/new"
    assert package["ModelPackageDescription"] == "first"
    assert package["AdditionalInferenceSpecifications"] == [more]


def test_a_package_that_would_have_to_be_validated_is_refused(account: ToyAccount) -> None:
    profile = {
        "ProfileName": "p",
        "TransformJobDefinition": {
            "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b"}}},
            "TransformOutput": {"S3OutputPath": "s3://b/out"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        },
    }
    validation = {"ValidationRole": ROLE, "ValidationProfiles": [profile]}
    with pytest.raises(ClientError, match="ValidationSpecification is not implemented on local AWS"):
        account.sagemaker.create_model_package(ModelPackageName="v", ValidationSpecification=validation)


@pytest.mark.parametrize(
    ("vpc", "said"),
    [
        ({"Subnets": ["subnet-9"], "SecurityGroupIds": ["sg-1"]}, "The subnet 'subnet-9' does not exist"),
        ({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-9"]}, "The security group 'sg-9' does not"),
        ({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-2"]}, "must be of one VPC, not of vpc-1, vpc-2"),
    ],
)
def test_a_network_that_is_not_there_is_refused(account: ToyAccount, vpc: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        account.train("unconnected", "pass", VpcConfig=vpc)


def test_executions_jobs_and_packages_send_their_events(tmp_path: Path) -> None:
    with open_memory_account(tmp_path) as account:
        account.train("told", "pass", Tags=[{"Key": "a", "Value": "b"}])
        account.sagemaker.create_model_package(ModelPackageName="told")
        create(account, "told", definition(fail()))
        run(account, "told")
    host: FakeHost = account.aws

    def sent(kind: str, member: str) -> list[Any]:
        return [detail.get(member) for what, detail in host.events if what == f"SageMaker {kind} Change"]

    execution = "Model Building Pipeline Execution Status"
    assert sent("Training Job State", "TrainingJobStatus") == ["InProgress", "Completed"]
    assert sent("Training Job State", "Tags") == [{"a": "b"}, {"a": "b"}]
    assert all(isinstance(moment, int) for moment in sent("Training Job State", "CreationTime"))
    assert sent("Model Package State", "ModelPackageName") == ["told"]
    assert sent(execution, "currentPipelineExecutionStatus") == ["Executing", "Failed"]
    assert sent(execution, "previousPipelineExecutionStatus") == [None, "Executing"]


def test_a_job_goes_on_when_its_event_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no EventBridge")

    monkeypatch.setattr(FakeHost, "put_event", broken)
    with open_memory_account(tmp_path) as account:
        assert account.train("silent", "pass")["TrainingJobStatus"] == "Completed"


def test_a_pipeline_runs_its_jobs_and_asks_for_each_twice(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = account.sagemaker.service.answer

    def counted(operation: str, request: dict[str, Any], key: str) -> dict[str, Any]:
        asked.append(operation)
        answered: dict[str, Any] = answer(operation, request, key)
        return answered

    create(account, "asking", definition(process("Work", "time.sleep(1)")))
    monkeypatch.setattr(account.sagemaker.service, "answer", counted)
    _, execution = run(account, "asking")
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert asked.count("CreateProcessingJob") == 1
    assert asked.count("DescribeProcessingJob") == 2


def test_closing_stops_executions_and_their_jobs_and_starts_nothing_more(tmp_path: Path) -> None:
    with open_memory_account(tmp_path) as closing:
        create(closing, "closing", definition(process("Long", "time.sleep(300)")))
        arn = closing.sagemaker.start_pipeline_execution(PipelineName="closing")["PipelineExecutionArn"]
        wait(lambda: steps(closing, arn), lambda found: bool(found.get("Long", {}).get("Metadata")))
        started = time.monotonic()
        closing.sagemaker.service.close()
        assert time.monotonic() - started < 3
        described = closing.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        assert described["PipelineExecutionStatus"] == "Stopped"
        code, message = error_of(closing, "create_training_job", **training_request("late", "pass"))
        assert (code, message) == ("ResourceLimitExceeded", "Local AWS is about to end.")


def test_a_service_that_has_done_nothing_closes(tmp_path: Path) -> None:
    SageMaker(FakeHost(tmp_path), SETTINGS).close()


def test_an_answer_is_not_the_services_own_state(account: ToyAccount) -> None:
    account.sagemaker.create_processing_job(**processing_request("own", "pass"))
    described = account.wait_processing("own")
    described["StoppingCondition"]["MaxRuntimeInSeconds"] = 1
    again = account.sagemaker.describe_processing_job(ProcessingJobName="own")
    assert again["StoppingCondition"]["MaxRuntimeInSeconds"] == 60
