"""Wait for what becomes of an upload, the verdict or the function's error in the queue, and say it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from ops.aws.session import ClientFactory, on_this_machine
from ops.aws.stack import StackOutputs, function_name
from ops.errors import StartFailedError, StartTimeoutError
from ops.output.terminal import say
from ops.uploads import failures, outcome
from ops.uploads.failures import Message
from ops.uploads.outcome import Verdict
from ops.uploads.upload import DefinitionUpload
from upload_trigger.verdicts import STARTED

HIDDEN_SECONDS = 3  # a message we looked at comes back for others, such as a redrive


def wait_for_verdict(
    s3: Any,
    sqs: Any,
    upload: DefinitionUpload,
    queue_url: str,
    timeout: float,
    *,
    function_name: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Return the verdict on `upload`, waiting at most `timeout` seconds.

    Raises:
        StartFailedError: The function gave up on this upload; the message holds its error.
        StartTimeoutError: Neither a verdict nor an error of this upload appeared in time.
    """
    pause = 0.25 if on_this_machine(s3) else 2.0
    started = time.monotonic()
    while True:
        verdict = outcome.read(s3, upload.bucket, upload.key, upload.version_id)
        if verdict:
            return verdict
        messages = list(failures.receive(sqs, queue_url, hidden_seconds=HIDDEN_SECONDS))
        failures.give_back(sqs, queue_url, messages)
        for message in messages:
            if (upload.bucket, upload.key, upload.version_id) in message.uploads:
                raise StartFailedError(_given_up(message, upload))
        if time.monotonic() - started >= timeout:
            raise StartTimeoutError(_nothing(upload, timeout, function_name))
        sleep(pause)


def wait_for_start(
    s3: Any,
    sqs: Any,
    upload: DefinitionUpload,
    queue_url: str,
    timeout: float,
    *,
    function_name: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the ARN of the execution that `upload` started, waiting at most `timeout` seconds.

    Raises:
        StartFailedError: The verdict is another one, with every reason, or the function gave up.
        StartTimeoutError: Neither a verdict nor an error of this upload appeared in time.
    """
    verdict = wait_for_verdict(s3, sqs, upload, queue_url, timeout, function_name=function_name, sleep=sleep)
    return execution_arn(verdict)


def execution_arn(verdict: Verdict) -> str:
    """Return the execution that an upload started; raise StartFailedError, with every reason, if none."""
    if verdict["verdict"] != STARTED:
        said = f"{outcome.upload(verdict)} is {verdict['verdict']} and started nothing:"
        raise StartFailedError("\n".join([said, *outcome.details(verdict)]))
    return str(verdict["executionArn"])


def settle(
    session: ClientFactory, deployed: StackOutputs, upload: DefinitionUpload, timeout: float, console: Console
) -> Verdict:
    """Wait for the verdict on `upload` and print it; StartFailedError unless it is STARTED."""
    function = function_name(session.client("cloudformation"), deployed.stack)
    verdict = wait_for_verdict(
        session.client("s3"),
        session.client("sqs"),
        upload,
        deployed.failure_queue,
        timeout,
        function_name=function,
    )
    arn = execution_arn(verdict)
    for line in outcome.lines(verdict):
        say(console, line)
    watch_next(console, arn)
    return verdict


def watch_next(console: Console, execution_arn: str) -> None:
    """Name the command that follows an execution."""
    say(console, f"Watch it with: cv-pipeline watch {execution_arn}")


def _given_up(message: Message, upload: DefinitionUpload) -> str:
    return (
        f"{upload.url} (version {upload.version_id}) has no verdict: the function gave up: {message.reason}\n"
        f"`cv-pipeline history` tells whether it runs all the same. {outcome.REDRIVE}. "
        f"The whole story is in the log group {_log_group(message.function_name)}"
    )


def _nothing(upload: DefinitionUpload, timeout: float, function_name: str | None) -> str:
    return (
        f"no verdict on {upload.url} (version {upload.version_id}) and no error within {timeout:.0f} s. S3 "
        "events are sometimes late, and failed ones are tried again for minutes: `cv-pipeline history` "
        "shows the verdict when it comes, and `cv-pipeline reconcile` settles the upload now. What the "
        f"function did is in the log group {_log_group(function_name)}"
    )


def _log_group(function_name: str | None) -> str:
    return f"/aws/lambda/{function_name or '<function>'}"
