"""The AWS of the environment, and the options that every command takes alike."""

from __future__ import annotations

from typing import Any

import boto3
import click

from ops.aws import stack as cloudformation_stack
from ops.aws.endpoint import settings
from ops.aws.stack import Deployment
from ops.executions import execution as executions

STACK = click.option(
    "--stack",
    default="cv-birds",
    show_default=True,
    metavar="NAME",
    help="The deployed CloudFormation stack.",
)
PIPELINE = click.option(
    "--pipeline", metavar="NAME", help="Whose executions are meant.  [default: the stack's own pipeline]"
)
NAME = click.option(
    "--name", metavar="NAME", help="The pipeline <project>-NAME is meant instead of the project's own."
)
AS_ROLE = click.option(
    "--as-role",
    metavar="ARN|none",
    help="Upload as this role, or as yourself.  [default: a hardened stack's uploader role]",
)
EXECUTION = click.argument("execution", metavar="[EXECUTION_ARN|latest]", default="latest")


class Session:
    """The AWS of the environment: credentials, region and endpoint as every AWS tool takes them."""

    def __init__(self) -> None:
        self._session = boto3.Session()

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`."""
        return self._session.client(service, config=settings(service))

    def deployment(self, stack: str) -> Deployment:
        """Read what `stack` deployed."""
        return cloudformation_stack.deployment(self.client("cloudformation"), stack)

    def execution_arn(self, wanted: str, pipeline: str | None, stack: str) -> str:
        """Return the ARN of what was asked for: an ARN, a PipelineExecutionId, or `latest`."""
        if wanted.startswith("arn:"):
            return wanted
        name = pipeline or self.deployment(stack).project
        return executions.find(self.client("sagemaker"), wanted, name)
