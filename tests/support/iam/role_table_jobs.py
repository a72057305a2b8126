"""What the pipeline role is for where jobs run in a VPC with encrypted volumes, beside role_table.py."""

from __future__ import annotations

import dataclasses

from tests.support.iam.rights import Right
from tests.support.iam.role_table import ACCOUNT, DATA_KEY, OTHER_KEYS, PIPELINE_WITH_KEY, REGION

SUBNETS = ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1")
GROUPS = ("sg-0123456789abcdef0",)
OTHER_SUBNET, OTHER_GROUP = "subnet-0fedcba9876543210", "sg-0fedcba9876543210"
CONTEXT = {
    "subnet_ids": list(SUBNETS),
    "security_group_ids": list(GROUPS),
    "encryption_key": "own",
    "encrypt_volumes": True,
}
VOLUME_KEY = ("sagemaker:VolumeKmsKeyArn", DATA_KEY)
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
OTHER_EC2 = f"arn:aws:ec2:{REGION}:999999999999"
INTERFACE = f"{EC2}:network-interface/eni-0123456789abcdef0"
JOBS = ("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob")


def subnet_arn(subnet: str) -> str:
    """Return the ARN of a subnet of the account."""
    return f"{EC2}:subnet/{subnet}"


def _protected(right: Right) -> Right:
    """Have a job's network and its volumes' key asked for with the rest of what bounds it."""
    if right.actions[0] not in JOBS:
        return right
    subnets, groups = "sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"
    return dataclasses.replace(
        right,
        context=(*right.context, (subnets, SUBNETS), (groups, GROUPS), VOLUME_KEY),
        required=(*right.required, subnets, groups, VOLUME_KEY[0]),
        never=(
            *(each for each in right.never if each[0] not in (subnets, groups, VOLUME_KEY[0])),
            *((VOLUME_KEY[0], each) for each in OTHER_KEYS),
            (subnets, (OTHER_SUBNET,)),
            (subnets, (*SUBNETS, OTHER_SUBNET)),
            (groups, (OTHER_GROUP,)),
            (groups, (*GROUPS, OTHER_GROUP)),
        ),
        also=(
            *(each for each in right.also if each[0] != VOLUME_KEY[0]),
            *((subnets, (each,)) for each in SUBNETS),
        ),
    )


_CONNECT = (
    Right(
        ("ec2:CreateNetworkInterface",),
        (INTERFACE, *map(subnet_arn, SUBNETS), *(f"{EC2}:security-group/{each}" for each in GROUPS)),
        (
            subnet_arn(OTHER_SUBNET),
            *(f"{subnet_arn(each)}0" for each in SUBNETS),
            f"{EC2}:security-group/{OTHER_GROUP}",
            f"{EC2}:security-group/{GROUPS[0]}0",
            f"{OTHER_EC2}:network-interface/eni-0123456789abcdef0",
            f"{OTHER_EC2}:subnet/{SUBNETS[0]}",
            f"{EC2}:instance/i-0123456789abcdef0",
            f"{EC2}:network-interfaces/eni-0123456789abcdef0",
            f"arn:aws:ec2:eu-west-1:{ACCOUNT}:network-interface/eni-0123456789abcdef0",
        ),
    ),
    Right(
        (
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
        ),
        (INTERFACE,),
        (
            f"{OTHER_EC2}:network-interface/eni-0123456789abcdef0",
            f"{EC2}:instance/i-0123456789abcdef0",
            f"{EC2}:network-interfaces/eni-0123456789abcdef0",
            f"arn:aws:ec2:eu-west-1:{ACCOUNT}:network-interface/eni-0123456789abcdef0",
        ),
        (("ec2:Subnet", subnet_arn(SUBNETS[0])),),
        required=("ec2:Subnet",),
        never=(
            *(("ec2:Subnet", f"{subnet_arn(each)}0") for each in SUBNETS),
            ("ec2:Subnet", subnet_arn(OTHER_SUBNET)),
            ("ec2:Subnet", f"{OTHER_EC2}:subnet/{SUBNETS[0]}"),
        ),
        also=(("ec2:Subnet", subnet_arn(SUBNETS[1])),),
    ),
    Right(
        (
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        ),
        ("*",),
        context=(("ec2:Region", REGION),),
        required=("ec2:Region",),
        never=(("ec2:Region", "eu-west-1"),),
    ),
)
_LEND_KEY = Right(
    ("kms:CreateGrant",),
    (DATA_KEY,),
    OTHER_KEYS,
    (("kms:GrantIsForAWSResource", "true"),),
    required=("kms:GrantIsForAWSResource",),
    never=(("kms:GrantIsForAWSResource", "false"),),
)
PIPELINE_PROTECTED = (*map(_protected, PIPELINE_WITH_KEY), *_CONNECT, _LEND_KEY)
