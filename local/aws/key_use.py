"""Whether a key can be used, and what its policy lets an AWS service do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.kms.models import kms_backends

from local.aws.iam import Access, Principal, decide, parse_policy

_SECURE = {"aws:SecureTransport": "true"}


class UnusableKeyError(Exception):
    """A key that is not there, is switched off, or whose policy does not let the service."""


def find_key(key_id: str, account: str, region: str) -> Any:
    """Give moto's key of an id, an ARN or an alias; None when there is no such key here."""
    backend = kms_backends[account][region]
    try:
        return backend.keys.get(backend.any_id_to_key_id(key_id))
    except (AttributeError, KeyError):
        # moto looks for the key of an alias that nobody has.
        return None


def check_service(
    key_id: str,
    service: str,
    actions: Sequence[str],
    *,
    account: str,
    region: str,
    context: Mapping[str, str] | None = None,
) -> None:
    """Raise UnusableKeyError unless the key is enabled and its own policy lets the service use it."""
    key = find_key(key_id, account, region)
    if key is None or key.key_state != "Enabled":
        raise UnusableKeyError(f"the key {key_id} cannot be used")
    policy = parse_policy(key.policy, kind="resource", name=f"policy of the key {key_id}")
    for action in actions:
        access = Access(Principal.of_service(service), action, key.arn, {**_SECURE, **(context or {})})
        if not decide(access, resource=[policy], resource_must_allow=True).allowed:
            raise UnusableKeyError(f"the policy of the key {key_id} does not let {service} do {action}")
