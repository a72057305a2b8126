"""The structure of a definition: version, parameters, steps, conditions, and what each of them must have."""

import re
from collections.abc import Iterator
from typing import Any

from pipeline_definition.checks import options
from pipeline_definition.checks.findings import Found, create, no_such, unknown, unknown_members
from pipeline_definition.checks.references import EXPERIMENT_VARIABLES
from upload_trigger.definition import walk
from upload_trigger.definition.problems import Path, entries, find, show
from upload_trigger.definition.walk import BRANCHES, CONDITION_TYPES, MAX_PARAMETER_LENGTH, PARAMETER_TYPES

VERSION = "2020-12-01"
MEMBERS = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")
PARAMETER_MEMBERS = ("Name", "Type", "DefaultValue", "EnumValues")
MAX_PARAMETERS = 200
"""SageMaker takes no more; so it is with the other limits here."""
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


def findings(definition: dict[str, Any]) -> Iterator[Found]:
    """Yield what is wrong with the version, the parameters and the steps."""
    if definition.get("Version", VERSION) != VERSION:
        yield create(("Version",), f'write "{VERSION}", not {show(definition.get("Version"))}')
    yield from unknown_members(definition, MEMBERS, (), "a definition")
    yield from _experiment(definition.get("PipelineExperimentConfig"), ("PipelineExperimentConfig",))
    yield from _parameters(definition.get("Parameters"))
    yield from _steps(definition)


def _experiment(config: Any, path: Path) -> Iterator[Found]:
    if config is None:
        return
    if not isinstance(config, dict):
        yield create(path, f"must be an object with ExperimentName and TrialName, not {show(config)}")
        return
    yield from unknown_members(config, EXPERIMENT_VARIABLES, path, "PipelineExperimentConfig")
    for name in EXPERIMENT_VARIABLES:
        if not isinstance(config.get(name, ""), str | dict):
            yield create((*path, name), f"must be a text, or an expression, not {show(config[name])}")


def _parameters(declared: Any) -> Iterator[Found]:
    if declared is None:
        return
    if not isinstance(declared, list):
        yield create(("Parameters",), "must be a list of parameters")
        return
    if len(declared) > MAX_PARAMETERS:
        yield create(("Parameters",), f"{len(declared)} parameters; SageMaker takes {MAX_PARAMETERS}")
    seen: set[str] = set()
    for index, parameter in enumerate(declared):
        path = ("Parameters", index)
        if not isinstance(parameter, dict):
            yield create(path, f'must be an object with "Name" and "Type", not {show(parameter)}')
            continue
        yield from _name(parameter.get("Name"), (*path, "Name"), seen, PARAMETER_NAME)
        yield from unknown_members(parameter, PARAMETER_MEMBERS, path, "a parameter")
        yield from _parameter(parameter, path)


def _parameter(parameter: dict[str, Any], path: Path) -> Iterator[Found]:
    kind = parameter.get("Type")
    if not isinstance(kind, str) or kind not in PARAMETER_TYPES:
        yield no_such((*path, "Type"), "no type of a parameter:", kind, PARAMETER_TYPES)
        return
    if "DefaultValue" in parameter:
        yield from _value(parameter["DefaultValue"], kind, (*path, "DefaultValue"))
    if "EnumValues" in parameter:
        yield from _enum(parameter, kind, path)


def _value(value: Any, kind: str, path: Path) -> Iterator[Found]:
    if not walk.is_a(kind, value):
        yield create(path, f"{show(value)} is no {kind}")
    elif isinstance(value, str) and len(value) > MAX_PARAMETER_LENGTH:
        yield create(path, f"{len(value):,} characters; a value has at most {MAX_PARAMETER_LENGTH:,}")


def _enum(parameter: dict[str, Any], kind: str, path: Path) -> Iterator[Found]:
    values = parameter["EnumValues"]
    if not isinstance(values, list) or not values:
        yield create((*path, "EnumValues"), "must be a list of at least one value")
        return
    for index, value in enumerate(values):
        yield from _value(value, kind, (*path, "EnumValues", index))
    if "DefaultValue" in parameter and parameter["DefaultValue"] not in values:
        legal = (str(value) for value in values[:500])
        yield no_such((*path, "DefaultValue"), "not one of EnumValues:", parameter["DefaultValue"], legal)


def _steps(definition: dict[str, Any]) -> Iterator[Found]:
    yield from _step_list(definition.get("Steps"), ("Steps",), required=True)
    seen: set[str] = set()
    for path, step, _ in walk.steps(definition):
        yield from _name(step.get("Name"), (*path, "Name"), seen, STEP_NAME)
        yield from _step(step, path)
        yield from options.findings(step, path)


def _step_list(value: Any, path: Path, *, required: bool) -> Iterator[Found]:
    if not isinstance(value, list) or (required and not value):
        yield create(path, "must be a list of steps" + (", at least one" if required else ""))
        return
    for index, step in enumerate(value):
        if not isinstance(step, dict):
            yield create((*path, index), f"must be an object (a step), not {show(step)}")


