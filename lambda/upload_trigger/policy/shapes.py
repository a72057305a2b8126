"""How the tables of members.py are written: objects, lists and values, each with the rule for it.

A shape yields what is wrong with a value. What is neither the object nor the list that it must be cannot be
walked, so the rule `form` refuses it, which nobody can switch off; what is missing, its own rule does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from upload_trigger.definition.problems import Path, did_you_mean
from upload_trigger.definition.walk import is_expression
from upload_trigger.policy import form
from upload_trigger.policy.expressions import Scope, UnknownValueError
from upload_trigger.policy.form import Violation

LATER = "write a value that is known when the execution starts"
UNKNOWN = "a member that this policy does not know, so it may not be here; leave it out"


class Shape(Protocol):
    """What a value must be."""

    @property
    def rule(self) -> str:
        """Name the rule that refuses a definition where this is missing."""

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with a value."""


@dataclass(frozen=True)
class Value:
    """A value that a rule judges: `why_not` returns why it is not allowed, None when it is."""

    rule: str
    why_not: Callable[[Any, Scope], str | None]

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield why it is not allowed, or that nobody can know before the execution."""
        try:
            why = self.why_not(value, scope)
        except UnknownValueError as error:
            why = f"{error}; {LATER}"
        if why is not None:
            yield Violation(self.rule, path, why)


@dataclass(frozen=True)
class Member:
    """A member of an object: its shape, and what it means that it is missing."""

    shape: Shape
    is_required: bool = False
    is_judged_if_missing: bool = False
    """As if it were null."""


def required(shape: Shape) -> Member:
    """Return a member that must be written."""
    return Member(shape, is_required=True)


def optional(shape: Shape) -> Member:
    """Return a member that is judged where it is written."""
    return Member(shape)


def even_if_missing(shape: Shape) -> Member:
    """Return a member of which the shape says whether it may be missing."""
    return Member(shape, is_judged_if_missing=True)


@dataclass(frozen=True)
class Object:
    """An object with these members and no others."""

    members: Mapping[str, Member]
    rule: str = "members"
    also: Callable[[dict[str, Any], Path], Iterator[Violation]] | None = None
    """What must hold between its members."""

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with each member, unknown and missing ones included."""
        if not isinstance(value, dict) or is_expression(value):
            yield Violation(form.RULE, path, form.must_be("an object, written out", value))
            return
        for key, each in value.items():
            if key in self.members:
                yield from self.members[key].shape.violations(each, (*path, key), scope)
            else:
                yield Violation("members", (*path, key), f"{UNKNOWN}{did_you_mean(key, self.members)}")
        for key, member in self.members.items():
            if key in value:
                continue
            if member.is_required:
                yield Violation(member.shape.rule, (*path, key), "missing; the policy wants it written")
            if member.is_judged_if_missing:
                yield from member.shape.violations(None, (*path, key), scope)
        if self.also:
            yield from self.also(value, path)


@dataclass(frozen=True)
class ListOf:
    """A list whose entries have one shape."""

    each: Shape
    rule: str = "members"
    unique: str = ""
    """The member by which entries are told apart: none may be there twice."""

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with each entry."""
        if not isinstance(value, list):
            yield Violation(form.RULE, path, form.must_be("a list, written out", value))
            return
        names: set[str] = set()
        for index, each in enumerate(value):
            yield from self.each.violations(each, (*path, index), scope)
            name = each.get(self.unique) if isinstance(each, dict) else None
            if isinstance(name, str):
                if name in names:
                    what = f"another entry has this {self.unique}; each must be there once"
                    yield Violation(form.RULE, (*path, index, self.unique), what)
                names.add(name)


@dataclass(frozen=True)
class MapOf:
    """An object with any names, or those that `name` allows, whose values have one shape."""

    each: Shape
    rule: str = "members"
    name: Shape | None = None

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with each name and value."""
        if not isinstance(value, dict) or is_expression(value):
            yield Violation(form.RULE, path, form.must_be("an object, written out", value))
            return
        for key, each in value.items():
            yield from self.each.violations(each, (*path, key), scope)
            if self.name:
                yield from self.name.violations(key, (*path, key), scope)


@dataclass(frozen=True)
class OrNull:
    """A shape, or null, which is as good as nothing."""

    shape: Shape

    @property
    def rule(self) -> str:
        """Name the rule of the shape."""
        return self.shape.rule

    def violations(self, value: Any, path: Path, scope: Scope) -> Iterator[Violation]:
        """Yield what is wrong with anything but null."""
        if value is not None:
            yield from self.shape.violations(value, path, scope)
