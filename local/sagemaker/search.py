"""Search: training jobs, pipelines, executions and model packages by their properties.

A property is named as SearchRecord has it: `TrainingJobStatus`, `InputDataConfig.ChannelName`, and by its key
what a map, the tags and the metrics hold: `HyperParameters.epochs`, `Tags.team`, `Metrics.train:loss`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.utils import parse_timestamp

from local.sagemaker.errors import ValidationError
from local.sagemaker.listing import page
from local.sagemaker.requests import Call, service_model

Record = Mapping[str, Any]
Condition = Callable[[Record], bool]

_MOST_CONDITIONS = 50
"""Filters, nested filters and expressions in one request, as AWS counts them."""
_ORDER = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_NUMBERS = ("integer", "long", "float", "double")
_BY_KEY = {"Tags": ("Tags", "Key", "Value"), "Metrics": ("FinalMetricDataList", "MetricName", "Value")}
"""Lists whose entries a property names: the list, the member that has the name, and what is compared."""
_NUMBERS_AS_TEXT = "HyperParameters."
"""Texts of a job that are compared as numbers, if they are some."""


class Search:
    """What Search finds; `resources` returns the records of each type of resource, the oldest first."""

    def __init__(self, resources: Mapping[str, Callable[[], Iterable[Record]]]) -> None:
        self._resources = resources

    def answer(self, call: Call) -> dict[str, Any]:
        """Answer Search."""
        kind = call["Resource"]
        if kind not in self._resources:
            known = ", ".join(self._resources)
            raise ValidationError(
                f"Search: Resource {kind} is not implemented on local AWS, which finds {known}."
            )
        shape = service_model().shape_for("SearchRecord").members[kind]
        wanted = _Conditions(shape, kind).of(call.get("SearchExpression"))
        by = _property(shape, call.get("SortBy", _default_order(shape)), kind)
        visible = _visibility(call.get("VisibilityConditions", []))
        ours = call.get("CrossAccountFilterOption") != "CrossAccount"
        records = [_of_shape(shape, each) for each in self._resources[kind]()] if ours else []
        found = [each for each in records if wanted(each) and visible(each)]
        ordered = _in_order(found, by, descending=call.get("SortOrder", "Descending") == "Descending")
        hits = {"Value": len(ordered), "Relation": "EqualTo"}
        return {**page(call, [{kind: each} for each in ordered], "Results"), "TotalHits": hits}


@dataclass(frozen=True)
class _Property:
    """A property of a resource: how it is called, what its values are, and where a record has them."""

    name: str
    type: str
    """botocore's: string, timestamp, long, boolean, ...; structure, list or map for what only exists."""
    values: Callable[[Any], Iterator[Any]]

    @property
    def is_number_as_text(self) -> bool:
        """Whether the property is a text that may be compared as a number."""
        return self.name.startswith(_NUMBERS_AS_TEXT)

    def read(self, text: str) -> Any:
        """Return a filter's value as one of this property; raise ValidationError where it is none."""
        try:
            if self.type == "timestamp":
                moment: datetime = parse_timestamp(text)
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            if self.type in _NUMBERS:
                return float(text)
            if self.type == "boolean":
                return {"true": True, "false": False}[text.lower()]
        except (ValueError, KeyError):
            what = {"timestamp": "an ISO 8601 time", "boolean": "true or false"}.get(self.type, "a number")
            raise ValidationError(
                f"Search: {self.name} is compared with {what}, and {text!r} is none."
            ) from None
        return text


