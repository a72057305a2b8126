"""Where jobs run: in no network of the account, or in subnets of yours."""

from __future__ import annotations

import dataclasses

from infra.names import Names


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
