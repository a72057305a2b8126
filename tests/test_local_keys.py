"""Keys, aliases, and what is encrypted with them, as the laptop's CloudFormation makes and changes them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from stacks import client, create, failures, template, update

OWNER = {
    "Effect": "Allow",
    "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}},
    "Action": "kms:*",
    "Resource": "*",
}
LOG_GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:told"
LOGS = {
    "Effect": "Allow",
    "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
    "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
    "Resource": "*",
    "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": LOG_GROUP}},
}
SECURE = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sqs:*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


@pytest.fixture
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        yield aws


def key(*statements: Any) -> dict[str, Any]:
    policy = {"Version": "2012-10-17", "Statement": [OWNER, *statements]}
    return {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy}}


def arn_of(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "Arn"]}


def alias(target: str, name: str = "alias/birds") -> dict[str, Any]:
    return {"Type": "AWS::KMS::Alias", "Properties": {"AliasName": name, "TargetKeyId": arn_of(target)}}


def log_group(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "told", **properties}}


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "kept", **properties}}


def target(aws: LocalAWS, name: str = "alias/birds") -> str | None:
    try:
        return str(client(aws, "kms").describe_key(KeyId=name)["KeyMetadata"]["KeyId"])
    except ClientError:
        return None


def physical_id(aws: LocalAWS, name: str) -> str:
    answer = client(aws, "cloudformation").describe_stack_resource(StackName="stack", LogicalResourceId=name)
    return str(answer["StackResourceDetail"]["PhysicalResourceId"])


def test_an_alias_names_a_key_moves_to_another_and_goes(aws: LocalAWS) -> None:
    keys = {"One": key(), "Two": key()}
    assert create(aws, template(**keys, Alias=alias("One")))["StackStatus"] == "CREATE_COMPLETE"
    assert target(aws) == physical_id(aws, "One")
    assert update(aws, template(**keys, Alias=alias("Two")))["StackStatus"] == "UPDATE_COMPLETE"
    assert target(aws) == physical_id(aws, "Two")
    renamed = template(**keys, Alias=alias("Two", "alias/fish"))
    assert update(aws, renamed)["StackStatus"] == "UPDATE_COMPLETE"
    assert (target(aws), target(aws, "alias/fish")) == (None, physical_id(aws, "Two"))
    assert update(aws, template(**keys))["StackStatus"] == "UPDATE_COMPLETE"
    assert target(aws, "alias/fish") is None


def test_an_alias_that_another_key_has_is_refused_and_left_alone(aws: LocalAWS) -> None:
    kms = client(aws, "kms")
    theirs = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/birds", TargetKeyId=theirs)
    assert create(aws, template(Key=key(), Alias=alias("Key")))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "already exists" in failures(aws)["Alias"]
    assert target(aws) == theirs


def log_key(aws: LocalAWS) -> str | None:
    (group,) = client(aws, "logs").describe_log_groups(logGroupNamePrefix="told")["logGroups"]
    found: str | None = group.get("kmsKeyId")
    return found


def test_a_log_group_gets_a_key_and_loses_it_in_place(aws: LocalAWS) -> None:
    with_key = template(Key=key(LOGS), Log=log_group(KmsKeyId=arn_of("Key")))
    assert create(aws, with_key)["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    assert str(log_key(aws)).endswith(physical_id(aws, "Key"))
    client(aws, "logs").create_log_stream(logGroupName="told", logStreamName="kept")
    assert update(aws, template(Key=key(LOGS), Log=log_group()))["StackStatus"] == "UPDATE_COMPLETE"
    assert log_key(aws) is None
    assert client(aws, "logs").describe_log_streams(logGroupName="told")["logStreams"]


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [{**LOGS, "Principal": {"Service": "logs.eu-west-1.amazonaws.com"}}],
        [{**LOGS, "Action": "kms:Encrypt"}],
        [{**LOGS, "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": LOG_GROUP + "2"}}}],
    ],
)
def test_a_key_whose_policy_does_not_let_the_log_service_is_refused(
    aws: LocalAWS, statements: list[Any]
) -> None:
    body = template(Key=key(*statements), Log=log_group(KmsKeyId=arn_of("Key")))
    assert create(aws, body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "does not let logs.us-east-1.amazonaws.com do kms:" in failures(aws)["Log"]
    made = client(aws, "kms").create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError, match="does not let"):
        client(aws, "logs").create_log_group(logGroupName="told", kmsKeyId=made)


def test_a_queue_changes_its_encryption_in_place_and_keeps_its_policy(aws: LocalAWS) -> None:
    policy = {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": "Queue"}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [SECURE]},
        },
    }
    bodies = [
        template(Key=key(), Queue=queue(KmsMasterKeyId=arn_of("Key")), Policy=policy),
        template(Key=key(), Queue=queue(SqsManagedSseEnabled=True), Policy=policy),
    ]
    assert create(aws, bodies[0])["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    url, arn = physical_id(aws, "Queue"), client(aws, "kms").list_keys()["Keys"][0]["KeyArn"]
    client(aws, "sqs").send_message(QueueUrl=url, MessageBody="kept")
    for body, (managed, master) in ((bodies[1], ("true", None)), (bodies[0], ("false", arn))):
        assert update(aws, body)["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
        held = client(aws, "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert (held["SqsManagedSseEnabled"].lower(), held.get("KmsMasterKeyId") or None) == (managed, master)
        assert json.loads(held["Policy"])["Statement"] == [SECURE]
        assert held["ApproximateNumberOfMessages"] == "1"


def test_a_bucket_that_cannot_be_deleted_keeps_its_key(aws: LocalAWS) -> None:
    rule = {
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn_of("Key")},
        "BucketKeyEnabled": True,
    }
    encryption = {"ServerSideEncryptionConfiguration": [rule]}
    bucket = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": "birds", "BucketEncryption": encryption},
    }
    create(aws, template(Key=key(), Bucket=bucket))
    s3, cloudformation = client(aws, "s3"), client(aws, "cloudformation")
    s3.put_object(Bucket="birds", Key="a", Body=b"kept")
    cloudformation.delete_stack(StackName="stack")
    assert s3.get_object(Bucket="birds", Key="a")["Body"].read() == b"kept"
    made = physical_id(aws, "Key")
    s3.delete_object(Bucket="birds", Key="a")
    cloudformation.delete_stack(StackName="stack")
    assert client(aws, "kms").describe_key(KeyId=made)["KeyMetadata"]["KeyState"] == "PendingDeletion"
