"""The roles of a template: what they may do, who may assume them, and how a request of one is decided."""

from __future__ import annotations

from typing import Any

from tests.support.iam.judge import Decision, decide, document
from tests.support.iam.rights import Context
from tests.support.infra.profiles import HARDENED
from tests.support.infra.resources import resolve, resources

Access = tuple[str, str, Context]
"""An action, a resource and the context of a request."""


def statements(role_arn: str, template: Any = HARDENED) -> list[dict[str, Any]]:
    """Return the statements of a role's one policy."""
    for resource in template["Resources"].values():
        name = resolve(resource["Properties"].get("RoleName"))
        if name and role_arn.endswith(f"/{name}"):
            (policy,) = resource["Properties"]["Policies"]
            found: list[dict[str, Any]] = resolve(policy["PolicyDocument"])["Statement"]
            return found
    raise LookupError(role_arn)


def judge(role_arn: str, request: Access, given: list[dict[str, Any]] | None = None) -> Decision:
    """Return how a request of a role is decided, by its policy or by the statements given."""
    action, resource, context = request
    identity = [document(*(statements(role_arn) if given is None else given))]
    return decide(role_arn, action, resource, context, identity=identity)


MAY_ASSUME = document({"Effect": "Allow", "Action": "sts:*", "Resource": "*"})
"""The policy of somebody whom IAM lets assume every role."""


def role(template: dict[str, Any], arn: str) -> dict[str, Any]:
    """Return the properties of a role of the template."""
    found: dict[str, Any]
    (found,) = (
        each["Properties"]
        for each in resources(template, "AWS::IAM::Role")
        if arn.endswith(f"/{resolve(each['Properties']['RoleName'])}")
    )
    return found
