"""Where jobs run: in no network of the account, or in subnets of yours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from aws_cdk import Aws

from infra.config.context import Config
from infra.iam.grants import Grant
from infra.names import Names, filled


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """The subnets and security groups of every job, by their ids."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, str]:
        """Return the pipeline parameters that hold them, one for each: a parameter cannot be a list."""
        return {
            f"{name}{number}": value
            for name, values in (
                ("SubnetId", self.subnet_ids),
                ("SecurityGroupId", self.security_group_ids),
            )
            for number, value in enumerate(values, 1)
        }

    @property
    def definition_options(self) -> str:
        """Return the options of `python -m pipeline_definition` for a definition that fits."""
        return f"--subnets {len(self.subnet_ids)} --security-groups {len(self.security_group_ids)}"

    def subnet_arns(self, names: Names) -> list[str]:
        """Return the ARNs of the subnets, which are this account's."""
        return [names.arn("ec2", f"subnet/{each}") for each in self.subnet_ids]

    def security_group_arns(self, names: Names) -> list[str]:
        """Return the ARNs of the security groups, which are this account's."""
        return [names.arn("ec2", f"security-group/{each}") for each in self.security_group_ids]


def job_network(config: Config) -> JobNetwork | None:
    """Return the network that a deployment's jobs run in, None when it has none for them."""
    if not config.subnet_ids:
        return None
    return JobNetwork(subnet_ids=config.subnet_ids, security_group_ids=config.security_group_ids)


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
            conditions={"ArnEquals": {"ec2:Subnet": filled_all(subnets)}},
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


def filled_all(texts: Sequence[str]) -> list[str]:
    """Fill in each of some texts."""
    return [filled(text) for text in texts]
