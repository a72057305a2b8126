"""A CloudFormation template as a document: parameters, conditions, intrinsic functions, order.

Nothing here calls AWS. What a resource is called and which attributes it has is asked of a `Scope`'s `made`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from moto.cloudformation.models import Stack

SECTIONS = frozenset({"AWSTemplateFormatVersion", "Conditions", "Description", "Mappings", "Metadata"}) | {
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
}
RESOURCE_KEYS = frozenset(
    {"Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata"}
)
_NO_VALUE = object()
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(Exception):
    """A template that cannot be used, with every reason, one a line."""


@dataclass
class Made:
    """A resource that exists: the physical id that `Ref` gives and the attributes that `Fn::GetAtt` gives."""

    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> dict[str, Any]:
    """Read a JSON or YAML template; raise `TemplateError` when it is neither or has an unknown section."""
    try:
        template = Stack.parse_template(text)
    except ValueError as error:
        raise TemplateError(f"Template format error: neither JSON nor YAML ({error})") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    for section in sorted(set(template) - SECTIONS):
        raise TemplateError(
            f"the laptop's CloudFormation does not implement the section {section}; "
            f"known: {', '.join(sorted(SECTIONS))}"
        )
    # CDK's own rule compares the bootstrap stack's version; the laptop needs no bootstrap stack.
    for rule in sorted(set(template.get("Rules", {})) - {"CheckBootstrapVersion"}):
        raise TemplateError(f"the laptop's CloudFormation does not evaluate Rules/{rule}: take it out")
    return template


def resolve_parameters(
    template: Mapping[str, Any], given: Mapping[str, str], from_ssm: Callable[[str], str]
) -> dict[str, Any]:
    """Give each declared parameter its value; raise `TemplateError` for a missing, unknown or illegal one."""
    declared: dict[str, dict[str, Any]] = template.get("Parameters", {})
    if unknown := sorted(set(given) - set(declared)):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values: dict[str, Any] = {}
    for name, declaration in declared.items():
        value = given.get(name, declaration.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        values[name] = _parameter(name, declaration, value, from_ssm)
    return values


def _parameter(name: str, declaration: Mapping[str, Any], value: Any, from_ssm: Callable[[str], str]) -> Any:
    allowed = declaration.get("AllowedValues")
    if allowed is not None and value not in allowed:
        raise TemplateError(f"Parameter {name} must be one of {allowed}, not {value!r}")
    kind = declaration.get("Type", "String")
    if kind.startswith("AWS::SSM::Parameter::Value<"):
        return from_ssm(str(value))
    if kind == "CommaDelimitedList":
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if kind == "Number":
        return _number(name, value)
    if kind != "String":
        raise TemplateError(f"Parameter {name}: the laptop does not implement the type {kind}")
    return value


def _number(name: str, value: Any) -> int | float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TemplateError(f"Parameter {name} must be a number, not {value!r}") from error
    return int(number) if number.is_integer() else number


class Scope:
    """Resolves intrinsic functions against parameters, pseudo parameters and the resources made so far."""

    def __init__(
        self,
        template: Mapping[str, Any],
        values: Mapping[str, Any],
        made: Mapping[str, Made],
    ) -> None:
        """Take parameters and pseudo parameters as `values`; `made` may grow while the scope is used."""
        self._template = template
        self._values = {"AWS::NoValue": _NO_VALUE, **values}
        self._made = made
        self._conditions: dict[str, bool] = {}

    def resolve(self, value: Any) -> Any:
        """Replace every intrinsic function in `value`; raise `TemplateError` for an unknown one."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if (name := intrinsic(value)) is None:
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not _NO_VALUE}
        function = _FUNCTIONS.get(name)
        if function is None:
            raise TemplateError(f"{name} is not implemented on the laptop; known: {', '.join(_FUNCTIONS)}")
        return function(self, value[name])

    def holds(self, condition: str) -> bool:
        """Evaluate a named condition."""
        if condition not in self._conditions:
            try:
                expression = self._template["Conditions"][condition]
            except KeyError as error:
                raise TemplateError(f"unresolved condition dependency {condition}") from error
            self._conditions[condition] = self._truth(expression)
        return self._conditions[condition]

    def active(self, resource: Mapping[str, Any]) -> bool:
        """Tell whether a resource's or output's condition holds."""
        return "Condition" not in resource or self.holds(resource["Condition"])

    def _truth(self, expression: Any) -> bool:
        (name, operands) = next(iter(expression.items()))
        if name == "Condition":
            return self.holds(operands)
        if name == "Fn::Equals":
            left, right = (_text(self.resolve(operand)) for operand in operands)
            return left == right
        truths = map(self._truth, operands)
        combine: Mapping[str, Callable[[Iterator[bool]], bool]] = {
            "Fn::And": all,
            "Fn::Or": any,
            "Fn::Not": lambda only: not next(only),
        }
        if name not in combine:
            raise TemplateError(
                f"{name} is no condition function; known: Condition, Fn::Equals, {list(combine)}"
            )
        return combine[name](truths)

    def _ref(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._made:
            return self._made[name].physical_id
        raise TemplateError(f"Unresolved resource dependencies [{name}]")

    def _get_att(self, operands: Any) -> str:
        name, _, attribute = (
            operands.partition(".") if isinstance(operands, str) else (operands[0], "", operands[1])
        )
        if name not in self._made:
            raise TemplateError(f"Fn::GetAtt references undefined resource {name}")
        attributes = self._made[name].attributes
        if attribute not in attributes:
            raise TemplateError(
                f"Fn::GetAtt {name}.{attribute}: no such attribute on the laptop; known: {sorted(attributes)}"
            )
        return attributes[attribute]

    def _sub(self, operands: Any) -> str:
        text, extra = (operands, {}) if isinstance(operands, str) else operands
        local = {key: self.resolve(value) for key, value in extra.items()}

        def replace(match: re.Match[str]) -> str:
            literal, name = match.group(1), match.group(2).strip()
            if literal:
                return "${" + name + "}"
            if name in local:
                return _text(local[name])
            return _text(self._get_att(name) if "." in name else self._ref(name))

        return _SUBSTITUTION.sub(replace, text)

    def _join(self, operands: Any) -> str:
        return str(operands[0]).join(_text(item) for item in self.resolve(operands[1]))

    def _split(self, operands: Any) -> list[str]:
        return _text(self.resolve(operands[1])).split(operands[0])

    def _select(self, operands: Any) -> Any:
        items, index = self.resolve(operands[1]), int(self.resolve(operands[0]))
        if not 0 <= index < len(items):
            raise TemplateError(f"Fn::Select cannot select value at index {index} of {len(items)}")
        return items[index]

    def _get_azs(self, region: Any) -> list[str]:
        # As many zones as the smallest regions have for everybody.
        return [f"{self.resolve(region) or self._values['AWS::Region']}{zone}" for zone in "abc"]

    def _if(self, operands: Any) -> Any:
        return self.resolve(operands[1] if self.holds(operands[0]) else operands[2])

    def _find_in_map(self, operands: Any) -> Any:
        try:
            return self._template["Mappings"][operands[0]][self.resolve(operands[1])][
                self.resolve(operands[2])
            ]
        except KeyError as error:
            raise TemplateError(f"Fn::FindInMap {operands}: no entry {error}") from error

    def _base64(self, operand: Any) -> str:
        return base64.b64encode(_text(self.resolve(operand)).encode()).decode()

    def _to_json(self, operand: Any) -> str:
        return json.dumps(self.resolve(operand), separators=(",", ":"))


_FUNCTIONS: Mapping[str, Callable[[Scope, Any], Any]] = {
    "Ref": Scope._ref,
    "Fn::GetAtt": Scope._get_att,
    "Fn::Sub": Scope._sub,
    "Fn::Join": Scope._join,
    "Fn::Split": Scope._split,
    "Fn::Select": Scope._select,
    "Fn::GetAZs": Scope._get_azs,
    "Fn::If": Scope._if,
    "Fn::FindInMap": Scope._find_in_map,
    "Fn::Base64": Scope._base64,
    "Fn::ToJsonString": Scope._to_json,
}


def intrinsic(value: Any) -> str | None:
    """Name the intrinsic function that `value` is, or None for plain data."""
    if isinstance(value, dict) and len(value) == 1:
        name: str = next(iter(value))
        if name == "Ref" or name.startswith("Fn::"):
            return name
    return None


def references(value: Any) -> Iterator[str]:
    """Yield each name that `value` refers to by Ref, Fn::GetAtt or Fn::Sub, parameters included."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    if not isinstance(value, dict):
        return
    name = intrinsic(value)
    operand: Any = value[name] if name else None
    if name == "Ref":
        yield str(operand)
    elif name == "Fn::GetAtt":
        yield operand.partition(".")[0] if isinstance(operand, str) else str(operand[0])
    elif name == "Fn::Sub":
        yield from _substituted(operand)
    else:
        for item in value.values():
            yield from references(item)


def _substituted(operand: Any) -> Iterator[str]:
    text, extra = (operand, {}) if isinstance(operand, str) else operand
    for literal, name in _SUBSTITUTION.findall(text):
        if not literal and name.strip() not in extra:
            yield name.strip().partition(".")[0]
    yield from references(extra)


def needed_by(resource: Mapping[str, Any]) -> set[str]:
    """Name what a resource refers to or says that it depends on."""
    explicit = resource.get("DependsOn", [])
    return {
        *references(resource.get("Properties", {})),
        *([explicit] if isinstance(explicit, str) else explicit),
    }


def creation_order(resources: Mapping[str, Any]) -> list[str]:
    """Sort resources so that each comes after what it refers to; raise `TemplateError` for a circle."""
    graph = {name: sorted(needed_by(resource) & set(resources)) for name, resource in resources.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise TemplateError(f"Circular dependency between resources: {error.args[1]}") from error


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        raise TemplateError(f"a text was expected, not {json.dumps(value)[:80]}")
    return str(value)
