"""Try again what failed, and settle what has no verdict; done twice, the second time finds nothing to do.

The deployed function is asked directly. It settles every upload once, however often it hears of it, so
replaying an event is always safe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ops.aws.session import on_this_machine
from ops.errors import FunctionFailedError
from ops.uploads import failures
from ops.uploads.failures import Message
from ops.uploads.outcome import Verdict

HIDDEN_SECONDS = 900  # nobody else replays a message while the function works on it
WAIT_SECONDS = 4  # longer than a waiting upload hides the messages that it looks at
UNFINISHED = re.compile(r"\bUnfinishedError: (\d+) ")
ROUNDS = 20

Invoke = Callable[[Mapping[str, Any]], list[Verdict]]
"""Hands an event to the function and returns the verdicts it made."""


def invocation(client: Any, name: str) -> Invoke:
    """Make the `Invoke` of the Lambda function `name`."""

    def invoke(event: Mapping[str, Any]) -> list[Verdict]:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        with closing(answer["Payload"]) as body:
            payload = json.loads(body.read() or b"null")
        if "FunctionError" in answer:
            error = failures.function_error(payload if isinstance(payload, dict) else {})
            raise FunctionFailedError(f"{error}\nThe whole story is in the log group /aws/lambda/{name}")
        return [each for each in payload or [] if isinstance(each, dict) and "verdict" in each]

    return invoke


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
    messages = failures.receive(sqs, queue_url, hidden_seconds=HIDDEN_SECONDS, wait_seconds=wait, batch=1)
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
        failures.give_back(sqs, queue_url, kept)


def _replay(message: Message, invoke: Invoke) -> Replayed:
    if message.event is None:
        return Replayed(message, [], "it holds no event of ours; delete it by hand")
    try:
        return Replayed(message, invoke(message.event))
    except FunctionFailedError as error:
        return Replayed(message, [], error.message)


def settle_uploads(invoke: Invoke, *, failed: bool = False) -> list[Verdict]:
    """Settle every upload without a verdict (and what FAILED, when asked), and return the verdicts made.

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
