"""AWS::S3::Bucket and AWS::S3::BucketPolicy, applied whole."""

from __future__ import annotations

import json
from typing import ClassVar

from local.aws.cloudformation_bucket import READ, SETTLE
from local.aws.cloudformation_resource import ANY, TAGS, Properties, ResourceType, Shape, Target

_LIFECYCLE_RULE: Shape = {
    "Id": ANY,
    "Status": ANY,
    "Prefix": ANY,
    "ExpirationInDays": ANY,
    "ExpiredObjectDeleteMarker": ANY,
    "NoncurrentVersionExpiration": {"NoncurrentDays": ANY},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ANY},
}
_LAMBDA_CONFIGURATION: Shape = {
    "Event": ANY,
    "Function": ANY,
    "Filter": {"S3Key": {"Rules": [{"Name": ANY, "Value": ANY}]}},
}
_ENCRYPTION_RULE: Shape = {
    "ServerSideEncryptionByDefault": {"SSEAlgorithm": ANY, "KMSMasterKeyID": ANY},
    "BucketKeyEnabled": ANY,
}


class Bucket(ResourceType):
    """AWS::S3::Bucket; only Lambda notifications, and only lifecycle rules that expire."""

    type = "AWS::S3::Bucket"
    name_property = "BucketName"
    attributes = frozenset({"Arn", "DomainName", "RegionalDomainName"})
    defaults: ClassVar[Properties] = {
        "VersioningConfiguration": None,
        "NotificationConfiguration": None,
        "LifecycleConfiguration": None,
        "PublicAccessBlockConfiguration": None,
        "OwnershipControls": None,
        "LoggingConfiguration": None,
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "BucketName": ANY,
        "VersioningConfiguration": {"Status": ANY},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": ANY,
            "BlockPublicPolicy": ANY,
            "IgnorePublicAcls": ANY,
            "RestrictPublicBuckets": ANY,
        },
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [_ENCRYPTION_RULE]},
        "NotificationConfiguration": {"LambdaConfigurations": [_LAMBDA_CONFIGURATION]},
        "LifecycleConfiguration": {"Rules": [_LIFECYCLE_RULE]},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": ANY}]},
        "LoggingConfiguration": {"DestinationBucketName": ANY, "LogFilePrefix": ANY},
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the bare bucket in the clients' region."""
        s3 = target.aws("s3")
        region = s3.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
        s3.create_bucket(Bucket=target.id, **place)
        return target.id

    def apply(self, target: Target) -> None:
        """Settle each property that changed, the notifications last."""
        for key, settle in SETTLE.items():
            if target.before.get(key) != target.properties.get(key):
                settle(target.aws("s3"), target.id, target.properties.get(key))

    def delete(self, target: Target) -> None:
        """Remove the bucket; S3 refuses while objects are in it, as on AWS."""
        target.aws("s3").delete_bucket(Bucket=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the bucket's ARN and domain names."""
        region = target.aws("s3").meta.region_name
        return {
            "Arn": f"arn:aws:s3:::{target.id}",
            "DomainName": f"{target.id}.s3.amazonaws.com",
            "RegionalDomainName": f"{target.id}.s3.{region}.amazonaws.com",
        }

    def read(self, target: Target) -> Properties:
        """Read every property that CloudFormation knows of the bucket."""
        return {"BucketName": target.id} | {
            key: read(target.aws("s3"), target.id) for key, read in READ.items()
        }


class BucketPolicy(ResourceType):
    """AWS::S3::BucketPolicy."""

    type = "AWS::S3::BucketPolicy"
    shape: ClassVar[Shape] = {"Bucket": ANY, "PolicyDocument": ANY}
    required = frozenset({"Bucket", "PolicyDocument"})
    create_only = frozenset({"Bucket"})

    def create(self, target: Target) -> str:
        """Name the policy after its bucket."""
        return str(target.properties["Bucket"])

    def apply(self, target: Target) -> None:
        """Put the policy."""
        target.aws("s3").put_bucket_policy(
            Bucket=target.id, Policy=json.dumps(target.properties["PolicyDocument"])
        )

    def delete(self, target: Target) -> None:
        """Take the policy off the bucket."""
        target.aws("s3").delete_bucket_policy(Bucket=target.id)

    def read(self, target: Target) -> Properties:
        """Read the policy back as a document."""
        policy = target.aws("s3").get_bucket_policy(Bucket=target.id)["Policy"]
        return {"Bucket": target.id, "PolicyDocument": json.loads(policy)}
