"""What the deployment is called: the outputs of its CloudFormation stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import START_LOCAL, AbsentError, error_code

STARTER = "-start-execution"
"""How the function's name ends; others of the stack build its image, or offer its template to Studio."""


@dataclass(frozen=True)
class StackOutputs:
    """What the commands need to know of a stack; what an older stack lacks is missed when it is asked for."""

    stack: str
    outputs: Mapping[str, str]

    @property
    def bucket(self) -> str:
        """Name the bucket that uploads go to."""
        return output(self.outputs, "BucketName", self.stack)

    @property
    def project(self) -> str:
        """Name the project's own pipeline, with which every other pipeline's name begins."""
        return output(self.outputs, "PipelineName", self.stack)

    @property
    def failure_queue(self) -> str:
        """Return the URL of the queue of events that the function failed for."""
        return output(self.outputs, "FailureQueueUrl", self.stack)

    def pipeline(self, name: str | None) -> str:
        """Name the pipeline that an upload with `--name` starts."""
        return f"{self.project}-{name}" if name else self.project


def deployment(cloudformation: Any, stack_name: str) -> StackOutputs:
    """Read the outputs of a stack; AbsentError when there is none of this name."""
    return StackOutputs(stack_name, outputs(cloudformation, stack_name))


def outputs(cloudformation: Any, stack_name: str) -> dict[str, str]:
    """Read the stack's outputs by name, such as BucketName and PipelineName.

    Raises:
        AbsentError: There is no such stack in this account and region.
    """
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        stacks = []
    if not stacks:
        raise _absent(cloudformation, stack_name)
    return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}


def _absent(cloudformation: Any, stack_name: str) -> AbsentError:
    return AbsentError(
        f"no stack {stack_name} in {cloudformation.meta.region_name}: deploy it with `make deploy`, "
        f"{START_LOCAL}, or name another one with --stack"
    )


def output(values: Mapping[str, str], name: str, stack_name: str) -> str:
    """Return one output, or say that the stack has no such output and which ones it has."""
    if name in values:
        return values[name]
    known = ", ".join(sorted(values)) or "none"
    raise AbsentError(
        f"stack {stack_name} has no output {name} (it has: {known}); deploy it again with `make deploy`"
    )


def function_name(cloudformation: Any, stack_name: str) -> str:
    """Name the stack's Lambda function, which settles uploads and whose log group tells how it went.

    Raises:
        AbsentError: There is no such stack, or it has no function.
    """
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_name)
    try:
        resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        raise _absent(cloudformation, stack_name) from error
    for resource in resources:
        name = str(resource.get("PhysicalResourceId", ""))
        if resource["ResourceType"] == "AWS::Lambda::Function" and name.endswith(STARTER):
            return name
    raise AbsentError(
        f"stack {stack_name} has no Lambda function *{STARTER}; deploy it again with `make deploy`"
    )
