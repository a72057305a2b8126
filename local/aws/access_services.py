"""What a principal needs to be allowed for a call to any service: `requirements` is the one way in.

S3 and SageMaker have modules of their own. A service that is not listed here is asked for its action on `*`,
which only a statement with Resource `*` allows: too strict is safe, too lax would not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from local.aws import access_s3, access_sagemaker
from local.aws.request_context import Call, Requirement

_ROLE_PARAMETERS = ("RoleArn", "RoleARN", "ExecutionRoleArn", "Role", "roleArn")
_PASSING = ("Create", "Update", "Put", "Run", "Start", "Register")
_IAM_RESOURCES = {
    "RoleName": "role",
    "PolicyArn": "",
    "UserName": "user",
    "GroupName": "group",
    "InstanceProfileName": "instance-profile",
    "PolicyName": "policy",
}


def requirements(call: Call) -> list[Requirement]:
    """Name every action on every resource that a call needs, the roles it passes included."""
    if call.service == "s3":
        return list(access_s3.requirements(call))
    own = access_sagemaker.requirements(call) if call.service == "sagemaker" else [_requirement(call)]
    return [*own, *_passed_roles(call), *_code(call)]


def _requirement(call: Call) -> Requirement:
    find = _RESOURCES.get(call.service)
    context = _CONTEXTS[call.service](call) if call.service in _CONTEXTS else {}
    action = _ACTIONS.get((call.service, call.operation), call.operation)
    resource = find(call) if find else "*"
    return Requirement(f"{call.service}:{action}", resource, {**_tags(call), **context})


def _passed_roles(call: Call) -> Iterator[Requirement]:
    """Ask for iam:PassRole for each role that a call hands to a service."""
    if call.service in {"iam", "sts"} or not call.operation.startswith(_PASSING):
        return
    service = "cloudformation" if call.service == "cloudformation" else call.service
    associated = access_sagemaker.associated_resource(call) if service == "sagemaker" else _resource(call)
    for name in _ROLE_PARAMETERS:
        role = call.parameters.get(name)
        if isinstance(role, str) and role.startswith("arn:"):
            context = {
                "iam:PassedToService": f"{service}.amazonaws.com",
                "iam:AssociatedResourceArn": associated,
            }
            yield Requirement("iam:PassRole", role, context)


def _code(call: Call) -> Iterator[Requirement]:
    """Ask for the right to read a function's code, which Lambda fetches in the name of whoever calls."""
    if call.service != "lambda" or call.operation not in {"CreateFunction", "UpdateFunctionCode"}:
        return
    place = call.parameters.get("Code") or call.parameters
    if place.get("S3Bucket"):
        yield Requirement("s3:GetObject", f"arn:aws:s3:::{place['S3Bucket']}/{place.get('S3Key')}")


def _resource(call: Call) -> str:
    find = _RESOURCES.get(call.service)
    return find(call) if find else "*"


def _tags(call: Call) -> dict[str, str | list[str]]:
    """Read aws:RequestTag and aws:TagKeys from tags in any of the forms that services take."""
    tags = call.parameters.get("Tags") or call.parameters.get("tags") or {}
    if isinstance(tags, list):
        tags = {item.get("Key", item.get("TagKey")): item.get("Value", item.get("TagValue")) for item in tags}
    if not isinstance(tags, dict) or not tags:
        return {}
    values: dict[str, str | list[str]] = {f"aws:RequestTag/{key}": str(value) for key, value in tags.items()}
    return {**values, "aws:TagKeys": [str(key) for key in tags]}


def _named(call: Call, *names: str) -> str | None:
    value = next((call.parameters[name] for name in names if call.parameters.get(name)), None)
    return value if isinstance(value, str) else None


def _lambda(call: Call) -> str:
    name = _named(call, "FunctionName")
    if name is None:
        return _named(call, "Resource", "Arn") or "*"
    return name if name.startswith("arn:") else call.arn(f"function:{name.rpartition('function:')[2]}")


def _sqs(call: Call) -> str:
    name = _named(call, "QueueName") or (_named(call, "QueueUrl") or "").rpartition("/")[2]
    return call.arn(name) if name and call.operation != "ListQueues" else "*"


def _sns(call: Call) -> str:
    arn = _named(call, "TopicArn", "SubscriptionArn", "ResourceArn")
    if arn is None:
        return call.arn(name) if (name := _named(call, "Name")) else "*"
    # A subscription is its topic's, with one more part.
    return ":".join(arn.split(":")[:6])


