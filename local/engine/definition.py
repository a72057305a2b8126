"""Read a pipeline definition (2020-12-01) into steps with their order, and its parameters into values.

What CreatePipeline refuses is refused at once, each fault with its JSON pointer, and so is what this engine
does not run. What only the API of a step's job refuses is left to that API, when the step starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.engine.references import references
from pipeline_definition.checks import Place, check
from pipeline_definition.checks.service_model import bundled_model
from upload_trigger.definition import loading, walk
from upload_trigger.definition.problems import Problem, did_you_mean, problem

STEP_TYPES = ("Condition", "Fail", "Processing", "RegisterModel", "Training")

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

ParameterValue = str | int | float | bool


class DefinitionError(ValueError):
    """A definition that cannot run; `errors` says everything that is wrong with it, a line each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class ParameterError(ValueError):
    """Parameters that do not fit the definition; its text is that of SageMaker's ValidationException."""


@dataclass(frozen=True)
class StepDefinition:
    """One step: what it waits for (`needs`) and the branch it lies in (`gate`: condition step, outcome)."""

    name: str
    type: str
    document: Mapping[str, Any]
    needs: tuple[str, ...]
    gate: tuple[str, bool] | None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The step's Arguments as written, references and all."""
        arguments: Mapping[str, Any] = self.document["Arguments"]
        return arguments


@dataclass(frozen=True)
class Definition:
    """A definition that can run: its `steps` by name, nested ones too, in the order of the text."""

    document: Mapping[str, Any]
    steps: Mapping[str, StepDefinition]

    @property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """The declared parameters by name."""
        return {parameter["Name"]: parameter for parameter in self.document.get("Parameters") or []}


def parse(text: str) -> Definition:
    """Return the definition of a text; raise DefinitionError with all of its faults."""
    try:
        # Half of a surrogate pair is no UTF-8, and refused as such.
        document = loading.load(text.encode(errors="surrogatepass"))
    except loading.InvalidDefinitionError as error:
        raise DefinitionError([str(problem) for problem in error.problems]) from error
    return read(document)


def read(document: Mapping[str, Any]) -> Definition:
    """Return the definition of a JSON document; raise DefinitionError with all of its faults."""
    definition = dict(document)
    refused = [each for each in check(definition, bundled_model()) if each.place is Place.CREATE]
    errors = [str(each) for each in (*refused, *_not_run(definition))]
    if errors:
        raise DefinitionError(errors)
    return Definition(document, {step.name: step for step in _steps(document["Steps"])})


def _not_run(definition: dict[str, Any]) -> Iterator[Problem]:
    """Yield what SageMaker runs and this engine does not."""
    for path, step, _ in walk.steps(definition):
        name, kind, after = step.get("Name"), step.get("Type"), step.get("DependsOn")
        if kind not in STEP_TYPES:
            legal = ", ".join(STEP_TYPES)
            what = f"step {name} is of type {kind}, which local AWS does not run; it runs {legal}"
            yield problem((*path, "Type"), what)
        if isinstance(after, list) and any(isinstance(each, dict) for each in after):
            what = (
                f"step {name} waits for a Trigger, which local AWS does not know; write the step's name alone"
            )
            yield problem((*path, "DependsOn"), what)


def _steps(steps: list[Any], gate: tuple[str, bool] | None = None) -> Iterator[StepDefinition]:
    for document in steps:
        name, kind, arguments = document["Name"], document["Type"], document["Arguments"]
        # What lies in the branches waits for the condition, not the condition for it.
        own = arguments["Conditions"] if kind == "Condition" else arguments
        needs = [ref.name for ref in references(own) if ref.root == "Steps"]
        yield StepDefinition(
            name, kind, document, tuple(dict.fromkeys([*needs, *document.get("DependsOn", [])])), gate
        )
        if kind == "Condition":
            yield from _steps(arguments.get("IfSteps", []), (name, True))
            yield from _steps(arguments.get("ElseSteps", []), (name, False))


def resolve_parameters(definition: Definition, given: Mapping[str, str]) -> dict[str, ParameterValue]:
    """Return the typed value of every parameter; raise ParameterError with everything that does not fit."""
    declared = definition.parameters
    errors = [
        f"Unknown parameter {name}{did_you_mean(name, declared)}" for name in given if name not in declared
    ]
    if missing := [n for n, p in declared.items() if n not in given and "DefaultValue" not in p]:
        errors.append(f"Parameters without a default value must be given: {', '.join(missing)}")
    values: dict[str, ParameterValue] = {}
    for name, parameter in declared.items():
        if name in given or "DefaultValue" in parameter:
            try:
                values[name] = _parameter_value(parameter, given.get(name, parameter.get("DefaultValue")))
            except ValueError as error:
                errors.append(f"Parameter {name}: {error}")
    if errors:
        raise ParameterError("; ".join(errors))
    return values


def _parameter_value(parameter: Mapping[str, Any], value: Any) -> ParameterValue:
    typed = _typed(parameter["Type"], value)
    allowed = parameter.get("EnumValues")
    if allowed and typed not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, allowed))}")
    return typed


def _typed(kind: str, value: Any) -> ParameterValue:
    text = str(value).strip()
    if kind == "String":
        return str(value)
    if kind == "Boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "Integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "Float" and _FLOAT.fullmatch(text):
        return float(text)
    raise ValueError(f"{value!r} is not of type {kind}")
