"""Where jobs run: in no network of the account, in subnets of yours, or in a VPC of the stack's own."""

from __future__ import annotations

import dataclasses

from infra.config import Config
from infra.names import Names


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """The subnets and security groups of every job; ids, or `${LogicalId}` for `infra.names.filled`."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, str]:
        """Give the pipeline parameters that hold them, one for each: a parameter cannot be a list."""
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
        """Give the options of `python -m pipeline_definition` for a definition that fits."""
        return f"--subnets {len(self.subnet_ids)} --security-groups {len(self.security_group_ids)}"

    def subnet_arns(self, names: Names) -> list[str]:
        """Give the ARNs of the subnets, which are this account's."""
        return [names.arn("ec2", f"subnet/{each}") for each in self.subnet_ids]

    def security_group_arns(self, names: Names) -> list[str]:
        """Give the ARNs of the security groups, which are this account's."""
        return [names.arn("ec2", f"security-group/{each}") for each in self.security_group_ids]


def job_network(config: Config) -> JobNetwork | None:
    """Give the network that a deployment's jobs run in, None when it has none for them."""
    if not config.subnet_ids:
        return None
    return JobNetwork(subnet_ids=config.subnet_ids, security_group_ids=config.security_group_ids)
