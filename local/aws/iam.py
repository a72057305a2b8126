"""Evaluate IAM policies as AWS documents it: what a principal may do, and which statement says so.

Pure: policies and requests come in as values, a `Decision` goes out; nothing here knows moto or HTTP.
Identity-based and resource-based policies, permissions boundaries, session policies, trust policies and key
policies of one account are covered; organizations, cross-account requests and the grants of keys are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.aws.iam_conditions import PolicyError
from local.aws.iam_policies import Access, Naming, Policy, Principal, Statement, parse_policy

__all__ = [
    "Access",
    "AccessDenied",
    "Decision",
    "Policy",
    "PolicyError",
    "Principal",
    "Statement",
    "decide",
    "parse_policy",
]


@dataclass(frozen=True)
class Decision:
    """The answer, the kind of policy that gave it, and the statement when there is one."""

    allowed: bool
    explicit: bool
    """Whether a statement says so (an Allow or a Deny), rather than the absence of one."""
    source: str
    """identity-based policy, resource-based policy, permissions boundary or session policy."""
    policy: str | None = None
    sid: str | None = None

    def describe(self, action: str) -> str:
        """Say why, in the words AWS uses at the end of its access-denied messages."""
        article = "an" if self.source.startswith("i") else "a"
        if self.allowed:
            return f"with an explicit allow in {article} {self.source}"
        if self.explicit:
            return f"with an explicit deny in {article} {self.source}"
        return f"because no {self.source} allows the {action} action"


class AccessDenied(Exception):  # noqa: N818 - AWS's own name of the error
    """A refused request; the message has the form of AWS's, `decision` knows policy and Sid."""

    def __init__(self, access: Access, decision: Decision, *, quoted: bool = False) -> None:
        resource = f'"{access.resource}"' if quoted else access.resource
        who = access.principal.arn or "anonymous"
        super().__init__(
            f"User: {who} is not authorized to perform: {access.action} on resource: {resource} "
            f"{decision.describe(access.action)}"
        )
        self.access = access
        self.decision = decision


def _find(policies: Sequence[Policy], effect: str, access: Access) -> tuple[Policy, Statement] | None:
    """Find the first statement of that effect that applies to the principal in any way."""
    for policy in policies:
        for statement in policy.statements:
            if statement.effect == effect and statement.names(access.principal) and statement.applies(access):
                return policy, statement
    return None


_FIRMNESS: tuple[Naming, ...] = ("", "account", "role", "direct")


def _grant(policies: Sequence[Policy], access: Access) -> tuple[Naming, Decision]:
    """Tell how far resource-based policies allow the access; naming the principal itself is best."""
    best: tuple[Naming, Decision] = ("", Decision(False, False, "resource-based policy"))
    for policy in policies:
        for statement in policy.statements:
            named = statement.names(access.principal)
            if statement.effect != "Allow" or _FIRMNESS.index(named) <= _FIRMNESS.index(best[0]):
                continue
            if statement.applies(access):
                best = (named, Decision(True, True, "resource-based policy", policy.name, statement.sid))
    return best


def decide(
    access: Access,
    *,
    identity: Sequence[Policy] = (),
    resource: Sequence[Policy] = (),
    boundary: Sequence[Policy] = (),
    session: Sequence[Policy] = (),
    resource_must_allow: bool = False,
) -> Decision:
    """Judge one access within an account: an explicit deny anywhere wins, then somebody has to allow.

    `boundary` and `session` limit what the identity-based policies give, and what a resource-based policy
    gives to a role; what it gives to a user, a session or everybody is not theirs to limit. Empty means none.
    `resource_must_allow` is for trust and key policies: the identity's own policies alone are never enough.
    """
    layers = {
        "identity-based policy": identity,
        "resource-based policy": resource,
        "permissions boundary": boundary,
        "session policy": session,
    }
    for source, policies in layers.items():
        if denied := _find(policies, "Deny", access):
            return Decision(False, True, source, denied[0].name, denied[1].sid)
    named, grant = _grant(resource, access)
    if named == "direct":
        return grant
    if named == "role" and (limited := _limited(grant, access, layers)).allowed:
        return limited
    if resource_must_allow and not named:
        return grant
    if allowed := _find(identity, "Allow", access):
        given = Decision(True, True, "identity-based policy", allowed[0].name, allowed[1].sid)
        return _limited(given, access, layers)
    return Decision(
        False, False, "identity-based policy" if access.principal.arn else "resource-based policy"
    )


def _limited(given: Decision, access: Access, layers: Mapping[str, Sequence[Policy]]) -> Decision:
    """Take an allowance back that a permissions boundary or a session policy does not repeat."""
    for source in ("permissions boundary", "session policy"):
        if layers[source] and not _find(layers[source], "Allow", access):
            return Decision(False, False, source)
    return given
