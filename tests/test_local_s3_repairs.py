"""What moto's S3 would lose: bodies that call themselves forms, uploads that are not there, conditions."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from moto.s3.models import S3Backend

from local.aws import LocalAWS
from local_clients import ask, port_of, refusal

BUCKET = "repairs"
BODY = b"key=1&b=2"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as opened:
        opened.client("s3").create_bucket(Bucket=BUCKET)
        yield opened


@pytest.fixture(scope="module")
def s3(aws: LocalAWS) -> Any:
    return aws.client("s3")


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "text/xml"],
)
def test_a_body_is_kept_whatever_it_calls_itself(s3: Any, content_type: str) -> None:
    s3.put_object(Bucket=BUCKET, Key="form", Body=BODY, ContentType=content_type)
    stored = s3.get_object(Bucket=BUCKET, Key="form")
    assert (stored["Body"].read(), stored["ContentType"]) == (BODY, content_type)


def test_a_presigned_put_as_curl_sends_it_keeps_its_body(aws: LocalAWS, s3: Any) -> None:
    url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "signed é"})
    path = url.removeprefix(aws.endpoint_url)
    form = {"Host": f"localhost:{port_of(aws)}", "Content_Type": "application/x-www-form-urlencoded"}
    answer = ask(aws, "PUT", path, BODY, **form)
    assert answer.status == 200
    assert s3.get_object(Bucket=BUCKET, Key="signed é")["Body"].read() == BODY


def test_an_upload_that_is_not_there_takes_no_part_and_completes_nothing(s3: Any) -> None:
    where = {"Bucket": BUCKET, "Key": "parts", "UploadId": "none"}
    parts = {"Parts": [{"PartNumber": 1, "ETag": '"0"'}]}
    for call, more in (
        (s3.upload_part, {"PartNumber": 1, "Body": b"x"}),
        (s3.complete_multipart_upload, {"MultipartUpload": parts}),
    ):
        assert refusal(call, **where, **more)[:2] == ("NoSuchUpload", 404)


@pytest.mark.parametrize("condition", ["IfNoneMatch", "IfMatch"])
def test_of_many_writes_with_one_condition_one_is_made(
    s3: Any, condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="IfMatch", Body=b"first")["ETag"]
    given = {"IfNoneMatch": "*", "IfMatch": etag}[condition]
    look = S3Backend.get_object

    def slowly(*arguments: Any, **more: Any) -> Any:
        found = look(*arguments, **more)
        time.sleep(0.02)
        return found

    def write(number: int) -> int:
        try:
            s3.put_object(Bucket=BUCKET, Key=condition, Body=b"%d" % number, **{condition: given})
        except s3.exceptions.ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    monkeypatch.setattr(S3Backend, "get_object", slowly)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(write, range(8)))
    assert sorted(statuses) == [200] + [412] * 7
    monkeypatch.undo()
    body = s3.get_object(Bucket=BUCKET, Key=condition)["Body"].read()
    assert int(body) == statuses.index(200)


def test_a_bucket_with_access_logs_gets_none_that_are_invented(s3: Any) -> None:
    for name in ("logged", "logs"):
        s3.create_bucket(Bucket=name)
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*",
    }
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    s3.put_bucket_logging(
        Bucket="logged",
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": ""}},
    )
    s3.put_object(Bucket="logged", Key="a", Body=b"a")
    assert s3.list_objects_v2(Bucket="logs")["KeyCount"] == 0
