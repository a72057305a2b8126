"""The structure of a definition: version, parameters, and the members that each step must have."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline_problems import Path, Problem, did_you_mean, problem, show

VERSION = "2020-12-01"
PARAMETER_TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
}
MAX_PARAMETERS = 200
MAX_PARAMETER_LENGTH = 1024
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
STEP_TYPES = (
    "AutoML",
    "Callback",
    "ClarifyCheck",
    "Cleanup",
    "Condition",
    "EMR",
    "EMRServerless",
    "Endpoint",
    "EndpointConfig",
    "Fail",
    "ForEach",
    "InferenceComponent",
    "Job",
    "Lambda",
    "Lineage",
    "Model",
    "Processing",
    "QualityCheck",
    "RegisterModel",
    "Training",
    "Transform",
    "Tuning",
)
BRANCHES = ("IfSteps", "ElseSteps")
CONDITION_TYPES = (
    "Equals",
    "GreaterThan",
    "GreaterThanOrEqualTo",
    "In",
    "LessThan",
    "LessThanOrEqualTo",
    "Not",
    "Or",
)

OPERANDS = {"Not": ("Condition",), "Or": ("Conditions",), "In": ("QueryValue", "Values")}


def problems(definition: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the version, the parameters and the steps."""
    if definition.get("Version") != VERSION:
        yield problem(("Version",), f'write "{VERSION}", not {show(definition.get("Version"))}')
    yield from _parameters(definition.get("Parameters", []))
    yield from _steps(definition)


