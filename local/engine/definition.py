"""Read a pipeline definition (2020-12-01) into steps with their order, and its parameters into values.

Whatever is wrong with a definition is said at once, each fault with its JSON pointer, before anything runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pipeline_document
from local.engine.cache import expiry
from local.engine.references import did_you_mean, references
from local.engine.retry import policy_errors
from ops.service_model import bundled_model

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
class Step:
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
    steps: Mapping[str, Step]

    @property
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """The declared parameters by name."""
        return {parameter["Name"]: parameter for parameter in self.document.get("Parameters") or []}


def parse(text: str) -> Definition:
    """Return the definition of a text; raise DefinitionError with all of its faults."""
    try:
        document = pipeline_document.load(text.encode())
    except pipeline_document.InvalidDefinition as error:
        raise DefinitionError([str(problem) for problem in error.problems]) from error
    return read(document)


def read(document: Mapping[str, Any]) -> Definition:
    """Return the definition of a JSON document; raise DefinitionError with all of its faults."""
    errors = [str(problem) for problem in pipeline_document.judge(dict(document), bundled_model())[0]]
    errors += [
        error for pointer, step in _walk(document.get("Steps")) for error in _step_errors(pointer, step)
    ]
    if errors:
        raise DefinitionError(errors)
    return Definition(document, {step.name: step for step in _steps(document["Steps"])})


def _walk(steps: Any, pointer: str = "/Steps") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every step that is an object, nested ones too, with its JSON pointer."""
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            yield f"{pointer}/{index}", step
            arguments = step.get("Arguments")
            if step.get("Type") == "Condition" and isinstance(arguments, dict):
                for branch in ("IfSteps", "ElseSteps"):
                    yield from _walk(arguments.get(branch), f"{pointer}/{index}/Arguments/{branch}")


def _step_errors(pointer: str, step: Mapping[str, Any]) -> Iterator[str]:
    """Yield what SageMaker knows and this engine does not, and policies that make no sense."""
    name, kind = step.get("Name"), step.get("Type")
    if kind not in STEP_TYPES:
        legal = ", ".join(STEP_TYPES)
        yield f"{pointer}/Type: step {name} is of type {kind}, which local AWS does not run; it runs {legal}"
    cache = step.get("CacheConfig") or {}
    if not isinstance(cache, dict):
        yield f'{pointer}/CacheConfig: write {{"Enabled": true, "ExpireAfter": "P30D"}}'
    else:
        try:
            expiry(cache)
        except ValueError as error:
            yield f"{pointer}/CacheConfig/ExpireAfter: {error}"
    yield from (f"{pointer}/RetryPolicies{error}" for error in policy_errors(step.get("RetryPolicies") or []))


def _steps(steps: list[Any], gate: tuple[str, bool] | None = None) -> Iterator[Step]:
    for document in steps:
        name, kind, arguments = document["Name"], document["Type"], document["Arguments"]
        # What lies in the branches waits for the condition, not the condition for it.
        own = arguments["Conditions"] if kind == "Condition" else arguments
        needs = [ref.name for ref in references(own) if ref.root == "Steps"]
        yield Step(name, kind, document, tuple(dict.fromkeys([*needs, *document.get("DependsOn", [])])), gate)
        if kind == "Condition":
            yield from _steps(arguments.get("IfSteps", []), (name, True))
            yield from _steps(arguments.get("ElseSteps", []), (name, False))


def resolve_parameters(definition: Definition, given: Mapping[str, str]) -> dict[str, ParameterValue]:
    """Return the typed value of every parameter; raise ParameterError with everything that does not fit."""
    declared = definition.parameters
    errors = [
        f"Unknown parameter {name}: {did_you_mean(name, [*declared])}"
        for name in given
        if name not in declared
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
