"""What the commands that upload something do then: wait for the verdict, print it, name the next command."""

from __future__ import annotations

import click
from rich.console import Console

from ops.aws import stack as cloudformation_stack
from ops.aws.endpoint import Clients
from ops.aws.stack import Deployment
from ops.output.terminal import say
from ops.uploads import outcome, start
from ops.uploads.outcome import Verdict
from ops.uploads.upload import Upload

WAIT = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the verdict.")
TIMEOUT = click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Seconds to wait for the verdict.",
)


def settle(
    session: Clients, deployed: Deployment, upload: Upload, timeout: float, console: Console
) -> Verdict:
    """Wait for the verdict on `upload` and print it; StartFailedError unless it is STARTED."""
    function = cloudformation_stack.function_name(session.client("cloudformation"), deployed.stack)
    verdict = start.wait_for_verdict(
        session.client("s3"),
        session.client("sqs"),
        upload,
        deployed.failure_queue,
        timeout,
        function_name=function,
    )
    arn = start.execution_arn(verdict)
    for line in outcome.lines(verdict):
        say(console, line)
    watch_next(console, arn)
    return verdict


def watch_next(console: Console, execution_arn: str) -> None:
    """Name the command that follows an execution."""
    say(console, f"Watch it with: cv-pipeline watch {execution_arn}")
