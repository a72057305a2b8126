"""One statement of a role's policy, with the reason of every wildcard in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Duration, aws_iam
from constructs import Construct

from infra.nag import acknowledge
from infra.names import filled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grant:
    """A policy statement; `wildcard` says why a resource in it ends in an asterisk, if one does."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, object]] | None = None
    wildcard: str = ""
    effect: aws_iam.Effect = aws_iam.Effect.ALLOW

    def statement(self) -> aws_iam.PolicyStatement:
        """Return the statement for the policy document."""
        return aws_iam.PolicyStatement(
            sid=self.sid,
            effect=self.effect,
            actions=list(self.actions),
            resources=[filled(resource) for resource in self.resources],
            conditions=_filled(self.conditions),
        )

    def findings(self) -> dict[str, str]:
        """Return the cdk-nag findings that the statement answers: rule id -> reason."""
        found = {}
        if self.effect is aws_iam.Effect.DENY and any(action.endswith(":*") for action in self.actions):
            found["NIST.800.53.R5-IAMPolicyNoStatementsWithFullAccess"] = (
                f"{self.sid} denies, and allows nothing."
            )
        if not self.wildcard:
            return found
        return found | {
            wildcard_finding(resource): f"{self.sid}: {self.wildcard}"
            for resource in self.resources
            if "*" in resource
        }


def role_with(
    scope: Construct,
    construct_id: str,
    *,
    name: str,
    description: str,
    assumed_by: aws_iam.IPrincipal,
    grants: Sequence[Grant],
    max_session_duration: Duration | None = None,
) -> aws_iam.Role:
    """Make a role that may do what `grants` say and no more."""
    document = aws_iam.PolicyDocument(statements=[grant.statement() for grant in grants])
    role = aws_iam.Role(
        scope,
        construct_id,
        role_name=filled(name),
        description=filled(description),
        assumed_by=assumed_by,
        max_session_duration=max_session_duration,
        # Inside the role, so that the role never exists without its permissions.
        inline_policies={"least-privilege": document},
    )
    reasons = {
        "NIST.800.53.R5-IAMNoInlinePolicy": "No other role may have these rights, and the role none without "
        "them: a policy of its own could be attached elsewhere, or not yet be attached here."
    }
    acknowledge(role, reasons | findings(grants))
    return role


def findings(grants: Sequence[Grant]) -> dict[str, str]:
    """Return the cdk-nag findings that the statements of one policy answer, with every reason of each."""
    reasons: dict[str, str] = {}
    for grant in grants:
        for finding, reason in grant.findings().items():
            reasons[finding] = f"{reasons[finding]} {reason}" if finding in reasons else reason
    return reasons


def _filled(value: Any) -> Any:
    match value:
        case str():
            return filled(value)
        case list():
            return [_filled(each) for each in value]
        case Mapping():
            return {key: _filled(each) for key, each in value.items()}
    return value


def wildcard_finding(resource: str) -> str:
    """Return the id under which cdk-nag finds the wildcard in a resource of a policy."""
    printed = re.sub(r"\$\{([\w:]+)\}", r"<\1>", resource)
    return f"AwsSolutions-IAM5[Resource::{printed}]"
