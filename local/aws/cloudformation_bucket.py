"""A bucket's configuration between CloudFormation's words and S3's: how each property is put and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.aws.cloudformation_resource import Unsupported


def _settle_access(s3: Any, bucket: str, value: str | None) -> None:
    del s3, bucket
    # A bucket is private from the start; nothing else is wanted of one here.
    if value not in (None, "Private"):
        raise Unsupported(f"AccessControl {value}: the laptop's buckets are Private; use a bucket policy")


def _settle_versioning(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value or {"Status": "Suspended"})


def _settle_public_access(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    if value is None:
        s3.delete_public_access_block(Bucket=bucket)
        return
    flags = {key: str(flag).lower() == "true" for key, flag in value.items()}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=flags)


def _settle_encryption(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    if value is None:
        s3.delete_bucket_encryption(Bucket=bucket)
        return
    rules = [
        {_API_ENCRYPTION.get(key, key): item for key, item in rule.items()}
        for rule in value["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})


def _settle_ownership(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    if value is None:
        s3.delete_bucket_ownership_controls(Bucket=bucket)
    else:
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=value)


def _settle_logging(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    enabled = {
        "LoggingEnabled": {
            "TargetBucket": value["DestinationBucketName"],
            "TargetPrefix": value.get("LogFilePrefix", ""),
        }
    } if value else {}  # fmt: skip
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=enabled)


def _settle_tags(s3: Any, bucket: str, value: list[dict[str, str]] | None) -> None:
    if value:
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": value})
    else:
        s3.delete_bucket_tagging(Bucket=bucket)


def _settle_lifecycle(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    if not value:
        s3.delete_bucket_lifecycle(Bucket=bucket)
        return
    rules = [_api_rule(rule) for rule in value["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _api_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    direct = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    answer = {key: rule[key] for key in direct if key in rule} | {
        "Filter": {"Prefix": rule.get("Prefix", "")}
    }
    if "Id" in rule:
        answer["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        answer["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "ExpiredObjectDeleteMarker" in rule:
        answer["Expiration"] = {"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]}
    return answer


def _settle_notifications(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    configurations = []
    for item in (value or {}).get("LambdaConfigurations", []):
        configuration = {"LambdaFunctionArn": item["Function"], "Events": [item["Event"]]}
        if "Filter" in item:
            rules = [
                {"Name": rule["Name"].lower(), "Value": rule["Value"]}
                for rule in item["Filter"]["S3Key"]["Rules"]
            ]
            configuration["Filter"] = {"Key": {"FilterRules": rules}}
        configurations.append(configuration)
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": configurations}
    )


def _settle_cors(s3: Any, bucket: str, value: Mapping[str, Any] | None) -> None:
    if value is None:
        s3.delete_bucket_cors(Bucket=bucket)
        return
    rules = [{_API_CORS.get(key, key): item for key, item in rule.items()} for rule in value["CorsRules"]]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


_API_CORS = {"ExposedHeaders": "ExposeHeaders"}
_API_ENCRYPTION = {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}
SETTLE: Mapping[str, Callable[[Any, str, Any], None]] = {
    "AccessControl": _settle_access,
    "VersioningConfiguration": _settle_versioning,
    "PublicAccessBlockConfiguration": _settle_public_access,
    "BucketEncryption": _settle_encryption,
    "OwnershipControls": _settle_ownership,
    "LoggingConfiguration": _settle_logging,
    "LifecycleConfiguration": _settle_lifecycle,
    "CorsConfiguration": _settle_cors,
    "Tags": _settle_tags,
    "NotificationConfiguration": _settle_notifications,
}


def _read_access(s3: Any, bucket: str) -> Any:
    acl = s3.get_bucket_acl(Bucket=bucket)
    owner = acl["Owner"]["ID"]
    return "Private" if all(grant["Grantee"].get("ID") == owner for grant in acl["Grants"]) else "not Private"


def _read_versioning(s3: Any, bucket: str) -> Any:
    status = s3.get_bucket_versioning(Bucket=bucket).get("Status")
    # A bucket that was versioned once can only be suspended: that is what "not set" becomes.
    return {"Status": status} if status == "Enabled" else None


def _read_public_access(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_public_access_block, bucket, "NoSuchPublicAccessBlockConfiguration")
    return answer and answer["PublicAccessBlockConfiguration"]


def _read_encryption(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_bucket_encryption, bucket, "ServerSideEncryptionConfigurationNotFoundError")
    if answer is None:
        return None
    names = {api: name for name, api in _API_ENCRYPTION.items()}
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    return {
        "ServerSideEncryptionConfiguration": [
            {names.get(key, key): item for key, item in rule.items()} for rule in rules
        ]
    }


def _read_ownership(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_bucket_ownership_controls, bucket, "OwnershipControlsNotFoundError")
    return answer and answer["OwnershipControls"]


def _read_logging(s3: Any, bucket: str) -> Any:
    enabled = s3.get_bucket_logging(Bucket=bucket).get("LoggingEnabled")
    return enabled and {
        "DestinationBucketName": enabled["TargetBucket"],
        "LogFilePrefix": enabled.get("TargetPrefix", ""),
    }


def _read_lifecycle(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_bucket_lifecycle_configuration, bucket, "NoSuchLifecycleConfiguration")
    return answer and {"Rules": [_cloudformation_rule(rule) for rule in answer["Rules"]]}


def _cloudformation_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    direct = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    answer = {key: rule[key] for key in direct if key in rule}
    answer |= {"Id": rule.get("ID"), "Prefix": rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))}
    expiration = rule.get("Expiration", {})
    answer["ExpirationInDays"] = expiration.get("Days")
    answer["ExpiredObjectDeleteMarker"] = expiration.get("ExpiredObjectDeleteMarker", False)
    return answer


def _read_cors(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_bucket_cors, bucket, "NoSuchCORSConfiguration")
    names = {api: name for name, api in _API_CORS.items()}
    return answer and {
        "CorsRules": [
            {names.get(key, key): item for key, item in rule.items()} for rule in answer["CORSRules"]
        ]
    }


def _read_tags(s3: Any, bucket: str) -> Any:
    answer = _or_none(s3.get_bucket_tagging, bucket, "NoSuchTagSet")
    return answer and answer["TagSet"]


def _read_notifications(s3: Any, bucket: str) -> Any:
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    items = [
        {"Function": item["LambdaFunctionArn"], "Event": event, **_read_filter(item)}
        for item in answer.get("LambdaFunctionConfigurations", [])
        for event in item["Events"]
    ]
    return {"LambdaConfigurations": items} if items else None


def _read_filter(item: Mapping[str, Any]) -> dict[str, Any]:
    rules = item.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    if not rules:
        return {}
    return {
        "Filter": {
            "S3Key": {"Rules": [{"Name": rule["Name"].lower(), "Value": rule["Value"]} for rule in rules]}
        }
    }


def _or_none(operation: Any, bucket: str, absent: str) -> Any:
    """Call a getter of S3; None for the error that says the configuration is not set."""
    try:
        return operation(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == absent:
            return None
        raise


READ: Mapping[str, Callable[[Any, str], Any]] = {
    "AccessControl": _read_access,
    "VersioningConfiguration": _read_versioning,
    "PublicAccessBlockConfiguration": _read_public_access,
    "BucketEncryption": _read_encryption,
    "OwnershipControls": _read_ownership,
    "LoggingConfiguration": _read_logging,
    "LifecycleConfiguration": _read_lifecycle,
    "CorsConfiguration": _read_cors,
    "Tags": _read_tags,
    "NotificationConfiguration": _read_notifications,
}
