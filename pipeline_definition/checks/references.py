"""The references of a definition: each must lead to something declared, and the steps must form no cycle."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline_definition.checks.findings import Found, Place, create, no_such, unknown
from upload_trigger.definition.problems import Path, entries, find, show, walk
from upload_trigger.definition.walk import inner_steps, parameters, steps

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
EXPERIMENT_VARIABLES = ("ExperimentName", "TrialName")
ROOTS = ("Parameters", "Execution", "Steps", "PipelineExperimentConfig", "ForEach", "IterationOutput")
FUNCTIONS = ("Std:Join", "Std:JsonGet")
TRIGGERS = ("Completed", "Failed", "Stopped", "Any")
_FORMS = 'write "Parameters.<name>", "Execution.<variable>" or "Steps.<name>.<property>"'
_STEP = re.compile(r"Steps\.(?P<step>[A-Za-z0-9_-]{1,64})(?P<property>[.\[].+)", re.DOTALL)
_OTHER = re.compile(r"(?P<root>[A-Za-z]{1,64})[.\[].+", re.DOTALL)
_PROPERTY_FILE = re.compile(r"\.PropertyFiles\.(?P<name>.+)", re.DOTALL)
_OUTPUT = re.compile(r"\.ProcessingOutputConfig\.Outputs\[['\"](?P<name>[^'\"]*)['\"]\]")


@dataclass(frozen=True)
class _Declared:
    """Everything that a reference may name."""

    parameters: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, None] | None]
    """By step; None where they cannot be read."""
    property_files: dict[str, dict[str, None]]
    failing: frozenset[str]
    """The Fail steps."""


def findings(definition: dict[str, Any]) -> Iterator[Found]:
    """Yield every reference that leads nowhere, then the cycles."""
    listed = [step for _, step, _ in steps(definition)]
    named = {step["Name"]: step for step in listed if isinstance(step.get("Name"), str)}
    declared = _Declared(
        parameters=parameters(definition),
        outputs={name: _outputs(step) for name, step in named.items()},
        property_files={
            name: _texts(step, "PropertyFileName", "PropertyFiles") for name, step in named.items()
        },
        failing=frozenset(name for name, step in named.items() if step.get("Type") == "Fail"),
    )
    for at, value in walk(definition, skip=[("Steps",)], objects_only=True):
        yield from _expression(value, at, declared)
    waits_for: dict[str, set[str]] = {name: set() for name in named}
    for path, step, parent in steps(definition):
        edges = waits_for.get(step["Name"], set()) if isinstance(step.get("Name"), str) else set()
        inner = inner_steps(step, path)
        for at, value in walk(step, path, inner, objects_only=True):
            yield from _expression(value, at, declared)
            target = value.get("Get")
            if isinstance(target, str) and (match := _STEP.fullmatch(target)):
                edges.add(match["step"])
        yield from _depends_on(step, path, declared)
        yield from _property_file_outputs(step, path)
        listed = step["DependsOn"] if isinstance(step.get("DependsOn"), list) else []
        names = [parent, *(each.get("Step") if isinstance(each, dict) else each for each in listed)]
        edges.update(name for name in names if isinstance(name, str))
    yield from _cycles({name: edges & named.keys() for name, edges in waits_for.items()})


def _texts(value: Any, member: str, *within: str) -> dict[str, None]:
    texts = (each.get(member) for _, each in entries(value, (), *within))
    return dict.fromkeys(text for text in texts if isinstance(text, str))


def _outputs(step: dict[str, Any]) -> dict[str, None] | None:
    """Return the OutputNames of a Processing step, None when they cannot be read."""
    arguments = step.get("Arguments")
    if step.get("Type") != "Processing" or not isinstance(arguments, dict):
        return None
    config = arguments.get("ProcessingOutputConfig", {"Outputs": []})
    return _texts(config, "OutputName", "Outputs") if isinstance(find(config, "Outputs"), list) else None


def _expression(value: dict[str, Any], path: Path, declared: _Declared) -> Iterator[Found]:
    if "Get" in value and len(value) == 1:
        yield from _get(value["Get"], (*path, "Get"), declared)
        return
    functions = [key for key in value if key.startswith("Std:")]
    if functions and len(value) > 1:
        yield create(path, f"{show(functions[0])} must be the only member of its object")
    for name in functions:
        if name not in FUNCTIONS:
            yield unknown((*path, name), name, FUNCTIONS, "no function of a definition")
        elif name == "Std:Join":
            yield from _join(value[name], (*path, name))
        else:
            yield from _json_get(value[name], (*path, name))


def _join(body: Any, path: Path) -> Iterator[Found]:
    if not isinstance(body, dict) or not isinstance(body.get("Values"), list):
        yield create(path, 'write {"On": "<separator>", "Values": [...]}')
        return
    if not isinstance(body.get("On"), str):
        yield create((*path, "On"), "must be the text between the values")
    for index, value in enumerate(body["Values"]):
        if value is None or isinstance(value, list) or (isinstance(value, dict) and len(value) != 1):
            yield create((*path, "Values", index), f"{show(value)} cannot be joined")


def _json_get(body: Any, path: Path) -> Iterator[Found]:
    if not isinstance(body, dict) or ("PropertyFile" in body) == ("S3Uri" in body):
        yield create(
            path, 'write {"PropertyFile": {"Get": ...}, "Path": "a.b"}, or "S3Uri" for "PropertyFile"'
        )
        return
    if not isinstance(body.get("Path"), str):
        yield create((*path, "Path"), "must be the path of the value inside the JSON file")
    target = find(body, "PropertyFile", "Get")
    if "PropertyFile" in body and not (isinstance(target, str) and ".PropertyFiles." in target):
        yield create((*path, "PropertyFile"), 'write {"Get": "Steps.<name>.PropertyFiles.<name>"}')
    if "S3Uri" in body and not isinstance(body["S3Uri"], str | dict):
        yield create((*path, "S3Uri"), "must be the URI of a JSON file")


def _get(target: Any, path: Path, declared: _Declared) -> Iterator[Found]:
    text = target if isinstance(target, str) else ""
    kind, dot, name = text.partition(".")
    step = _STEP.fullmatch(text)
    if step:
        yield from _step_property(step, path, declared)
    elif kind == "Parameters" and dot:
        if name not in declared.parameters:
            yield no_such(path, "no parameter", name, declared.parameters)
    elif kind in ("Execution", "PipelineExperimentConfig") and dot:
        variables = EXECUTION_VARIABLES if kind == "Execution" else EXPERIMENT_VARIABLES
        if name not in variables:
            yield unknown(path, name, variables, f"no variable of {kind}")
    else:
        yield from _other(text, target, path)


def _other(text: str, target: Any, path: Path) -> Iterator[Found]:
    """Judge a reference that is inside a ForEach, of a newer root, or nonsense."""
    match = _OTHER.fullmatch(text)
    root = match["root"] if match else None
    if root in ("ForEach", "IterationOutput"):
        if "ForEachBody" not in path and "Selector" not in path:
            yield create(path, f"{root} is known inside a ForEach step only")
        return
    finding = unknown(path, root, ROOTS, "no reference") if root and root not in ROOTS else None
    if finding and finding.place is Place.ADVICE:
        yield finding
    else:
        yield create(path, f"{show(target)} is no reference: {_FORMS}")


def _step_property(reference: re.Match[str], path: Path, declared: _Declared) -> Iterator[Found]:
    name, member = reference["step"], reference["property"]
    if name not in declared.outputs:
        yield no_such(path, "no step", name, declared.outputs)
        return
    file, output, outputs = _PROPERTY_FILE.fullmatch(member), _OUTPUT.match(member), declared.outputs[name]
    if file:
        files = declared.property_files[name]
        if file["name"] not in files:
            yield no_such(path, f"step {name} has no property file", file["name"], files)
        if path[-3:] != ("Std:JsonGet", "PropertyFile", "Get"):
            how = '{"Std:JsonGet": {"PropertyFile": ..., "Path": ...}}'
            yield create(path, f"a property file is read by {how} only")
    elif output and outputs is not None and output["name"] not in outputs:
        yield no_such(path, f"step {name} has no output", output["name"], outputs)


def _depends_on(step: dict[str, Any], path: Path, declared: _Declared) -> Iterator[Found]:
    listed = step.get("DependsOn", [])
    if not isinstance(listed, list):
        yield create((*path, "DependsOn"), "must be a list of step names")
        return
    for index, entry in enumerate(listed):
        at: Path = (*path, "DependsOn", index)
        name = entry.get("Step") if isinstance(entry, dict) else entry
        if not isinstance(name, str) or name not in declared.outputs:
            yield no_such(at, "no step", name, declared.outputs)
        elif name == entry and name in declared.failing:
            # The end of the sentence is SageMaker's own.
            yield create(at, f"nothing runs after a Fail step: {step.get('Name')} can not depends on {name}")
        if isinstance(entry, dict) and entry.get("Trigger") not in TRIGGERS:
            yield create((*at, "Trigger"), f"must be one of {', '.join(TRIGGERS)}")


def _property_file_outputs(step: dict[str, Any], path: Path) -> Iterator[Found]:
    outputs = _outputs(step)
    for at, file in entries(step, path, "PropertyFiles"):
        name = file.get("OutputName")
        if isinstance(name, str) and outputs is not None and name not in outputs:
            yield no_such((*at, "OutputName"), "the step has no output", name, outputs)


def _cycles(waits_for: dict[str, set[str]]) -> Iterator[Found]:
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
            yield create(("Steps",), f"these steps wait for each other: {' -> '.join(names)}")
            ready.extend(cycle)  # count them as done, to find the cycles that do not touch this one


def _cycle_among(left: dict[str, None], waits_for: dict[str, set[str]]) -> list[str]:
    """Follow open dependencies from any step left over until one repeats: each has at least one."""
    name = next(iter(left))
    trail: dict[str, None] = {}
    while name not in trail:
        trail[name] = None
        name = min(other for other in waits_for[name] if other in left)
    return list(trail)[list(trail).index(name) :]
