"""The form that a definition must have to be judged at all: what cannot be walked is refused.

Steps and parameters stand where they are looked for, each has one name, and no step is anywhere else. This
rule, `form`, cannot be switched off: every other one relies on it.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from upload_trigger.definition.problems import Path, show, walk
from upload_trigger.definition.walk import PARAMETER_TYPES, inner_steps, is_a, is_expression
from upload_trigger.settings import STEP_TYPES

RULE = "form"
MAX_DEPTH = 256
"""Levels of lists and objects: room for 80 nested conditions, and 31 is the most seen in the field."""
MAX_STEPS = 1000
"""In all branches together. A definition of 1 MB has room for 20,000, and nobody reviews so many."""
MAX_PARAMETERS = 200
"""SageMaker's own limit."""
MAX_VIOLATIONS = 100
"""Nobody mends more at once, and a hostile file must not make this write a book."""
NAME = re.compile("[A-Za-z0-9_-]{1,64}")
NAME_SAID = "1 to 64 of A-Z a-z 0-9 - _"
_PARAMETER_NAME = re.compile("[A-Za-z0-9_-]{1,256}")

Scalar = str | int | float | bool
_TEXTS: dict[str, tuple[re.Pattern[str], Callable[[str], Scalar]]] = {
    "Boolean": (re.compile("true|false", re.IGNORECASE | re.ASCII), lambda text: text.lower() == "true"),
    "Float": (re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?"), float),
    "Integer": (re.compile("[+-]?[0-9]{1,18}"), int),
}
"""The texts that stand for values of a type, and what reads them."""


class Violation(NamedTuple):
    """One value that a rule does not allow."""

    rule: str
    path: Path
    message: str


@dataclass
class Form:
    """What can be walked of a definition, and what is wrong with the rest."""

    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)
    """Those in the branches of conditions among them, in document order."""
    violations: list[Violation] = field(default_factory=list)
    is_complete: bool = True
    """Whether the whole definition was walked; if not, there is no use in judging the rest."""

    def refuse(self, path: Path, message: str) -> None:
        """Add a violation."""
        self.violations.append(Violation(RULE, path, message))
        if len(self.violations) >= MAX_VIOLATIONS:
            self.is_complete = False


def read(definition: dict[str, Any]) -> Form:
    """Walk a definition; no depth, size or type of anything in it makes this raise."""
    form = Form()
    if _is_deeper(definition, MAX_DEPTH):
        form.refuse((), f"nested deeper than {MAX_DEPTH} levels; write it flatter")
        form.is_complete = False
        return form
    _read_parameters(definition.get("Parameters"), form)
    _read_steps(definition.get("Steps"), form)
    if not form.violations:
        _refuse_hidden_steps(definition, form)
    return form


def must_be(what: str, value: Any) -> str:
    """Say what must stand in the place of a value."""
    return f"must be {what}, not {'an expression' if is_expression(value) else show(value)}"


def typed(value: Any, kind: object) -> Scalar | None:
    """Read a parameter's value, a text when StartPipelineExecution got one; None when it is no `kind`."""
    if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
        return None
    if isinstance(value, str) and kind in _TEXTS:
        form, read_text = _TEXTS[kind]
        value = read_text(value) if form.fullmatch(value) else None
    if not is_a(kind, value):
        return None
    if kind != "Float":
        known: Scalar = value
        return known
    return float(value) if abs(value) < math.inf else None


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects nest deeper, going down level by level."""
    nested = [value]
    for _ in range(levels):
        nested = [
            inner
            for outer in nested
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not nested:
            return False
    return True


def _read_parameters(listed: Any, form: Form) -> None:
    if listed is None:
        return
    if not isinstance(listed, list):
        form.refuse(("Parameters",), must_be("a list", listed))
        return
    if len(listed) > MAX_PARAMETERS:
        form.refuse(("Parameters",), f"must be at most {MAX_PARAMETERS}, not {len(listed):,}")
        form.is_complete = False
        return
    for index, each in enumerate(listed):
        path = ("Parameters", index)
        if not isinstance(each, dict):
            form.refuse(path, must_be("an object with a Name and a Type", each))
            continue
        name, kind = each.get("Name"), each.get("Type")
        if not isinstance(name, str) or not _PARAMETER_NAME.fullmatch(name):
            form.refuse((*path, "Name"), must_be("1 to 256 of A-Z a-z 0-9 - _", name))
        elif name in form.parameters:
            form.refuse((*path, "Name"), f"{name} is declared more than once; keep one of them")
        else:
            form.parameters[name] = each
        if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
            form.refuse((*path, "Type"), must_be(" or ".join(PARAMETER_TYPES), kind))
        elif "DefaultValue" in each and typed(each["DefaultValue"], kind) is None:
            form.refuse((*path, "DefaultValue"), must_be(f"of Type {kind}", each["DefaultValue"]))


def _read_steps(listed: Any, form: Form) -> None:
    names: dict[str, str] = {}
    pending = [_listed(listed, ("Steps",), form)]
    while pending and form.is_complete:
        path, step = next(pending[-1], ((), None))
        if not path:
            pending.pop()
        elif len(form.steps) == MAX_STEPS:
            form.refuse(path, f"more than {MAX_STEPS:,} steps; split the definition")
            form.is_complete = False
        elif not isinstance(step, dict):
            form.refuse(path, must_be("a step, which is an object", step))
        else:
            form.steps.append((path, step))
            _name_step(step, path, names, form)
            if step.get("Type") in STEP_TYPES and not _is_plain(step.get("Arguments")):
                form.refuse((*path, "Arguments"), must_be("an object", step.get("Arguments")))
            for at in reversed(inner_steps(step, path)):
                arguments = step.get("Arguments")
                if isinstance(arguments, dict) and at[-1] in arguments:
                    pending.append(_listed(arguments[at[-1]], at, form))


def _listed(value: Any, path: Path, form: Form) -> Iterator[tuple[Path, Any]]:
    if not isinstance(value, list):
        form.refuse(path, must_be("a list of steps", value))
        return iter(())
    return (((*path, index), each) for index, each in enumerate(value))


def _is_plain(value: Any) -> bool:
    return isinstance(value, dict) and not is_expression(value)


def _name_step(step: dict[str, Any], path: Path, names: dict[str, str], form: Form) -> None:
    name, at = step.get("Name"), (*path, "Name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        form.refuse(at, must_be(NAME_SAID, name))
        return
    # ARNs have the names of steps in lower case, so those that differ in case only could be taken for one.
    first = names.get(name.lower())
    names.setdefault(name.lower(), name)
    if first is not None:
        said = "another step has this name" if first == name else f"step {first} differs in case only"
        form.refuse(at, f"{said}; names must be unique, in all branches")


def _refuse_hidden_steps(definition: dict[str, Any], form: Form) -> None:
    """Refuse what looks like a step where none is looked for: nothing would judge it."""
    known = {id(step) for _, step in form.steps}
    for path, value in walk(definition, objects_only=True):
        if id(value) not in known and _looks_like_a_step(value):
            kind = show(value["Type"])
            form.refuse(
                path, f"a {kind} step in a place where nobody judges it; put it into Steps or a branch"
            )
            if not form.is_complete:
                return


def _looks_like_a_step(value: dict[str, Any]) -> bool:
    kind = value.get("Type")
    if not isinstance(kind, str) or kind in PARAMETER_TYPES:
        return False
    return "Arguments" in value or "Name" in value
