"""The structure of a definition: version, parameters, steps, conditions, and what each of them must have."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pipeline_step_options
import pipeline_walk
from pipeline_problems import (
    Doubt,
    Finding,
    Path,
    entries,
    find,
    no_such,
    problem,
    show,
    unknown,
    unknown_members,
)
from pipeline_walk import BRANCHES, CONDITION_TYPES, MAX_PARAMETER_LENGTH, PARAMETER_TYPES

VERSION = "2020-12-01"
MEMBERS = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")
PARAMETER_MEMBERS = ("Name", "Type", "DefaultValue", "EnumValues")
MAX_PARAMETERS = 200
STEP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PARAMETER_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
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
NOT_IN_FOR_EACH = ("Condition", "Fail", "ForEach")
MAX_CONCURRENCY = 50
MAX_ITEMS = 100


def findings(definition: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the version, the parameters and the steps."""
    if definition.get("Version") != VERSION:
        yield problem(("Version",), f'write "{VERSION}", not {show(definition.get("Version"))}')
    yield from unknown_members(definition, MEMBERS, (), "a definition")
    yield from _parameters(definition.get("Parameters", []))
    yield from _steps(definition)


def _parameters(declared: Any) -> Iterator[Finding]:
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
        yield from _name(parameter.get("Name"), (*path, "Name"), seen, PARAMETER_NAME)
        yield from unknown_members(parameter, PARAMETER_MEMBERS, path, "a parameter")
        yield from _parameter(parameter, path)


def _parameter(parameter: dict[str, Any], path: Path) -> Iterator[Finding]:
    kind = parameter.get("Type")
    if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
        yield no_such((*path, "Type"), "no type of a parameter:", kind, PARAMETER_TYPES)
        return
    if "DefaultValue" in parameter:
        yield from _value(parameter["DefaultValue"], kind, (*path, "DefaultValue"))
    if "EnumValues" in parameter:
        yield from _enum(parameter, kind, path)


def _value(value: Any, kind: str, path: Path) -> Iterator[Finding]:
    if not pipeline_walk.is_a(kind, value):
        yield problem(path, f"{show(value)} is no {kind}")
    elif isinstance(value, str) and len(value) > MAX_PARAMETER_LENGTH:
        yield problem(path, f"{len(value):,} characters; a value has at most {MAX_PARAMETER_LENGTH:,}")


def _enum(parameter: dict[str, Any], kind: str, path: Path) -> Iterator[Finding]:
    values = parameter["EnumValues"]
    if not isinstance(values, list) or not values:
        yield problem((*path, "EnumValues"), "a list of at least one value is due")
        return
    for index, value in enumerate(values):
        yield from _value(value, kind, (*path, "EnumValues", index))
    if "DefaultValue" in parameter and parameter["DefaultValue"] not in values:
        legal = (str(value) for value in values[:500])
        yield no_such((*path, "DefaultValue"), "not one of EnumValues:", parameter["DefaultValue"], legal)


def _steps(definition: dict[str, Any]) -> Iterator[Finding]:
    yield from _step_list(definition.get("Steps"), ("Steps",), required=True)
    seen: set[str] = set()
    for path, step, _ in pipeline_walk.steps(definition):
        yield from _name(step.get("Name"), (*path, "Name"), seen, STEP_NAME)
        yield from _step(step, path)
        yield from pipeline_step_options.findings(step, path)


def _step_list(value: Any, path: Path, *, required: bool) -> Iterator[Finding]:
    if not isinstance(value, list) or (required and not value):
        yield problem(path, "a list of steps is due" + (", at least one" if required else ""))
        return
    for index, step in enumerate(value):
        if not isinstance(step, dict):
            yield problem((*path, index), f"a step is an object, not {show(step)}")


def _name(name: Any, path: Path, seen: set[str], form: re.Pattern[str]) -> Iterator[Finding]:
    if not isinstance(name, str) or not form.fullmatch(name):
        longest = 64 if form is STEP_NAME else 256
        yield problem(path, f"{show(name)} is no name: 1 to {longest} of A-Z a-z 0-9 - _")
    elif name in seen:
        yield problem(path, f'the name "{name}" is taken; names are unique, also over nested steps')
    else:
        seen.add(name)


