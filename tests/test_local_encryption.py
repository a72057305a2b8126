"""Keys on the laptop: what is encrypted with which, who may use it, and what a key that is off refuses."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from stacks import LAMBDA_TRUST

BUCKET = "birds"
ACCOUNT_ROOT = {"AWS": "arn:aws:iam::123456789012:root"}
DELEGATED = {"Effect": "Allow", "Principal": ACCOUNT_ROOT, "Action": "kms:*", "Resource": "*"}
USE = ("kms:Decrypt", "kms:GenerateDataKey")

Call = Callable[[Any], Any]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        aws.client("s3").create_bucket(Bucket=BUCKET)
        yield aws


@pytest.fixture
def key(aws: LocalAWS) -> Iterator[str]:
    """A key, with which the bucket encrypts."""
    arn = make_key(aws, DELEGATED)
    encrypt_with(aws, arn)
    yield arn
    aws.client("s3").delete_bucket_encryption(Bucket=BUCKET)


def make_key(aws: LocalAWS, *statements: Any) -> str:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return str(aws.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"])


def encrypt_with(aws: LocalAWS, key: str, *, bucket_key: bool = True) -> None:
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": bucket_key,
    }
    aws.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})


def allow(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


def role(aws: LocalAWS, *statements: Any) -> str:
    """Give a role these rights; gives its ARN."""
    iam = aws.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="user", AssumeRolePolicyDocument=json.dumps(LAMBDA_TRUST))
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_role_policy(RoleName="user", PolicyName="rights", PolicyDocument=json.dumps(document))
    return "arn:aws:iam::123456789012:role/user"


def held(aws: LocalAWS, name: str = "a") -> tuple[str | None, str | None]:
    """Give the encryption of an object and its key, as S3 tells it."""
    answer = aws.client("s3").head_object(Bucket=BUCKET, Key=name)
    return answer.get("ServerSideEncryption"), answer.get("SSEKMSKeyId")


def put(client: Any, name: str = "a", **options: Any) -> Any:
    return client.put_object(Bucket=BUCKET, Key=name, Body=b"x", **options)


def get(client: Any, name: str = "a") -> Any:
    return client.get_object(Bucket=BUCKET, Key=name)["Body"].read()


def in_parts(client: Any, name: str = "parts") -> Any:
    place = {"Bucket": BUCKET, "Key": name}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    part = {"ETag": client.upload_part(**place, PartNumber=1, Body=b"x")["ETag"], "PartNumber": 1}
    return client.complete_multipart_upload(**place, MultipartUpload={"Parts": [part]})


def copy(client: Any, name: str = "copy", **options: Any) -> Any:
    source = {"Bucket": BUCKET, "Key": "a"}
    return client.copy_object(Bucket=BUCKET, Key=name, CopySource=source, **options)


# What objects say


def test_an_object_that_asks_for_nothing_has_the_buckets_key(aws: LocalAWS, key: str) -> None:
    s3 = aws.client("s3")
    put(s3)
    in_parts(s3)
    copy(s3)
    copy(s3, "a", MetadataDirective="REPLACE")
    assert {name: held(aws, name) for name in ("a", "parts", "copy")} == dict.fromkeys(
        ("a", "parts", "copy"), ("aws:kms", key)
    )
    assert put(s3)["BucketKeyEnabled"] is True


def test_an_object_has_what_it_asks_for(aws: LocalAWS, key: str) -> None:
    s3, other = aws.client("s3"), make_key(aws, DELEGATED)
    put(s3, ServerSideEncryption="AES256")
    assert held(aws) == ("AES256", None)
    put(s3, ServerSideEncryption="aws:kms", SSEKMSKeyId=other)
    assert held(aws) == ("aws:kms", other)
    put(s3, ServerSideEncryption="aws:kms", SSEKMSKeyId=other.rpartition("/")[2])
    assert held(aws) == ("aws:kms", other)
    # As S3 does: without a key's name it is the account's aws/s3, and not the bucket's default.
    put(s3, ServerSideEncryption="aws:kms")
    algorithm, used = held(aws)
    assert algorithm == "aws:kms"
    assert used not in (None, key, other)


@pytest.mark.parametrize(
    "options",
    [
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
        {"ServerSideEncryption": "aws:kms:dsse"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "e30="},
    ],
)
def test_an_encryption_that_the_laptop_does_not_have_is_refused(
    aws: LocalAWS, options: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match="does not implement"):
        put(aws.client("s3"), **options)


# Who may use the key

USES: list[tuple[str, Call, list[str]]] = [
    ("put", put, ["kms:GenerateDataKey"]),
    ("get", get, ["kms:Decrypt"]),
    ("parts", in_parts, ["kms:Decrypt", "kms:GenerateDataKey"]),
    ("copy", copy, ["kms:Decrypt", "kms:GenerateDataKey"]),
]


@pytest.mark.parametrize(("call", "needed"), [each[1:] for each in USES], ids=[each[0] for each in USES])
def test_whoever_reads_or_writes_needs_the_rights_on_the_key(
    aws: LocalAWS, key: str, call: Call, needed: list[str]
) -> None:
    put(aws.client("s3"))
    call(aws.client("s3", role(aws, allow("s3:*"), allow(*needed))))
    for missing in needed:
        others = [allow(action) for action in needed if action != missing]
        client = aws.client("s3", role(aws, allow("s3:*"), *others))
        with pytest.raises(ClientError, match=f"perform: {missing} on resource: {key} because") as refused:
            call(client)
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_to_look_at_an_object_needs_no_right_on_its_key(aws: LocalAWS, key: str) -> None:
    put(aws.client("s3"))
    client = aws.client("s3", role(aws, allow("s3:*")))
    assert client.head_object(Bucket=BUCKET, Key="a")["SSEKMSKeyId"] == key
    client.delete_object(Bucket=BUCKET, Key="a")


@pytest.mark.parametrize("bucket_key", [True, False])
def test_the_condition_keys_of_kms_are_those_of_a_call_through_s3(
    aws: LocalAWS, key: str, bucket_key: bool
) -> None:
    encrypt_with(aws, key, bucket_key=bucket_key)
    condition = {
        "kms:ViaService": "s3.us-east-1.amazonaws.com",
        "kms:CallerAccount": "123456789012",
        "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{BUCKET}" + ("" if bucket_key else "/a"),
    }
    put(aws.client("s3", role(aws, allow("s3:*"), allow(*USE, Condition={"StringEquals": condition}))))
    for name in condition:
        wrong = {"StringEquals": {**condition, name: "another"}}
        client = aws.client("s3", role(aws, allow("s3:*"), allow(*USE, Condition=wrong)))
        with pytest.raises(ClientError, match="AccessDenied"):
            put(client)


def test_a_right_through_s3_is_none_on_the_key_itself(aws: LocalAWS, key: str) -> None:
    through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    kms = aws.client("kms", role(aws, allow(*USE, Condition=through)))
    with pytest.raises(ClientError, match="kms:GenerateDataKey on resource"):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_a_key_whose_policy_leaves_nothing_to_the_account_lets_nobody_else_in(aws: LocalAWS) -> None:
    trusted = role(aws, allow("s3:*"))
    encrypt_with(aws, make_key(aws, {**DELEGATED, "Principal": {"AWS": trusted}, "Action": "kms:*"}))
    put(aws.client("s3", trusted))
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        put(aws.client("s3"))
    aws.client("s3").delete_bucket_encryption(Bucket=BUCKET)


def test_a_key_that_is_off_or_goes_refuses_as_s3_and_sqs_do(aws: LocalAWS, key: str) -> None:
    s3, sqs, kms = aws.client("s3"), aws.client("sqs"), aws.client("kms")
    url = sqs.create_queue(QueueName="secret", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    send = functools.partial(sqs.send_message, QueueUrl=url, MessageBody="x")
    put(s3)
    send()
    kms.disable_key(KeyId=key)
    for call in (functools.partial(get, s3), functools.partial(put, s3), send):
        with pytest.raises(ClientError, match=r"KMS.DisabledException.*is disabled"):
            call()
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    for call in (functools.partial(get, s3), functools.partial(sqs.receive_message, QueueUrl=url)):
        with pytest.raises(ClientError, match=r"KMS.KMSInvalidStateException.*pending deletion"):
            call()
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    assert get(s3) == b"x"


def test_a_key_that_is_not_there_or_elsewhere_refuses(aws: LocalAWS) -> None:
    for arn in (
        "arn:aws:kms:us-east-1:123456789012:key/none",
        "arn:aws:kms:eu-west-1:123456789012:key/none",
    ):
        encrypt_with(aws, arn)
        with pytest.raises(ClientError, match=r"KMS.NotFoundException"):
            put(aws.client("s3"))
    aws.client("s3").delete_bucket_encryption(Bucket=BUCKET)


def test_whoever_sends_or_receives_needs_the_rights_on_the_queues_key(aws: LocalAWS) -> None:
    key = make_key(aws, DELEGATED)
    url = aws.client("sqs").create_queue(QueueName="kept", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    through = {"StringEquals": {"kms:ViaService": "sqs.us-east-1.amazonaws.com"}}
    person = aws.client("sqs", role(aws, allow("sqs:*"), allow(*USE, Condition=through)))
    person.send_message(QueueUrl=url, MessageBody="x")
    person = aws.client("sqs", role(aws, allow("sqs:*"), allow("kms:Decrypt", Condition=through)))
    assert person.receive_message(QueueUrl=url)["Messages"]
    with pytest.raises(person.exceptions.KmsAccessDenied, match=r"kms:GenerateDataKey on resource"):
        person.send_message(QueueUrl=url, MessageBody="x")
