"""The bucket, the policy on it, and the key of what is in it."""

from infra.storage.bucket_policy import READING, everybody_but
from infra.storage.encryption import S3_MANAGED, Encryption
from infra.storage.private_bucket import private_bucket
from infra.storage.storage import Storage

__all__ = ["READING", "S3_MANAGED", "Encryption", "Storage", "everybody_but", "private_bucket"]
