"""S3: the key that it has of its own."""

from __future__ import annotations

from typing import Any

from ministack.services import s3

from local.aws.host import ServerHost

_ENCRYPTION = "x-amz-server-side-encryption"
_KEY = f"{_ENCRYPTION}-aws-kms-key-id"


def own_key(host: ServerHost) -> None:
    """Take aws/s3 for an object that is to have a KMS key and names none: CDK uploads its assets so."""
    resolve = s3._resolve_sse_write_headers
    key = f"arn:aws:kms:{host.region}:{host.account}:alias/aws/s3"

    def resolved(headers: dict[str, str], bucket: str) -> Any:
        if headers.get(_ENCRYPTION) == "aws:kms" and not headers.get(_KEY):
            headers = {**headers, _KEY: key}
        return resolve(headers, bucket)

    s3._resolve_sse_write_headers = resolved
