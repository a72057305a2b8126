"""Deploying on local AWS: the committed template, the code of lambda/, failures that name the resource."""

import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from local.deploy import DeployError, deploy, zip_sources
from tests.support.local_aws.clients import uploader
from tests.support.local_aws.functions import eventually

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra" / "template.json"
STACK = "cv-birds"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path / "aws") as aws:
        yield aws


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of function code that answers 1."""
    folder = tmp_path / "source"
    (folder / "upload_trigger").mkdir(parents=True)
    (folder / "upload_trigger" / "__init__.py").touch()
    (folder / "upload_trigger" / "handler.py").write_text("def handler(event, context):\n    return 1\n")
    return folder


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the project's template with a change in its resources, found by type."""
    template = json.loads(TEMPLATE.read_text())
    change(template["Resources"])
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template))
    return path


def of_type(resources: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    return next((name, item["Properties"]) for name, item in resources.items() if item["Type"] == kind)


def call(aws: LocalAWS) -> Any:
    answer = aws.client("lambda").invoke(FunctionName=f"{STACK}-start-execution", Payload=b"{}")
    return json.loads(answer["Payload"].read())


def test_the_zip_is_the_same_for_the_same_sources_and_holds_nothing_else(source: Path) -> None:
    (source / "upload_trigger" / "__pycache__").mkdir()
    (source / "upload_trigger" / "__pycache__" / "handler.cpython-313.pyc").write_bytes(b"x")
    (source / "notes.txt").write_text("x")
    first = zip_sources(source)
    os.utime(source / "upload_trigger" / "handler.py", (1, 1))
    (source / "upload_trigger" / "handler.py").chmod(0o600)
    assert zip_sources(source) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["upload_trigger/__init__.py", "upload_trigger/handler.py"]
        assert archive.infolist()[0].external_attr >> 16 == 0o644


def test_the_committed_template_deploys_and_gives_its_outputs(aws: LocalAWS, source: Path) -> None:
    outputs = deploy(aws, TEMPLATE, STACK, source=source)
    assert set(outputs) >= {
        "BucketName",
        "FailureQueueUrl",
        "ModelPackageGroupName",
        "PipelineExecutionRoleArn",
        "PipelineName",
        "UploadCommand",
    }
    assert aws.client("s3").get_bucket_versioning(Bucket=outputs["BucketName"])["Status"] == "Enabled"
    assert call(aws) == 1


@pytest.mark.slow
def test_deploying_again_changes_nothing_and_changed_code_is_deployed(aws: LocalAWS, source: Path) -> None:
    outputs = deploy(aws, TEMPLATE, STACK, source=source)
    assert deploy(aws, TEMPLATE, STACK, source=source) == outputs
    (source / "upload_trigger" / "handler.py").write_text("def handler(event, context):\n    return 2\n")
    deploy(aws, TEMPLATE, STACK, source=source)
    assert call(aws) == 2


@pytest.mark.slow
def test_a_changed_role_policy_is_deployed(aws: LocalAWS, source: Path, tmp_path: Path) -> None:
    deploy(aws, TEMPLATE, STACK, source=source)

    def shorten(resources: dict[str, Any]) -> None:
        role = next(
            item
            for item in resources.values()
            if "cv-birds-pipeline-" in json.dumps(item["Properties"].get("RoleName", ""))
        )
        role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"] = [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        ]

    outputs = deploy(aws, changed(tmp_path, shorten), STACK, source=source)
    name = outputs["PipelineExecutionRoleArn"].rpartition("/")[2]
    iam = aws.client("iam")
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    assert [item["Action"] for item in document["Statement"]] == ["s3:GetObject"]


@pytest.mark.slow
def test_a_resource_that_fails_is_named_with_its_reason_and_the_next_deployment_starts_over(
    aws: LocalAWS, source: Path
) -> None:
    taken = f"cv-birds-{aws.account}-{aws.region}"
    aws.client("s3").create_bucket(Bucket=taken)
    with pytest.raises(DeployError, match="ROLLBACK_COMPLETE") as failed:
        deploy(aws, TEMPLATE, STACK, source=source)
    resources = json.loads(TEMPLATE.read_text())["Resources"]
    (failure,) = failed.value.failures
    assert "NotificationConfiguration" in resources[failure.logical_id]["Properties"]
    assert failure.type == "AWS::S3::Bucket"
    assert "already exists" in failure.reason
    assert failure.logical_id in str(failed.value)
    aws.client("s3").delete_bucket(Bucket=taken)
    for name in retained(aws):
        aws.client("s3").delete_bucket(Bucket=name)
    assert deploy(aws, TEMPLATE, STACK, source=source)["BucketName"] == taken


def test_a_stack_that_cannot_go_goes_when_what_stays_is_named(aws: LocalAWS) -> None:
    """As CloudFormation does it: of a stack whose deletion failed, RetainResources are left."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "kept"}}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "gone"}}
    cloudformation, s3 = aws.client("cloudformation"), aws.client("s3")
    body = json.dumps({"Resources": {"Kept": bucket, "Gone": topic}})
    stack = cloudformation.create_stack(StackName="full", TemplateBody=body)["StackId"]
    cloudformation.get_waiter("stack_create_complete").wait(StackName="full", WaiterConfig={"Delay": 1})
    s3.put_object(Bucket="kept", Key="a", Body=b"a")

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    with pytest.raises(ClientError, match="DELETE_FAILED"):
        cloudformation.delete_stack(StackName="full", RetainResources=["Kept"])
    cloudformation.delete_stack(StackName="full")
    assert eventually(lambda: status() == "DELETE_FAILED"), status()
    with pytest.raises(ClientError, match="Nobody"):
        cloudformation.delete_stack(StackName="full", RetainResources=["Nobody"])
    cloudformation.delete_stack(StackName="full", RetainResources=["Kept"])
    assert eventually(lambda: status() == "DELETE_COMPLETE"), status()
    assert s3.get_object(Bucket="kept", Key="a")["Body"].read() == b"a"
    assert aws.client("sns").list_topics()["Topics"] == []
    s3.delete_object(Bucket="kept", Key="a")
    s3.delete_bucket(Bucket="kept")


def retained(aws: LocalAWS) -> list[str]:
    """Return the buckets that a failed creation left (DeletionPolicy), which are in the way as on AWS."""
    listed = (each["Name"] for each in aws.client("s3").list_buckets()["Buckets"])
    return [name for name in listed if name.startswith(STACK)]


def test_what_is_no_template_is_told(aws: LocalAWS, source: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"python -m infra\.template"):
        deploy(aws, tmp_path / "missing.json", STACK, source=source)
    resources = ('{"A": "x"}', '{"A": {"Properties": {}}}')
    for text in ("{", "[]", '{"Parameters": {}}', *(f'{{"Resources": {each}}}' for each in resources)):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(DeployError, match=r"wrong\.json must be a CloudFormation template"):
            deploy(aws, tmp_path / "wrong.json", STACK, source=source)


def test_a_type_that_local_aws_does_not_have_is_refused_before_anything_is_made(
    aws: LocalAWS, tmp_path: Path
) -> None:
    def add(resources: dict[str, Any]) -> None:
        resources["Other"] = {"Type": "AWS::Birds::Nest", "Properties": {}}

    with pytest.raises(DeployError, match="AWS::Birds::Nest"):
        deploy(aws, changed(tmp_path, add), STACK)
    assert retained(aws) == []


@pytest.mark.slow
def test_an_uploaded_definition_runs_the_real_function_under_its_role(aws: LocalAWS) -> None:
    outputs = deploy(aws, TEMPLATE, STACK)
    s3, bucket, key = uploader(aws), outputs["BucketName"], "pipeline/pipeline.json"
    version = s3.put_object(Bucket=bucket, Key=key, Body=b'{"Version": 1}')["VersionId"]
    verdict = f"verdicts/{key}/{version}.json"
    deadline = time.monotonic() + 60
    while not s3.list_objects_v2(Bucket=bucket, Prefix=verdict)["KeyCount"]:
        assert time.monotonic() < deadline, "the function left no verdict"
        time.sleep(0.2)
    # Refused for what is in it: that says it read this very object with its own role.
    given = json.loads(s3.get_object(Bucket=bucket, Key=verdict)["Body"].read())
    assert given["verdict"] == "REJECTED"
    assert given["reasons"][0]["pointer"] == "/Steps"


def test_a_template_whose_functions_have_other_code_is_refused_with_the_choice_that_made_it(
    aws: LocalAWS, tmp_path: Path
) -> None:
    def add_a_function(resources: dict[str, Any]) -> None:
        (first,) = (each for each in resources.values() if each["Type"] == "AWS::Lambda::Function")
        code = {**first["Properties"]["Code"], "S3Key": "other.zip"}
        resources["Other"] = {**first, "Properties": {**first["Properties"], "Code": code}}

    with pytest.raises(DeployError, match="without image=codebuild"):
        deploy(aws, changed(tmp_path, add_a_function), STACK)
