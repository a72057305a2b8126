"""What every bucket of the deployment is: versioned, encrypted, reached over TLS, and its account's alone."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_kms, aws_s3
from constructs import Construct

from infra.names import filled


def private_bucket(
    scope: Construct, construct_id: str, *, name: str, key: aws_kms.IKey | None = None, **choices: Any
) -> aws_s3.Bucket:
    """Make a bucket, encrypted with a KMS key or else S3's own; `choices` are further ones of `Bucket`."""
    return aws_s3.Bucket(
        scope,
        construct_id,
        bucket_name=filled(name),
        versioned=True,
        encryption=aws_s3.BucketEncryption.KMS if key else aws_s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        # S3 asks KMS once in a while and not for each object.
        bucket_key_enabled=True if key else None,
        enforce_ssl=True,
        block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        **choices,
    )
