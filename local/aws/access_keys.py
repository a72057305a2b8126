"""Which keys a call to S3, SQS or SNS makes the service use, and what that asks of whoever calls.

The service calls KMS with the caller's rights, so each use is a requirement of the call, with the condition
keys that KMS sees then. Keys that AWS manages let everybody in the account through their service.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends

from local.aws.key_use import find_key
from local.aws.request_context import Call, Requirement
from local.aws.s3_encryption import ENCRYPTION, Encryption, encryption_of, wanted_encryption

_READ, _WRITE = ("kms:Decrypt",), ("kms:GenerateDataKey",)
_BOTH = (*_WRITE, *_READ)
_READS = {"GetObject", "GetObjectAttributes", "SelectObjectContent"}
_WRITES = {"PutObject": _WRITE, "CopyObject": _WRITE, "CreateMultipartUpload": _BOTH}
_PARTS = {"UploadPart", "UploadPartCopy", "CompleteMultipartUpload"}
"""Of these S3 reads what is encrypted already, to put it together."""
_SENDING = {"SendMessage": _BOTH, "SendMessageBatch": _BOTH, "ReceiveMessage": _READ}
_PUBLISHING = {"Publish", "PublishBatch"}
_NOT_HERE = {
    "x-amz-server-side-encryption-customer-algorithm": "SSE-C, encryption with a key in the request",
    "x-amz-copy-source-server-side-encryption-customer-algorithm": "SSE-C",
    "x-amz-server-side-encryption-context": "an encryption context of one's own",
}


@dataclass(frozen=True)
class KeyUse:
    """A key that a service uses for its caller, and to do what with what."""

    key: Any
    """moto's key; None for one that is not there."""
    key_id: str
    """As it is configured: an id, an ARN or an alias."""
    service: str
    actions: tuple[str, ...]
    context: dict[str, str]

    def requirements(self, account: str, region: str) -> Iterator[Requirement]:
        """Name what the caller needs on the key."""
        seen: dict[str, str | list[str]] = {
            "kms:ViaService": f"{self.service}.{region}.amazonaws.com",
            "kms:CallerAccount": account,
            "aws:ViaAWSService": "true",
            "kms:EncryptionContextKeys": list(self.context),
            **{f"kms:EncryptionContext:{name}": value for name, value in self.context.items()},
        }
        for action in self.actions if self.key else ():
            yield Requirement(action, self.key.arn, seen)


def key_uses(call: Call) -> list[KeyUse]:
    """Name every use of a customer's key by a call; raise NotImplementedError for what is not here."""
    match call.service:
        case "s3":
            return list(_of_s3(call))
        case "sqs" if call.operation in _SENDING:
            name = str(call.parameters.get("QueueUrl", "")).rpartition("/")[2]
            return queue_key_uses(call.account, call.region, name, _SENDING[call.operation])
        case "sns" if call.operation in _PUBLISHING:
            arn = call.parameters.get("TopicArn") or call.parameters.get("TargetArn")
            topic = sns_backends[call.account][call.region].topics.get(arn)
            key_id = topic.kms_master_key_id if topic else None
            return list(
                _use((call.account, call.region), key_id, "sns", _BOTH, {"aws:sns:topicArn": str(arn)})
            )
    return []


def queue_key_uses(
    account: str, region: str, queue_name: str, actions: tuple[str, ...] = _BOTH
) -> list[KeyUse]:
    """Name the use of a queue's key by whoever sends to it, or does `actions`."""
    queue = sqs_backends[account][region].queues.get(queue_name)
    if queue is None:
        return []
    context = {"aws:sqs:arn": queue.queue_arn}
    return list(_use((account, region), queue.kms_master_key_id, "sqs", actions, context))


def _of_s3(call: Call) -> Iterator[KeyUse]:
    bucket = s3_backends[call.account]["aws"].buckets.get(call.parameters.get("Bucket"))
    key = call.parameters.get("Key")
    if bucket is None or key is None:
        return
    for name, what in _NOT_HERE.items():
        if name in call.headers:
            raise NotImplementedError(what)
    if call.operation in _WRITES:
        asked = Encryption(*(call.headers.get(name) for name in ENCRYPTION))
        wanted = wanted_encryption(bucket, asked)
        yield from _of_object(call, bucket.name, key, wanted, _WRITES[call.operation])
    elif call.operation in _PARTS:
        upload = bucket.multiparts.get(call.query.get("uploadId", ""))
        if upload is not None:
            yield from _of_object(call, bucket.name, key, encryption_of(upload), _READ)
    elif call.operation in _READS or "x-amz-checksum-mode" in call.headers:
        yield from _stored(call, bucket.name, key, call.query.get("versionId"))
    if "x-amz-copy-source" in call.headers:
        source, _, version = call.headers["x-amz-copy-source"].partition("?versionId=")
        name, _, copied = unquote(source).lstrip("/").partition("/")
        yield from _stored(call, name, copied, version or None)


def _stored(call: Call, bucket_name: str, key: str, version: str | None) -> Iterator[KeyUse]:
    backend = s3_backends[call.account]["aws"]
    if bucket_name not in backend.buckets:
        return
    stored = backend.get_object(bucket_name, key, version_id=version, return_delete_marker=True)
    if stored is not None and hasattr(stored, "encryption"):
        yield from _of_object(call, bucket_name, key, encryption_of(stored), _READ)


def _of_object(
    call: Call, bucket: str, key: str, encryption: Encryption, actions: tuple[str, ...]
) -> Iterator[KeyUse]:
    arn = f"arn:aws:s3:::{bucket}"
    context = {"aws:s3:arn": arn if encryption.bucket_key else f"{arn}/{key}"}
    yield from _use((call.account, call.region), encryption.key_id, "s3", actions, context)


def _use(
    place: tuple[str, str],
    key_id: str | None,
    service: str,
    actions: tuple[str, ...],
    context: dict[str, str],
) -> Iterator[KeyUse]:
    """Yield the use of a key in the account and region `place`, unless there is none or AWS manages it."""
    if not key_id:
        return
    key = find_key(key_id, *place)
    managed_by_aws = key is not None and any(alias.startswith("alias/aws/") for alias in key.aliases)
    if not managed_by_aws:
        yield KeyUse(key, key_id, service, actions, context)
