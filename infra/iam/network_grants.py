"""What a job's role needs so that SageMaker can connect the job to subnets of the account."""

from __future__ import annotations

from aws_cdk import Aws

from infra.iam.grants import Grant
from infra.names import Names
from infra.network import JobNetwork


def network_grants(names: Names, network: JobNetwork) -> list[Grant]:
    """Let SageMaker connect a job to the deployment's subnets, which it does with the job's role."""
    interfaces = names.arn("ec2", "network-interface/*")
    subnets = network.subnet_arns(names)
    new = "EC2 names network interfaces; the subnets and security groups are this deployment's."
    return [
        # An interface for each instance, in these subnets and with these security groups only.
        Grant(
            sid="JoinNetwork",
            actions=["ec2:CreateNetworkInterface"],
            resources=[interfaces, *subnets, *network.security_group_arns(names)],
            wildcard=new,
        ),
        # SageMaker's own account attaches it to the instance, and it is gone when the job is.
        Grant(
            sid="LendInterfaces",
            actions=[
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=[interfaces],
            conditions={"ArnEquals": {"ec2:Subnet": subnets}},
            wildcard=new,
        ),
        # Before that it looks at what it was given.
        Grant(
            sid="SeeNetwork",
            actions=[
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
            conditions={"StringEquals": {"ec2:Region": Aws.REGION}},
            wildcard="EC2's descriptions support no resource; the region is their only scope.",
        ),
    ]
