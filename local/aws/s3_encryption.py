"""How an object is encrypted: as its request asks, or else as its bucket does by default.

moto mixes the two: it takes the bucket's key for whoever asks for aws:kms without naming one, where S3 takes
the account's aws/s3, and leaves parts and copies without the default. Nothing is encrypted here; what an
object says of its encryption is what S3 would say.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from moto.s3.models import FakeKey, FakeMultipart, S3Backend

from local.aws.key_use import find_key

ENCRYPTION = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
)
"""The headers that ask for an encryption, in the order of `Encryption`."""
KMS, DUAL = "aws:kms", "aws:kms:dsse"
MANAGED = "alias/aws/s3"
_PUT_OBJECT = S3Backend.put_object
_COPY_OBJECT = S3Backend.copy_object
_CREATE_MULTIPART_UPLOAD = S3Backend.create_multipart_upload


class Encryption(NamedTuple):
    """An algorithm, the key when it is aws:kms, and whether the bucket has a key of its own under that."""

    algorithm: str | None = None
    key_id: str | None = None
    bucket_key: Any = None


def install() -> None:
    """Put the repairs in."""
    S3Backend.put_object = _put_object
    S3Backend.copy_object = _copy_object
    S3Backend.create_multipart_upload = _create_multipart_upload


def wanted_encryption(bucket: Any, asked: Encryption) -> Encryption:
    """Tell how S3 stores an object in a bucket; raise NotImplementedError for encryption in two layers."""
    if asked.algorithm == DUAL:
        raise NotImplementedError(f"the encryption {DUAL}")
    rule = (bucket.encryption or {}).get("Rule", {})
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    if asked.algorithm is None:
        asked = asked._replace(algorithm=default.get("SSEAlgorithm"), key_id=default.get("KMSMasterKeyID"))
    if asked.algorithm != KMS:
        return Encryption(asked.algorithm)
    enabled = rule.get("BucketKeyEnabled") if asked.bucket_key is None else asked.bucket_key
    # S3 says that a bucket key is used, and says nothing when none is.
    return Encryption(KMS, asked.key_id or MANAGED, str(enabled).lower() == "true" or None)


def encryption_of(stored: Any) -> Encryption:
    """Tell how an object, or an upload in parts, is encrypted."""
    if isinstance(stored, FakeMultipart):
        return Encryption(stored.sse_encryption, stored.kms_key_id, stored.bucket_key_enabled)
    return Encryption(stored.encryption, stored.kms_key_id, stored.bucket_key_enabled)


def _resolved(backend: S3Backend, bucket_name: str, asked: Encryption) -> Encryption:
    """Tell how an object is stored, with the ARN of its key, as S3 gives it."""
    bucket = backend.get_bucket(bucket_name)
    wanted = wanted_encryption(bucket, asked)
    key = find_key(wanted.key_id, backend.account_id, bucket.region_name) if wanted.key_id else None
    return wanted._replace(key_id=key.arn) if key else wanted


@functools.wraps(_PUT_OBJECT)
def _put_object(backend: S3Backend, bucket_name: str, *arguments: Any, **options: Any) -> FakeKey:
    upload = options.get("multipart")
    if upload is not None:
        options.setdefault("bucket_key_enabled", getattr(upload, "bucket_key_enabled", None))
    asked = Encryption(
        options.get("encryption"), options.get("kms_key_id"), options.get("bucket_key_enabled")
    )
    wanted = _resolved(backend, bucket_name, asked)
    options |= {"encryption": wanted.algorithm, "kms_key_id": wanted.key_id}
    options["bucket_key_enabled"] = wanted.bucket_key
    key = _PUT_OBJECT(backend, bucket_name, *arguments, **options)
    # moto gives every object the default's key, also one that is encrypted with none.
    key.kms_key_id, key.bucket_key_enabled = wanted.key_id, wanted.bucket_key
    return key


@functools.wraps(_COPY_OBJECT)
def _copy_object(
    backend: S3Backend, src_key: FakeKey, dest_bucket_name: str, *arguments: Any, **options: Any
) -> None:
    asked = Encryption(
        options.get("encryption"), options.get("kms_key_id"), options.get("bucket_key_enabled")
    )
    wanted = _resolved(backend, dest_bucket_name, asked)
    options |= {"encryption": wanted.algorithm, "kms_key_id": wanted.key_id}
    options["bucket_key_enabled"] = wanted.bucket_key
    _COPY_OBJECT(backend, src_key, dest_bucket_name, *arguments, **options)


@functools.wraps(_CREATE_MULTIPART_UPLOAD)
def _create_multipart_upload(backend: S3Backend, bucket_name: str, *given: Any) -> FakeMultipart:
    *others, algorithm, key_id = given
    wanted = _resolved(backend, bucket_name, Encryption(algorithm, key_id))
    upload = _CREATE_MULTIPART_UPLOAD(backend, bucket_name, *others, wanted.algorithm, wanted.key_id)
    upload.bucket_key_enabled = wanted.bucket_key
    return upload
