"""Waiting for what becomes of an upload: its verdict, or the function's error in the failure queue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws

from ops.errors import StartFailedError, StartTimeoutError
from ops.uploads.start import wait_for_start, wait_for_verdict
from ops.uploads.upload import DefinitionUpload
from tests.support.services.fake_execution import BUCKET, client_of

UPLOAD = DefinitionUpload(BUCKET, "pipeline/pipeline.json", "version-2")
ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/cv-birds/execution/mine"
VERDICT = "verdicts/pipeline/pipeline.json/version-2.json"


@dataclass
class VerdictsAndQueue:
    """The bucket with the verdicts and the failure queue."""

    s3: Any
    sqs: Any
    url: str

    def fail(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def settle(self, verdict: str, key: str = VERDICT, **members: Any) -> None:
        named = {"bucket": BUCKET, "key": UPLOAD.key, "versionId": UPLOAD.version_id}
        body = json.dumps({"verdict": verdict, **named, **members})
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())

    def wait(self, timeout: float = 0.0, **more: Any) -> str:
        return wait_for_start(self.s3, self.sqs, UPLOAD, self.url, timeout, **more)

    def messages(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


@pytest.fixture
def place() -> Iterator[VerdictsAndQueue]:
    with mock_aws():
        s3, sqs = client_of("s3"), client_of("sqs")
        s3.create_bucket(Bucket=BUCKET)
        yield VerdictsAndQueue(s3, sqs, sqs.create_queue(QueueName="failures")["QueueUrl"])


def failure(version: str, message: str = "ThrottlingException: Rate exceeded") -> str:
    event = {
        "s3": {
            "bucket": {"name": BUCKET},
            "object": {"key": "pipeline%2Fpipeline.json", "versionId": version},
        }
    }
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {
                "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:cv-birds-start:$LATEST"
            },
            "requestPayload": {"Records": [event]},
            "responsePayload": {"errorType": "StartError", "errorMessage": message, "stackTrace": []},
        }
    )


def test_the_verdict_on_exactly_this_object_version_is_waited_for(place: VerdictsAndQueue) -> None:
    place.settle("STARTED", "verdicts/pipeline/pipeline.json/version-1.json", executionArn="another")
    with pytest.raises(StartTimeoutError):
        place.wait()

    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            place.settle("STARTED", executionArn=ARN)

    assert place.wait(30.0, sleep=sleep) == ARN
    assert len(pauses) == 3


def test_what_may_not_be_listed_is_not_there_yet(place: VerdictsAndQueue) -> None:
    """S3 answers 403 for a missing object to whoever lacks the right to list the bucket."""
    place.s3.meta.events.register("after-call.s3.GetObject", _forbid)
    with pytest.raises(StartTimeoutError):
        place.wait()


def _forbid(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    http_response.status_code = 403
    parsed["Error"] = {"Code": "AccessDenied", "Message": "Access Denied"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"verdict": "MAYBE"}', b"\xff", b"[" * 100_000])
def test_what_is_no_verdict_is_none(place: VerdictsAndQueue, body: bytes) -> None:
    place.s3.put_object(Bucket=BUCKET, Key=VERDICT, Body=body)
    with pytest.raises(StartTimeoutError):
        place.wait()


def test_a_rejection_ends_the_waiting_with_every_reason_and_its_place(place: VerdictsAndQueue) -> None:
    reasons = [
        {"pointer": "/Steps/0/Type", "message": "not a step type"},
        {"pointer": "", "message": "empty"},
    ]
    place.settle("REJECTED", reasons=reasons)
    with pytest.raises(StartFailedError) as caught:
        place.wait()
    assert caught.value.exit_code == 1
    assert "REJECTED" in caught.value.message
    assert "\n  /Steps/0/Type: not a step type\n  the document: empty" in caught.value.message


def test_a_superseded_upload_names_what_started_instead(place: VerdictsAndQueue) -> None:
    place.settle("SUPERSEDED", supersededBy={"versionId": "version-3", "executionArn": ARN})
    with pytest.raises(StartFailedError, match=rf"SUPERSEDED(.|\n)*version-3.*{ARN}"):
        place.wait()


def test_a_failed_upload_names_the_reason_and_the_next_command(place: VerdictsAndQueue) -> None:
    place.settle("FAILED", reasons=[{"pointer": "", "message": "AccessDenied: iam:PassRole"}])
    with pytest.raises(
        StartFailedError, match=r"FAILED(.|\n)*\n  AccessDenied: iam:PassRole\n.*cv-pipeline redrive"
    ):
        place.wait()


def test_the_functions_error_for_this_upload_ends_the_waiting(place: VerdictsAndQueue) -> None:
    place.fail(failure("version-2"))
    said = r"StartError: ThrottlingException: Rate(.|\n)*cv-pipeline redrive(.|\n)*/aws/lambda/cv-birds-start"
    with pytest.raises(StartFailedError, match=said):
        place.wait()
    assert place.messages() == 1, "redriving it is another command's work"


def test_a_verdict_counts_more_than_an_error_from_before_it(place: VerdictsAndQueue) -> None:
    place.fail(failure("version-2"))
    place.settle("STARTED", executionArn=ARN)
    assert place.wait() == ARN


def test_a_failure_is_found_behind_many_others(place: VerdictsAndQueue) -> None:
    for number in range(35):
        place.fail(failure(f"other-{number}"))
    place.fail(failure("version-2", "the one"))
    with pytest.raises(StartFailedError, match="the one"):
        place.wait()


@pytest.mark.parametrize(
    "body",
    [
        failure("version-1"),
        "no json",
        "[]",
        '{"requestPayload": null}',
        '{"requestPayload": {"Records": 7}}',
        '{"requestPayload": {"Records": [{"s3": []}, 7]}, "requestContext": 7, "responsePayload": 7}',
        "{" * 100_000,
    ],
)
def test_other_messages_are_nobodys_failure(place: VerdictsAndQueue, body: str) -> None:
    place.fail(body)
    with pytest.raises(StartTimeoutError):
        place.wait()


def test_waiting_in_vain_says_how_long_and_what_to_do(place: VerdictsAndQueue) -> None:
    with pytest.raises(StartTimeoutError, match=r"within 0 s.*log group /aws/lambda/starter") as caught:
        place.wait(function_name="starter")
    for said in ("cv-pipeline history", "cv-pipeline reconcile", UPLOAD.url, "version-2"):
        assert said in caught.value.message


def test_whoever_wants_to_know_gets_the_verdict_itself(place: VerdictsAndQueue) -> None:
    place.settle("REJECTED", reasons=[])
    verdict = wait_for_verdict(place.s3, place.sqs, UPLOAD, place.url, 0.0)
    assert verdict["verdict"] == "REJECTED"
