"""The references of a definition: each must lead to something declared, and the steps must form no cycle."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pipeline_structure
from pipeline_problems import Path, Problem, did_you_mean, problem, show, walk

EXECUTION_VARIABLES = (
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "ProcessingJobName",
    "StartDateTime",
    "TrainingJobName",
)
FUNCTIONS = ("Std:Join", "Std:JsonGet")
_FORMS = 'write "Parameters.<name>", "Execution.<variable>" or "Steps.<name>.<property>"'
_STEP = re.compile(r"Steps\.(?P<step>[A-Za-z0-9_-]{1,64})(?P<property>[.\[].+)", re.DOTALL)
_PROPERTY_FILE = re.compile(r"\.PropertyFiles\.(?P<name>.+)", re.DOTALL)
_OUTPUT = re.compile(r"\.ProcessingOutputConfig\.Outputs\[['\"](?P<name>[^'\"]*)['\"]\]")


@dataclass(frozen=True)
class Declared:
    """Everything that a reference may name."""

    parameters: dict[str, dict[str, Any]]
    steps: dict[str, dict[str, Any]]


def problems(definition: dict[str, Any]) -> Iterator[Problem]:
    """Yield every reference that leads nowhere, then the cycles."""
    declared = Declared(
        parameters=pipeline_structure.parameters(definition),
        steps={step["Name"]: step for _, step, _ in pipeline_structure.steps(definition) if _named(step)},
    )
    for path, value in walk(definition):
        if isinstance(value, dict):
            yield from _expression(value, path, declared)
    for path, step, _ in pipeline_structure.steps(definition):
        yield from _depends_on(step, path, declared)
        yield from _property_file_outputs(step, path)
    yield from _cycles(definition)


def dependencies(definition: dict[str, Any]) -> dict[str, set[str]]:
    """Give for each step the steps it waits for: by reference, by DependsOn, by the Condition around it."""
    found: dict[str, set[str]] = {}
    for path, step, parent in pipeline_structure.steps(definition):
        if not _named(step):
            continue
        waits_for = found.setdefault(step["Name"], set())
        branches = frozenset((*path, "Arguments", branch) for branch in pipeline_structure.BRANCHES)
        nested = branches if step.get("Type") == "Condition" else frozenset()
        referenced = {_referenced_step(value) for _, value in walk(step, path, nested)}
        others = {parent, *referenced, *_names(step.get("DependsOn"))}
        waits_for.update(name for name in others if name)
    return {name: {other for other in others if other in found} for name, others in found.items()}


def _named(step: dict[str, Any]) -> bool:
    return isinstance(step.get("Name"), str)


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _referenced_step(value: Any) -> str | None:
    target = value.get("Get") if isinstance(value, dict) else None
    match = _STEP.fullmatch(target) if isinstance(target, str) else None
    return match["step"] if match else None


def _expression(value: dict[str, Any], path: Path, declared: Declared) -> Iterator[Problem]:
    if "Get" in value and len(value) == 1:
        yield from _get(value["Get"], (*path, "Get"), declared)
        return
    functions = [key for key in value if key.startswith("Std:")]
    if functions and len(value) > 1:
        yield problem(path, f"{show(functions[0])} must be the only member of its object")
    for name in functions:
        if name not in FUNCTIONS:
            yield problem((*path, name), f"no function of a definition{did_you_mean(name, FUNCTIONS)}")
        elif name == "Std:Join":
            yield from _join(value[name], (*path, name))
        else:
            yield from _json_get(value[name], (*path, name))


def _join(body: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(body, dict) or not isinstance(body.get("Values"), list):
        yield problem(path, 'write {"On": "<separator>", "Values": [...]}')
    elif not isinstance(body.get("On"), str):
        yield problem((*path, "On"), "the text between the values is due")


def _json_get(body: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(body, dict) or ("PropertyFile" in body) == ("S3Uri" in body):
        yield problem(
            path, 'write {"PropertyFile": {"Get": ...}, "Path": "a.b"}, or "S3Uri" for "PropertyFile"'
        )
        return
    if not isinstance(body.get("Path"), str):
        yield problem((*path, "Path"), "the path of the value inside the JSON file is due")
    target = body["PropertyFile"].get("Get") if isinstance(body.get("PropertyFile"), dict) else None
    if "PropertyFile" in body and not (isinstance(target, str) and ".PropertyFiles." in target):
        yield problem((*path, "PropertyFile"), 'write {"Get": "Steps.<name>.PropertyFiles.<name>"}')


def _get(target: Any, path: Path, declared: Declared) -> Iterator[Problem]:
    kind, dot, name = target.partition(".") if isinstance(target, str) else ("", "", "")
    step = _STEP.fullmatch(target) if isinstance(target, str) else None
    if step:
        yield from _step_property(step, path, declared)
    elif kind == "Parameters" and dot:
        if name not in declared.parameters:
            yield problem(path, f"no parameter {show(name)}{did_you_mean(name, declared.parameters)}")
    elif kind == "Execution" and dot:
        if name not in EXECUTION_VARIABLES:
            hint = did_you_mean(name, EXECUTION_VARIABLES)
            yield problem(path, f"no variable of an execution: {show(name)}{hint}")
    else:
        yield problem(path, f"{show(target)} is no reference: {_FORMS}")


def _step_property(reference: re.Match[str], path: Path, declared: Declared) -> Iterator[Problem]:
    name = reference["step"]
    step = declared.steps.get(name)
    if step is None:
        yield problem(path, f"no step {show(name)}{did_you_mean(name, declared.steps)}")
        return
    file = _PROPERTY_FILE.fullmatch(reference["property"])
    output = _OUTPUT.match(reference["property"])
    if file:
        yield from _property_file(file["name"], name, step, path)
    elif output and step.get("Type") == "Processing":
        yield from _output(output["name"], step, path)


def _property_file(file: str, name: str, step: dict[str, Any], path: Path) -> Iterator[Problem]:
    files = [each["PropertyFileName"] for each in pipeline_structure.property_files(step)]
    if file not in files:
        yield problem(path, f"step {name} has no property file {show(file)}{did_you_mean(file, files)}")
    if path[-3:] != ("Std:JsonGet", "PropertyFile", "Get"):
        yield problem(
            path, 'a property file is read by {"Std:JsonGet": {"PropertyFile": ..., "Path": ...}} only'
        )


def _output(name: str, step: dict[str, Any], path: Path) -> Iterator[Problem]:
    outputs = pipeline_structure.outputs(step)
    if outputs is not None and name not in outputs:
        hint = did_you_mean(name, sorted(outputs))
        yield problem(path, f"step {step['Name']} has no output {show(name)}{hint}")


def _depends_on(step: dict[str, Any], path: Path, declared: Declared) -> Iterator[Problem]:
    given = step.get("DependsOn", [])
    if not isinstance(given, list):
        yield problem((*path, "DependsOn"), "a list of step names is due")
        return
    for index, name in enumerate(given):
        if not isinstance(name, str) or name not in declared.steps:
            hint = did_you_mean(str(name), declared.steps)
            yield problem((*path, "DependsOn", index), f"no step {show(name)}{hint}")


def _property_file_outputs(step: dict[str, Any], path: Path) -> Iterator[Problem]:
    outputs = pipeline_structure.outputs(step)
    for file in pipeline_structure.property_files(step):
        name = file.get("OutputName")
        if step.get("Type") == "Processing" and isinstance(name, str) and name not in (outputs or ()):
            where = show(file["PropertyFileName"])
            hint = did_you_mean(name, sorted(outputs or ()))
            yield problem(
                (*path, "PropertyFiles"), f"{where} is in output {show(name)}, which is not there{hint}"
            )


def _cycles(definition: dict[str, Any]) -> Iterator[Problem]:
    waits_for = dependencies(definition)
    waited_for_by: dict[str, list[str]] = {name: [] for name in waits_for}
    for name, others in waits_for.items():
        for other in others:
            waited_for_by[other].append(name)
    open_count = Counter({name: len(others) for name, others in waits_for.items()})
    left = dict.fromkeys(waits_for)
    ready = [name for name in waits_for if not open_count[name]]
    while left:
        while ready:
            done = ready.pop()
            if done not in left:
                continue
            del left[done]
            for name in waited_for_by[done]:
                open_count[name] -= 1
                if not open_count[name]:
                    ready.append(name)
        if left:
            cycle = _cycle_among(left, waits_for)
            names = [*cycle, cycle[0]] if len(cycle) <= 10 else [*cycle[:10], "..."]
            yield Problem("/Steps", f"these steps wait for each other: {' -> '.join(names)}")
            ready.extend(cycle)  # count them as done, to find the cycles that do not touch this one


def _cycle_among(left: dict[str, None], waits_for: dict[str, set[str]]) -> list[str]:
    """Follow open dependencies from any step left over until one repeats: each has at least one."""
    name = next(iter(left))
    trail: dict[str, None] = {}
    while name not in trail:
        trail[name] = None
        name = min(other for other in waits_for[name] if other in left)
    return list(trail)[list(trail).index(name) :]
