"""Waiting for an upload's execution: it is found by its object version, or the Lambda's error is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from moto import mock_aws

from fake_execution import BUCKET, PIPELINE, START, FakeExecution, FakeSageMaker, client_of
from ops.errors import StartFailed, StartTimeout
from ops.upload import Upload
from ops.watch import wait_for_start

UPLOAD = Upload(BUCKET, "pipeline/pipeline.json", "version-2", START)


@dataclass
class Queue:
    sqs: Any
    url: str

    def put(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def __len__(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


@pytest.fixture
def queue() -> Iterator[Queue]:
    with mock_aws():
        sqs = client_of("sqs")
        yield Queue(sqs, sqs.create_queue(QueueName="failures")["QueueUrl"])


def started(id_: str, version: str, minutes: float = 0) -> FakeExecution:
    text = json.dumps(
        {"bucket": BUCKET, "key": UPLOAD.key, "versionId": version, "sequencer": "1", "sha256": "0"}
    )
    return FakeExecution(id_, [], [], 1.0, description=text, created=START + timedelta(minutes=minutes))


def failure(version: str, message: str = "AccessDenied: not authorized to perform iam:PassRole") -> str:
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
            "responsePayload": {"errorType": "ClientError", "errorMessage": message, "stackTrace": []},
        }
    )


def wait(fake: FakeSageMaker, queue: Queue, timeout: float = 0.0, **more: Any) -> str:
    return wait_for_start(fake.client(), queue.sqs, PIPELINE, UPLOAD, queue.url, timeout, **more)


def test_the_execution_of_exactly_this_object_version_is_found_on_any_page(queue: Queue) -> None:
    others = [started(f"other{number}", f"version-{10 + number}", number) for number in range(7)]
    fake = FakeSageMaker(*others, started("mine", "version-2", -1))
    assert wait(fake, queue).endswith("/mine")


def test_the_pipeline_may_not_exist_before_the_first_upload(queue: Queue) -> None:
    fake = FakeSageMaker()

    def sleep(_: float) -> None:
        execution = started("mine", "version-2")
        fake.executions[execution.arn] = execution

    arn = wait_for_start(fake.client(), queue.sqs, PIPELINE, UPLOAD, queue.url, timeout=30.0, sleep=sleep)
    assert arn.endswith("/mine")
    with pytest.raises(StartTimeout):
        wait_for_start(fake.client(), queue.sqs, "cv-birds-unknown", UPLOAD, queue.url, 0.0)


def test_an_execution_of_another_key_with_the_same_version_is_not_taken(queue: Queue) -> None:
    other = started("other", "version-2")
    other.description = other.description.replace("pipeline/pipeline.json", "pipeline/trial/pipeline.json")
    with pytest.raises(StartTimeout):
        wait(FakeSageMaker(other), queue)


def test_descriptions_that_others_wrote_are_passed_over(queue: Queue) -> None:
    hand_made = started("hand", "version-2", 1)
    hand_made.description = "started by hand"
    assert wait(FakeSageMaker(hand_made, started("mine", "version-2")), queue).endswith("/mine")


def test_the_lambdas_error_for_this_upload_ends_the_waiting(
    queue: Queue,
) -> None:
    queue.put(failure("version-2"))
    with pytest.raises(
        StartFailed, match=r"ClientError: AccessDenied: .*iam:PassRole(.|\n)*/aws/lambda/cv-birds-start"
    ):
        wait(FakeSageMaker(), queue)
    assert len(queue) == 1, "redriving it is another command's work"


def test_a_failure_is_found_behind_many_others(queue: Queue) -> None:
    for number in range(35):
        queue.put(failure(f"other-{number}"))
    queue.put(failure("version-2", "the one"))
    with pytest.raises(StartFailed, match="the one"):
        wait(FakeSageMaker(), queue)


@pytest.mark.parametrize(
    "body", [failure("version-1"), "no json", "[]", '{"requestPayload": null}', "{" * 100_000]
)
def test_other_messages_are_nobodys_failure(queue: Queue, body: str) -> None:
    queue.put(body)
    with pytest.raises(StartTimeout):
        wait(FakeSageMaker(), queue)


def test_waiting_in_vain_says_how_long_and_where_to_look(queue: Queue) -> None:
    with pytest.raises(StartTimeout, match=r"within 0 s.*log group /aws/lambda/starter"):
        wait(FakeSageMaker(), queue, function_name="starter")
