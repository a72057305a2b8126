"""AWS::Lambda::Function, AWS::Lambda::Permission and AWS::Lambda::EventInvokeConfig, applied whole."""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Properties,
    ResourceType,
    Shape,
    Target,
    Unsupported,
    tag_changes,
    tag_list,
    tag_map,
)

_CONFIGURATION = (
    "Description",
    "Environment",
    "EphemeralStorage",
    "Handler",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
    "TracingConfig",
)


class Function(ResourceType):
    """AWS::Lambda::Function with a Python handler; no layers, images or networks."""

    type = "AWS::Lambda::Function"
    name_property = "FunctionName"
    required = frozenset({"Code", "Role", "Handler", "Runtime"})
    create_only = frozenset({"PackageType"})
    attributes = frozenset({"Arn"})
    defaults: ClassVar[Properties] = {
        "Architectures": ["x86_64"],
        "Description": "",
        "Environment": {"Variables": {}},
        "EphemeralStorage": {"Size": 512},
        "LoggingConfig": {"LogFormat": "Text"},
        "MemorySize": 128,
        "ReservedConcurrentExecutions": None,
        "Tags": None,
        "Timeout": 3,
        "TracingConfig": {"Mode": "PassThrough"},
    }
    shape: ClassVar[Shape] = {
        "FunctionName": ANY,
        "Code": {"S3Bucket": ANY, "S3Key": ANY, "ZipFile": ANY},
        "Handler": ANY,
        "Role": ANY,
        "Runtime": ANY,
        "Description": ANY,
        "Timeout": ANY,
        "MemorySize": ANY,
        "Environment": {"Variables": ANY},
        "Architectures": ANY,
        "ReservedConcurrentExecutions": ANY,
        "TracingConfig": {"Mode": ANY},
        "EphemeralStorage": {"Size": ANY},
        "LoggingConfig": {
            "LogFormat": ANY,
            "LogGroup": ANY,
            "ApplicationLogLevel": ANY,
            "SystemLogLevel": ANY,
        },
        "PackageType": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the function with its code and configuration."""
        if not str(target.properties["Runtime"]).startswith("python3"):
            raise Unsupported(
                f"the laptop runs functions in Python only, not {target.properties['Runtime']}: use python3.x"
            )
        if target.properties.get("PackageType", "Zip") != "Zip":
            raise Unsupported("the laptop runs functions from a zip only: take PackageType out")
        target.aws("lambda").create_function(
            FunctionName=target.id,
            Code=_code(target.properties["Code"]),
            Architectures=target.properties["Architectures"],
            Tags=tag_map(target.properties["Tags"]),
            **_configuration(target.properties),
        )
        return target.id

    def apply(self, target: Target) -> None:
        """Settle the reserved concurrency; on an update, code, configuration and tags too."""
        client = target.aws("lambda")
        reserved = target.properties["ReservedConcurrentExecutions"]
        if reserved is not None:
            client.put_function_concurrency(
                FunctionName=target.id, ReservedConcurrentExecutions=int(reserved)
            )
        elif target.before.get("ReservedConcurrentExecutions") is not None:
            client.delete_function_concurrency(FunctionName=target.id)
        if not target.before:
            return
        if any(target.before[key] != target.properties[key] for key in ("Code", "Architectures")):
            client.update_function_code(
                FunctionName=target.id,
                Architectures=target.properties["Architectures"],
                **_code(target.properties["Code"]),
            )
        client.update_function_configuration(FunctionName=target.id, **_configuration(target.properties))
        _settle_tags(client, self.describe(target)["Arn"], target.before, target.properties)

    def delete(self, target: Target) -> None:
        """Remove the function."""
        target.aws("lambda").delete_function(FunctionName=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the function's ARN."""
        answer = target.aws("lambda").get_function(FunctionName=target.id)
        return {"Arn": answer["Configuration"]["FunctionArn"]}

    def read(self, target: Target) -> Properties:
        """Read configuration, concurrency and tags; of the code, whether it is what the bucket holds."""
        answer = target.aws("lambda").get_function(FunctionName=target.id)
        held = dict(answer["Configuration"])
        held.setdefault("Environment", {"Variables": {}})
        held["Code"] = target.properties["Code"] if held["CodeSize"] > 0 else None
        held["Tags"] = tag_list(answer.get("Tags"))
        held["ReservedConcurrentExecutions"] = answer.get("Concurrency", {}).get(
            "ReservedConcurrentExecutions"
        )
        return held


def _code(code: Properties) -> dict[str, Any]:
    if "ZipFile" not in code:
        return code
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("index.py"), code["ZipFile"])
    return {"ZipFile": archive.getvalue()}


