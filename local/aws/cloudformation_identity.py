"""AWS::IAM::Role, AWS::IAM::Policy and AWS::IAM::ManagedPolicy."""

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
    tag_list,
)


class Role(ResourceType):
    """AWS::IAM::Role with its inline and attached policies."""

    type = "AWS::IAM::Role"
    name_property = "RoleName"
    required = frozenset({"AssumeRolePolicyDocument"})
    create_only = frozenset({"Path"})
    attributes = frozenset({"Arn", "RoleId"})
    defaults: ClassVar[Properties] = {
        "Description": None,
        "MaxSessionDuration": 3600,
        "Path": "/",
        "Policies": None,
        "ManagedPolicyArns": None,
        "PermissionsBoundary": None,
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "RoleName": ANY,
        "AssumeRolePolicyDocument": ANY,
        "Policies": [{"PolicyName": ANY, "PolicyDocument": ANY}],
        "ManagedPolicyArns": ANY,
        "PermissionsBoundary": ANY,
        "Description": ANY,
        "MaxSessionDuration": ANY,
        "Path": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the role with its trust policy and its boundary: it is at no time without one."""
        boundary = target.properties["PermissionsBoundary"]
        target.aws("iam").create_role(
            RoleName=target.id,
            Path=target.properties["Path"],
            AssumeRolePolicyDocument=json.dumps(target.properties["AssumeRolePolicyDocument"]),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )
        return target.id

    def apply(self, target: Target) -> None:
        """Settle trust, description, boundary, tags and policies."""
        iam = target.aws("iam")
        trust = json.dumps(target.properties["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=target.id, PolicyDocument=trust)
        iam.update_role(
            RoleName=target.id,
            Description=target.properties["Description"] or "",
            MaxSessionDuration=int(target.properties["MaxSessionDuration"]),
        )
        _settle_boundary(iam, target.id, target.before, target.properties)
        _settle_tags(iam, target.id, target.before, target.properties)
        _settle_inline(iam, target.id, target.before, target.properties)
        _settle_attached(iam, target.id, target.before, target.properties)

    def delete(self, target: Target) -> None:
        """Remove the role with those of its template's policies that it has by now."""
        iam = target.aws("iam")
        bare = {**target.properties, "Policies": None, "ManagedPolicyArns": None}
        names = iam.list_role_policies(RoleName=target.id)["PolicyNames"]
        held = [each for each in target.properties["Policies"] or [] if each["PolicyName"] in names]
        attached = iam.list_attached_role_policies(RoleName=target.id)["AttachedPolicies"]
        arns = [each["PolicyArn"] for each in attached]
        given = [arn for arn in target.properties["ManagedPolicyArns"] or [] if arn in arns]
        before = {**target.properties, "Policies": held, "ManagedPolicyArns": given}
        _settle_inline(iam, target.id, before, bare)
        _settle_attached(iam, target.id, before, bare)
        iam.delete_role(RoleName=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the role's ARN and id."""
        role = target.aws("iam").get_role(RoleName=target.id)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def read(self, target: Target) -> Properties:
        """Read the role; of its inline policies only those that the template names.

        Others belong to AWS::IAM::Policy resources.
        """
        iam = target.aws("iam")
        role = iam.get_role(RoleName=target.id)["Role"]
        named = [policy["PolicyName"] for policy in target.properties["Policies"] or []]
        present = [
            name for name in iam.list_role_policies(RoleName=target.id)["PolicyNames"] if name in named
        ]
        attached = iam.list_attached_role_policies(RoleName=target.id)["AttachedPolicies"]
        given = target.properties["ManagedPolicyArns"] or []
        return {
            "RoleName": role["RoleName"],
            "Path": role["Path"],
            "AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"],
            "Description": role.get("Description"),
            "MaxSessionDuration": role.get("MaxSessionDuration"),
            "PermissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "Tags": role.get("Tags"),
            "Policies": [
                {"PolicyName": name, "PolicyDocument": _inline(iam, target.id, name)} for name in present
            ],
            "ManagedPolicyArns": [item["PolicyArn"] for item in attached if item["PolicyArn"] in given],
        }


def _inline(iam: Any, role: str, name: str) -> Any:
    return iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def _settle_boundary(iam: Any, role: str, before: Properties, properties: Properties) -> None:
    wanted = properties["PermissionsBoundary"]
    if wanted and before and wanted != before.get("PermissionsBoundary"):
        iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=wanted)
    elif before.get("PermissionsBoundary") and not wanted:
        iam.delete_role_permissions_boundary(RoleName=role)


def _settle_tags(iam: Any, role: str, before: Properties, properties: Properties) -> None:
    gone, new = tag_changes(before.get("Tags"), properties["Tags"])
    if gone:
        iam.untag_role(RoleName=role, TagKeys=gone)
    if new:
        iam.tag_role(RoleName=role, Tags=tag_list(new))


