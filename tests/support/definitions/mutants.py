"""Every place of a definition changed in every way that we can think of, one change at a time.

A mutant says which place was changed and how; `test_shipped_definition_mutants.py` has each judged.
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
"""What is put in the place of every value, whatever belongs there."""
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


class DefinitionMutant(NamedTuple):
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
    """Return what is at a path."""
    for part in path:
        value = value[part]
    return value


def mutants(definition: Definition, bucket: str) -> Iterator[DefinitionMutant]:
    """Yield every mutant of a definition."""
    for path, value in nodes(definition):
        foreign = _foreign(path, bucket) if _is_value(path, value) else ()
        for kind, new in (*_changes(value), *foreign):
            if not _is_same(new, value):
                yield DefinitionMutant(path, kind, replaced(definition, path, new))
        if path:
            yield DefinitionMutant(path, "removed", replaced(definition, path, REMOVED))
    yield from reference_mutants(definition)


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


def reference_mutants(definition: Definition) -> Iterator[DefinitionMutant]:
    """Yield a definition with each reference to a step replaced by each other one that is in it."""
    references = {
        path: value["Get"]
        for path, value in nodes(definition)
        if isinstance(value, dict) and str(value.get("Get")).startswith("Steps.")
    }
    for path, target in references.items():
        for other in sorted(set(references.values()) - {target}):
            yield DefinitionMutant(path, "another reference", replaced(definition, path, {"Get": other}))