def _configuration(properties: Properties) -> dict[str, Any]:
    configuration = {key: properties[key] for key in _CONFIGURATION}
    configuration["EphemeralStorage"] = {"Size": int(properties["EphemeralStorage"]["Size"])}
    variables = properties["Environment"].get("Variables", {})
    configuration["Environment"] = {"Variables": {key: str(value) for key, value in variables.items()}}
    return configuration | {key: int(properties[key]) for key in ("MemorySize", "Timeout")}


def _settle_tags(client: Any, arn: str, before: Properties, properties: Properties) -> None:
    gone, new = tag_changes(before.get("Tags"), properties["Tags"])
    if gone:
        client.untag_resource(Resource=arn, TagKeys=gone)
    if new:
        client.tag_resource(Resource=arn, Tags=new)


class Permission(ResourceType):
    """AWS::Lambda::Permission: one statement of a function's resource policy."""

    type = "AWS::Lambda::Permission"
    required = frozenset({"Action", "FunctionName", "Principal"})
    shape: ClassVar[Shape] = dict.fromkeys(
        ["Action", "FunctionName", "Principal", "SourceArn", "SourceAccount"]
    )
    create_only = frozenset(shape)

    def create(self, target: Target) -> str:
        """Add the statement; its id is the physical id."""
        statement = f"{target.id[:80]}-{secrets.token_hex(4)}"
        target.aws("lambda").add_permission(StatementId=statement, **target.properties)
        return statement

    def delete(self, target: Target) -> None:
        """Remove the statement, if the function is still there."""
        try:
            target.aws("lambda").remove_permission(
                FunctionName=target.properties["FunctionName"], StatementId=target.id
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

    def read(self, target: Target) -> Properties:
        """Read the statement from the function's policy."""
        policy = json.loads(
            target.aws("lambda").get_policy(FunctionName=target.properties["FunctionName"])["Policy"]
        )
        statement: Properties = next((item for item in policy["Statement"] if item["Sid"] == target.id), {})
        conditions = {
            key.lower(): value
            for operator in statement.get("Condition", {}).values()
            for key, value in operator.items()
        }
        principal = statement.get("Principal")
        return {
            "Action": statement.get("Action"),
            "FunctionName": target.properties["FunctionName"],
            "Principal": next(iter(principal.values())) if isinstance(principal, dict) else principal,
            "SourceArn": conditions.get("aws:sourcearn"),
            "SourceAccount": conditions.get("aws:sourceaccount"),
        }


class EventInvokeConfig(ResourceType):
    """AWS::Lambda::EventInvokeConfig: what becomes of asynchronous invocations that fail."""

    type = "AWS::Lambda::EventInvokeConfig"
    required = frozenset({"FunctionName", "Qualifier"})
    create_only = frozenset({"FunctionName", "Qualifier"})
    shape: ClassVar[Shape] = {
        "FunctionName": ANY,
        "Qualifier": ANY,
        "MaximumRetryAttempts": ANY,
        "MaximumEventAgeInSeconds": ANY,
        "DestinationConfig": {"OnFailure": {"Destination": ANY}, "OnSuccess": {"Destination": ANY}},
    }

    def create(self, target: Target) -> str:
        """Name the configuration after its function; `apply` puts it."""
        if target.properties["Qualifier"] != "$LATEST":
            raise Unsupported(
                f"Qualifier {target.properties['Qualifier']}: the laptop has the version $LATEST only"
            )
        return f"{target.properties['FunctionName']}|{target.properties['Qualifier']}"

    def apply(self, target: Target) -> None:
        """Put the whole configuration in place of the one before."""
        wanted = {key: value for key, value in target.properties.items() if key != "Qualifier"}
        for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"):
            if key in wanted:
                wanted[key] = int(wanted[key])
        target.aws("lambda").put_function_event_invoke_config(**wanted)

    def delete(self, target: Target) -> None:
        """Take the configuration off the function."""
        target.aws("lambda").delete_function_event_invoke_config(
            FunctionName=target.properties["FunctionName"]
        )

    def read(self, target: Target) -> Properties:
        """Read the configuration back."""
        answer = target.aws("lambda").get_function_event_invoke_config(
            FunctionName=target.properties["FunctionName"]
        )
        return {
            **answer,
            "FunctionName": target.properties["FunctionName"],
            "Qualifier": target.properties["Qualifier"],
        }
