"""Pipelines, their versions and executions, as boto3 sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.engine.definition import STEP_TYPES
from pipeline_definition.checks import structure
from tests.support.sagemaker.account import EVERYTHING, ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.toy_jobs import BUCKET, IMAGE, ROLE, training_request
from tests.support.sagemaker.toy_pipelines import (
    create,
    definition,
    error_of,
    fail,
    pipeline_names,
    process,
    run,
    steps,
    train,
)

TOKEN = "t" * 32
METRIC_QUERY = {
    "MetricName": "a",
    "ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/a",
    "MetricStat": "Last",
    "Period": "OneMinute",
    "XAxisType": "Timestamp",
}
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        opened.put("data/a.txt", "a")
        yield opened


@pytest.fixture(autouse=True)
def all_rights(account: ToyAccount) -> Iterator[None]:
    yield
    account.allow(EVERYTHING)


def test_a_changed_definition_is_a_new_version_and_an_unchanged_one_is_not(account: ToyAccount) -> None:
    first, second = definition(fail(message="one")), definition(fail(message="two"))
    create(account, "versions", first, PipelineDescription="birds")
    update = account.sagemaker.update_pipeline
    assert update(PipelineName="versions", PipelineDefinition=first)["PipelineVersionId"] == 1
    assert update(PipelineName="versions", PipelineDefinition=second)["PipelineVersionId"] == 2
    assert update(PipelineName="versions", PipelineDisplayName="Birds")["PipelineVersionId"] == 2
    described = account.sagemaker.describe_pipeline(PipelineName=ARN + ":pipeline/versions")
    assert described["PipelineDefinition"] == second
    assert described["PipelineDisplayName"] == "Birds"
    assert described["PipelineDescription"] == "birds"
    assert described["LastModifiedTime"] >= described["CreationTime"]
    old = account.sagemaker.describe_pipeline(PipelineName="versions", PipelineVersionId=1)
    assert old["PipelineDefinition"] == first
    summaries = account.sagemaker.list_pipeline_versions(PipelineName="versions")["PipelineVersionSummaries"]
    assert [s["PipelineVersionId"] for s in summaries] == [2, 1]
    code, message = error_of(account, "describe_pipeline", PipelineName="versions", PipelineVersionId=9)
    assert code == "ResourceNotFound"
    assert "1 to 2" in message


def test_a_version_can_be_named_and_described(account: ToyAccount) -> None:
    arn = create(account, "named-version", definition(fail()))
    account.sagemaker.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=1, PipelineVersionDisplayName="first"
    )
    (summary,) = account.sagemaker.list_pipeline_versions(PipelineName=arn)["PipelineVersionSummaries"]
    assert summary["PipelineVersionDisplayName"] == "first"


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        json.dumps({"Version": "2020-12-01"}),
        definition(fail(message={"Get": "Steps.Nobody.Outcome"})),
        definition(fail(), fail()),
    ],
)
def test_a_definition_that_cannot_run_is_refused_when_it_is_stored(account: ToyAccount, text: str) -> None:
    code, message = error_of(
        account,
        "create_pipeline",
        PipelineName="broken",
        PipelineDefinition=text,
        RoleArn=ROLE,
        ClientRequestToken=TOKEN,
    )
    assert code == "ValidationException"
    assert message.startswith("Unable to parse pipeline definition. ")
    if "to-break" not in pipeline_names(account):
        create(account, "to-break", definition(fail()))
    code, message = error_of(account, "update_pipeline", PipelineName="to-break", PipelineDefinition=text)
    assert code == "ValidationException"
    assert "broken" not in pipeline_names(account)


def refused(account: ToyAccount, text: str) -> str:
    """Return why CreatePipeline refuses a definition."""
    code, message = error_of(
        account,
        "create_pipeline",
        PipelineName="refused",
        PipelineDefinition=text,
        RoleArn=ROLE,
        ClientRequestToken=TOKEN,
    )
    assert code == "ValidationException"
    assert message.startswith("Unable to parse pipeline definition. ")
    return message


def test_all_faults_are_told_in_one_message_of_bounded_length(account: ToyAccount) -> None:
    faults = [fail(f"S{number}") | {"DependsOn": ["Nobody"]} for number in range(90)]
    message = refused(account, definition(*faults[:3]))
    assert message.count('no step "Nobody"') == 3
    long = refused(account, definition(*(each | {"Type": "F" * 3_000} for each in faults)))
    assert len(long) < 10_000
    assert "; and " in long


@pytest.mark.parametrize("kind", sorted({*structure.STEP_TYPES, "QuantumAnnealing"} - {*STEP_TYPES}))
def test_a_step_that_local_aws_does_not_run_is_refused_by_its_name(account: ToyAccount, kind: str) -> None:
    step = {"Name": "Other", "Type": kind, "FunctionArn": "arn", "SqsQueueUrl": "url", "Arguments": {}}
    said = f"/Steps/0/Type: step Other is of type {kind}, which local AWS does not run"
    assert said in refused(account, definition(step))


DRIVER = """
cd "$(dirname "$0")"
echo "from $PWD with $@"
echo result >"$SAGEMAKER_BASE_DIR/model/result.txt"
"""


def test_a_step_that_the_sdk_makes_of_a_function_runs(account: ToyAccount) -> None:
    """Such a step, as a notebook job and a feature processor, brings its own driver in a channel."""
    account.put("driver/drive.sh", DRIVER)
    channel = "/opt/ml/input/data/driver"
    step = train("Function")
    step["Arguments"] |= {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", f"{channel}/drive.sh"],
            "ContainerArguments": ["--dependencies", f"{channel}/needed.txt"],
        },
        "InputDataConfig": training_request("x", "", inputs={"driver": f"s3://{BUCKET}/driver/"})[
            "InputDataConfig"
        ],
        "RetryStrategy": {"MaximumRetryAttempts": 1},
        "EnableManagedSpotTraining": False,
        "EnableNetworkIsolation": False,
        "DebugHookConfig": {"S3OutputPath": f"s3://{BUCKET}/hook", "CollectionConfigurations": []},
        "ProfilerConfig": {"S3OutputPath": f"s3://{BUCKET}/profile", "DisableProfiler": False},
    }
    step["Arguments"]["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 0
    create(account, "function", definition(step))
    arn, execution = run(account, "function")
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps(account, arn)
    job = steps(account, arn)["Function"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    described = account.sagemaker.describe_training_job(TrainingJobName=job)
    assert described["RetryStrategy"] == {"MaximumRetryAttempts": 1}
    log = account.log("/aws/sagemaker/TrainingJobs", described["TrainingJobName"])
    assert log == [f"from {channel} with --dependencies {channel}/needed.txt"]


def test_what_only_a_job_s_api_refuses_fails_the_step_when_it_starts(account: ToyAccount) -> None:
    step = process("Score")
    step["Arguments"]["AppSpecification"]["ContainerArguments"] = [""]
    create(account, "refused-later", definition(step))
    arn, execution = run(account, "refused-later")
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps(account, arn)["Score"]["FailureReason"].startswith(
        "ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: ValidationException: "
        "Found null or empty string in ContainerArguments at index 0."
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"Get": "Account.Region"}, "local AWS does not know Account.Region"),
        (
            {"Get": "PipelineExperimentConfig.TrialName"},
            "PipelineExperimentConfig of this definition has no TrialName",
        ),
        ({"Std:Uppercase": "a"}, "local AWS does not know the function Std:Uppercase"),
    ],
)
def test_what_may_be_newer_fails_the_step_that_needs_it(account: ToyAccount, message: Any, said: str) -> None:
    name = f"newer-{len(said)}"
    create(account, name, definition(fail(message=message)))
    arn, execution = run(account, name)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert steps(account, arn)["Stop"]["FailureReason"].startswith(f"ClientError: {said}")


def test_creating_twice_with_the_same_token_answers_once_and_another_request_is_refused(
    account: ToyAccount,
) -> None:
    request: dict[str, Any] = {
        "PipelineName": "token",
        "PipelineDefinition": definition(fail()),
        "RoleArn": ROLE,
        "ClientRequestToken": "c" * 32,
    }
    first = account.sagemaker.create_pipeline(**request)["PipelineArn"]
    assert account.sagemaker.create_pipeline(**request)["PipelineArn"] == first
    code, _ = error_of(account, "create_pipeline", **{**request, "PipelineDescription": "other"})
    assert code == "ConflictException"
    code, message = error_of(account, "create_pipeline", **{**request, "ClientRequestToken": "d" * 32})
    assert code == "ValidationException"
    assert "Pipeline names must be unique within an AWS account and region" in message


def test_a_definition_in_s3_is_read_with_the_rights_of_the_caller(account: ToyAccount) -> None:
    account.put("definitions/p.json", definition(fail()))
    location = {"Bucket": BUCKET, "ObjectKey": "definitions/p.json"}
    request = {
        "PipelineName": "from-s3",
        "PipelineDefinitionS3Location": location,
        "RoleArn": ROLE,
        "ClientRequestToken": TOKEN,
    }
    account.allow(
        [
            *EVERYTHING,
            {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/definitions/*"},
        ]
    )
    as_role = account.aws.client("sagemaker", ROLE)
    with pytest.raises(as_role.exceptions.ClientError, match="not authorized to perform: s3:GetObject"):
        as_role.create_pipeline(**request)
    account.allow(EVERYTHING)
    as_role.create_pipeline(**request)
    assert account.sagemaker.describe_pipeline(PipelineName="from-s3")["PipelineDefinition"] == definition(
        fail()
    )
    code, message = error_of(
        account,
        "update_pipeline",
        PipelineName="from-s3",
        PipelineDefinitionS3Location={**location, "ObjectKey": "nothing"},
    )
    assert code == "ValidationException"
    assert "nothing" in message


def test_a_role_that_does_not_trust_sagemaker_is_refused(account: ToyAccount) -> None:
    role = account.make_role("of-lambda", "lambda.amazonaws.com")
    for wrong in (role, "arn:aws:iam::123456789012:role/nobody"):
        code, message = error_of(
            account,
            "create_pipeline",
            PipelineName="untrusted",
            PipelineDefinition=definition(fail()),
            RoleArn=wrong,
            ClientRequestToken=TOKEN,
        )
        assert code == "ValidationException"
        assert f"Could not assume role {wrong}." in message


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("describe_pipeline", {"PipelineName": "nobody"}),
        ("update_pipeline", {"PipelineName": "nobody"}),
        ("start_pipeline_execution", {"PipelineName": "nobody"}),
        ("list_pipeline_executions", {"PipelineName": "nobody"}),
        ("list_pipeline_versions", {"PipelineName": "nobody"}),
        ("delete_pipeline", {"PipelineName": "nobody", "ClientRequestToken": TOKEN}),
    ]
    + [
        (operation, {"PipelineExecutionArn": f"{ARN}:pipeline/p/execution/abcdefghijkl"})
        for operation in (
            "describe_pipeline_execution",
            "list_pipeline_execution_steps",
            "list_pipeline_parameters_for_execution",
            "describe_pipeline_definition_for_execution",
            "stop_pipeline_execution",
            "update_pipeline_execution",
        )
    ],
)
def test_what_does_not_exist_is_a_resource_not_found(
    account: ToyAccount, operation: str, request_: dict[str, str]
) -> None:
    code, message = error_of(account, operation, **request_)
    assert code == "ResourceNotFound"
    assert "does not exist" in message


def test_an_operation_that_is_missing_is_a_400_that_says_so(account: ToyAccount) -> None:
    code, message = error_of(account, "list_lineage_groups")
    assert (code, message) == ("NotImplemented", "ListLineageGroups is not implemented on local AWS.")


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "birds", "Body": b""}),
        (
            "sagemaker-runtime",
            "invoke_endpoint_async",
            {"EndpointName": "birds", "InputLocation": "s3://b/a"},
        ),
        ("sagemaker-metrics", "batch_get_metrics", {"MetricQueries": [METRIC_QUERY]}),
        (
            "sagemaker-featurestore-runtime",
            "get_record",
            {"FeatureGroupName": "a", "RecordIdentifierValueAsString": "1"},
        ),
        ("sagemaker", "create_endpoint", {"EndpointName": "birds", "EndpointConfigName": "birds"}),
        ("sagemaker", "create_model", {"ModelName": "birds"}),
    ],
)
def test_nothing_answers_for_what_local_aws_does_not_have(
    service: str, operation: str, parameters: dict[str, Any], account: ToyAccount
) -> None:
    client = account.aws.client(service)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**parameters)
    assert refused.value.response["Error"]["Code"] == "NotImplemented"
    assert "not implemented on local AWS" in refused.value.response["Error"]["Message"]
