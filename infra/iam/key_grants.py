"""What a role needs to use the keys of the deployment's data, through the services that hold the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from infra.deployment import Deployment
from infra.iam.grants import Grant
from infra.names import filled


def key_grant(data_key_arn: str, *, via: Sequence[str] = ("s3",), sid: str = "UseDataKey") -> Grant:
    """Let a role read and write what is encrypted with the key, through the services `via` alone."""
    return Grant(
        sid=sid,
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=[data_key_arn],
        conditions={
            "StringEquals": {
                "kms:ViaService": [filled(f"{service}.${{AWS::Region}}.amazonaws.com") for service in via]
            }
        },
    )


def bucket_key_grants(deployment: Deployment) -> list[Grant]:
    """Let a role read and write what its S3 rights allow, encrypted with the key or with an earlier one."""
    grants = [key_grant(deployment.data_key_arn)] if deployment.data_key_arn else []
    if former := deployment.config.former_encryption_keys:
        # To read what is there already, and never to write with them.
        earlier = key_grant(former[0], sid="ReadWithFormerKeys")
        actions, resources = ["kms:Decrypt"], list(former)
        grants.append(dataclasses.replace(earlier, actions=actions, resources=resources))
    return grants
