"""S3 events on the laptop: every upload reaches the function, once, with its version and in its order."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laptop_events import Trigger, allow, make_function, make_trigger, notify
from local.aws import events, functions
from local.aws.server import LocalAWS


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


def test_an_earlier_version_copied_over_the_newest_is_told_as_the_newest_one(
    aws: LocalAWS, trigger: Trigger
) -> None:
    key = "pipeline/back.json"
    first, second = (trigger.put(key, body)["VersionId"] for body in (b"1", b"2"))
    source = {"Bucket": trigger.bucket, "Key": key, "VersionId": first}
    third = aws.client("s3").copy_object(Bucket=trigger.bucket, Key=key, CopySource=source)["VersionId"]
    told = {each["s3"]["object"]["sequencer"]: each["s3"]["object"] for each in trigger.records(3)}
    assert [told[sequencer]["versionId"] for sequencer in sorted(told)] == [first, second, third]
    assert len({first, second, third}) == 3
    listing = aws.client("s3").list_object_versions(Bucket=trigger.bucket, Prefix=key)["Versions"]
    assert [each["VersionId"] for each in listing] == [third, second, first]
    newest = aws.client("s3").get_object(Bucket=trigger.bucket, Key=key)
    assert (newest["VersionId"], newest["Body"].read()) == (third, b"1")


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
    assert [item["VersionId"] for item in listing["Versions"]] == [version for _, version in by_event[::-1]]
    latest = [item["VersionId"] for item in listing["Versions"] if item["IsLatest"]]
    assert latest == [by_event[-1][1]]


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
