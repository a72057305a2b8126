"""The policies of a deployed role, less a statement for a while."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def statements(iam: Any, role: str) -> list[dict[str, Any]]:
    """Return the statements of the one policy that a role has."""
    held: list[dict[str, Any]] = _policy(iam, role)["PolicyDocument"]["Statement"]
    return held


@contextmanager
def without(iam: Any, role: str, sid: str) -> Iterator[None]:
    """Take a statement out of a role, and put it back in the end."""
    held = _policy(iam, role)
    document = held["PolicyDocument"]
    left = [each for each in document["Statement"] if each["Sid"] != sid]
    assert len(left) == len(document["Statement"]) - 1
    try:
        _put(iam, held, {**document, "Statement": left})
        yield
    finally:
        _put(iam, held, document)


def _policy(iam: Any, role: str) -> Any:
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return iam.get_role_policy(RoleName=role, PolicyName=name)


def _put(iam: Any, held: Any, document: dict[str, Any]) -> None:
    iam.put_role_policy(
        RoleName=held["RoleName"], PolicyName=held["PolicyName"], PolicyDocument=json.dumps(document)
    )
