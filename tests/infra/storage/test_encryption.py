"""The key of the deployment's data: what is encrypted with it, who may use it, what the bucket refuses."""

import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.iam.judge import EVERYTHING, Decision, decide, document
from tests.support.iam.rights import Context
from tests.support.iam.role_table import ACCOUNT, BUCKET, DATA_KEY, KEYS, LOGS, PIPELINE_ROLE, REGION
from tests.support.infra.profiles import HARDENED
from tests.support.infra.resources import resolve, resources, the_bucket, the_only

FOREIGN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
CHOICES = ("own", "s3", FOREIGN)
LOG = f"{LOGS}:/aws/lambda/cv-birds-start-execution"
SSE, KEY_ID = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"


@pytest.fixture(scope="module")
def templates(synthesis: ModuleType) -> dict[str, dict[str, Any]]:
    """The template of each choice of encryption_key."""
    return {
        choice: synthesis.synthesise({"encryption_key": choice, "project": "cv-birds"}) for choice in CHOICES
    }


def key_name(template: dict[str, Any], prefix: str) -> str:
    (name,) = [
        str(name)
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::KMS::Key" and name.startswith(prefix)
    ]
    return str(name)


def encryptions(template: dict[str, Any]) -> dict[str, Any]:
    """Return the key of each thing that may have one."""
    (rule,) = the_bucket(template)["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    variables = the_only(template, "AWS::Lambda::Function")["Properties"]["Environment"]["Variables"]
    return {
        "bucket": rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
        "queue": the_only(template, "AWS::SQS::Queue")["Properties"].get("KmsMasterKeyId"),
        "log": the_only(template, "AWS::Logs::LogGroup")["Properties"].get("KmsKeyId"),
        "jobs": "OutputKmsKeyId" in json.dumps(variables["PIPELINE_PARAMETERS"]),
    }


# What has which key


def test_one_key_that_rotates_encrypts_bucket_queue_and_log_where_it_is_hardened() -> None:
    name = key_name(HARDENED, "Encryption")
    arn = {"Fn::GetAtt": [name, "Arn"]}
    assert encryptions(HARDENED) == {"bucket": arn, "queue": arn, "log": arn, "jobs": True}
    assert HARDENED["Resources"][name]["Properties"]["EnableKeyRotation"] is True
    alias = the_only(HARDENED, "AWS::KMS::Alias")["Properties"]
    assert alias == {"AliasName": "alias/cv-birds", "TargetKeyId": arn}


def test_s3_asks_the_key_once_in_a_while_and_not_for_each_object() -> None:
    (rule,) = the_bucket(HARDENED)["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True


def test_the_access_logs_keep_the_encryption_that_s3_delivers_them_with() -> None:
    (logs,) = [each for each in resources(HARDENED, "AWS::S3::Bucket") if each != the_bucket(HARDENED)]
    (rule,) = logs["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_the_key_stays_with_the_data_and_the_alias_goes_with_the_stack(synthesis: ModuleType) -> None:
    key = HARDENED["Resources"][key_name(HARDENED, "Encryption")]
    assert {key["DeletionPolicy"], key["UpdateReplacePolicy"]} == {"Retain"}
    assert key["Properties"]["PendingWindowInDays"] == 30
    assert "DeletionPolicy" not in the_only(HARDENED, "AWS::KMS::Alias")
    forgotten = synthesis.synthesise({"encryption_key": "own", "retain_data": False})
    assert the_only(forgotten, "AWS::KMS::Key")["DeletionPolicy"] == "Delete"


def test_a_key_of_ones_own_encrypts_bucket_queue_and_log(templates: dict[str, dict[str, Any]]) -> None:
    template = templates[FOREIGN]
    assert encryptions(template) == {"bucket": FOREIGN, "queue": FOREIGN, "log": FOREIGN, "jobs": True}
    assert resources(template, "AWS::KMS::Key") == []
    assert resources(template, "AWS::KMS::Alias") == []


@pytest.mark.parametrize("choice", [*CHOICES, None])
def test_the_topic_has_a_key_of_its_own_where_it_is_hardened_and_none_by_default(
    synthesis: ModuleType, templates: dict[str, dict[str, Any]], choice: str | None
) -> None:
    given = {} if choice is None else {"encryption_key": choice}
    template = synthesis.synthesise({"security": "hardened", **given})
    own = {"Fn::GetAtt": [key_name(template, "Notifications"), "Arn"]}
    assert the_only(template, "AWS::SNS::Topic")["Properties"]["KmsMasterKeyId"] == own
    for by_default in templates.values():
        assert "KmsMasterKeyId" not in the_only(by_default, "AWS::SNS::Topic")["Properties"]


def test_without_a_key_each_service_encrypts_with_its_own_and_no_role_has_rights_on_keys(
    templates: dict[str, dict[str, Any]],
) -> None:
    template = templates["s3"]
    assert encryptions(template) == {"bucket": None, "queue": None, "log": None, "jobs": False}
    assert the_only(template, "AWS::SQS::Queue")["Properties"]["SqsManagedSseEnabled"] is True
    (rule,) = the_bucket(template)["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert "kms:" not in json.dumps(resources(template, "AWS::IAM::Role"))
    assert not any(sid(each) in REFUSALS for each in bucket_policy(template))


def test_another_choice_changes_what_there_is_and_replaces_nothing(
    templates: dict[str, dict[str, Any]],
) -> None:
    """CloudFormation changes the encryption of all of these in place while id, type and name stay."""
    names = {
        "AWS::S3::Bucket": "BucketName",
        "AWS::SQS::Queue": "QueueName",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::SNS::Topic": "TopicName",
        "AWS::IAM::Role": "RoleName",
        "AWS::Lambda::Function": "FunctionName",
    }
    held = [
        {
            (logical_id, each["Type"], json.dumps(each["Properties"][names[each["Type"]]]))
            for logical_id, each in template["Resources"].items()
            if each["Type"] in names
        }
        for template in templates.values()
    ]
    assert len(held[0]) == 8
    assert held[0] == held[1] == held[2]


# Who may use it


def key_policy(of: str = "Encryption") -> Any:
    return resolve(HARDENED["Resources"][key_name(HARDENED, of)]["Properties"]["KeyPolicy"])


def key_allows(service: str, action: str, of: str = "Encryption", **context: str) -> bool:
    given = {key.replace("__", ":"): value for key, value in context.items()}
    policy = key_policy(of)
    return decide(f"{service}.amazonaws.com", action, DATA_KEY, given, resource_policy=policy).allowed


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_whoever_publishes_on_the_topic_may_use_its_key_and_no_more(action: str) -> None:
    topics = "Notifications"
    assert key_allows("events", action, topics)
    assert key_allows("cloudwatch", action, topics)
    assert not key_allows("s3", action, topics)
    assert not key_allows("sagemaker", action, topics)
    assert not key_allows("events", "kms:ScheduleKeyDeletion", topics)
    assert not key_allows("events", "kms:Encrypt", topics)


@pytest.mark.parametrize("service", ["events", "cloudwatch"])
def test_publishers_have_no_business_with_the_key_of_the_data(service: str) -> None:
    assert not key_allows(service, "kms:Decrypt")
    assert not key_allows(service, "kms:GenerateDataKey")


def test_a_topic_of_ones_own_needs_no_key_of_the_stack_s(synthesis: ModuleType) -> None:
    ours = f"arn:aws:sns:{REGION}:{ACCOUNT}:ours"
    template = synthesis.synthesise({"security": "hardened", "alarm_topic_arn": ours})
    assert the_only(template, "AWS::KMS::Key") == HARDENED["Resources"][key_name(HARDENED, "Encryption")]


# DescribeKey, which AWS's own example of this statement names as well, has no encryption context.
@pytest.mark.parametrize("action", ["Encrypt", "Decrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"])
def test_the_log_service_of_this_region_encrypts_the_functions_log_and_no_other(action: str) -> None:
    context = "kms__EncryptionContext__aws__logs__arn"
    assert key_allows(f"logs.{REGION}", f"kms:{action}", **{context: LOG})
    assert not key_allows(f"logs.{REGION}", f"kms:{action}", **{context: f"{LOGS}:/aws/lambda/another"})
    assert not key_allows(f"logs.{REGION}", f"kms:{action}")
    assert not key_allows("logs.eu-west-1", f"kms:{action}", **{context: LOG})


def test_people_and_roles_use_the_key_by_their_own_policies_alone() -> None:
    stranger = "arn:aws:iam::999999999999:root"
    for principal, identity, expected in (
        (PIPELINE_ROLE, [], False),
        (PIPELINE_ROLE, [EVERYTHING], True),
        (stranger, [EVERYTHING], False),
    ):
        decision = decide(principal, "kms:Decrypt", DATA_KEY, identity=identity, resource_policy=key_policy())
        assert decision.allowed is expected


# What the bucket refuses

REFUSALS = ("NoOtherEncryption", "NoOtherKey", "NoCustomersKey", "NoUnnamedKey")


def bucket_policy(template: dict[str, Any]) -> list[dict[str, Any]]:
    (name,) = [name for name, each in template["Resources"].items() if each == the_bucket(template)]
    (policy,) = [
        each["Properties"]["PolicyDocument"]["Statement"]
        for each in resources(template, "AWS::S3::BucketPolicy")
        if each["Properties"]["Bucket"] == {"Ref": name}
    ]
    return list(policy)


def sid(statement: dict[str, Any]) -> str | None:
    return statement.get("Sid")


def refusing() -> Iterator[dict[str, Any]]:
    for statement in bucket_policy(HARDENED):
        if sid(statement) in REFUSALS:
            yield resolve(statement)


@pytest.mark.parametrize(
    ("context", "refused_by"),
    [
        ({}, None),
        ({SSE: "aws:kms", KEY_ID: DATA_KEY}, None),
        ({SSE: "aws:kms"}, "NoUnnamedKey"),
        ({SSE: "aws:kms", KEY_ID: f"{KEYS}/another"}, "NoOtherKey"),
        ({SSE: "aws:kms", KEY_ID: "alias/cv-birds"}, "NoOtherKey"),
        ({SSE: "AES256"}, "NoOtherEncryption"),
        ({SSE: "aws:kms:dsse", KEY_ID: DATA_KEY}, "NoOtherEncryption"),
        ({"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}, "NoCustomersKey"),
    ],
)
def test_an_object_is_stored_with_the_deployments_key_or_not_at_all(
    context: Context, refused_by: str | None
) -> None:
    decision = put(f"{BUCKET}/executions/1/a", context)
    assert decision.allowed is (refused_by is None)
    assert decision.denied_by == (() if refused_by is None else (refused_by,))


def test_only_a_checkpoint_may_leave_the_name_of_its_key_to_sagemaker() -> None:
    assert put(f"{BUCKET}/checkpoints/a", {SSE: "aws:kms"}).allowed
    assert put(f"{BUCKET}/checkpoints/a", {SSE: "aws:kms", KEY_ID: FOREIGN}).denied_by == ("NoOtherKey",)
    assert not put(f"{BUCKET}/checkpoints", {SSE: "aws:kms"}).allowed


def put(key: str, context: Context) -> Decision:
    policy = document(*refusing())
    return decide(PIPELINE_ROLE, "s3:PutObject", key, context, identity=[EVERYTHING], resource_policy=policy)


# Keys of before


def test_what_an_earlier_key_encrypted_is_read_and_nothing_is_written_with_it(synthesis: ModuleType) -> None:
    template = synthesis.synthesise({"security": "hardened", "former_encryption_keys": [FOREIGN]})
    # The break-glass role reads and writes nothing.
    readers = [
        each for each in resources(template, "AWS::IAM::Role") if "break-glass" not in json.dumps(each)
    ]
    assert len(readers) == 3
    for role in readers:
        (policy,) = role["Properties"]["Policies"]
        (statement,) = [
            each for each in policy["PolicyDocument"]["Statement"] if FOREIGN in json.dumps(each["Resource"])
        ]
        assert statement == {
            "Sid": "ReadWithFormerKeys",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": FOREIGN,
            "Condition": {
                "StringEquals": {"kms:ViaService": [{"Fn::Sub": "s3.${AWS::Region}.amazonaws.com"}]}
            },
        }
    assert "ReadWithFormerKeys" not in json.dumps(HARDENED)