def parameters(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the declared parameters by name, leaving out what is not well formed."""
    declared = definition.get("Parameters")
    entries = [each for each in declared if isinstance(each, dict)] if isinstance(declared, list) else []
    return {each["Name"]: each for each in entries if isinstance(each.get("Name"), str)}


def steps(definition: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any], str | None]]:
    """Yield each step (path, step, name of the Condition step that holds it), in document order."""
    pending = list(reversed(_listed(definition.get("Steps"), ("Steps",), None)))
    while pending:
        path, step, parent = pending.pop()
        yield path, step, parent
        arguments = step.get("Arguments")
        if step.get("Type") != "Condition" or not isinstance(arguments, dict):
            continue
        name = step["Name"] if isinstance(step.get("Name"), str) else None
        for branch in reversed(BRANCHES):
            at = (*path, "Arguments", branch)
            pending.extend(reversed(_listed(arguments.get(branch), at, name)))


def _listed(value: Any, at: Path, parent: str | None) -> list[tuple[Path, dict[str, Any], str | None]]:
    entries = enumerate(value) if isinstance(value, list) else ()
    return [((*at, index), step, parent) for index, step in entries if isinstance(step, dict)]


def _parameters(declared: Any) -> Iterator[Problem]:
    if not isinstance(declared, list):
        yield problem(("Parameters",), "a list of parameters is due")
        return
    if len(declared) > MAX_PARAMETERS:
        yield problem(("Parameters",), f"{len(declared)} parameters; SageMaker takes {MAX_PARAMETERS}")
    seen: set[str] = set()
    for index, parameter in enumerate(declared):
        path = ("Parameters", index)
        if not isinstance(parameter, dict):
            yield problem(path, f'an object with "Name" and "Type" is due, not {show(parameter)}')
            continue
        yield from _name(parameter.get("Name"), (*path, "Name"), seen)
        yield from _parameter(parameter, path)


def _parameter(parameter: dict[str, Any], path: Path) -> Iterator[Problem]:
    kind = parameter.get("Type")
    if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
        hint = did_you_mean(str(kind), PARAMETER_TYPES)
        yield problem((*path, "Type"), f"no type of a parameter: {show(kind)}{hint}")
        return
    if "DefaultValue" in parameter:
        yield from _value(parameter["DefaultValue"], kind, (*path, "DefaultValue"))
    if "EnumValues" in parameter:
        yield from _enum(parameter, kind, path)


def _value(value: Any, kind: str, path: Path) -> Iterator[Problem]:
    wanted = PARAMETER_TYPES[kind]
    # bool is an int to Python, not to SageMaker.
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        yield problem(path, f"{show(value)} is no {kind}")
    elif isinstance(value, str) and len(value) > MAX_PARAMETER_LENGTH:
        yield problem(path, f"{len(value):,} characters; a value has at most {MAX_PARAMETER_LENGTH:,}")


def _enum(parameter: dict[str, Any], kind: str, path: Path) -> Iterator[Problem]:
    values = parameter["EnumValues"]
    if not isinstance(values, list) or not values:
        yield problem((*path, "EnumValues"), "a list of at least one value is due")
        return
    for index, value in enumerate(values):
        yield from _value(value, kind, (*path, "EnumValues", index))
    if "DefaultValue" in parameter and parameter["DefaultValue"] not in values:
        hint = did_you_mean(str(parameter["DefaultValue"]), map(str, values))
        yield problem(
            (*path, "DefaultValue"), f"not one of EnumValues: {show(parameter['DefaultValue'])}{hint}"
        )


def _steps(definition: dict[str, Any]) -> Iterator[Problem]:
    yield from _step_list(definition.get("Steps"), ("Steps",), required=True)
    seen: set[str] = set()
    for path, step, _ in steps(definition):
        yield from _name(step.get("Name"), (*path, "Name"), seen)
        yield from _step(step, path)


def _step_list(value: Any, path: Path, *, required: bool) -> Iterator[Problem]:
    if not isinstance(value, list) or (required and not value):
        yield problem(path, "a list of steps is due" + (", at least one" if required else ""))
        return
    for index, step in enumerate(value):
        if not isinstance(step, dict):
            yield problem((*path, index), f"a step is an object, not {show(step)}")


def _name(name: Any, path: Path, seen: set[str]) -> Iterator[Problem]:
    """Check a step's or a parameter's name and note it in `seen`."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        yield problem(path, f"{show(name)} is no name: 1 to 64 of A-Z a-z 0-9 - _")
    elif name in seen:
        yield problem(path, f'the name "{name}" is taken; names are unique, also over nested steps')
    else:
        seen.add(name)


def _step(step: dict[str, Any], path: Path) -> Iterator[Problem]:
    kind = step.get("Type")
    if not isinstance(kind, str) or kind not in STEP_TYPES:
        hint = did_you_mean(str(kind), STEP_TYPES)
        yield problem((*path, "Type"), f"no type of a step: {show(kind)}{hint}")
    arguments = step.get("Arguments")
    if not isinstance(arguments, dict):
        if kind not in ("Callback", "Cleanup", "EMR", "EMRServerless", "Lambda") or arguments is not None:
            yield problem((*path, "Arguments"), "an object is due")
        return
    if kind == "Condition":
        yield from _condition(arguments, (*path, "Arguments"))
    if kind == "Fail" and not isinstance(arguments.get("ErrorMessage"), str | dict):
        yield problem((*path, "Arguments", "ErrorMessage"), "a text (or an expression that gives one) is due")
    yield from _property_files(step, path)


def _condition(arguments: dict[str, Any], path: Path) -> Iterator[Problem]:
    conditions = arguments.get("Conditions")
    if not isinstance(conditions, list) or not conditions:
        yield problem((*path, "Conditions"), "a list of at least one condition is due")
    else:
        yield from _operators(conditions, (*path, "Conditions"))
    for branch in BRANCHES:
        yield from _step_list(arguments.get(branch, []), (*path, branch), required=False)


def _operators(conditions: list[Any], path: Path) -> Iterator[Problem]:
    pending = [((*path, index), each) for index, each in reversed([*enumerate(conditions)])]
    while pending:
        at, condition = pending.pop()
        kind = condition.get("Type") if isinstance(condition, dict) else None
        if not isinstance(kind, str) or kind not in CONDITION_TYPES:
            hint = did_you_mean(str(kind), CONDITION_TYPES)
            yield problem((*at, "Type"), f"no type of a condition: {show(kind)}{hint}")
            continue
        for member in OPERANDS.get(kind, ("LeftValue", "RightValue")):
            if member not in condition or condition[member] == []:
                yield problem((*at, member), f"missing or empty: a condition of type {kind} needs it")
        pending.extend(reversed(_inner_conditions(condition, at)))


def _inner_conditions(condition: dict[str, Any], path: Path) -> list[tuple[Path, Any]]:
    if condition["Type"] == "Not" and "Condition" in condition:
        return [((*path, "Condition"), condition["Condition"])]
    listed = condition.get("Conditions") if condition["Type"] == "Or" else None
    entries = enumerate(listed) if isinstance(listed, list) else ()
    return [((*path, "Conditions", index), each) for index, each in entries]


def outputs(step: dict[str, Any]) -> set[str] | None:
    """Give the OutputNames of a Processing step, None when they cannot be read."""
    arguments = step.get("Arguments")
    config = arguments.get("ProcessingOutputConfig") if isinstance(arguments, dict) else None
    listed = config.get("Outputs") if isinstance(config, dict) else None
    if not isinstance(listed, list):
        return None
    names = [each.get("OutputName") for each in listed if isinstance(each, dict)]
    return {name for name in names if isinstance(name, str)}


def property_files(step: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a step's property files, leaving out what is not well formed."""
    listed = step.get("PropertyFiles")
    files = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [each for each in files if isinstance(each.get("PropertyFileName"), str)]


def _property_files(step: dict[str, Any], path: Path) -> Iterator[Problem]:
    listed = step.get("PropertyFiles", [])
    if not isinstance(listed, list):
        yield problem((*path, "PropertyFiles"), "a list of property files is due")
        return
    for index, file in enumerate(listed):
        at = (*path, "PropertyFiles", index)
        members = ("PropertyFileName", "OutputName", "FilePath")
        missing = [key for key in members if not isinstance(file, dict) or not isinstance(file.get(key), str)]
        if missing:
            yield problem(at, f"missing, or no text: {', '.join(missing)}")
    given = Counter(file["PropertyFileName"] for file in property_files(step))
    for name in [name for name, count in given.items() if count > 1]:
        yield problem((*path, "PropertyFiles"), f"{show(name)} is declared more than once")
