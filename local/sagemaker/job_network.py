"""The VpcConfig and the volumes' key of a job, checked as SageMaker does when the job is asked for."""

from __future__ import annotations

import re

from local.engine.host import Host
from local.sagemaker.errors import ValidationError
from local.sagemaker.requests import Call

_OWN_STORAGE = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|d3|g5|g6e?|gr6|i\d+[a-z]*|p5e?n?|p6|trn\d+n?)[.-].*")


def check_network(call: Call, host: Host) -> None:
    """Raise ValidationError unless the subnets and security groups of a job are there, in one VPC."""
    vpc = (call.get("NetworkConfig") or call.parameters).get("VpcConfig")
    if not vpc:
        return
    ec2 = host.client("ec2")
    subnets = {each["SubnetId"]: each["VpcId"] for each in ec2.describe_subnets()["Subnets"]}
    groups = {each["GroupId"]: each["VpcId"] for each in ec2.describe_security_groups()["SecurityGroups"]}
    vpcs = set()
    for what, known, names in (
        ("subnet", subnets, vpc["Subnets"]),
        ("security group", groups, vpc["SecurityGroupIds"]),
    ):
        for name in names:
            if name not in known:
                raise ValidationError(f"The {what} '{name}' does not exist")
            vpcs.add(known[name])
    if len(vpcs) > 1:
        raise ValidationError(
            f"The subnets and security groups of a job must be of one VPC, not of {', '.join(sorted(vpcs))}"
        )


def check_volume_key(call: Call) -> None:
    """Raise ValidationError for a key for the volume of an instance with storage of its own."""
    resources = call.get("ProcessingResources", {})
    cluster = call.get("ResourceConfig") or resources.get("ClusterConfig") or {}
    kind = str(cluster.get("InstanceType"))
    if cluster.get("VolumeKmsKeyId") and _OWN_STORAGE.fullmatch(kind):
        raise ValidationError(
            f"VolumeKmsKeyId cannot be given for the instance type {kind}, which has storage of its own"
        )
