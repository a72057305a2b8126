"""Who calls, and with which policies: users, role sessions and resource policies as moto stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.sts.models import sts_backends

from local.aws import second_factor
from local.aws.iam import Policy, Principal, parse_policy
from local.aws.key_use import find_key
from local.aws.signature import Credentials

_PARTITION = "aws"
ADMINISTRATOR = "administrator"
"""The user that whoever runs the laptop's AWS is; counts as logged in with a second factor."""


@dataclass(frozen=True)
class Caller:
    """A principal with all policies that limit or allow what it does."""

    principal: Principal
    identity: tuple[Policy, ...] = ()
    boundary: tuple[Policy, ...] = ()
    session: tuple[Policy, ...] = ()
    context: tuple[tuple[str, str], ...] = ()
    """Condition keys about the principal itself."""


class Identities:
    """The users, roles and resource policies of one account."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    @property
    def _iam(self) -> Any:
        return iam_backends[self._account][_PARTITION]

    @property
    def _sts(self) -> Any:
        return sts_backends[self._account][_PARTITION]

    def credentials(self, access_key_id: str) -> Credentials | None:
        """Give what a signature by this key is checked against; None for a key that does not exist."""
        session = self._sts.get_assumed_role_from_access_key(access_key_id)
        if session is not None:
            expiration = session.expiration.replace(tzinfo=UTC)
            return Credentials(session.secret_access_key, session.session_token, expiration)
        key = self._iam.access_keys.get(access_key_id)
        if key is None or key.user_name is None or key.status != "Active":
            return None
        return Credentials(key.secret_access_key)

    def caller(self, access_key_id: str) -> Caller:
        """Name the user or the role session behind an access key whose signature was right."""
        session = self._sts.get_assumed_role_from_access_key(access_key_id)
        if session is not None:
            return self._session(session)
        return self._user(self._iam.users[self._iam.access_keys[access_key_id].user_name])

    def role_caller(self, role_arn: str, session_name: str) -> Caller:
        """Name a session of a role that a service would hold, without opening one."""
        name = role_arn.rpartition("/")[2]
        arn = f"arn:aws:sts::{self._account}:assumed-role/{name}/{session_name}"
        return self._with_role(role_arn, arn, ())

    def open_session(self, role_arn: str, session_name: str, seconds: int) -> Any:
        """Make temporary credentials of a role; who may do so is the caller's question."""
        return self._sts.assume_role(self._region, session_name, role_arn, "", seconds, "")

    def trust_policy(self, role_arn: str) -> tuple[Policy, ...]:
        """Give the trust policy of a role, nothing when there is no such role."""
        role = self._role(role_arn)
        if role is None:
            return ()
        return (
            parse_policy(role.assume_role_policy_document, kind="trust", name=f"trust policy of {role.name}"),
        )

    def resource_policies(self, resource: str) -> tuple[Policy, ...]:
        """Give the policy of the bucket, queue, topic or key that an ARN belongs to."""
        _, _, service, _, _, rest = resource.split(":", 5) if resource.count(":") >= 5 else [""] * 6
        document = None
        if service == "s3":
            name = rest.partition("/")[0]
            bucket = s3_backends[self._account][_PARTITION].buckets.get(name)
            document = bucket.policy.decode() if bucket is not None and bucket.policy else None
        elif service == "sqs":
            name = rest
            queue = sqs_backends[self._account][self._region].queues.get(name)
            document = queue.policy if queue is not None else None
        elif service == "sns":
            name = rest
            topic = sns_backends[self._account][self._region].topics.get(resource)
            document = topic.policy if topic is not None else None
        elif service == "kms":
            name = rest
            key = find_key(resource, self._account, self._region)
            document = key.policy if key is not None else None
        return (parse_policy(document, kind="resource", name=f"policy of {name}"),) if document else ()

    def shows(self, user_arn: str, serial: str, code: str) -> bool:
        """Tell whether the MFA device `serial` is the user's and shows this code."""
        return second_factor.shows(self._iam.virtual_mfa_devices, user_arn, serial, code)

    def boundary_arn(self, role_name: str) -> str | None:
        """Give the ARN of the permissions boundary of a role, None without one or without the role."""
        named = (role for role in list(self._iam.roles.values()) if role.name == role_name)
        return next((role.permissions_boundary_arn or None for role in named), None)

    def _role(self, role_arn: str) -> Any:
        return next((role for role in list(self._iam.roles.values()) if role.arn == role_arn), None)

    def _session(self, session: Any) -> Caller:
        policy = (
            (parse_policy(session.policy, kind="identity", name="session policy"),) if session.policy else ()
        )
        return self._with_role(session.role_arn, session.arn, policy)

    def _with_role(self, role_arn: str, session_arn: str, session: tuple[Policy, ...]) -> Caller:
        role = self._role(role_arn)
        principal = Principal(arn=session_arn, account=self._account, role_arn=role_arn)
        if role is None:
            return Caller(principal)
        tags = tuple((f"aws:PrincipalTag/{key}", value) for key, value in _tag_pairs(role.tags))
        kind = ("aws:PrincipalType", "AssumedRole")
        user_id = ("aws:userid", f"{role.id}:{session_arn.rpartition('/')[2]}")
        return Caller(
            principal,
            identity=_policies([role]),
            boundary=self._boundary(role),
            session=session,
            context=(("aws:PrincipalArn", role_arn), kind, user_id, *tags),
        )

    def _boundary(self, role: Any) -> tuple[Policy, ...]:
        arn = role.permissions_boundary_arn
        if not arn:
            return ()
        policy = self._iam.managed_policies.get(arn)
        if policy is None:
            # A boundary that is not there allows nothing.
            return (Policy(arn, ()),)
        return (_managed(policy),)

    def _user(self, user: Any) -> Caller:
        factor = ((second_factor.PRESENT, "true"),) if user.name == ADMINISTRATOR else ()
        groups = [group for group in list(self._iam.groups.values()) if user in group.users]
        return Caller(
            Principal(arn=user.arn, account=self._account),
            identity=_policies([user, *groups]),
            context=(
                ("aws:PrincipalArn", user.arn),
                ("aws:PrincipalType", "User"),
                ("aws:userid", user.id),
                ("aws:username", user.name),
                *factor,
            ),
        )


def _tag_pairs(tags: Any) -> list[tuple[str, str]]:
    items = tags.values() if isinstance(tags, dict) else tags or []
    return [(item["Key"], item["Value"]) for item in items]


def _policies(owners: Sequence[Any]) -> tuple[Policy, ...]:
    """Read the inline and attached policies of a role, or of a user and its groups."""
    found = []
    for owner in owners:
        for name, document in list(owner.policies.items()):
            found.append(parse_policy(document, kind="identity", name=f"{name} of {owner.name}"))
        found.extend(_managed(policy) for policy in list(owner.managed_policies.values()))
    return tuple(found)


def _managed(policy: Any) -> Policy:
    version = next(version for version in policy.versions if version.is_default)
    return parse_policy(version.document, kind="identity", name=policy.arn)