class _Conditions:
    """Reads the SearchExpression of a request for one type of resource."""

    def __init__(self, shape: Any, kind: str) -> None:
        self._shape = shape
        self._kind = kind
        self._number = 0
        self._contains = 0

    def of(self, expression: Mapping[str, Any] | None) -> Condition:
        """Return the condition that a record must satisfy; raise ValidationError for one that is none."""
        if expression is None:
            return lambda _: True
        filters = [self._filter(each) for each in expression.get("Filters") or []]
        nested = [self._nested(each) for each in expression.get("NestedFilters") or []]
        inner = [self._counted(self.of(each)) for each in expression.get("SubExpressions") or []]
        conditions = [*filters, *nested, *inner]
        if not conditions:
            raise ValidationError(
                "Search: a SearchExpression needs a filter, nested filter or subexpression."
            )
        combined = any if expression.get("Operator") == "Or" else all
        return lambda record: combined(condition(record) for condition in conditions)

    def _counted(self, condition: Condition) -> Condition:
        self._number += 1
        if self._number > _MOST_CONDITIONS:
            raise ValidationError(f"Search: a SearchExpression has at most {_MOST_CONDITIONS} conditions.")
        return condition

    def _filter(self, given: Mapping[str, Any]) -> Condition:
        return self._condition(given, _property(self._shape, given["Name"], self._kind))

    def _nested(self, given: Mapping[str, Any]) -> Condition:
        """Return the condition that one entry of a list satisfies all the filters."""
        name = given["NestedPropertyName"]
        lists = _property(self._shape, name, self._kind)
        entry = _shape_at(self._shape, name)
        if entry is None:
            raise ValidationError(f"Search: {name} of {self._kind} is no list of objects.")
        conditions = []
        for each in given["Filters"]:
            inside = each["Name"].removeprefix(f"{name}.")
            if inside == each["Name"]:
                raise ValidationError(f"Search: {each['Name']} is not a property of {name}.")
            conditions.append(self._condition(each, _property(entry, inside, f"{self._kind}.{name}")))

        def holds(record: Record) -> bool:
            entries = (item for found in lists.values(record) for item in found)
            return any(all(condition(item) for condition in conditions) for item in entries)

        return self._counted(holds)

    def _condition(self, given: Mapping[str, Any], about: _Property) -> Condition:
        comparison, text = given.get("Operator") or "Equals", given.get("Value")
        if comparison in {"Exists", "NotExists"}:
            wanted = comparison == "Exists"
            return self._counted(lambda record: any(True for _ in about.values(record)) is wanted)
        if text is None:
            raise ValidationError(f"Search: the filter {about.name} {comparison} needs a Value.")
        if about.type in {"structure", "list", "map"}:
            raise ValidationError(
                f"Search: {about.name} has no value to compare: name a property in it, or ask for Exists."
            )
        if comparison == "Contains":
            self._contains += 1
            if self._contains > 1:
                raise ValidationError("'CONTAINS' operator usage limit of 1 exceeded.")
        test, negated = self._test(comparison, str(text), about), comparison == "NotEquals"
        return self._counted(lambda record: any(test(value) for value in about.values(record)) is not negated)

    def _test(self, comparison: str, text: str, about: _Property) -> Callable[[Any], bool]:
        """Return what tells whether a value of the property is one that the filter means."""
        is_text = about.type == "string"
        if comparison in _ORDER:
            if is_text and not about.is_number_as_text:
                raise ValidationError(f"Search: {comparison} is not supported for the text {about.name}.")
            return _ordered(_ORDER[comparison], text, about)
        if comparison in {"Contains", "In"}:
            if not is_text:
                raise ValidationError(
                    f"Search: {comparison} is supported for texts, which {about.name} is not."
                )
            some = text.split(",")
            return (
                (lambda value: text in value) if comparison == "Contains" else (lambda value: value in some)
            )
        wanted = about.read(text)
        return lambda value: bool(value == wanted)


