"""S3 events on the laptop: every upload reaches the function, once, with its version and in its order."""

import io
import json
import logging
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.aws import events, functions
from local.aws.server import LocalAWS

BUCKET = "definitions"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["logs:*", "sqs:*"], "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@dataclass
class Trigger:
    """A bucket that notifies a function, whose events end in a queue."""

    aws: LocalAWS
    bucket: str
    function_arn: str
    queue_url: str

    def put(self, key: str, body: bytes = b"{}") -> Any:
        return self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)

    def records(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait for so many S3 records, and a little for more than these."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.aws.client("sqs").receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.aws.client("sqs").delete_message(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                found += json.loads(message["Body"])["requestPayload"]["Records"]
            if len(found) >= count:
                deadline = min(deadline, time.monotonic() + 0.3)
            time.sleep(0.05)
        assert len(found) == count, f"{len(found)} records instead of {count}"
        return found


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with (
        LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws,
        closing(functions.install(aws, retry_speed=600)),
    ):
        yield aws


@pytest.fixture(scope="module")
def trigger(aws: LocalAWS) -> Trigger:
    return make_trigger(aws, "trigger", "def handler(event, context):\n    return 1\n")


def make_function(aws: LocalAWS, name: str, source: str) -> tuple[str, str]:
    """Make a function whose results and failures end in a queue; gives ARN and queue URL."""
    iam, client, sqs = aws.client("iam"), aws.client("lambda"), aws.client("sqs")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(POLICY))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", source)
    arn = client.create_function(
        FunctionName=name,
        Role=role,
        Handler="index.handler",
        Runtime="python3.13",
        Timeout=20,
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    destination = {"Destination": f"arn:aws:sqs:us-east-1:{aws.account}:{name}"}
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": destination, "OnFailure": destination}
    )
    return arn, url


def make_trigger(aws: LocalAWS, name: str, source: str, **filters: str) -> Trigger:
    arn, url = make_function(aws, name, source)
    bucket = f"{BUCKET}-{name}"
    aws.client("s3").create_bucket(Bucket=bucket)
    aws.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    allow(aws, name, bucket)
    notify(aws, bucket, arn, **filters)
    return Trigger(aws, bucket, arn, url)


def allow(aws: LocalAWS, name: str, bucket: str, account: str = "123456789012") -> None:
    aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
        SourceAccount=account,
    )


def notify(aws: LocalAWS, bucket: str, arn: str, **filters: str) -> None:
    rules = [{"Name": key, "Value": value} for key, value in filters.items()]
    configuration: dict[str, Any] = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    if rules:
        configuration["Filter"] = {"Key": {"FilterRules": rules}}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )


def test_a_put_becomes_a_record_as_s3_writes_it(trigger: Trigger) -> None:
    answer = trigger.put("pipeline/a b/Ünïcode+&=.json", b"12345")
    (record,) = trigger.records(1)
    assert record["eventVersion"].startswith("2.")
    assert record["eventSource"] == "aws:s3"
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["awsRegion"] == "us-east-1"
    assert record["eventTime"].endswith("Z")
    assert record["s3"]["bucket"]["name"] == trigger.bucket
    assert record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{trigger.bucket}"
    item = record["s3"]["object"]
    assert unquote_plus(item["key"]) == "pipeline/a b/Ünïcode+&=.json"
    assert item["key"].startswith("pipeline/a+b/")
    assert item["versionId"] == answer["VersionId"]
    assert item["size"] == 5
    assert item["eTag"] == answer["ETag"].strip('"')
    assert int(item["sequencer"], 16) > 0


