"""What a principal needs to be allowed for each call to S3: actions, ARNs and condition keys."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from local.aws.request_context import Call, Requirement

_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "SelectObjectContent": "GetObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
"""Operations whose action has another name; all others are called like their operation."""

_VERSIONED = {
    "DeleteObject": "DeleteObjectVersion",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObject": "GetObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "HeadObject": "GetObjectVersion",
    "PutObjectAcl": "PutObjectVersionAcl",
    "PutObjectTagging": "PutObjectVersionTagging",
}
"""Operations that need another action when the request names a version."""

_QUERY_KEYS = {"prefix": "s3:prefix", "delimiter": "s3:delimiter", "max-keys": "s3:max-keys"}
_HEADER_KEYS = {
    "x-amz-acl": "s3:x-amz-acl",
    "x-amz-content-sha256": "s3:x-amz-content-sha256",
    "x-amz-copy-source": "s3:x-amz-copy-source",
    "x-amz-metadata-directive": "s3:x-amz-metadata-directive",
    "x-amz-server-side-encryption": "s3:x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class": "s3:x-amz-storage-class",
    "if-none-match": "s3:if-none-match",
    "if-match": "s3:if-match",
}
_HELD_BY_LISTING = {"ListObjects", "ListObjectsV2", "ListObjectVersions"}


def requirements(call: Call) -> Iterator[Requirement]:
    """Name every action on every resource that an S3 call needs."""
    bucket, key = call.parameters.get("Bucket"), call.parameters.get("Key")
    context = _context(call)
    if call.operation == "DeleteObjects":
        yield from _deletions(call, context)
        return
    resource = _arn(bucket, key) if bucket else "*"
    yield Requirement(_action(call), resource, context)
    if "x-amz-tagging" in call.headers and call.operation in {
        "PutObject",
        "CopyObject",
        "CreateMultipartUpload",
    }:
        yield Requirement("s3:PutObjectTagging", resource, context)
    if "x-amz-acl" in call.headers and call.operation in {"PutObject", "CopyObject", "CreateMultipartUpload"}:
        yield Requirement("s3:PutObjectAcl", resource, context)
    if "if-match" in call.headers and call.operation in {"PutObject", "CompleteMultipartUpload"}:
        # Whoever compares with what is there learns something of it.
        yield Requirement("s3:GetObject", resource, context)
    if "x-amz-copy-source" in call.headers:
        yield from _copied(call)


def _arn(bucket: str, key: str | None = None) -> str:
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def _action(call: Call) -> str:
    name = _ACTIONS.get(call.operation, call.operation)
    if "versionId" in call.query:
        name = _VERSIONED.get(call.operation, name)
    return f"s3:{name}"


def _context(call: Call) -> dict[str, str | list[str]]:
    context: dict[str, str | list[str]] = {
        "s3:authType": "REST-QUERY-STRING" if "X-Amz-Signature" in call.query else "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:ResourceAccount": call.account,
    }
    if call.operation in _HELD_BY_LISTING:
        # S3 takes a listing without a prefix for one with the empty prefix.
        context["s3:prefix"] = ""
    context.update({name: call.query[key] for key, name in _QUERY_KEYS.items() if key in call.query})
    context.update({name: call.headers[key] for key, name in _HEADER_KEYS.items() if key in call.headers})
    if "versionId" in call.query:
        context["s3:VersionId"] = call.query["versionId"]
    tags = dict(parse_qsl(call.headers.get("x-amz-tagging", ""), keep_blank_values=True))
    if tags:
        context["s3:RequestObjectTagKeys"] = list(tags)
        context.update({f"s3:RequestObjectTag/{name}": value for name, value in tags.items()})
    return context


def _copied(call: Call) -> Iterator[Requirement]:
    source, _, version = call.headers["x-amz-copy-source"].partition("?versionId=")
    action = "s3:GetObjectVersion" if version else "s3:GetObject"
    bucket, _, key = unquote(source).lstrip("/").partition("/")
    context: dict[str, str | list[str]] = {"s3:VersionId": version} if version else {}
    yield Requirement(action, _arn(bucket, key), context)
    if call.operation == "CopyObject" and call.headers.get("x-amz-tagging-directive", "COPY") == "REPLACE":
        yield Requirement("s3:PutObjectTagging", _arn(call.parameters["Bucket"], call.parameters["Key"]))


def _deletions(call: Call, context: dict[str, str | list[str]]) -> Iterator[Requirement]:
    for item in call.parameters.get("Delete", {}).get("Objects", []):
        version = item.get("VersionId")
        own = {**context, "s3:VersionId": version} if version else context
        action = "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
        yield Requirement(action, _arn(call.parameters["Bucket"], item["Key"]), own)
