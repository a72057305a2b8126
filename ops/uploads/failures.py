"""What the function gave up on: events in the failure queue, and uploads whose verdict is FAILED."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple

from ops.uploads import failure_queue, outcome
from ops.uploads.failure_queue import Message
from ops.uploads.upload import CONNECTIONS
from upload_trigger import verdicts

WAIT_SECONDS = 1  # asks all of the queue's servers
HIDDEN_SECONDS = 30  # as long as it may take to look at every message; they are given back at the end


class Failure(NamedTuple):
    """One thing that failed."""

    kind: str
    """Where it stands: in the queue, or in a verdict."""
    at: datetime | None
    times: str
    """How often somebody has received the message."""
    subject: str
    reason: str


def queued(sqs: Any, queue_url: str) -> list[Failure]:
    """List the failed events in the queue, oldest first, and leave them there."""
    messages: list[Message] = []
    received = failure_queue.receive(sqs, queue_url, hidden_seconds=HIDDEN_SECONDS, wait_seconds=WAIT_SECONDS)
    try:
        for message in received:
            messages.append(message)
    finally:
        failure_queue.give_back(sqs, queue_url, messages)
    found = [
        Failure("queue", each.sent_at, str(each.receives), each.subject, each.reason) for each in messages
    ]
    return sorted(found, key=lambda each: str(each.at))


def failed(s3: Any, bucket: str, limit: int) -> list[Failure]:
    """List the uploads whose verdict is FAILED, oldest first, among the newest `limit` verdicts."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=verdicts.PREFIX)
    listed = [entry for page in pages for entry in page.get("Contents", [])]
    newest = sorted(listed, key=lambda entry: entry["LastModified"])[-limit:]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        read = list(pool.map(lambda entry: outcome.load(s3, bucket, entry["Key"]), newest))
    return [
        Failure("verdict", entry["LastModified"], "-", outcome.upload(each), "; ".join(outcome.reasons(each)))
        for entry, each in zip(newest, read, strict=True)
        if each and each["verdict"] == verdicts.FAILED
    ]
