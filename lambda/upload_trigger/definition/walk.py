"""What there is in a definition, sound or not: its parameters, its steps wherever they stand, expressions.

The policy and the checks walk a definition with this alone.
"""

from collections.abc import Iterator
from typing import Any

from upload_trigger.definition.problems import Path, entries

PARAMETER_TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
}
"""The types of a parameter, and what JSON has for each."""
MAX_PARAMETER_LENGTH = 1024
_TWO_SIDES = ("LeftValue", "RightValue")
CONDITION_TYPES = {
    "Equals": _TWO_SIDES,
    "GreaterThan": _TWO_SIDES,
    "GreaterThanOrEqualTo": _TWO_SIDES,
    "In": ("QueryValue", "Values"),
    "LessThan": _TWO_SIDES,
    "LessThanOrEqualTo": _TWO_SIDES,
    "Not": ("Condition",),
    "Or": ("Conditions",),
}
"""What each type of condition compares or holds."""
BRANCHES = ("IfSteps", "ElseSteps")
INNER_STEPS = {"Condition": BRANCHES, "ForEach": ("ForEachBody",)}
"""Where a step of this type holds further steps, in its Arguments."""
EXCEPTION_TYPES = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)


def parameters(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the declared parameters by name, leaving out what is not well formed."""
    declared = [each for _, each in entries(definition, (), "Parameters")]
    return {each["Name"]: each for each in declared if isinstance(each.get("Name"), str)}


def steps(definition: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any], str | None]]:
    """Yield each step (path, step, name of the step that holds it), in document order."""
    pending: list[tuple[Iterator[tuple[Path, dict[str, Any]]], str | None]] = [
        (entries(definition, (), "Steps"), None)
    ]
    while pending:
        listed, parent = pending[-1]
        for path, step in listed:
            yield path, step, parent
            inner = inner_steps(step, path)
            if inner:
                name = step["Name"] if isinstance(step.get("Name"), str) else None
                pending.extend(
                    (entries(step, path, "Arguments", str(at[-1])), name) for at in reversed(inner)
                )
                break
        else:
            pending.pop()


def inner_steps(step: dict[str, Any], path: Path) -> list[Path]:
    """Return the paths at which a step may hold further steps."""
    kind = step.get("Type")
    members = INNER_STEPS.get(kind, ()) if isinstance(kind, str) else ()
    return [(*path, "Arguments", member) for member in members]


def is_expression(value: Any) -> bool:
    """Return whether an object stands for a value that is known when the pipeline runs."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and ("Get" in value or next(iter(value)).startswith("Std:"))
    )


def is_a(kind: str, value: Any) -> bool:
    """Return whether a value is of a parameter's type; a bool is an int to Python, not to SageMaker."""
    return isinstance(value, PARAMETER_TYPES[kind]) and isinstance(value, bool) is (kind == "Boolean")
