"""The VpcConfig and the volumes' key of a job, checked as SageMaker does when the job is asked for."""

from __future__ import annotations

import re
from typing import Any

from moto.ec2.exceptions import InvalidSubnetIdError
from moto.ec2.models import ec2_backends

from local.sagemaker.requests import Call

_OWN_STORAGE = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|d3|g5|g6e?|gr6|i\d+[a-z]*|p5e?n?|p6|trn\d+n?)[.-].*")


def check_network(call: Call, account: str, region: str) -> None:
    """Raise ValidationException unless the subnets and security groups of a job are there, in one VPC."""
    vpc = (call.get("NetworkConfig") or call.parameters).get("VpcConfig")
    if not vpc:
        return
    backend = ec2_backends[account][region]
    vpcs = {_subnet(backend, each).vpc_id for each in vpc["Subnets"]}
    for each in vpc["SecurityGroupIds"]:
        group = backend.get_security_group_from_id(each)
        if group is None:
            raise ValidationError(f"The security group '{each}' does not exist")
        vpcs.add(group.vpc_id)
    if len(vpcs) > 1:
        raise ValidationError(
            f"The subnets and security groups of a job must be of one VPC, not of {', '.join(sorted(vpcs))}"
        )


def check_volume_key(call: Call) -> None:
    """Raise ValidationException for a key for the volume of an instance with storage of its own."""
    resources = call.get("ProcessingResources", {})
    cluster = call.get("ResourceConfig") or resources.get("ClusterConfig") or {}
    kind = str(cluster.get("InstanceType"))
    if cluster.get("VolumeKmsKeyId") and _OWN_STORAGE.fullmatch(kind):
        raise ValidationError(
            f"VolumeKmsKeyId cannot be given for the instance type {kind}, which has storage of its own"
        )


def _subnet(backend: Any, subnet_id: str) -> Any:
    try:
        return backend.get_subnet(subnet_id)
    except InvalidSubnetIdError as error:
        raise ValidationError(f"The subnet '{subnet_id}' does not exist") from error
