"""Deploy a synthesised template with boto3 alone: no Node, no CDK command, no bootstrap stack.

    deploy(aws, Path("infra/template.json"), "cv-birds")["BucketName"]

The function's code is zipped from lambda/ and put where the template expects CDK's asset. The image asset
needs nothing: on local AWS jobs run as processes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory

SOURCE = Path(__file__).resolve().parent.parent / "lambda"
"""Where the function's code is."""
TIMEOUT_SECONDS = 600.0
"""A deployment takes seconds here: one that is not done after ten minutes never will be."""
_POLL_SECONDS = 0.1
"""CloudFormation is on this machine: asking often costs nobody anything."""
_CDK_BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
_DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
"""A stack in one of these can only be deleted."""


MakeClient = Callable[[str], Any]


@dataclass(frozen=True)
class ResourceFailure:
    """One resource that failed, and why."""

    logical_id: str
    type: str
    reason: str


class DeployError(Exception):
    """The stack is not what the template asks for; `failures` are the resources that failed."""

    def __init__(self, message: str, failures: list[ResourceFailure] | None = None) -> None:
        self.failures = failures or []
        lines = [f"  {item.logical_id} ({item.type}): {item.reason}" for item in self.failures]
        super().__init__("\n".join([message, *lines]))


class TemplateError(DeployError):
    """What was given is no template."""


@dataclass(frozen=True)
class Asset:
    """A function's code: where the template expects it."""

    function: str
    bucket: str
    key: str


def deploy(
    clients: ClientFactory,
    template_path: Path,
    stack_name: str,
    *,
    parameters: Mapping[str, str] | None = None,
    source: Path = SOURCE,
) -> dict[str, str]:
    """Create or update the stack and return its outputs; raise `DeployError` with what failed."""
    template = read_template(template_path)
    text = json.dumps(template, separators=(",", ":")).encode()
    given = dict(parameters or {})
    client: MakeClient = functools.cache(clients.client)
    code = zip_sources(source)
    for asset in _assets(client, template):
        _upload(client, asset.bucket, asset.key, code)
    url = _upload_template(client, text)
    cloudformation = client("cloudformation")
    try:
        stack = _apply(cloudformation, stack_name, url, given)
    except ClientError as error:
        raise DeployError(f"{template_path}: {error.response['Error']['Message']}") from error
    if stack["StackStatus"] not in _DONE:
        reason = stack.get("StackStatusReason", "no reason given")
        message = f"stack {stack_name} ended {stack['StackStatus']}: {reason}"
        raise DeployError(message, _failures(cloudformation, stack["StackId"]))
    _refresh_code(client, template, stack["StackId"], code)
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def zip_sources(source: Path) -> bytes:
    """Zip the modules of a folder and of its packages; the same sources give the same bytes."""
    modules = sorted(source.rglob("*.py"))
    if not modules:
        raise DeployError(f"{source} has no *.py: it should hold the function's code")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in modules:
            member = zipfile.ZipInfo(
                module.relative_to(source).as_posix()
            )  # dated 1980, like every reproducible zip
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, module.read_bytes())
    return buffer.getvalue()


