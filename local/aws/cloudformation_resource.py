"""What the laptop's CloudFormation asks of each resource type, and the check that a template asks no more.

A type lists every property it applies, down to the leaves. A property that is not listed is refused before
anything is made; a listed one is read back after it was applied and compared with what the template asked.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local.aws.cloudformation_template import RESOURCE_KEYS, Made, intrinsic, references

Clients = Callable[[str], Any]
"""Gives the boto3 client of a service, under the identity that deploys."""
Properties = dict[str, Any]

ANY: None = None
"""A property whose value is applied whole, whatever is in it (a policy document, a text, a number)."""
Shape = Mapping[str, Any]
"""Property -> ANY, a Shape, or [Shape] for a list of them."""

TAGS: list[Shape] = [{"Key": ANY, "Value": ANY}]


@dataclass(frozen=True)
class Target:
    """The resource that a type is to work on, and the clients to do it with."""

    aws: Clients
    id: str
    """The physical id; while it is being created, the name that it is to have."""
    properties: Properties
    before: Properties = field(default_factory=dict)
    """The properties that it holds now; {} for one that was just created."""


class Unsupported(Exception):  # noqa: N818 - what is wrong with a template, not with the program
    """A resolved value that the laptop cannot apply; the message says what to write instead."""


class ResourceType:
    """One CloudFormation resource type, applied through the public API of its service."""

    type: ClassVar[str]
    shape: ClassVar[Shape | None]
    """The properties that it applies; ANY when they are somebody else's business."""
    required: ClassVar[frozenset[str]] = frozenset()
    create_only: ClassVar[frozenset[str]] = frozenset()
    """Properties whose change makes a new resource in place of the old one."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What a property is when the template does not name it; None = not set."""
    name_property: ClassVar[str] = ""
    attributes: ClassVar[frozenset[str]] = frozenset()

    def create(self, target: Target) -> str:
        """Make the bare resource and give its physical id; `apply` follows and settles the properties."""
        raise NotImplementedError

    def find(self, target: Target) -> str | None:
        """Give the physical id of a resource that has the target's name already; most types do not look."""
        del target
        return None

    def apply(self, target: Target) -> None:
        """Settle the properties of a resource that holds `before`."""

    def delete(self, target: Target) -> None:
        """Remove the resource."""
        raise NotImplementedError

    def read(self, target: Target) -> Properties:
        """Read the resource back as CloudFormation properties."""
        raise NotImplementedError

    def describe(self, target: Target) -> dict[str, str]:
        """Give the attributes that Fn::GetAtt may ask for; most types have none."""
        del target
        return {}

    def complete(self, properties: Properties) -> Properties:
        """Add the defaults of what the template does not name."""
        return {**self.defaults, **properties}


@dataclass
class Resource(Made):
    """A resource of the stack: moto's answers read the names in the second half."""

    logical_resource_id: str = ""
    cf_resource_type: str = ""
    properties: Properties = field(default_factory=dict)
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"

    @property
    def physical_resource_id(self) -> str:
        """The physical id, under the name that moto's answers use."""
        return self.physical_id


def refusals(
    template: Mapping[str, Any],
    types: Mapping[str, ResourceType],
    active: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> list[str]:
    """List everything in the template that the laptop does not implement, one sentence each.

    A resource that is not `active`, because its condition does not hold, is not made and may be anything.
    """
    known = {*template["Resources"], *template.get("Parameters", {})}
    return [
        sentence
        for name, resource in template["Resources"].items()
        if active(resource)
        for sentence in _refused(name, resource, types, known)
    ]


def _refused(
    name: str, resource: Mapping[str, Any], types: Mapping[str, ResourceType], known: set[str]
) -> Iterator[str]:
    kind = resource.get("Type", "")
    if kind not in types:
        near = difflib.get_close_matches(kind, types, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        yield (
            f"{name}: the laptop does not implement the resource type {kind}.{hint} "
            "Add it to local/aws/cloudformation_*.py or take it out of the template."
        )
        return
    for key in sorted(set(resource) - RESOURCE_KEYS):
        yield f"{name} ({kind}): the laptop does not implement the resource attribute {key}."
    properties = resource.get("Properties", {})
    for path, near_names in _unknown(properties, types[kind].shape, ""):
        near = difflib.get_close_matches(path.rpartition(".")[2], near_names, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        yield (
            f"{name} ({kind}): the laptop does not implement the property {path}.{hint} "
            f"Known here: {', '.join(sorted(near_names))}. "
            f"Take it out, or teach {type(types[kind]).__module__} to apply it."
        )
    for missing in sorted(types[kind].required - set(properties)):
        yield f"{name} ({kind}): Property {missing} is required."
    for reference in sorted(set(references(properties))):
        if reference not in known and not reference.startswith("AWS::"):
            yield f"{name} ({kind}): unresolved reference to {reference}."


def _unknown(value: Any, shape: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    if shape is ANY:
        return
    function = intrinsic(value)
    if function == "Fn::If":
        for branch in value[function][1:]:
            yield from _unknown(branch, shape, path)
    elif function is not None:
        return
    elif isinstance(shape, list):
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from _unknown(item, shape[0], f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            if key not in shape:
                yield inner, list(shape)
            else:
                yield from _unknown(item, shape[key], inner)


def differences(asked: Any, held: Any, path: str = "") -> list[str]:
    """List where `held` (read back) is not what was `asked`; lists are compared without their order."""
    if isinstance(asked, dict) and isinstance(held, dict):
        return [
            line
            for key, value in asked.items()
            for line in differences(value, held.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(asked, list) and isinstance(held, list) and _same_items(asked, held):
        return []
    if asked in (None, [], {}) and held in (None, [], {}, ""):
        return []
    if not isinstance(asked, dict | list) and _plain(asked) == _plain(held):
        return []
    return [f"{path}: asked for {_short(asked)}, it holds {_short(held)}"]


def _same_items(asked: list[Any], held: list[Any]) -> bool:
    left = list(held)
    for item in asked:
        match = next((other for other in left if not differences(item, other)), _plain)
        if match is _plain:
            return False
        left.remove(match)
    return not left


def _plain(value: Any) -> str:
    """Spell a scalar as CloudFormation compares it: true = "true", 1 = 1.0 = "1"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 300 else text[:297] + "..."


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Turn CloudFormation's list of tags into a mapping."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Turn a mapping of tags into CloudFormation's list."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_changes(
    before: list[dict[str, str]] | None, wanted: list[dict[str, str]] | None
) -> tuple[list[str], dict[str, str]]:
    """Give the keys to take away and the tags to set."""
    new = tag_map(wanted)
    return sorted(set(tag_map(before)) - set(new)), new