@given(key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_key_survives_its_encoding(key: str) -> None:
    class Bucket:
        name, arn, region_name, account_id, is_versioned = "b", "arn", "us-east-1", "1", False

    class Key:
        name, size, etag = key, 1, '"e"'

    record = events.event("s3:ObjectCreated:Put", Bucket(), Key(), "id")["Records"][0]
    assert unquote_plus(record["s3"]["object"]["key"]) == key
    assert "versionId" not in record["s3"]["object"]


def test_copies_and_multipart_uploads_are_told_with_their_versions(aws: LocalAWS, trigger: Trigger) -> None:
    s3 = aws.client("s3")
    trigger.put("pipeline/one.json")
    copied = s3.copy_object(
        Bucket=trigger.bucket,
        Key="pipeline/two.json",
        CopySource={"Bucket": trigger.bucket, "Key": "pipeline/one.json"},
    )
    upload = s3.create_multipart_upload(Bucket=trigger.bucket, Key="pipeline/three.json")
    place = {"Bucket": trigger.bucket, "Key": "pipeline/three.json", "UploadId": upload["UploadId"]}
    part = s3.upload_part(**place, PartNumber=1, Body=b"x")
    done = s3.complete_multipart_upload(
        **place, MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    )
    found = {record["eventName"]: record["s3"]["object"] for record in trigger.records(3)}
    assert found["ObjectCreated:Copy"]["versionId"] == copied["VersionId"]
    assert found["ObjectCreated:CompleteMultipartUpload"]["versionId"] == done["VersionId"]


def test_only_what_the_filter_names_is_told_and_nothing_for_a_delete(aws: LocalAWS) -> None:
    trigger = make_trigger(
        aws,
        "filtered",
        "def handler(event, context):\n    return 1\n",
        prefix="pipeline/",
        suffix="pipeline.json",
    )
    for key in (
        "data/pipeline.json",
        "pipeline/other.json",
        "pipeline/pipeline.json",
        "Pipeline/pipeline.json",
    ):
        trigger.put(key)
    aws.client("s3").delete_object(Bucket=trigger.bucket, Key="pipeline/pipeline.json")
    (record,) = trigger.records(1)
    assert record["s3"]["object"]["key"] == "pipeline/pipeline.json"


def test_a_filter_with_one_rule_filters(aws: LocalAWS) -> None:
    trigger = make_trigger(aws, "one-rule", "def handler(event, context):\n    return 1\n", prefix="in/")
    trigger.put("out/a")
    trigger.put("in/a")
    assert [record["s3"]["object"]["key"] for record in trigger.records(1)] == ["in/a"]


def test_thirty_puts_at_once_are_thirty_invocations(trigger: Trigger) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda number: trigger.put(f"pipeline/{number}.json"), range(30)))
    told = {record["s3"]["object"]["versionId"] for record in trigger.records(30)}
    assert told == {answer["VersionId"] for answer in answers}


def test_sequencers_follow_the_versions_of_a_key_when_many_put_it_at_once(
    aws: LocalAWS, trigger: Trigger
) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda number: trigger.put("pipeline/same.json", str(number).encode()), range(20)))
    by_event = sorted(
        (record["s3"]["object"]["sequencer"], record["s3"]["object"]["versionId"])
        for record in trigger.records(20)
    )
    listing = aws.client("s3").list_object_versions(Bucket=trigger.bucket, Prefix="pipeline/same.json")
    assert len(listing["Versions"]) == 20
    latest = next(item["VersionId"] for item in listing["Versions"] if item["IsLatest"])
    assert by_event[-1][1] == latest


def test_a_slow_or_failing_function_neither_delays_nor_fails_the_put(aws: LocalAWS) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(1)\n    raise ValueError('no')\n"
    trigger = make_trigger(aws, "slow", source)
    began = time.monotonic()
    assert trigger.put("a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert time.monotonic() - began < 0.9
    assert trigger.records(1)[0]["s3"]["object"]["key"] == "a"


def test_a_notification_that_s3_may_not_send_is_refused_when_it_is_configured(aws: LocalAWS) -> None:
    arn, _ = make_function(aws, "closed", "def handler(event, context):\n    return 1\n")
    aws.client("s3").create_bucket(Bucket="closed")
    with pytest.raises(ClientError, match="Unable to validate the following destination") as refused:
        notify(aws, "closed", arn)
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"
    allow(aws, "closed", "another-bucket")
    with pytest.raises(ClientError, match="Unable to validate"):
        notify(aws, "closed", arn)


def test_a_permission_for_another_account_does_not_count(aws: LocalAWS) -> None:
    arn, _ = make_function(aws, "foreign", "def handler(event, context):\n    return 1\n")
    aws.client("s3").create_bucket(Bucket="foreign")
    allow(aws, "foreign", "foreign", account="999999999999")
    with pytest.raises(ClientError, match="Unable to validate"):
        notify(aws, "foreign", arn)


def test_an_upload_whose_event_cannot_be_sent_succeeds_and_the_laptop_says_why(
    aws: LocalAWS, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = make_trigger(aws, "revoked", "def handler(event, context):\n    return 1\n")
    aws.client("lambda").remove_permission(FunctionName="revoked", StatementId="s3")
    with caplog.at_level(logging.ERROR):
        assert trigger.put("a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "S3 may not invoke" in caplog.text
    assert trigger.function_arn in caplog.text
    assert trigger.records(0, seconds=0.5) == []