def _name(name: Any, path: Path, seen: set[str], form: re.Pattern[str]) -> Iterator[Found]:
    if not isinstance(name, str) or not form.fullmatch(name):
        longest = 64 if form is STEP_NAME else 256
        yield create(path, f"{show(name)} is no name: 1 to {longest} of A-Z a-z 0-9 - _")
    elif name in seen:
        yield create(path, f'the name "{name}" is taken; names are unique, also over nested steps')
    else:
        seen.add(name)


def _step(step: dict[str, Any], path: Path) -> Iterator[Found]:
    kind = step.get("Type")
    if not isinstance(kind, str) or kind not in STEP_TYPES:
        yield unknown((*path, "Type"), kind, STEP_TYPES, "no type of a step")
    arguments = step.get("Arguments")
    if not isinstance(arguments, dict):
        if kind not in ("Callback", "Cleanup", "EMR", "EMRServerless", "Lambda") or arguments is not None:
            yield create((*path, "Arguments"), "must be an object")
        return
    at = (*path, "Arguments")
    if kind == "Condition":
        if not arguments.get("Conditions") or not isinstance(arguments["Conditions"], list):
            yield create((*at, "Conditions"), "must be a list of at least one condition")
        else:
            for inner, condition in _conditions(arguments["Conditions"], (*at, "Conditions")):
                yield from _condition(condition, inner)
        yield from unknown_members(arguments, ("Conditions", *BRANCHES), at, "a Condition step's Arguments")
        for branch in BRANCHES:
            yield from _step_list(arguments.get(branch, []), (*at, branch), required=False)
    elif kind == "ForEach":
        yield from _for_each(arguments, at)
    elif kind == "Fail" and not isinstance(arguments.get("ErrorMessage"), str | dict):
        yield create((*at, "ErrorMessage"), "must be a text, or an expression that gives one")


def _for_each(arguments: dict[str, Any], path: Path) -> Iterator[Found]:
    body = arguments.get("ForEachBody")
    yield from _step_list(body, (*path, "ForEachBody"), required=True)
    for at, step in entries(body, (*path, "ForEachBody")):
        if step.get("Type") in NOT_IN_FOR_EACH:
            yield create((*at, "Type"), f"no {step['Type']} step inside a ForEach")
    items = arguments.get("IterableItems")
    if not isinstance(items, dict) and not (isinstance(items, list) and 1 <= len(items) <= MAX_ITEMS):
        yield create((*path, "IterableItems"), f"must be a Get, or a list of 1 to {MAX_ITEMS} items")
    at_once = arguments.get("MaxConcurrency")
    if type(at_once) is not int or not 1 <= at_once <= MAX_CONCURRENCY:
        yield create((*path, "MaxConcurrency"), f"must be a whole number from 1 to {MAX_CONCURRENCY}")


def _conditions(listed: list[Any], path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield conditions and those inside them, each with its path, at any depth."""
    pending = [iter([((*path, index), each) for index, each in enumerate(listed)])]
    while pending:
        for at, condition in pending[-1]:
            yield at, condition
            kind, inner = find(condition, "Type"), find(condition, "Conditions")
            if kind == "Or" and isinstance(inner, list):
                pending.append(iter([((*at, "Conditions", index), each) for index, each in enumerate(inner)]))
                break
            if kind == "Not" and condition.get("Condition", []) != []:
                pending.append(iter([((*at, "Condition"), condition["Condition"])]))
                break
        else:
            pending.pop()


def _condition(condition: Any, at: Path) -> Iterator[Found]:
    """Yield what is wrong with one condition, those inside it apart."""
    kind = find(condition, "Type")
    if not isinstance(condition, dict):
        yield create(at, f'a condition is an object with a "Type", not {show(condition)}')
    elif not isinstance(kind, str) or kind not in CONDITION_TYPES:
        yield unknown((*at, "Type"), kind, CONDITION_TYPES, "no type of a condition")
    else:
        operands = CONDITION_TYPES[kind]
        yield from unknown_members(condition, ("Type", *operands), at, f"a condition of type {kind}")
        for member in operands:
            yield from _operand(condition.get(member, []), (*at, member), kind)


def _operand(value: Any, at: Path, kind: str) -> Iterator[Found]:
    if value == []:
        yield create(at, f"missing or empty: a condition of type {kind} needs it")
    elif at[-1] in ("Conditions", "Values") and not isinstance(value, list):
        yield create(at, f"must be a list, not {show(value)}")
    elif at[-1] == "Values":
        for index, each in enumerate(value):
            yield from _compared(each, (*at, index))
    elif kind not in ("Not", "Or"):
        yield from _compared(value, at)


def _compared(value: Any, at: Path) -> Iterator[Found]:
    # What an object says is judged where the references are read.
    expression = isinstance(value, dict) and len(value) == 1
    if not expression and not isinstance(value, str | int | float):
        yield create(at, f"{show(value)} cannot be compared; write a text, a number, true, false or a Get")