def _ordered(compare: Callable[[Any, Any], bool], text: str, about: _Property) -> Callable[[Any], bool]:
    if not about.is_number_as_text:
        wanted = about.read(text)
        return lambda value: compare(value, wanted)
    number = _number(text)
    if number is None:
        raise ValidationError(f"Search: {about.name} is compared with a number, and {text!r} is none.")
    whole = text.strip().lstrip("+-").isdigit()

    def holds(value: str) -> bool:
        found = _number(value)
        if found is None:
            return False
        # Compared with an integer, a decimal is one as well.
        return compare(int(found) if whole else found, number)

    return holds


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _property(shape: Any, name: str, kind: str) -> _Property:
    """Return a property of a type of resource; raise ValidationError where it has none of this name."""
    first, dot, key = name.partition(".")
    if dot and key and (entry := _BY_KEY.get(first)) and entry[0] in shape.members:
        listed, named_by, member = entry
        leaf = shape.members[listed].member.members[member]
        return _Property(name, leaf.type_name, lambda record: _named(record, listed, named_by, key, member))
    walked = _walk(shape, name)
    if walked is None:
        raise ValidationError(f"Search: {kind} has no property {name}.")
    leaf, steps = walked
    return _Property(name, leaf.type_name, lambda record: _values(record, steps))


def _named(record: Record, listed: str, named_by: str, key: str, member: str) -> Iterator[Any]:
    return (each[member] for each in record.get(listed) or [] if each[named_by] == key)


def _walk(shape: Any, name: str) -> tuple[Any, Sequence[str]] | None:
    """Return the shape of a property and the members that lead there, None where there is none."""
    steps: list[str] = []
    rest = name
    while rest:
        while shape.type_name == "list":
            shape = shape.member
        if shape.type_name == "structure":
            step, _, rest = rest.partition(".")
            if step not in shape.members:
                return None
            shape = shape.members[step]
        elif shape.type_name == "map":
            step, rest, shape = rest, "", shape.value
        else:
            return None
        steps.append(step)
    if shape.type_name == "list" and shape.member.type_name != "structure":
        shape = shape.member
    return shape, steps


def _shape_at(shape: Any, name: str) -> Any:
    """Return the shape of the entries of a list of objects, None for another property."""
    walked = _walk(shape, name)
    found = walked and walked[0]
    return found.member if found and found.type_name == "list" else None


def _values(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    """Yield what a record has at the end of the steps; lists on the way are looked through."""
    if not steps:
        if isinstance(value, list) and not any(isinstance(each, Mapping) for each in value):
            yield from value
        else:
            yield value
        return
    for each in value if isinstance(value, list) else [value]:
        if each.get(steps[0]) is not None:
            yield from _values(each[steps[0]], steps[1:])


def _of_shape(shape: Any, record: Record) -> Record:
    return {name: value for name, value in record.items() if name in shape.members and value is not None}


def _default_order(shape: Any) -> str:
    return "LastModifiedTime" if "LastModifiedTime" in shape.members else "CreationTime"


def _in_order(records: Sequence[Record], by: _Property, *, descending: bool) -> list[Record]:
    """Sort by a property; what does not have it comes last."""
    if by.type in {"structure", "list", "map"}:
        raise ValidationError(f"Search: SortBy {by.name} has no value to sort by: name a property in it.")

    def key(record: Record) -> Any:
        value = next(by.values(record))
        if not by.is_number_as_text:
            return value
        number = _number(value)
        return (number is None, number or 0.0, value)

    have = [each for each in records if any(True for _ in by.values(each))]
    others = [each for each in records if all(False for _ in by.values(each))]
    return [*sorted(have, key=key, reverse=descending), *others]


def _visibility(conditions: Sequence[Mapping[str, str]]) -> Condition:
    """Leave out what has one of these tags with another value."""
    for each in conditions:
        if not each.get("Key", "").startswith("Tags.") or each.get("Value") is None:
            raise ValidationError("Search: each of VisibilityConditions needs a Key Tags.<key> and a Value.")

    def visible(record: Record) -> bool:
        tags = {f"Tags.{tag['Key']}": tag["Value"] for tag in record.get("Tags") or []}
        return all(tags.get(each["Key"], each["Value"]) == each["Value"] for each in conditions)

    return visible
