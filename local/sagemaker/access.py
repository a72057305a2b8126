"""What a principal needs to be allowed for each call to SageMaker, after the service authorization reference.

Resource names are lower-cased in ARNs, as SageMaker does. A create call with tags also needs AddTags, and
every role in a request also needs iam:PassRole (local.aws.access_services).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.aws.request_context import Call, Requirement

Context = dict[str, str | list[str]]

_RESOURCES = {
    "PipelineExecutionArn": "",
    "PipelineArn": "",
    "PipelineName": "pipeline",
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "ModelPackageArn": "",
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
"""The parameters that name a resource and their resource types, the more specific first; "" holds an ARN."""

_UNSCOPED = re.compile(
    r"List(?!PipelineExecution|PipelineVersion|PipelineParameters|ModelPackages$|Tags)|Search"
)
"""Operations whose action knows no resource."""


def requirements(call: Call) -> Iterator[Requirement]:
    """Name every action on every resource that a SageMaker call needs, without the roles it passes."""
    context = {**_tag_keys(call.parameters), **_limits(call.parameters)}
    resources = _resources(call)
    for resource in resources:
        yield Requirement(f"sagemaker:{call.operation}", resource, context)
    if call.operation.startswith("Create") and call.parameters.get("Tags"):
        tagging: Context = {**_tag_keys(call.parameters), "sagemaker:TaggingAction": call.operation}
        yield Requirement("sagemaker:AddTags", resources[0], tagging)


def associated_resource(call: Call) -> str:
    """Name the resource that a role is passed for."""
    return _resources(call)[0]


def _resources(call: Call) -> list[str]:
    if _UNSCOPED.match(call.operation):
        return ["*"]
    parameters = call.parameters
    if call.operation in {"CreateModelPackage", "ListModelPackages"}:
        return _packages_of_group(call)
    for name, kind in _RESOURCES.items():
        if value := parameters.get(name):
            return [_arn(call, kind, str(value))]
    return ["*"]


def _packages_of_group(call: Call) -> list[str]:
    group = call.parameters.get("ModelPackageGroupName")
    if not group:
        return [_arn(call, "model-package", call.parameters.get("ModelPackageName", "*"))]
    name = str(group).rpartition("/")[2].lower()
    packages = call.arn(f"model-package/{name}/*")
    return (
        [packages]
        if call.operation.startswith("List")
        else [packages, _arn(call, "model-package-group", name)]
    )


def _arn(call: Call, kind: str, value: str) -> str:
    return value if value.startswith("arn:") else call.arn(f"{kind}/{value.lower()}")


def _tag_keys(parameters: Mapping[str, Any]) -> Context:
    tags = parameters.get("Tags") or []
    if not tags:
        return {"aws:TagKeys": list(parameters["TagKeys"])} if parameters.get("TagKeys") else {}
    values: Context = {f"aws:RequestTag/{tag['Key']}": tag.get("Value", "") for tag in tags}
    return {**values, "aws:TagKeys": [tag["Key"] for tag in tags]}


def _limits(parameters: Mapping[str, Any]) -> Context:
    """Read the condition keys by which policies bound jobs, models and pipelines."""
    network = parameters.get("NetworkConfig") or parameters
    cluster = parameters.get("ResourceConfig") or (parameters.get("ProcessingResources") or {}).get(
        "ClusterConfig"
    )
    cluster = cluster or {}
    vpc = network.get("VpcConfig") or {}
    version = parameters.get("PipelineVersionId")
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
    """Give the keys under the names of the service authorization reference and of the developer guide."""
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
