"""S3 events on local AWS: every upload reaches the function, once, with its version and in its order."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_plus

import pytest

from local.aws import LocalAWS
from tests.support.local_aws.events import NotifiedQueue, allow, make_trigger
from tests.support.local_aws.functions import eventually, log_of, messages


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture(scope="module")
def trigger(aws: LocalAWS) -> NotifiedQueue:
    return make_trigger(aws, "trigger")


def test_a_put_becomes_a_record_as_s3_writes_it(trigger: NotifiedQueue) -> None:
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


@pytest.mark.parametrize(
    "key", ["a b", "a+b", "a%20b", "ü/ß", "a=b&c", "..", "a//b", "\N{BIRD}", "a\tb", "'\"<>"]
)
def test_every_key_survives_its_encoding(key: str, trigger: NotifiedQueue) -> None:
    trigger.put(key)
    (record,) = trigger.records(1)
    assert unquote_plus(record["s3"]["object"]["key"]) == key


def test_copies_and_multipart_uploads_are_told_with_their_versions(
    aws: LocalAWS, trigger: NotifiedQueue
) -> None:
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
    aws: LocalAWS, trigger: NotifiedQueue
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
    trigger = make_trigger(aws, "one-rule", prefix="in/")
    trigger.put("out/a")
    trigger.put("in/a")
    assert [record["s3"]["object"]["key"] for record in trigger.records(1)] == ["in/a"]


def test_thirty_puts_at_once_are_thirty_invocations(trigger: NotifiedQueue) -> None:
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda number: trigger.put(f"pipeline/{number}.json"), range(30)))
    told = {record["s3"]["object"]["versionId"] for record in trigger.records(30)}
    assert told == {answer["VersionId"] for answer in answers}


def test_sequencers_follow_the_versions_of_a_key_when_many_put_it_at_once(
    aws: LocalAWS, trigger: NotifiedQueue
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


def test_a_slow_function_does_not_delay_the_put(aws: LocalAWS) -> None:
    source = "import time\n\n\ndef handler(event, context):\n    time.sleep(1)\n    print('done')\n"
    trigger = make_trigger(aws, "slow", source)
    assert trigger.put("a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    # It is still at work when the PUT has been answered.
    assert "done" not in log_of(aws, "slow")
    assert eventually(lambda: "done" in log_of(aws, "slow"))


def test_a_function_that_fails_is_tried_three_times_and_its_event_ends_in_the_failure_queue(
    aws: LocalAWS,
) -> None:
    trigger = make_trigger(aws, "failing", "def handler(event, context):\n    raise ValueError('no')\n")
    to = f"arn:aws:sqs:{aws.region}:{aws.account}:failing"
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName="failing", MaximumRetryAttempts=2, DestinationConfig={"OnFailure": {"Destination": to}}
    )
    version = trigger.put("a")["VersionId"]
    (body,) = messages(aws, trigger.queue_url, 20)
    failure = json.loads(body)
    assert failure["requestPayload"]["Records"][0]["s3"]["object"]["versionId"] == version
    assert failure["requestContext"]["condition"] == "RetriesExhausted"
    assert failure["requestContext"]["functionArn"] == trigger.function_arn
    assert failure["responsePayload"] == {"errorMessage": "no", "errorType": "ValueError"}
    assert sum(line.startswith("START") for line in log_of(aws, "failing")) == 3


@pytest.mark.parametrize(("name", "account"), [("foreign", "999999999999"), ("another", "123456789012")])
def test_a_permission_for_another_account_or_bucket_does_not_count(
    name: str, account: str, aws: LocalAWS
) -> None:
    trigger = make_trigger(aws, name)
    aws.client("lambda").remove_permission(FunctionName=name, StatementId="s3")
    allow(aws, name, trigger.bucket if name == "foreign" else "another-bucket", account)
    assert trigger.put("a")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert trigger.records(0, seconds=0.7) == []


def test_what_a_function_logs_is_there_at_every_level_as_json(aws: LocalAWS) -> None:
    source = """
import logging

log = logging.getLogger("birds")


def handler(event, context):
    log.info("seen %d", 3, extra={"upload": "a"})
"""
    make_trigger(aws, "logging", source).put("a")

    def line() -> str:
        return next((each for each in log_of(aws, "logging") if "seen 3" in each), "")

    told = json.loads(eventually(line))
    assert (told["level"], told["message"], told["upload"], told["logger"]) == (
        "INFO",
        "seen 3",
        "a",
        "birds",
    )
