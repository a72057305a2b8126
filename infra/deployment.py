"""What every construct is given: the deployment's choices, its names, and what follows from both."""

from __future__ import annotations

import dataclasses
from typing import Self

from aws_cdk import RemovalPolicy, aws_kms

from infra.config import Config
from infra.names import Names
from infra.network import JobNetwork


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment, as its constructs see it; beside it a construct takes only what is really its own."""

    config: Config
    names: Names
    data_key: aws_kms.IKey | None = None
    """The key of bucket, queue, log and results; None where AWS's services encrypt with keys of their own."""

    def with_data_key(self, key: aws_kms.IKey | None) -> Self:
        """Return the deployment once the key of its data is known: the key is a construct itself."""
        return dataclasses.replace(self, data_key=key)

    @property
    def data_key_arn(self) -> str | None:
        """Return the ARN of the data's key."""
        return self.data_key.key_arn if self.data_key else None

    @property
    def volume_key_arn(self) -> str | None:
        """Return the ARN of the key of the jobs' volumes, which is the data's or none."""
        return self.data_key_arn if self.config.encrypt_volumes else None

    @property
    def network(self) -> JobNetwork | None:
        """Return the network that every job runs in; None when jobs are in no network of the account."""
        if not self.config.subnet_ids:
            return None
        return JobNetwork(
            subnet_ids=self.config.subnet_ids, security_group_ids=self.config.security_group_ids
        )

    @property
    def job_parameters(self) -> dict[str, str]:
        """Return the pipeline parameters that say how jobs are protected, beside their outputs' key."""
        parameters = self.network.parameters if self.network else {}
        if self.volume_key_arn:
            parameters["VolumeKmsKeyId"] = self.volume_key_arn
        return parameters

    @property
    def removal_policy(self) -> RemovalPolicy:
        """Return what becomes of that which holds data when the stack goes."""
        return RemovalPolicy.RETAIN if self.config.retain_data else RemovalPolicy.DESTROY
