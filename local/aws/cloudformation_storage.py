"""Buckets, their policies and SSM parameters, applied whole."""

from __future__ import annotations

import json
from typing import ClassVar

from local.aws.cloudformation_bucket import READ, SETTLE
from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Properties,
    ResourceType,
    Shape,
    Target,
    tag_list,
    tag_map,
)

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
        "CorsConfiguration": None,
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "BucketName": ANY,
        "AccessControl": ANY,
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
        "CorsConfiguration": {
            "CorsRules": [
                dict.fromkeys(("AllowedHeaders", "AllowedMethods", "AllowedOrigins", "ExposedHeaders"))
            ]
        },
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the bare bucket in the clients' region."""
        s3 = target.aws("s3")
        region = s3.meta.region_name
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
        s3.create_bucket(Bucket=target.id, **place)
        return target.id

    def find(self, target: Target) -> str | None:
        """Give the bucket's name when it is there, and ours."""
        held = target.aws("s3").list_buckets()["Buckets"]
        return next((each["Name"] for each in held if each["Name"] == target.id), None)

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


class Parameter(ResourceType):
    """AWS::SSM::Parameter."""

    type = "AWS::SSM::Parameter"
    name_property = "Name"
    required = frozenset({"Type", "Value"})
    create_only = frozenset({"Type"})
    attributes = frozenset({"Type", "Value"})
    defaults: ClassVar[Properties] = {"Description": "", "Tags": None}
    shape: ClassVar[Shape] = {"Description": ANY, "Name": ANY, "Tags": ANY, "Type": ANY, "Value": ANY}

    def create(self, target: Target) -> str:
        """Make the parameter with its value; a name that is taken is refused."""
        self._put(target, overwrite=False)
        return target.id

    def apply(self, target: Target) -> None:
        """Settle tags, and value and description of a parameter that was there before."""
        if target.before:
            self._put(target, overwrite=True)
        # Alone among these types, a parameter has its tags as an object.
        before, wanted = target.before.get("Tags") or {}, target.properties["Tags"] or {}
        named = {"ResourceType": "Parameter", "ResourceId": target.id}
        if gone := sorted(set(before) - set(wanted)):
            target.aws("ssm").remove_tags_from_resource(**named, TagKeys=gone)
        if wanted:
            target.aws("ssm").add_tags_to_resource(**named, Tags=tag_list(wanted))

    def delete(self, target: Target) -> None:
        """Remove the parameter."""
        target.aws("ssm").delete_parameter(Name=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give type and value."""
        held = target.aws("ssm").get_parameter(Name=target.id)["Parameter"]
        return {"Type": held["Type"], "Value": held["Value"]}

    def read(self, target: Target) -> Properties:
        """Read the parameter with its description and tags."""
        named = [{"Key": "Name", "Option": "Equals", "Values": [target.id]}]
        (about,) = target.aws("ssm").describe_parameters(ParameterFilters=named)["Parameters"]
        tags = target.aws("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=target.id)
        return {
            **self.describe(target),
            "Name": target.id,
            "Description": about.get("Description", ""),
            "Tags": tag_map(tags["TagList"]),
        }

    @staticmethod
    def _put(target: Target, *, overwrite: bool) -> None:
        target.aws("ssm").put_parameter(
            Name=target.id,
            Overwrite=overwrite,
            **{key: target.properties[key] for key in ("Description", "Type", "Value")},
        )
