"""Read IAM policy documents into statements that can be asked whether they apply to a request.

Everything that is malformed or not implemented raises `PolicyError` here, before anything is judged.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from local.aws.iam_conditions import Condition, Context, PolicyError, parse_conditions, wildcard

PolicyKind = Literal["identity", "resource", "trust"]
_ELEMENTS = {
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Principal",
    "NotPrincipal",
    "Condition",
}
Naming = Literal["", "account", "role", "direct"]
"""How a statement names a principal: not at all, through its account, by its session's role, or itself."""
_VARIABLE = re.compile(r"\$\{([^*?$}][^}]*)\}")


@dataclass(frozen=True)
class Principal:
    """Who makes a request: a user, a session of a role, a service, or nobody in particular (an empty ARN)."""

    arn: str
    account: str = ""
    role_arn: str | None = None
    service: str | None = None

    @classmethod
    def of_service(cls, service: str) -> Principal:
        """Name an AWS service, for example `sagemaker.amazonaws.com`."""
        return cls(arn=service, service=service)

    @classmethod
    def anonymous(cls) -> Principal:
        """Name the sender of an unsigned request."""
        return cls(arn="")


@dataclass(frozen=True)
class Access:
    """One question to IAM: may `principal` do `action` on `resource`, given the condition context?"""

    principal: Principal
    action: str
    """For example s3:GetObject."""
    resource: str
    """An ARN, or `*` for an action without resources."""
    context: Context = field(default_factory=dict)

    def __post_init__(self) -> None:
        lowered = {key.lower(): value for key, value in self.context.items()}
        object.__setattr__(self, "context", lowered)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, parsed and checked."""

    sid: str | None
    effect: str
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...]
    not_resource: bool
    principals: Mapping[str, tuple[str, ...]] | None
    not_principal: bool
    conditions: tuple[Condition, ...]
    variables: bool
    """Whether `${...}` in resources and condition values is a policy variable (version 2012-10-17)."""

    def applies(self, access: Access) -> bool:
        """Tell whether action, resource and conditions match; whom the statement names is not asked here."""
        resolve = self._resolver(access.context)
        return (
            any(wildcard(action, True).fullmatch(access.action) for action in self.actions) != self.not_action
            and self._covers(access.resource, resolve)
            and all(condition.holds(access.context, resolve) for condition in self.conditions)
        )

    def names(self, principal: Principal) -> Naming:
        """Tell how a resource-based policy's statement names `principal`."""
        if self.principals is None:
            return "direct"
        if self.not_principal:
            return "" if _named(self.principals, principal) in ("role", "direct") else "direct"
        return _named(self.principals, principal)

    def _covers(self, resource: str, resolve: Callable[[str], str | None]) -> bool:
        patterns = (resolve(pattern) for pattern in self.resources)
        matches = any(wildcard(pattern).fullmatch(resource) for pattern in patterns if pattern is not None)
        return matches != self.not_resource

    def _resolver(self, context: Context) -> Callable[[str], str | None]:
        return functools.partial(_fill, context=context) if self.variables else lambda text: text


@dataclass(frozen=True)
class Policy:
    """A parsed policy document with the name it is known by."""

    name: str
    statements: tuple[Statement, ...]


def parse_policy(document: str | Mapping[str, object], *, kind: PolicyKind, name: str = "") -> Policy:
    """Read a policy document; raises PolicyError for anything that is malformed or not implemented."""
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        return Policy(name, _statements(text, kind))
    except PolicyError as error:
        raise PolicyError(f"policy {name or '(unnamed)'}: {error}") from None


@functools.lru_cache(maxsize=2048)
def _statements(text: str, kind: PolicyKind) -> tuple[Statement, ...]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PolicyError(f"is not JSON: {error}") from None
    if not isinstance(document, dict) or "Statement" not in document:
        raise PolicyError("needs an object with a Statement")
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    variables = document.get("Version") == "2012-10-17"
    return tuple(_statement(item, kind, variables) for item in listed)


