"""Every place of a definition changed in every way that we can think of, one change at a time.

A mutant says which place was changed and how; `tests/test_shipped_definition_mutants.py` has each judged.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
Definition = dict[str, Any]
REMOVED = object()
FOREIGN = {
    "foreign role": "arn:aws:iam::210987654321:role/admin",
    "foreign bucket": "s3://another-bucket/data/",
    "definitions' prefix": "s3://{bucket}/pipeline/",
    "a thousand": 1000,
}
"""What is put in the place of every value, whatever is due there."""
FOREIGN_BY_KEY = {
    ("Image", "ImageUri", "TrainingImage"): (
        "foreign image",
        "210987654321.dkr.ecr.us-east-1.amazonaws.com/miner:1",
    ),
    ("InstanceType", "DefaultValue", "SupportedTransformInstanceTypes"): ("instance type", "ml.p4d.24xlarge"),
}
"""What is put where it would do harm, by the last name of a place."""
REFERENCES = {
    "nowhere": {"Get": "Steps.Nowhere.Outcome"},
    "a parameter": {"Get": "Parameters.ClassSelection"},
    "a variable": {"Get": "Execution.PipelineExecutionId"},
}


class Mutant(NamedTuple):
    """A definition with one change."""

    path: Path
    kind: str
    document: Any

    @property
    def pointer(self) -> str:
        """Point at the change."""
        return pointer(self.path)


def pointer(path: Path) -> str:
    """Write a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def nodes(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value with its path."""
    yield path, value
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in entries:
        yield from nodes(child, (*path, key))


def replaced(value: Any, path: Path, new: Any) -> Any:
    """Copy a document with something else at `path`, or nothing (REMOVED); what is unchanged is shared."""
    if not path:
        return new
    head, *rest = path
    changed = copy.copy(value)
    if rest:
        changed[head] = replaced(value[head], tuple(rest), new)
    elif new is REMOVED:
        del changed[head]
    else:
        changed[head] = new
    return changed


def at(value: Any, path: Path) -> Any:
    """Give what is at a path."""
    for part in path:
        value = value[part]
    return value


def mutants(definition: Definition, bucket: str) -> Iterator[Mutant]:
    """Yield every mutant of a definition."""
    for path, value in nodes(definition):
        foreign = _foreign(path, bucket) if _is_value(path, value) else ()
        for kind, new in (*_changes(value), *foreign):
            if not _is_same(new, value):
                yield Mutant(path, kind, replaced(definition, path, new))
        if path:
            yield Mutant(path, "removed", replaced(definition, path, REMOVED))
    yield from gate_mutants(definition)


def _is_value(path: Path, value: Any) -> bool:
    """Tell whether something else could stand here: a reference is replaced with its Get, and not inside."""
    return _is_expression(value) or (not isinstance(value, dict | list) and path[-1:] != ("Get",))


def _is_same(new: Any, old: Any) -> bool:
    return type(new) is type(old) and bool(new == old)


def _foreign(path: Path, bucket: str) -> Iterator[tuple[str, Any]]:
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    yield from (each for keys, each in FOREIGN_BY_KEY.items() if key in keys)
    for kind, new in {**FOREIGN, **REFERENCES}.items():
        yield kind, new.format(bucket=bucket) if isinstance(new, str) else new


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    yield "null", None
    yield "another type", _of_another_type(value)
    if isinstance(value, dict):
        yield "a member more", {**value, "Surprise": "new"}
        yield "emptied", {}
    elif isinstance(value, list):
        yield "an entry more", [*value, "surprise"]
        if value:
            yield "emptied", []
            yield "its first entry twice", [value[0], *value]
        if len(value) > 1:
            yield "reversed", value[::-1]
    else:
        yield from _of_leaf(value)


def _is_expression(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(("Get", "Std:"))


def _of_another_type(value: Any) -> Any:
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return {"0": value}
    if isinstance(value, str):
        return [value]
    return str(value).lower()


def _of_leaf(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool):
        yield "turned", not value
    elif isinstance(value, str):
        yield "longer", f"{value}x"
        yield "emptied", ""
    else:
        yield "zero", 0
        yield "negative", -1
        yield "one more", value + 1
        yield "a hundred times", value * 100


def gate_mutants(definition: Definition) -> Iterator[Mutant]:
    """Yield a definition with each of its gates weakened, or gone round, in every way."""
    for index, step in enumerate(definition["Steps"]):
        path: Path = ("Steps", index, "Arguments")
        arguments = step.get("Arguments", {})
        registrations = [each for each in arguments.get("IfSteps", []) if each["Type"] == "RegisterModel"]
        if registrations:
            condition_at: Path = (*path, "Conditions", 0)
            for kind, condition in _weaker(at(definition, condition_at)):
                yield Mutant(condition_at, kind, replaced(definition, condition_at, condition))
            for kind, changed in _moved(arguments).items():
                yield Mutant(path, kind, replaced(definition, path, changed))
            without = replaced(definition, (*path, "IfSteps"), [])
            steps: Path = ("Steps", len(definition["Steps"]))
            outside = {**without, "Steps": [*without["Steps"], *registrations]}
            yield Mutant(steps, "registered outside", outside)


def _weaker(condition: Definition) -> Iterator[tuple[str, Definition]]:
    left, right = condition["LeftValue"], condition["RightValue"]
    always = {"Type": "Equals", "LeftValue": 1, "RightValue": 1}
    for kind in ("Equals", "GreaterThan", "LessThan", "LessThanOrEqualTo"):
        yield f"is {kind}", {**condition, "Type": kind}
    yield "swapped", {**condition, "LeftValue": right, "RightValue": left}
    yield "of itself", {**condition, "RightValue": left}
    yield "of constants", {**condition, "LeftValue": 1, "RightValue": 0.9}
    yield "negated", {"Type": "Not", "Condition": condition}
    yield "or always", {"Type": "Or", "Conditions": [condition, always]}
    yield "is In", {"Type": "In", "QueryValue": left, "Values": [right]}
    yield "always", always
    for metric in ("top_5_accuracy.value", "accuracy.confidence_interval.upper", "macro_f1.value"):
        path = f"multiclass_classification_metrics.{metric}"
        yield metric, replaced(condition, ("LeftValue", "Std:JsonGet", "Path"), path)
    for threshold in (0, 0.49, "0.9", True):
        yield f"threshold {threshold!r}", {**condition, "RightValue": threshold}


def _moved(arguments: Definition) -> dict[str, Definition]:
    conditions, steps = arguments["Conditions"], arguments["IfSteps"]
    inner = {"Name": "Inner", "Type": "Condition", "Arguments": arguments}
    return {
        "registered otherwise": {"Conditions": conditions, "IfSteps": [], "ElseSteps": steps},
        "registered in any case": {
            "Conditions": conditions,
            "IfSteps": [],
            "ElseSteps": [{**inner, "Arguments": {**arguments, "IfSteps": [], "ElseSteps": steps}}],
        },
        "one condition more": {
            **arguments,
            "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}, *conditions],
        },
        "one gate more": {**arguments, "IfSteps": [inner]},
    }
