"""Try again what failed, and settle what has no verdict; done twice, the second time finds nothing to do.

The function settles every upload once, however often it hears of it, so replaying an event is always safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.aws.endpoint import on_this_machine
from ops.errors import FunctionFailedError
from ops.uploads import failure_queue
from ops.uploads.failure_queue import Message
from ops.uploads.function import Invoke
from ops.uploads.outcome import Verdict

HIDDEN_SECONDS = 900  # nobody else replays a message while the function works on it
WAIT_SECONDS = 4  # longer than a waiting upload hides the messages that it looks at
UNFINISHED = re.compile(r"\bUnfinishedError: (\d+) ")
ROUNDS = 20


@dataclass(frozen=True)
class Replayed:
    """What came of one message: verdicts, or the error with which it stays in the queue."""

    message: Message
    verdicts: list[Verdict]
    error: str | None = None


def replay(sqs: Any, queue_url: str, invoke: Invoke) -> Iterator[Replayed]:
    """Hand every message's event to the function again, and delete the message when that went well."""
    kept: list[Message] = []
    wait = 1 if on_this_machine(sqs) else WAIT_SECONDS
    messages = failure_queue.receive(
        sqs, queue_url, hidden_seconds=HIDDEN_SECONDS, wait_seconds=wait, batch=1
    )
    try:
        for message in messages:
            kept.append(message)
            replayed = _replay(message, invoke)
            if replayed.error is None:
                # The verdict is there by now; a message that outlives us here is replayed in vain, no more.
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message.receipt)
                kept.remove(message)
            yield replayed
    finally:
        failure_queue.give_back(sqs, queue_url, kept)


def _replay(message: Message, invoke: Invoke) -> Replayed:
    if message.event is None:
        return Replayed(message, [], "it holds no event of ours; delete it by hand")
    try:
        return Replayed(message, invoke(message.event))
    except FunctionFailedError as error:
        return Replayed(message, [], error.message)


def reconcile(invoke: Invoke, *, failed: bool = False) -> list[Verdict]:
    """Settle every upload without a verdict (and what FAILED, when asked), and give the verdicts made.

    The function ends early when its time runs out, and goes on when it is asked again; what it settled in
    such a round is only counted by its message, so those verdicts are missing from the answer.
    """
    for _ in range(ROUNDS):
        try:
            return invoke({"reconcile": {"failed": failed}})
        except FunctionFailedError as error:
            settled = UNFINISHED.search(error.message)
            if not settled or int(settled[1]) == 0:
                raise
    raise FunctionFailedError("there is more to settle than the function has time for: run the command again")