def read_template(path: Path) -> dict[str, Any]:
    """Read a template of CloudFormation in JSON; raise `TemplateError` where it is none."""
    try:
        template = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TemplateError(
            f"{path} does not exist: `python -m infra.template` writes infra/template.json"
        ) from error
    except ValueError as error:
        raise TemplateError(f"{path} must be a CloudFormation template in JSON: {error}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise TemplateError(f"{path} must be a CloudFormation template: it has no object Resources")
    for name, resource in template["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise TemplateError(f"{path} must be a CloudFormation template: resource {name} has no Type")
    return template


def _assets(client: MakeClient, template: Mapping[str, Any]) -> list[Asset]:
    found = [
        Asset(name, _resolved(client, code["S3Bucket"]), _resolved(client, code["S3Key"]))
        for name, code in _functions(template).items()
        if "S3Bucket" in code
    ]
    if len({(asset.bucket, asset.key) for asset in found}) > 1:
        names = ", ".join(asset.function for asset in found)
        raise DeployError(
            f"the functions {names} have different code, but local AWS runs one folder, {SOURCE}: "
            "take a template that was made without image=codebuild"
        )
    return found


def _resolved(client: MakeClient, value: Any) -> str:
    """Return the name of a bucket or a key: a text, or the Fn::Sub of account and region that CDK writes."""
    text = value.get("Fn::Sub") if isinstance(value, dict) else value
    if isinstance(text, str):
        text = text.replace("${AWS::AccountId}", client("sts").get_caller_identity()["Account"])
        text = text.replace("${AWS::Region}", client("s3").meta.region_name)
        if "${" not in text:
            return text
    raise DeployError(
        f"the place of the function's code cannot be resolved: {json.dumps(value)} must be a text, or an "
        "Fn::Sub with AWS::AccountId and AWS::Region alone"
    )


def _upload_template(client: MakeClient, text: bytes) -> str:
    """Put the template where CDK puts it; return its URL: a request may hold 51,200 bytes of it."""
    bucket = _resolved(client, {"Fn::Sub": _CDK_BUCKET})
    key = f"{hashlib.sha256(text).hexdigest()}.json"
    _upload(client, bucket, key, text)
    return f"{client('s3').meta.endpoint_url}/{bucket}/{key}"


def _functions(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]["Code"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function" and "Code" in resource.get("Properties", {})
    }


def _upload(client: MakeClient, bucket: str, key: str, body: bytes) -> None:
    s3 = client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        region = s3.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
        s3.create_bucket(Bucket=bucket, **place)
    s3.put_object(Bucket=bucket, Key=key, Body=body)


def _apply(cloudformation: Any, name: str, url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Create the stack, or update the one that is there; wait until it is settled."""
    stack = _describe(cloudformation, name)
    if stack is not None and stack["StackStatus"] in _DEAD:
        cloudformation.delete_stack(StackName=name)
        stack = _settled(cloudformation, stack["StackId"])
        if stack["StackStatus"] != "DELETE_COMPLETE":
            return stack
        stack = None
    request = {
        "StackName": name,
        "TemplateURL": url,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }
    if stack is None:
        return _settled(cloudformation, cloudformation.create_stack(**request)["StackId"])
    try:
        cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"]["Message"]:
            raise
    return _settled(cloudformation, stack["StackId"])


def _describe(cloudformation: Any, name: str) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return stack


def _settled(cloudformation: Any, stack_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        if time.monotonic() > deadline:
            raise DeployError(f"{stack_id} is still {stack['StackStatus']} after {TIMEOUT_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _failures(cloudformation: Any, stack_id: str) -> list[ResourceFailure]:
    """List what failed in the last operation, in the order in which it did; the events come newest first."""
    failures: list[ResourceFailure] = []
    for event in cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]:
        if event.get("ResourceStatusReason") == "User Initiated":
            break
        if event["ResourceStatus"].endswith("_FAILED") and event["PhysicalResourceId"] != stack_id:
            reason = event.get("ResourceStatusReason", "no reason given")
            failures.insert(0, ResourceFailure(event["LogicalResourceId"], event["ResourceType"], reason))
    return failures or _invalid(cloudformation, stack_id)


def _invalid(cloudformation: Any, stack_id: str) -> list[ResourceFailure]:
    """List what CloudFormation refused before it made anything, such as a name that is taken."""
    return [
        ResourceFailure(event["LogicalResourceId"], event["ResourceType"], event["ValidationStatusReason"])
        for event in cloudformation.describe_events(StackName=stack_id)["OperationEvents"]
        if event["EventType"] == "VALIDATION_ERROR"
    ]


def _refresh_code(client: MakeClient, template: Mapping[str, Any], stack_id: str, code: bytes) -> None:
    """Update a function whose sources changed while the template, and with it the asset's key, did not.

    CDK would have synthesised another key; local AWS need not wait for that.
    """
    function = client("lambda")
    cloudformation = client("cloudformation")
    wanted = base64.b64encode(hashlib.sha256(code).digest()).decode()
    for logical_id in [name for name, place in _functions(template).items() if "S3Bucket" in place]:
        resource = cloudformation.describe_stack_resource(StackName=stack_id, LogicalResourceId=logical_id)
        name = resource["StackResourceDetail"]["PhysicalResourceId"]
        if function.get_function_configuration(FunctionName=name)["CodeSha256"] != wanted:
            function.update_function_code(FunctionName=name, ZipFile=code)
