"""What a principal needs to be allowed for each call to SageMaker, after the service authorization reference.

Resource names are lower-cased in ARNs, as SageMaker does. A create call with tags also needs AddTags, and
every role in a request also needs iam:PassRole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Context = dict[str, str | list[str]]


@dataclass(frozen=True)
class Requirement:
    """What a principal needs to be allowed for a call; a call may have several."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)


RESOURCES = {
    "PipelineExecutionArn": "pipeline",
    "PipelineArn": "pipeline",
    "PipelineName": "pipeline",
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "ModelPackageArn": "model-package",
    "ModelPackageName": "model-package",
    "ModelPackageGroupName": "model-package-group",
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "ExperimentName": "experiment",
    "TrialName": "experiment-trial",
    "TrialComponentName": "experiment-trial-component",
    "ResourceArn": "",
}
"""The members that name a resource, by its name or ARN, and its type; the more specific first; "" is any."""

_UNSCOPED = re.compile(
    r"List(?!PipelineExecution|PipelineVersion|PipelineParameters|ModelPackages$|Tags)|Search"
)
"""Operations whose action knows no resource."""


_PASSING = ("Create", "Update", "Start")
_ROLES = ("RoleArn", "ExecutionRoleArn")


def requirements(
    operation: str, parameters: Mapping[str, Any], *, region: str, account: str
) -> list[Requirement]:
    """Return every action on every resource that a call needs, the roles that it passes included."""
    return list(_requirements(operation, parameters, f"arn:aws:sagemaker:{region}:{account}:"))


def _requirements(operation: str, parameters: Mapping[str, Any], prefix: str) -> Iterator[Requirement]:
    tags = _tag_keys(parameters)
    resources = _resources(operation, parameters, prefix)
    for resource in resources:
        asked = {**tags, **_limits(parameters), **_visibility(parameters)}
        yield Requirement(f"sagemaker:{operation}", resource, asked)
    if operation.startswith("Create") and parameters.get("Tags"):
        yield Requirement("sagemaker:AddTags", resources[0], {**tags, "sagemaker:TaggingAction": operation})
    for role in (parameters.get(name) for name in _ROLES if operation.startswith(_PASSING)):
        if isinstance(role, str):
            passing: Context = {
                "iam:PassedToService": "sagemaker.amazonaws.com",
                "iam:AssociatedResourceArn": resources[0],
            }
            yield Requirement("iam:PassRole", role, passing)


def _resources(operation: str, parameters: Mapping[str, Any], prefix: str) -> list[str]:
    if _UNSCOPED.match(operation):
        return ["*"]
    if operation in {"CreateModelPackage", "ListModelPackages"}:
        return _packages_of_group(operation, parameters, prefix)
    for name, kind in RESOURCES.items():
        if value := parameters.get(name):
            return [_arn(prefix, kind, str(value))]
    return ["*"]


def _packages_of_group(operation: str, parameters: Mapping[str, Any], prefix: str) -> list[str]:
    group = parameters.get("ModelPackageGroupName")
    if not group:
        return [_arn(prefix, "model-package", parameters.get("ModelPackageName", "*"))]
    name = str(group).rpartition("/")[2].lower()
    packages = _arn(prefix, "model-package", f"{name}/*")
    if operation.startswith("List"):
        return [packages]
    return [packages, _arn(prefix, "model-package-group", name)]


def _arn(prefix: str, kind: str, value: str) -> str:
    return value if value.startswith("arn:") else f"{prefix}{kind}/{value.lower()}"


def _tag_keys(parameters: Mapping[str, Any]) -> Context:
    tags = parameters.get("Tags") or []
    if not tags:
        return {"aws:TagKeys": list(parameters["TagKeys"])} if parameters.get("TagKeys") else {}
    values: Context = {f"aws:RequestTag/{tag['Key']}": tag.get("Value", "") for tag in tags}
    return {**values, "aws:TagKeys": [tag["Key"] for tag in tags]}


def _visibility(parameters: Mapping[str, Any]) -> Context:
    """Return the condition keys by which policies bound what Search shows."""
    shown = parameters.get("VisibilityConditions") or []
    return {f"sagemaker:SearchVisibilityCondition/{each.get('Key')}": each.get("Value", "") for each in shown}


def _limits(parameters: Mapping[str, Any]) -> Context:
    """Return the condition keys by which policies bound jobs, models and pipelines."""
    network = parameters.get("NetworkConfig") or parameters
    cluster = parameters.get("ResourceConfig") or (parameters.get("ProcessingResources") or {}).get(
        "ClusterConfig"
    )
    cluster = cluster or {}
    vpc = network.get("VpcConfig") or {}
    version = parameters.get("PipelineVersionId")
    life_cycle = parameters.get("ModelLifeCycle") or {}
    found: dict[str, Any] = {
        "sagemaker:NetworkIsolation": network.get("EnableNetworkIsolation"),
        "sagemaker:InterContainerTrafficEncryption": network.get("EnableInterContainerTrafficEncryption"),
        "sagemaker:VpcSecurityGroupIds": vpc.get("SecurityGroupIds"),
        "sagemaker:VpcSubnets": vpc.get("Subnets"),
        "sagemaker:InstanceTypes": _instance_types(cluster, parameters),
        "sagemaker:MaxRuntimeInSeconds": (parameters.get("StoppingCondition") or {}).get(
            "MaxRuntimeInSeconds"
        ),
        "sagemaker:FileSystemId": _file_systems(parameters),
        "sagemaker:KeepAlivePeriod": cluster.get("KeepAlivePeriodInSeconds"),
        "sagemaker:EnableRemoteDebug": (parameters.get("RemoteDebugConfig") or {}).get("EnableRemoteDebug"),
        "sagemaker:ModelApprovalStatus": parameters.get("ModelApprovalStatus"),
        "sagemaker:ModelLifeCycle:Stage": life_cycle.get("Stage"),
        "sagemaker:ModelLifeCycle:StageStatus": life_cycle.get("StageStatus"),
        "sagemaker:PipelineVersionId": version,
        **_kms_keys(cluster, parameters),
        **_metadata(parameters),
    }
    return {key: _text(value) for key, value in found.items() if value is not None and value != []}


def _instance_types(cluster: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    groups = [*cluster.get("InstanceGroups", []), *parameters.get("ProductionVariants", [])]
    return [item["InstanceType"] for item in (cluster, *groups) if item.get("InstanceType")]


def _file_systems(parameters: Mapping[str, Any]) -> str | None:
    sources = (channel.get("DataSource") or {} for channel in parameters.get("InputDataConfig") or [])
    named = (source["FileSystemDataSource"] for source in sources if source.get("FileSystemDataSource"))
    return next((str(each.get("FileSystemId")) for each in named), None)


def _kms_keys(cluster: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys under the names of the service authorization reference and of the developer guide."""
    output = parameters.get("OutputDataConfig") or parameters.get("ProcessingOutputConfig") or {}
    volume_key = cluster.get("VolumeKmsKeyId") or parameters.get("KmsKeyId")
    return {
        "sagemaker:VolumeKmsKey": volume_key,
        "sagemaker:VolumeKmsKeyArn": volume_key,
        "sagemaker:OutputKmsKey": output.get("KmsKeyId") or None,
        "sagemaker:OutputKmsKeyArn": output.get("KmsKeyId") or None,
    }


def _metadata(parameters: Mapping[str, Any]) -> dict[str, Any]:
    properties = parameters.get("CustomerMetadataProperties") or {}
    return {f"sagemaker:CustomerMetadataProperties/{name}": value for name, value in properties.items()}


def _text(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
