"""Security groups of a VPC and their rules, in moto's EC2; nothing is filtered."""

from __future__ import annotations

from typing import Any, ClassVar

from local.aws.cloudformation_network import settle_tags
from local.aws.cloudformation_resource import ANY, TAGS, Properties, ResourceType, Shape, Target

_RULE = {"CidrIp": ANY, "Description": ANY, "FromPort": ANY, "IpProtocol": ANY, "ToPort": ANY}


class SecurityGroup(ResourceType):
    """AWS::EC2::SecurityGroup with rules for addresses; those for groups are resources of their own."""

    type = "AWS::EC2::SecurityGroup"
    name_property = "GroupName"
    required = frozenset({"GroupDescription", "VpcId"})
    create_only = frozenset({"GroupDescription", "GroupName", "VpcId"})
    attributes = frozenset({"GroupId"})
    defaults: ClassVar[Properties] = {"SecurityGroupEgress": None, "SecurityGroupIngress": None, "Tags": None}
    shape: ClassVar[Shape] = {
        "GroupDescription": ANY,
        "GroupName": ANY,
        "SecurityGroupEgress": [_RULE],
        "SecurityGroupIngress": [_RULE],
        "Tags": TAGS,
        "VpcId": ANY,
    }

    def create(self, target: Target) -> str:
        """Make the group, with EC2's rule that lets everything out."""
        made = target.aws("ec2").create_security_group(
            GroupName=target.id,
            Description=target.properties["GroupDescription"],
            VpcId=target.properties["VpcId"],
        )
        return str(made["GroupId"])

    def apply(self, target: Target) -> None:
        """Settle rules and tags; egress rules of the template take the place of EC2's."""
        ec2, held = target.aws("ec2"), self.read(target)
        for name, allow, revoke in (
            ("SecurityGroupIngress", "authorize_security_group_ingress", "revoke_security_group_ingress"),
            ("SecurityGroupEgress", "authorize_security_group_egress", "revoke_security_group_egress"),
        ):
            wanted = target.properties[name]
            if wanted is None and name == "SecurityGroupEgress":
                continue
            gone, new = _less(held[name], wanted or []), _less(wanted or [], held[name])
            if gone:
                getattr(ec2, revoke)(GroupId=target.id, IpPermissions=list(map(_permission, gone)))
            if new:
                getattr(ec2, allow)(GroupId=target.id, IpPermissions=list(map(_permission, new)))
        settle_tags(target)

    def delete(self, target: Target) -> None:
        """Remove the group."""
        target.aws("ec2").delete_security_group(GroupId=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give its id."""
        return {"GroupId": target.id}

    def read(self, target: Target) -> Properties:
        """Read description, VPC, tags and the rules for addresses."""
        (group,) = target.aws("ec2").describe_security_groups(GroupIds=[target.id])["SecurityGroups"]
        return {
            "GroupDescription": group["Description"],
            "GroupName": group["GroupName"],
            "SecurityGroupEgress": _rules(group["IpPermissionsEgress"]),
            "SecurityGroupIngress": _rules(group["IpPermissions"]),
            "Tags": group.get("Tags"),
            "VpcId": group["VpcId"],
        }


class SecurityGroupIngress(ResourceType):
    """AWS::EC2::SecurityGroupIngress from another group, or from the group's own members."""

    type = "AWS::EC2::SecurityGroupIngress"
    required = frozenset({"GroupId", "IpProtocol", "SourceSecurityGroupId"})
    shape: ClassVar[Shape] = {
        "Description": ANY,
        "FromPort": ANY,
        "GroupId": ANY,
        "IpProtocol": ANY,
        "SourceSecurityGroupId": ANY,
        "ToPort": ANY,
    }
    create_only = frozenset(shape)
    direction: ClassVar[str] = "ingress"
    other: ClassVar[str] = "SourceSecurityGroupId"

    def create(self, target: Target) -> str:
        """Allow it."""
        allow = getattr(target.aws("ec2"), f"authorize_security_group_{self.direction}")
        given = target.properties
        permission = _permission(given | {"UserIdGroupPairs": [self._pair(given)]})
        allow(GroupId=given["GroupId"], IpPermissions=[permission])
        return f"{given['GroupId']}-{self.direction}-{given[self.other]}-{given['IpProtocol']}"

    def delete(self, target: Target) -> None:
        """Take it back."""
        revoke = getattr(target.aws("ec2"), f"revoke_security_group_{self.direction}")
        given = target.properties
        permission = _permission(given | {"UserIdGroupPairs": [self._pair(given)]})
        revoke(GroupId=given["GroupId"], IpPermissions=[permission])

    def read(self, target: Target) -> Properties:
        """Read the rule; {} when it is gone."""
        given, ec2 = target.properties, target.aws("ec2")
        (group,) = ec2.describe_security_groups(GroupIds=[given["GroupId"]])["SecurityGroups"]
        listed = group["IpPermissions" if self.direction == "ingress" else "IpPermissionsEgress"]
        for each in listed:
            for pair in each["UserIdGroupPairs"]:
                if pair["GroupId"] == given[self.other] and each["IpProtocol"] == str(given["IpProtocol"]):
                    return {
                        "Description": pair.get("Description"),
                        "FromPort": each.get("FromPort"),
                        "GroupId": given["GroupId"],
                        "IpProtocol": each["IpProtocol"],
                        self.other: pair["GroupId"],
                        "ToPort": each.get("ToPort"),
                    }
        return {}

    def _pair(self, given: Properties) -> dict[str, str]:
        described = {"Description": given["Description"]} if given.get("Description") else {}
        return {"GroupId": given[self.other], **described}


class SecurityGroupEgress(SecurityGroupIngress):
    """AWS::EC2::SecurityGroupEgress to another group, or to the group's own members."""

    type = "AWS::EC2::SecurityGroupEgress"
    required = frozenset({"DestinationSecurityGroupId", "GroupId", "IpProtocol"})
    shape: ClassVar[Shape] = {
        "Description": ANY,
        "DestinationSecurityGroupId": ANY,
        "FromPort": ANY,
        "GroupId": ANY,
        "IpProtocol": ANY,
        "ToPort": ANY,
    }
    create_only = frozenset(shape)
    direction: ClassVar[str] = "egress"
    other: ClassVar[str] = "DestinationSecurityGroupId"


def _permission(rule: Properties) -> dict[str, Any]:
    """Write a rule as EC2's API has it."""
    ports = {name: int(rule[name]) for name in ("FromPort", "ToPort") if rule.get(name) is not None}
    found: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"]), **ports}
    if rule.get("CidrIp"):
        described = {"Description": rule["Description"]} if rule.get("Description") else {}
        found["IpRanges"] = [{"CidrIp": rule["CidrIp"], **described}]
    if rule.get("UserIdGroupPairs"):
        found["UserIdGroupPairs"] = rule["UserIdGroupPairs"]
    return found


def _rules(permissions: list[dict[str, Any]]) -> list[Properties]:
    """Read the rules for addresses as CloudFormation has them."""
    return [
        {
            "CidrIp": address["CidrIp"],
            "Description": address.get("Description"),
            "FromPort": each.get("FromPort"),
            "IpProtocol": each["IpProtocol"],
            "ToPort": each.get("ToPort"),
        }
        for each in permissions
        for address in each.get("IpRanges", [])
    ]


def _less(rules: list[Properties], others: list[Properties]) -> list[Properties]:
    known = list(map(_permission, others))
    return [rule for rule in rules if _permission(rule) not in known]
