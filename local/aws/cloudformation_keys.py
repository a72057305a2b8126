"""Keys and their aliases."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Properties,
    ResourceType,
    Shape,
    Target,
    tag_changes,
)


class Key(ResourceType):
    """AWS::KMS::Key for symmetric encryption."""

    type = "AWS::KMS::Key"
    required = frozenset({"KeyPolicy"})
    attributes = frozenset({"Arn", "KeyId"})
    defaults: ClassVar[Properties] = {
        "Description": "",
        "EnableKeyRotation": False,
        "PendingWindowInDays": 30,
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "Description": ANY,
        "EnableKeyRotation": ANY,
        "KeyPolicy": ANY,
        "PendingWindowInDays": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the key; its id is the physical id."""
        policy = json.dumps(target.properties["KeyPolicy"])
        return str(target.aws("kms").create_key(Policy=policy)["KeyMetadata"]["KeyId"])

    def apply(self, target: Target) -> None:
        """Settle policy, description, rotation and tags."""
        kms, wanted = target.aws("kms"), target.properties
        policy = json.dumps(wanted["KeyPolicy"])
        kms.put_key_policy(KeyId=target.id, PolicyName="default", Policy=policy)
        kms.update_key_description(KeyId=target.id, Description=wanted["Description"])
        if str(wanted["EnableKeyRotation"]).lower() == "true":
            kms.enable_key_rotation(KeyId=target.id)
        else:
            kms.disable_key_rotation(KeyId=target.id)
        gone, new = tag_changes(target.before.get("Tags"), wanted["Tags"])
        if gone:
            kms.untag_resource(KeyId=target.id, TagKeys=gone)
        if new:
            kms.tag_resource(
                KeyId=target.id, Tags=[{"TagKey": key, "TagValue": value} for key, value in new.items()]
            )

    def delete(self, target: Target) -> None:
        """Let the key wait for its deletion; nobody can use it any more."""
        days = int(self.complete(target.properties)["PendingWindowInDays"])
        target.aws("kms").schedule_key_deletion(KeyId=target.id, PendingWindowInDays=days)

    def describe(self, target: Target) -> dict[str, str]:
        """Give ARN and id."""
        return {"Arn": self._metadata(target)["Arn"], "KeyId": target.id}

    def read(self, target: Target) -> Properties:
        """Read policy, description, rotation and tags; KMS is told of the window at the end only.

        Raises LookupError for a key that waits for its deletion.
        """
        kms = target.aws("kms")
        if self._metadata(target)["KeyState"] == "PendingDeletion":
            raise LookupError(f"the key {target.id} waits for its deletion")
        policy = kms.get_key_policy(KeyId=target.id, PolicyName="default")["Policy"]
        tags = kms.list_resource_tags(KeyId=target.id)["Tags"]
        return {
            "Description": self._metadata(target)["Description"],
            "EnableKeyRotation": kms.get_key_rotation_status(KeyId=target.id)["KeyRotationEnabled"],
            "KeyPolicy": json.loads(policy),
            "PendingWindowInDays": target.properties["PendingWindowInDays"],
            "Tags": [{"Key": tag["TagKey"], "Value": tag["TagValue"]} for tag in tags],
        }

    @staticmethod
    def _metadata(target: Target) -> Any:
        return target.aws("kms").describe_key(KeyId=target.id)["KeyMetadata"]


class Alias(ResourceType):
    """AWS::KMS::Alias."""

    type = "AWS::KMS::Alias"
    name_property = "AliasName"
    required = frozenset({"AliasName", "TargetKeyId"})
    shape: ClassVar[Shape] = {"AliasName": ANY, "TargetKeyId": ANY}

    def create(self, target: Target) -> str:
        """Give the key the name; one that another key has is refused."""
        target.aws("kms").create_alias(AliasName=target.id, TargetKeyId=target.properties["TargetKeyId"])
        return target.id

    def find(self, target: Target) -> str | None:
        """Give the alias when some key has it."""
        return target.id if self._key(target) else None

    def apply(self, target: Target) -> None:
        """Let the alias point at the key that is wanted."""
        if target.before:
            target.aws("kms").update_alias(AliasName=target.id, TargetKeyId=target.properties["TargetKeyId"])

    def delete(self, target: Target) -> None:
        """Take the name away from the key."""
        target.aws("kms").delete_alias(AliasName=target.id)

    def read(self, target: Target) -> Properties:
        """Read at which key it points, in the form, id or ARN, that the template has.

        Raises LookupError when no key has the alias.
        """
        held, asked = self._key(target), str(target.properties["TargetKeyId"])
        if held is None:
            raise LookupError(f"no key has the alias {target.id}")
        return {"AliasName": target.id, "TargetKeyId": asked if asked.endswith(held) else held}

    @staticmethod
    def _key(target: Target) -> str | None:
        pages = target.aws("kms").get_paginator("list_aliases").paginate()
        held = {each["AliasName"]: each.get("TargetKeyId") for page in pages for each in page["Aliases"]}
        return held.get(target.id)