def _settle_inline(iam: Any, role: str, before: Properties, properties: Properties) -> None:
    wanted = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties["Policies"] or []}
    for policy in before.get("Policies") or []:
        if policy["PolicyName"] not in wanted:
            iam.delete_role_policy(RoleName=role, PolicyName=policy["PolicyName"])
    for name, document in wanted.items():
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _settle_attached(iam: Any, role: str, before: Properties, properties: Properties) -> None:
    wanted, old = set(properties["ManagedPolicyArns"] or []), set(before.get("ManagedPolicyArns") or [])
    for arn in sorted(old - wanted):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in sorted(wanted):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


class InlinePolicy(ResourceType):
    """AWS::IAM::Policy: an inline policy of roles."""

    type = "AWS::IAM::Policy"
    shape: ClassVar[Shape] = {"PolicyName": ANY, "PolicyDocument": ANY, "Roles": ANY}
    required = frozenset({"PolicyName", "PolicyDocument", "Roles"})
    create_only = frozenset({"PolicyName"})

    def create(self, target: Target) -> str:
        """Name the policy; `apply` puts it."""
        return str(target.properties["PolicyName"])

    def apply(self, target: Target) -> None:
        """Put the policy on each role, and take it off the roles that are no longer named."""
        for role in target.before.get("Roles", []):
            if role not in target.properties["Roles"]:
                target.aws("iam").delete_role_policy(RoleName=role, PolicyName=target.id)
        for role in target.properties["Roles"]:
            target.aws("iam").put_role_policy(
                RoleName=role,
                PolicyName=target.id,
                PolicyDocument=json.dumps(target.properties["PolicyDocument"]),
            )

    def delete(self, target: Target) -> None:
        """Take the policy off its roles."""
        iam = target.aws("iam")
        for role in target.properties["Roles"]:
            if target.id in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                iam.delete_role_policy(RoleName=role, PolicyName=target.id)

    def read(self, target: Target) -> Properties:
        """Read the policy from every role; a role that holds another one shows in the document."""
        documents = [_inline(target.aws("iam"), role, target.id) for role in target.properties["Roles"]]
        other = next(
            (item for item in documents if item != target.properties["PolicyDocument"]), documents[0]
        )
        return {"PolicyName": target.id, "PolicyDocument": other, "Roles": target.properties["Roles"]}


class ManagedPolicy(ResourceType):
    """AWS::IAM::ManagedPolicy; a changed document becomes the policy's new default version."""

    type = "AWS::IAM::ManagedPolicy"
    name_property = "ManagedPolicyName"
    shape: ClassVar[Shape] = {
        "ManagedPolicyName": ANY,
        "PolicyDocument": ANY,
        "Description": ANY,
        "Path": ANY,
        "Roles": ANY,
    }
    required = frozenset({"PolicyDocument"})
    create_only = frozenset({"Description", "Path"})
    attributes = frozenset({"PolicyArn"})

    def create(self, target: Target) -> str:
        """Make the policy; its physical id is its ARN."""
        answer = target.aws("iam").create_policy(
            PolicyName=target.id,
            Path=target.properties.get("Path", "/"),
            Description=target.properties.get("Description", ""),
            PolicyDocument=json.dumps(target.properties["PolicyDocument"]),
        )
        return str(answer["Policy"]["Arn"])

    def apply(self, target: Target) -> None:
        """Settle the document and the roles that hold it."""
        iam = target.aws("iam")
        if target.before and target.before["PolicyDocument"] != target.properties["PolicyDocument"]:
            _drop_old_versions(iam, target.id)
            iam.create_policy_version(
                PolicyArn=target.id,
                PolicyDocument=json.dumps(target.properties["PolicyDocument"]),
                SetAsDefault=True,
            )
        wanted = set(target.properties.get("Roles", []))
        for role in sorted(set(target.before.get("Roles", [])) - wanted):
            iam.detach_role_policy(RoleName=role, PolicyArn=target.id)
        for role in sorted(wanted):
            iam.attach_role_policy(RoleName=role, PolicyArn=target.id)

    def delete(self, target: Target) -> None:
        """Detach and remove the policy."""
        self.apply(Target(target.aws, target.id, {**target.properties, "Roles": []}, target.properties))
        _drop_old_versions(target.aws("iam"), target.id)
        target.aws("iam").delete_policy(PolicyArn=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the policy's ARN."""
        return {"PolicyArn": target.id}

    def read(self, target: Target) -> Properties:
        """Read the default version and those named roles that hold the policy."""
        iam = target.aws("iam")
        policy = iam.get_policy(PolicyArn=target.id)["Policy"]
        version = iam.get_policy_version(PolicyArn=target.id, VersionId=policy["DefaultVersionId"])
        roles = iam.list_entities_for_policy(PolicyArn=target.id)["PolicyRoles"]
        return {
            "ManagedPolicyName": policy["PolicyName"],
            "PolicyDocument": version["PolicyVersion"]["Document"],
            "Description": policy.get("Description"),
            "Path": policy["Path"],
            "Roles": [
                role["RoleName"] for role in roles if role["RoleName"] in target.properties.get("Roles", [])
            ],
        }


def _drop_old_versions(iam: Any, arn: str) -> None:
    """Make room: IAM keeps five versions of a policy."""
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
