"""Whether a key can be used, and what its policy lets an AWS service do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.kms.models import kms_backends

from local.aws.iam import Access, Principal, decide, parse_policy

_SECURE = {"aws:SecureTransport": "true"}


_STATES = {
    "Disabled": ("KMS.DisabledException", "is disabled"),
    "PendingDeletion": ("KMS.KMSInvalidStateException", "is pending deletion"),
}
"""How S3 and SQS answer for a key in one of these states."""


class UnusableKeyError(Exception):
    """A key that is not there, is switched off, or whose policy does not let the service."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
        """Of the error that a request with such a key is answered with."""


def find_key(key_id: str, account: str, region: str) -> Any:
    """Give moto's key of an id, an ARN or an alias; None when there is no such key here."""
    backend = kms_backends[account][region]
    if key_id.startswith("arn:") and key_id.split(":")[3:5] != [region, account]:
        return None
    try:
        return backend.keys.get(backend.any_id_to_key_id(key_id))
    except AttributeError:
        # moto looks for the key of an alias that nobody has.
        return None


def check_state(key: Any, key_id: str) -> None:
    """Raise UnusableKeyError unless the key that `key_id` means is there and enabled."""
    if key is None:
        raise UnusableKeyError(f"the key {key_id} cannot be used: it does not exist", "KMS.NotFoundException")
    if key.key_state != "Enabled":
        code, what = _STATES.get(key.key_state, ("KMS.KMSInvalidStateException", f"is {key.key_state}"))
        raise UnusableKeyError(f"the key {key.arn} cannot be used: it {what}", code)


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
    check_state(key, key_id)
    policy = parse_policy(key.policy, kind="resource", name=f"policy of the key {key_id}")
    for action in actions:
        access = Access(Principal.of_service(service), action, key.arn, {**_SECURE, **(context or {})})
        if not decide(access, resource=[policy], resource_must_allow=True).allowed:
            raise UnusableKeyError(f"the policy of the key {key_id} does not let {service} do {action}")
