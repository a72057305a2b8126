"""The deployment's key on local AWS: changed in place, taken over, and in use from upload to models."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.deploy import deploy
from local.run import STACK
from tests.support.infra.profiles import HARDENED
from tests.support.local_aws.deployed import DeployedStack, deployed_stack, write_template
from tests.support.local_aws.toy_pipeline import SHIPPED

pytestmark = pytest.mark.slow

OLD = "data/toy/images.txt"
RETAINED = ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup", "AWS::SNS::Topic")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    folder = tmp_path_factory.mktemp("aws")
    with deployed_stack(folder, interruptions=0, template=write_template(HARDENED, folder)) as started:
        yield started


def encryption(running: DeployedStack) -> dict[str, Any]:
    """Return the key of bucket, queue and log, None where a service has its own."""
    aws = running.aws
    answer = aws.client("s3").get_bucket_encryption(Bucket=running.outputs["BucketName"])
    (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
    attributes = aws.client("sqs").get_queue_attributes(
        QueueUrl=running.outputs["FailureQueueUrl"], AttributeNames=["All"]
    )["Attributes"]
    (log,) = aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/cv-birds")["logGroups"]
    return {
        "bucket": rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
        "queue": attributes.get("KmsMasterKeyId") or None,
        "log": log.get("kmsKeyId"),
    }


def physical_ids(running: DeployedStack) -> dict[str, str]:
    pages = running.aws.client("cloudformation").get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages.paginate(StackName=STACK)
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] in RETAINED
    }


def choose(running: DeployedStack, synthesis: ModuleType, directory: Path, key: str, *former: str) -> None:
    path = directory / "template.json"
    choice = {"security": "hardened", "encryption_key": key, "former_encryption_keys": list(former)}
    path.write_text(synthesis.render(synthesis.synthesise(choice)))
    deploy(running.aws, path, STACK)


def ended(running: DeployedStack, **parameters: str) -> str:
    return str(running.describe(running.run(SHIPPED, **parameters))["PipelineExecutionStatus"])


def keys_of_outputs(running: DeployedStack) -> set[str | None]:
    """Return the keys of every object that jobs wrote."""
    s3, bucket = running.aws.client("s3"), running.outputs["BucketName"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="executions/")["Contents"]
    return {key_of(running, each["Key"]) for each in listed}


def key_of(running: DeployedStack, name: str) -> str | None:
    """Return the key that encrypts an object, None where it is S3's own."""
    head = running.aws.client("s3").head_object(Bucket=running.outputs["BucketName"], Key=name)
    found: str | None = head.get("SSEKMSKeyId")
    return found


def test_everything_is_encrypted_with_the_deployments_key_from_the_upload_to_the_models(
    running: DeployedStack,
) -> None:
    assert ended(running, Seed="1") == "Succeeded"
    (key,) = set(encryption(running).values())
    assert key is not None
    assert key.startswith("arn:aws:kms:")
    assert keys_of_outputs(running) == {key}
    (alias,) = [
        each
        for each in running.aws.client("kms").list_aliases()["Aliases"]
        if each["AliasName"] == "alias/cv-birds"
    ]
    assert key.endswith(alias["TargetKeyId"])


def test_another_choice_is_deployed_in_place_and_executions_go_on(
    running: DeployedStack, synthesis: ModuleType, tmp_path: Path
) -> None:
    before, own = physical_ids(running), encryption(running)["bucket"]
    # What was written under the old key stays so, and no role of the deployment may use that any more, which
    # local AWS does not judge: tests/infra/storage/test_encryption.py does.
    choose(running, synthesis, tmp_path, "s3")
    assert set(encryption(running).values()) == {None}
    assert physical_ids(running) == before
    assert key_of(running, OLD) == own
    # But as a former key.
    choose(running, synthesis, tmp_path, "s3", own)
    assert ended(running, Seed="2") == "Succeeded"
    assert keys_of_outputs(running) == {own, None}
    # Named by its ARN it is the key again, and everything that it encrypted can be read.
    choose(running, synthesis, tmp_path, own)
    assert set(encryption(running).values()) == {own}
    assert physical_ids(running) == before
    assert ended(running, Seed="3") == "Succeeded"
