"""Mend what moto's IAM refuses, trust policies without a version and the policies that AWS itself manages,
and one thing that it takes: a permissions boundary that is not there.

moto knows all of the latter, over a thousand, and makes them for every account or for none; here each is made
when somebody first attaches or reads it.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.exceptions import NotFoundException
from moto.iam.models import AWSManagedPolicy, IAMBackend
from moto.iam.policy_validation import IAMTrustPolicyDocumentValidator

_BY_ARN = (
    "attach_role_policy",
    "attach_user_policy",
    "attach_group_policy",
    "get_policy",
    "get_policy_version",
)
"""Operations whose first argument is the ARN of a managed policy."""
_BOUNDING = ("create_role", "put_role_permissions_boundary")
"""Operations that give a role its boundary."""
_MOTOS = {name: getattr(IAMBackend, name) for name in (*_BY_ARN, *_BOUNDING)}


def install() -> None:
    """Put the repairs in."""
    IAMTrustPolicyDocumentValidator._validate_version = lambda _: None
    for name, original in _MOTOS.items():
        repaired = _bounded(original) if name in _BOUNDING else _with_policies_of_aws(original)
        setattr(IAMBackend, name, repaired)


def _with_policies_of_aws(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def operation(backend: IAMBackend, policy_arn: str, *arguments: Any) -> Any:
        _make(backend, policy_arn)
        return original(backend, policy_arn, *arguments)

    return operation


def _bounded(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def operation(*arguments: Any, **named: Any) -> Any:
        given = signature.bind(*arguments, **named).arguments
        backend, arn = given["self"], given.get("permissions_boundary")
        if arn:
            _make(backend, arn)
            if arn not in backend.managed_policies:
                raise NotFoundException(f"Scope ARN: {arn} does not exist or is not attachable.")
        return original(*arguments, **named)

    return operation


def _make(backend: IAMBackend, arn: str) -> None:
    """Make the policy that AWS manages under this ARN; do nothing when it manages none."""
    data = _policies().get(arn.rpartition("/")[2])
    if data is None or arn in backend.managed_policies:
        return
    policy = AWSManagedPolicy.from_data(arn.rpartition("/")[2], backend.account_id, backend.region_name, data)
    if policy.arn == arn:
        backend.managed_policies[arn] = policy


@functools.cache
def _policies() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(aws_managed_policies_data)
    return found