def _step(step: dict[str, Any], path: Path) -> Iterator[Finding]:
    kind = step.get("Type")
    if not isinstance(kind, str) or kind not in STEP_TYPES:
        yield unknown((*path, "Type"), kind, STEP_TYPES, "no type of a step")
    arguments = step.get("Arguments")
    if not isinstance(arguments, dict):
        if kind not in ("Callback", "Cleanup", "EMR", "EMRServerless", "Lambda") or arguments is not None:
            yield problem((*path, "Arguments"), "an object is due")
        return
    at = (*path, "Arguments")
    if kind == "Condition":
        if not arguments.get("Conditions") or not isinstance(arguments["Conditions"], list):
            yield problem((*at, "Conditions"), "a list of at least one condition is due")
        else:
            yield from _each(_condition, arguments["Conditions"], (*at, "Conditions"))
        yield from unknown_members(arguments, ("Conditions", *BRANCHES), at, "a Condition step's Arguments")
        for branch in BRANCHES:
            yield from _step_list(arguments.get(branch, []), (*at, branch), required=False)
    elif kind == "ForEach":
        yield from _for_each(arguments, at)
    elif kind == "Fail" and not isinstance(arguments.get("ErrorMessage"), str | dict):
        yield problem((*at, "ErrorMessage"), "a text (or an expression that gives one) is due")


def _for_each(arguments: dict[str, Any], path: Path) -> Iterator[Finding]:
    body = arguments.get("ForEachBody")
    yield from _step_list(body, (*path, "ForEachBody"), required=True)
    for at, step in entries(body, (*path, "ForEachBody")):
        if step.get("Type") in NOT_IN_FOR_EACH:
            yield problem((*at, "Type"), f"no {step['Type']} step inside a ForEach")
    items = arguments.get("IterableItems")
    if not isinstance(items, dict) and not (isinstance(items, list) and 1 <= len(items) <= MAX_ITEMS):
        yield problem((*path, "IterableItems"), f"a Get, or a list of 1 to {MAX_ITEMS} items, is due")
    at_once = arguments.get("MaxConcurrency")
    if type(at_once) is not int or not 1 <= at_once <= MAX_CONCURRENCY:
        yield problem((*path, "MaxConcurrency"), f"a number from 1 to {MAX_CONCURRENCY} is due")


def _condition(condition: Any, at: Path) -> Iterator[Finding]:
    kind = find(condition, "Type")
    if not isinstance(condition, dict):
        yield problem(at, f'a condition is an object with a "Type", not {show(condition)}')
    elif not isinstance(kind, str) or kind not in CONDITION_TYPES:
        yield unknown((*at, "Type"), kind, CONDITION_TYPES, "no type of a condition")
    else:
        operands = CONDITION_TYPES[kind]
        for key in condition:
            if key not in ("Type", *operands):
                yield Doubt((*at, key), lambda: f"no member of a condition of type {kind} that is known here")
        for member in operands:
            value, check = condition.get(member, []), _condition if kind in ("Not", "Or") else _compared
            if value == []:
                yield problem((*at, member), f"missing or empty: a condition of type {kind} needs it")
            elif member in ("Conditions", "Values"):
                yield from _each(check, value, (*at, member))
            else:
                yield from check(value, (*at, member))


def _each(check: Callable[[Any, Path], Iterator[Finding]], listed: Any, path: Path) -> Iterator[Finding]:
    if not isinstance(listed, list):
        yield problem(path, f"a list is due, not {show(listed)}")
        return
    for index, each in enumerate(listed):
        yield from check(each, (*path, index))


def _compared(value: Any, at: Path) -> Iterator[Finding]:
    # What an object says is judged where the references are read.
    expression = isinstance(value, dict) and len(value) == 1
    if not expression and not isinstance(value, str | int | float):
        yield problem(at, f"{show(value)} cannot be compared; write a text, a number, true, false or a Get")