def _statement(item: object, kind: PolicyKind, variables: bool) -> Statement:
    if not isinstance(item, dict):
        raise PolicyError(f"a statement must be an object, got {item!r}")
    where = f"statement {item.get('Sid', '(without Sid)')}"
    try:
        _check_elements(item, kind)
        return Statement(
            sid=item.get("Sid"),
            effect=item["Effect"],
            actions=_texts(item, "Action"),
            not_action="NotAction" in item,
            resources=_texts(item, "Resource") if kind != "trust" else ("*",),
            not_resource="NotResource" in item,
            principals=None if kind == "identity" else _principals(item),
            not_principal="NotPrincipal" in item,
            conditions=parse_conditions(item.get("Condition", {})),
            variables=variables,
        )
    except PolicyError as error:
        raise PolicyError(f"{where}: {error}") from None


def _check_elements(item: Mapping[str, object], kind: PolicyKind) -> None:
    unknown = set(item) - _ELEMENTS
    if unknown:
        raise PolicyError(
            f"unknown element {', '.join(sorted(unknown))}; known are {', '.join(sorted(_ELEMENTS))}"
        )
    if item.get("Effect") not in {"Allow", "Deny"}:
        raise PolicyError(f"Effect must be Allow or Deny, got {item.get('Effect')!r}")
    wanted = {"Action": True, "Resource": kind != "trust", "Principal": kind != "identity"}
    for element, needed in wanted.items():
        count = (element in item) + (f"Not{element}" in item)
        if count != needed:
            raise PolicyError(f"needs {'one' if needed else 'none'} of {element} and Not{element}")
    if "NotPrincipal" in item and item["Effect"] == "Allow":
        raise PolicyError("NotPrincipal is not supported with Effect Allow")


def _texts(item: Mapping[str, object], element: str) -> tuple[str, ...]:
    value = item.get(element, item.get(f"Not{element}"))
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(text, str) for text in values):
        raise PolicyError(f"{element} must be a text or a list of texts, got {value!r}")
    return tuple(values)


def _principals(item: Mapping[str, object]) -> Mapping[str, tuple[str, ...]]:
    value = item.get("Principal", item.get("NotPrincipal"))
    if value == "*":
        return {"*": ("*",)}
    if not isinstance(value, dict) or not value:
        raise PolicyError(f"Principal must be '*' or an object, got {value!r}")
    unknown = set(value) - {"AWS", "Service", "Federated", "CanonicalUser"}
    if unknown:
        raise PolicyError(f"unknown principal type {', '.join(sorted(unknown))}; known are AWS, Service")
    return {kind: _texts(value, kind) for kind in value}


def _named(principals: Mapping[str, tuple[str, ...]], principal: Principal) -> Naming:
    if "*" in principals:
        return "direct"
    if principal.service is not None:
        return "direct" if principal.service in principals.get("Service", ()) else ""
    names = principals.get("AWS", ())
    if principal.role_arn is not None and principal.role_arn in names and "*" not in names:
        return "direct" if principal.arn in names and principal.arn != principal.role_arn else "role"
    if "*" in names or (principal.arn and principal.arn in names):
        return "direct"
    account = principal.account
    if account and (account in names or _root(account) in names):
        return "direct" if principal.arn == _root(account) else "account"
    return ""


def _root(account: str) -> str:
    return f"arn:aws:iam::{account}:root"


def _fill(text: str, *, context: Context) -> str | None:
    """Replace the policy variables of a text, None when the request lacks one that has no default."""
    missing = False

    def replace(match: re.Match[str]) -> str:
        nonlocal missing
        key, _, default = match.group(1).partition(",")
        value = context.get(key.strip().lower())
        if isinstance(value, str):
            # A variable's value is plain text even where the policy could hold a pattern.
            return re.sub(r"([*?$])", r"${\1}", value)
        missing = missing or not default
        return default.strip().strip("'")

    filled = _VARIABLE.sub(replace, text) if "${" in text else text
    return None if missing else filled