def _logs(call: Call) -> str:
    group = _named(call, "logGroupName", "logGroupIdentifier", "resourceArn")
    if group is None or call.operation == "DescribeLogGroups":
        return "*"
    if group.startswith("arn:"):
        group = group.partition(":log-group:")[2].removesuffix(":*")
    stream = _named(call, "logStreamName")
    return call.arn(f"log-group:{group}:log-stream:{stream}" if stream else f"log-group:{group}:*")


def _iam(call: Call) -> str:
    for name, kind in _IAM_RESOURCES.items():
        value = _named(call, name)
        if value and (name != "PolicyName" or call.operation == "CreatePolicy"):
            path = (_named(call, "Path") or "/").lstrip("/")
            return value if not kind else f"arn:aws:iam::{call.account}:{kind}/{path}{value}"
    return "*"


def _sts(call: Call) -> str:
    return _named(call, "RoleArn") or "*"


def _cloudformation(call: Call) -> str:
    name = _named(call, "StackName", "StackId")
    if name is None:
        return "*"
    return name if name.startswith("arn:") else call.arn(f"stack/{name}/*")


def _ssm(call: Call) -> str:
    name = _named(call, "Name", "Path", "ResourceId") or next(iter(call.parameters.get("Names") or []), None)
    if name is None or call.operation == "DescribeParameters":
        return "*"
    return name if name.startswith("arn:") else call.arn(f"parameter/{name.lstrip('/')}")


def _kms(call: Call) -> str:
    key = _named(call, "KeyId", "TargetKeyId")
    if key is None:
        return "*"
    return key if key.startswith("arn:") else call.arn(key if key.startswith("alias/") else f"key/{key}")


def _ecr(call: Call) -> str:
    name = _named(call, "repositoryName") or next(iter(call.parameters.get("repositoryNames") or []), None)
    return call.arn(f"repository/{name}") if name else "*"


def _events(call: Call) -> str:
    if arn := _named(call, "ResourceARN"):
        return arn
    rule = _named(call, "Rule") or (_named(call, "Name") if "Rule" in call.operation else None)
    bus = (_named(call, "EventBusName") or "default").rpartition("/")[2]
    if rule:
        return call.arn(f"rule/{rule}" if bus == "default" else f"rule/{bus}/{rule}")
    return call.arn(f"event-bus/{bus}") if call.operation == "PutEvents" else "*"


def _cloudwatch(call: Call) -> str:
    if arn := _named(call, "ResourceARN"):
        return arn
    alarm = _named(call, "AlarmName") or next(iter(call.parameters.get("AlarmNames") or []), None)
    if alarm:
        return call.arn(f"alarm:{alarm}")
    dashboard = _named(call, "DashboardName") or next(iter(call.parameters.get("DashboardNames") or []), None)
    return f"arn:aws:cloudwatch::{call.account}:dashboard/{dashboard}" if dashboard else "*"


_RESOURCES: dict[str, Callable[[Call], str]] = {
    "cloudformation": _cloudformation,
    "cloudwatch": _cloudwatch,
    "ecr": _ecr,
    "events": _events,
    "iam": _iam,
    "kms": _kms,
    "lambda": _lambda,
    "logs": _logs,
    "sns": _sns,
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}

_ACTIONS = {
    ("lambda", "Invoke"): "InvokeFunction",
    ("lambda", "InvokeAsync"): "InvokeFunction",
    ("lambda", "InvokeWithResponseStream"): "InvokeFunction",
    ("sqs", "ChangeMessageVisibilityBatch"): "ChangeMessageVisibility",
    ("sqs", "DeleteMessageBatch"): "DeleteMessage",
    ("sqs", "SendMessageBatch"): "SendMessage",
}
"""Operations whose action has another name."""


def _given(**keys: Any) -> dict[str, str]:
    return {key.replace("__", ":"): str(value) for key, value in keys.items() if value is not None}


_CONTEXTS: dict[str, Callable[[Call], dict[str, str]]] = {
    "cloudwatch": lambda call: _given(cloudwatch__namespace=call.parameters.get("Namespace")),
    "cloudformation": lambda call: _given(
        cloudformation__RoleArn=call.parameters.get("RoleARN"),
        cloudformation__TemplateUrl=call.parameters.get("TemplateURL"),
    ),
    "iam": lambda call: _given(
        iam__PermissionsBoundary=call.parameters.get("PermissionsBoundary"),
        iam__PolicyARN=call.parameters.get("PolicyArn"),
    ),
    "kms": lambda call: _given(kms__CallerAccount=call.account),
    "lambda": lambda call: _given(lambda__Principal=call.parameters.get("Principal")),
    "sts": lambda call: _given(
        sts__RoleSessionName=call.parameters.get("RoleSessionName"),
        sts__ExternalId=call.parameters.get("ExternalId"),
    ),
}
"""The condition keys that belong to one service."""
