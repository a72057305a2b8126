"""The most that each role of a project can ever do, whatever its own policy says.

It is what the role is allowed in the template, for every project at once, so that whoever may make projects
cannot make a role that is stronger than a project's. What is allowed under the same conditions is joined to
one statement, without its Sid: IAM has room for 6,144 characters, and an action knows the ARNs of its service
alone.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.config import ConfigError
from infra.names import STUDIO_PROJECTS
from infra.studio.studio_names import OWN_STACK, PROJECT, STACKS, StudioNames

MAX_CHARACTERS = 6144
"""What IAM takes in a managed policy, blanks apart."""
_LONGEST = {
    "${AWS::Partition}": "aws-us-gov",
    "${AWS::AccountId}": "123456789012",
    "${AWS::Region}": "ap-southeast-1",
}
"""What the longest document is filled in with."""

Statement = dict[str, Any]


def bind(template: Mapping[str, Any], names: StudioNames) -> dict[str, dict[str, Any]]:
    """Bind every role of a project's template; return the policy documents by what the roles are for.

    Raises `ConfigError` when IAM has no room for one of them.
    """
    documents = {}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            role = resource["Properties"]
            name = _text(role["RoleName"])
            kind = name.removeprefix(f"{PROJECT.project}-").removesuffix("-${AWS::Region}")
            documents[kind] = _boundary(kind, role)
            role["PermissionsBoundary"] = {"Fn::Sub": names.boundary_arn(kind)}
    return documents


def _boundary(kind: str, role: Mapping[str, Any]) -> dict[str, Any]:
    statements = [_brief(each) for each in _joined(_allowed(role))]
    size = _size(statements)
    if size > MAX_CHARACTERS:
        raise ConfigError(
            f"context studio_template: the boundary of a project's role {kind} has {size:,} characters, and "
            f"IAM has room for {MAX_CHARACTERS:,}: shorten subnet_ids, or processing_instance_types or "
            "training_instance_types in deployment_policy.json"
        )
    return {"Version": "2012-10-17", "Statement": statements}


def resources(document: Mapping[str, Any]) -> list[str]:
    """Return every resource of a boundary, as Fn::Sub takes it."""
    return [
        _text(resource) for statement in document["Statement"] for resource in _list(statement["Resource"])
    ]


def _allowed(role: Mapping[str, Any]) -> Iterator[Statement]:
    """Yield what a role is allowed, with every project's id in the place of one's."""
    text = json.dumps(
        [
            statement
            for policy in role["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Allow"
        ]
    )
    yield from json.loads(text.replace(PROJECT.project, STUDIO_PROJECTS.project).replace(OWN_STACK, STACKS))


def _brief(statement: Statement) -> Statement:
    """Write a list of one as IAM takes it without brackets, which count."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in statement.items()
    }


def _joined(statements: Iterator[Statement]) -> Iterator[Statement]:
    found: dict[tuple[str, bool], tuple[list[str], list[Any]]] = {}
    for statement in statements:
        actions, resources = _list(statement["Action"]), _list(statement["Resource"])
        conditions = json.dumps(statement.get("Condition", {}), sort_keys=True)
        # What can only be allowed on everything must not take the rest with it.
        joined = found.setdefault((conditions, "*" in resources), ([], []))
        joined[0].extend(actions)
        joined[1].extend(resources)
    for (conditions, _), (actions, resources) in found.items():
        statement = {"Effect": "Allow", "Action": sorted(set(actions)), "Resource": _widest(resources)}
        yield statement | ({"Condition": json.loads(conditions)} if conditions != "{}" else {})


def _widest(resources: Sequence[Any]) -> list[Any]:
    """Leave out what another resource of the list matches already."""
    each = sorted({_text(resource) for resource in resources})
    widest = [
        one for one in each if not any(one != other and fnmatch.fnmatchcase(one, other) for other in each)
    ]
    return [{"Fn::Sub": one} if "${" in one else one for one in widest]


def _text(value: Any) -> str:
    """Write an ARN as Fn::Sub takes it; a reference into the template would mean nothing outside of it."""
    match value:
        case str():
            return value
        case {"Fn::Sub": str(text)}:
            return text
        case {"Ref": str(name)} if name.startswith("AWS::"):
            return f"${{{name}}}"
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(_text(part) for part in parts)
    raise ConfigError(
        f"context studio_template: a role's policy refers to {value}; name it, as infra/names.py does"
    )


def _size(statements: Sequence[Statement]) -> int:
    """Count the characters of the longest form that CloudFormation may fill the statements in to."""
    spelled = json.dumps(
        [_brief({**each, "Resource": list(map(_text, _list(each["Resource"])))}) for each in statements],
        separators=(",", ":"),
    )
    for token, longest in _LONGEST.items():
        spelled = spelled.replace(token, longest)
    return len(spelled)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
