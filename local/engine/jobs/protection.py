"""What SageMaker does with a job's role before it runs: look its key up, lend it to the volume, join the VPC.

No interface, grant or volume is made; the role is asked for each right, also for those that only the job's
end would need, so that a missing one is found at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from local.engine.host import AccessDeniedError, Host
from local.engine.jobs.records import JobFailedError

_LOOKS_AT = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
_INTERFACE = "eni-0123456789abcdef0"


class _Need(NamedTuple):
    """One right, and what for."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]]


def check_protection(host: Host, role_arn: str, request: Mapping[str, Any]) -> None:
    """Raise JobFailed unless the job's role may do what its keys and its network need."""
    for what, needs in (
        ("use the KMS key of its outputs", _output_needs(request)),
        ("use the KMS key of its volumes", _volume_needs(request)),
        ("be connected to its VPC", _network_needs(host, request)),
    ):
        for need in needs:
            try:
                host.authorize(role_arn, *need)
            except AccessDeniedError as error:
                raise JobFailedError(f"ClientError: The job cannot {what}: AccessDenied: {error}") from error


def _output_needs(request: Mapping[str, Any]) -> Iterator[_Need]:
    config = request.get("OutputDataConfig") or request.get("ProcessingOutputConfig") or {}
    if config.get("KmsKeyId"):
        yield _Need("kms:DescribeKey", config["KmsKeyId"], {})


def _volume_needs(request: Mapping[str, Any]) -> Iterator[_Need]:
    resources = request.get("ProcessingResources") or {}
    cluster = request.get("ResourceConfig") or resources.get("ClusterConfig") or {}
    if cluster.get("VolumeKmsKeyId"):
        yield _Need("kms:CreateGrant", cluster["VolumeKmsKeyId"], {"kms:GrantIsForAWSResource": "true"})


def _network_needs(host: Host, request: Mapping[str, Any]) -> Iterator[_Need]:
    network = request.get("NetworkConfig") or request
    vpc = network.get("VpcConfig")
    if not vpc:
        return

    def arn(resource: str) -> str:
        return f"arn:aws:ec2:{host.region}:{host.account}:{resource}"

    region = {"ec2:Region": host.region}
    for each in _LOOKS_AT:
        yield _Need(f"ec2:Describe{each}", "*", region)
    interface = arn(f"network-interface/{_INTERFACE}")
    for group in vpc["SecurityGroupIds"]:
        yield _Need("ec2:CreateNetworkInterface", arn(f"security-group/{group}"), region)
    for subnet in (arn(f"subnet/{each}") for each in vpc["Subnets"]):
        yield _Need("ec2:CreateNetworkInterface", subnet, region)
        yield _Need("ec2:CreateNetworkInterface", interface, region)
        for action in (
            "CreateNetworkInterfacePermission",
            "DeleteNetworkInterfacePermission",
            "DeleteNetworkInterface",
        ):
            yield _Need(f"ec2:{action}", interface, {**region, "ec2:Subnet": subnet})
