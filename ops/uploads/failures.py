"""What the function gave up on: events in the failure queue, and uploads whose verdict is FAILED.

The queue holds each event with its last error. Looking at a message hides it from everybody else for a while,
so whoever looks gives it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from ops.uploads import outcome
from ops.uploads.outcome import json_object
from ops.uploads.upload import CONNECTIONS
from upload_trigger import verdicts

BATCH = 10  # messages in one request; SQS's limit
WAIT_SECONDS = 1  # asks all of the queue's servers
HIDDEN_SECONDS = 30  # as long as it may take to look at every message; they are given back at the end


@dataclass(frozen=True)
class Message:
    """One failed event."""

    id: str
    receipt: str
    record: Mapping[str, Any]
    """What Lambda sends to an on-failure destination: requestPayload, responsePayload, requestContext."""
    sent_at: datetime | None
    receives: int
    """How often somebody has received it; looking counts."""

    @property
    def event(self) -> Mapping[str, Any] | None:
        """Return the event that the function failed for, None when the message holds none."""
        payload = self.record.get("requestPayload")
        return payload if isinstance(payload, dict) else None

    @property
    def uploads(self) -> list[tuple[str, str, str]]:
        """List the bucket, key and versionId of every upload in the event."""
        records = (self.event or {}).get("Records")
        listed = records if isinstance(records, list) else []
        return [_upload(each) for each in listed if isinstance(each, dict)]

    @property
    def subject(self) -> str:
        """Say what the message is about."""
        if self.event is None:
            return f"message {self.id}, which holds no event"
        named = [f"s3://{bucket}/{key} (version {version})" for bucket, key, version in self.uploads]
        return ", ".join(named) or (
            "a reconciliation" if "reconcile" in self.event else "an event of no upload"
        )

    @property
    def reason(self) -> str:
        """Return the function's last error."""
        response = self.record.get("responsePayload")
        return function_error(response if isinstance(response, dict) else {})

    @property
    def function_name(self) -> str:
        """Name the function that failed, empty when the message does not tell."""
        context = self.record.get("requestContext")
        arn = str((context if isinstance(context, dict) else {}).get("functionArn", ""))
        return arn.partition(":function:")[2].partition(":")[0]


class FailedUpload(NamedTuple):
    """One thing that failed."""

    kind: str
    """Where it stands: in the queue, or in a verdict."""
    at: datetime | None
    times: str
    """How often somebody has received the message."""
    subject: str
    reason: str


def queued(sqs: Any, queue_url: str) -> list[FailedUpload]:
    """List the failed events in the queue, oldest first, and leave them there."""
    messages: list[Message] = []
    received = receive(sqs, queue_url, hidden_seconds=HIDDEN_SECONDS, wait_seconds=WAIT_SECONDS)
    try:
        for message in received:
            messages.append(message)
    finally:
        give_back(sqs, queue_url, messages)
    found = [
        FailedUpload("queue", each.sent_at, str(each.receives), each.subject, each.reason)
        for each in messages
    ]
    return sorted(found, key=lambda each: str(each.at))


def failed(s3: Any, bucket: str, limit: int) -> list[FailedUpload]:
    """List the uploads whose verdict is FAILED, oldest first, among the newest `limit` verdicts."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=verdicts.PREFIX)
    listed = [entry for page in pages for entry in page.get("Contents", [])]
    newest = sorted(listed, key=lambda entry: entry["LastModified"])[-limit:]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        read = list(pool.map(lambda entry: outcome.load(s3, bucket, entry["Key"]), newest))
    return [
        FailedUpload(
            "verdict", entry["LastModified"], "-", outcome.upload(each), "; ".join(outcome.reasons(each))
        )
        for entry, each in zip(newest, read, strict=True)
        if each and each["verdict"] == verdicts.FAILED
    ]


def function_error(payload: Mapping[str, Any]) -> str:
    """Say what a function ended with."""
    message = payload.get("errorMessage", "the function said nothing")
    return f"{payload['errorType']}: {message}" if payload.get("errorType") else str(message)


def receive(
    sqs: Any, queue_url: str, *, hidden_seconds: int, wait_seconds: int = 0, batch: int = BATCH
) -> Iterator[Message]:
    """Yield every message once, hidden from others for `hidden_seconds`, until the queue seems empty."""
    seen: set[str] = set()
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=batch,
            VisibilityTimeout=hidden_seconds,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        received = [_message(each) for each in answer.get("Messages", [])]
        fresh = [each for each in received if each.id not in seen]
        yield from fresh
        seen |= {each.id for each in fresh}
        if not fresh:
            return


def give_back(sqs: Any, queue_url: str, messages: Iterable[Message]) -> None:
    """Let everybody see `messages` again at once."""
    receipts = [message.receipt for message in messages]
    for begin in range(0, len(receipts), BATCH):
        entries = [
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
            for number, receipt in enumerate(receipts[begin : begin + BATCH])
        ]
        # What cannot be given back, such as a message that has come back by itself, needs nothing.
        sqs.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)


def _message(entry: Mapping[str, Any]) -> Message:
    attributes = entry.get("Attributes", {})
    sent = attributes.get("SentTimestamp")
    return Message(
        id=str(entry["MessageId"]),
        receipt=str(entry["ReceiptHandle"]),
        record=json_object(entry["Body"]),
        sent_at=datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else None,
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
    )


def _upload(record: Mapping[str, Any]) -> tuple[str, str, str]:
    s3 = _member(record, "s3")
    entry = _member(s3, "object")
    bucket, key, version = _member(s3, "bucket").get("name"), entry.get("key", ""), entry.get("versionId")
    return str(bucket), unquote_plus(str(key)), str(version)


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    member = value.get(name)
    return member if isinstance(member, dict) else {}
