"""Let a call through only if IAM allows everything it needs; the answer replaces moto's own check.

moto's check knows neither resources nor conditions, so it is switched off and every request is judged before
moto sees it. What the laptop assumes about a request: it comes over a secure transport (`aws:SecureTransport`
is true on loopback, because its bytes never leave the machine) and from 127.0.0.1.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from local.aws.access_keys import key_uses
from local.aws.access_services import requirements
from local.aws.iam import Access, AccessDenied, Decision, PolicyError, Principal, decide
from local.aws.identities import Caller, Identities
from local.aws.request_context import Call, Requirement
from local.aws.second_factor import PRESENT
from local.aws.signature import SignatureError

_LOG = logging.getLogger(__name__)
_ALWAYS_ALLOWED = {("sts", "GetCallerIdentity")}
_ASSUMING_SERVICES = ("sagemaker", "lambda", "cloudformation")
"""The services that assume roles on the laptop, when a caller does not say which one it is."""


def install() -> None:
    """Switch moto's own bucket-policy check off: it denies whatever any Deny statement's action matches."""

    def neutral(*_: object) -> PermissionResult:
        return PermissionResult.NEUTRAL

    FakeBucket.get_permission = neutral


class Authorizer:
    """Ask IAM about the calls of one account."""

    def __init__(self, identities: Identities, *, account: str, region: str) -> None:
        self._identities = identities
        self._account = account
        self._region = region

    def check_call(self, caller: Caller, call: Call) -> None:
        """Raise AccessDenied unless `caller` is allowed everything that `call` needs."""
        if (call.service, call.operation) in _ALWAYS_ALLOWED:
            return
        context = {**self._context(caller), "aws:UserAgent": call.headers.get("user-agent", "")}
        if call.service == "iam" and (boundary := self._boundary(call)):
            context["iam:PermissionsBoundary"] = boundary
        if (call.service, call.operation) == ("sts", "AssumeRole"):
            context |= self._second_factor(caller, call)
        for requirement in requirements(call):
            self._check(caller, requirement, context, quoted=call.service == "s3")
        for use in key_uses(call):
            for requirement in use.requirements(self._account, self._region):
                self._check(caller, requirement, context, quoted=False)

    def _second_factor(self, caller: Caller, call: Call) -> dict[str, str]:
        """Check the code of an MFA device that comes with a call; raise when it is wrong."""
        serial, code = (str(call.parameters.get(name) or "") for name in ("SerialNumber", "TokenCode"))
        if not serial and not code:
            return {}
        if not self._identities.shows(caller.principal.arn, serial, code):
            message = "MultiFactorAuthentication failed with invalid MFA one time pass code."
            raise SignatureError("AccessDenied", message)
        return {PRESENT: "true"}

    def _boundary(self, call: Call) -> str | None:
        """Give the boundary of the role that a call changes; one in the call itself goes before it."""
        return self._identities.boundary_arn(str(call.parameters.get("RoleName", "")))

    def check_role(self, role_arn: str, requirement: Requirement, session_name: str = "local") -> None:
        """Raise AccessDenied unless a session of the role is allowed one thing."""
        caller = self._identities.role_caller(role_arn, session_name)
        self._check(caller, requirement, self._context(caller), quoted=requirement.action.startswith("s3:"))

    def check_trust(
        self, role_arn: str, *, service: str | None = None, source_arn: str | None = None
    ) -> None:
        """Raise AccessDenied unless the role's trust policy lets an AWS service assume it.

        `service` is the short name, for example sagemaker; `source_arn` is the resource on whose behalf it
        assumes the role (`aws:SourceArn`). Without a service it is enough that one of those that assume roles
        here is trusted, or the account itself.
        """
        names = (service,) if service else _ASSUMING_SERVICES
        asked = [self._by_service(role_arn, name, source_arn) for name in names]
        if service is None:
            root = Principal(arn=f"arn:aws:iam::{self._account}:root", account=self._account)
            asked.append(Access(root, "sts:AssumeRole", role_arn, self._world()))
        decisions = [(access, self._trust(access)) for access in asked]
        if not any(decision.allowed for _, decision in decisions):
            raise AccessDenied(*decisions[0])

    def _by_service(self, role_arn: str, service: str, source_arn: str | None) -> Access:
        source = source_arn or f"arn:aws:{service}:{self._region}:{self._account}:local"
        context = {**self._world(), "aws:SourceAccount": self._account, "aws:SourceArn": source}
        return Access(Principal.of_service(f"{service}.amazonaws.com"), "sts:AssumeRole", role_arn, context)

    def _trust(self, access: Access) -> Decision:
        try:
            return decide(
                access, resource=self._identities.trust_policy(access.resource), resource_must_allow=True
            )
        except PolicyError as error:
            return _unjudged(error)

    def _check(
        self, caller: Caller, requirement: Requirement, context: Mapping[str, str], *, quoted: bool
    ) -> None:
        everything = {**context, **requirement.context}
        access = Access(caller.principal, requirement.action, requirement.resource, everything)
        try:
            decision = self._decide(caller, access)
        except PolicyError as error:
            decision = _unjudged(error)
        if not decision.allowed:
            _LOG.info(
                "denied: %s %s (policy %s, Sid %s)",
                access.action,
                access.resource,
                decision.policy,
                decision.sid,
            )
            raise AccessDenied(access, decision, quoted=quoted)

    def _decide(self, caller: Caller, access: Access) -> Decision:
        assuming = access.action in {"sts:AssumeRole", "sts:TagSession"}
        # A key belongs to whom its policy says, and to nobody else of the account.
        of_a_key = access.action.startswith("kms:") and ":key/" in access.resource
        policies = (
            self._identities.trust_policy(access.resource)
            if assuming
            else self._identities.resource_policies(access.resource)
        )
        return decide(
            access,
            identity=caller.identity,
            resource=policies,
            boundary=caller.boundary,
            session=caller.session,
            resource_must_allow=assuming or (of_a_key and bool(policies)),
        )

    def _context(self, caller: Caller) -> dict[str, str]:
        own = {"aws:PrincipalAccount": caller.principal.account} if caller.principal.account else {}
        return {**self._world(), **own, **dict(caller.context)}

    def _world(self) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "aws:SecureTransport": "true",
            "aws:SourceIp": "127.0.0.1",
            "aws:RequestedRegion": self._region,
            "aws:ResourceAccount": self._account,
            "aws:CurrentTime": now.isoformat(timespec="seconds"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:ViaAWSService": "false",
            "aws:PrincipalIsAWSService": "false",
        }


def _unjudged(error: PolicyError) -> Decision:
    """Refuse what cannot be judged, and say which policy and why."""
    return Decision(False, True, f"policy that the laptop cannot judge: {error}")
