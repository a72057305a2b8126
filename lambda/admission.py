"""What a definition has to pass before SageMaker hears of it, and the values that it would start with.

Those are the deployment's, those of parameters.json beside the definition, and the defaults.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import deployment_policy
import object_versions
import pipeline_document
import pipeline_walk
from function_settings import Settings
from object_versions import Upload
from pipeline_document import MAX_PROBLEMS, InvalidDefinition
from pipeline_problems import Path, Problem, did_you_mean, entries, problem, show
from pipeline_walk import MAX_PARAMETER_LENGTH

_IN_EXPRESSION = re.compile(r"/(?:Get$|Std:)")
FILE = "parameters.json"
MAX_BYTES = 262_144
"""Two hundred values of 1,024 characters, and then some."""


@dataclass(frozen=True)
class Judgement:
    """Everything that there is to say of a definition and its values, each list in its order."""

    in_document: list[Problem]
    in_values: list[Problem]
    forbidden: list[Problem]
    warnings: list[Problem]
    given: dict[str, Any]
    """What its parameters.json says."""
    parameters: dict[str, str]
    """What it would start with."""
    text: str
    """As SageMaker is to get it."""
    worst_case_cost: float | None
    """In USD, None where the policy does not bound it."""

    @property
    def problems(self) -> list[Problem]:
        """Give every reason against it, at most `MAX_PROBLEMS`; none = it may start."""
        return _together(self.in_document, self.in_values, self.forbidden)


def admit(body: bytes, upload: Upload, settings: Settings, s3: Any, model: Any) -> Judgement:  # noqa: ARG001
    """Read a definition and what it is to start with; raise InvalidDefinition with every reason against."""
    document = pipeline_document.load(body)
    try:
        beside: bytes | str = read_beside(s3, upload)
    except object_versions.TooLarge as error:
        beside = str(error)
    judgement = judge(document, beside, settings)
    if judgement.problems:
        raise InvalidDefinition(judgement.problems)
    return judgement


def judge(document: dict[str, Any], beside: bytes | str, settings: Settings) -> Judgement:
    """Judge a loaded definition by its values and by the deployment's policy at once.

    `beside` are the bytes of its parameters.json, or why those were not read.
    """
    given, chosen, forbidden, text, cost = {}, {}, [], "", None
    try:
        given = _load(beside)
        in_values = value_problems(document, given, settings)
    except InvalidDefinition as error:
        in_values = list(map(_in_file, error.problems))
    in_document: list[Problem] = []
    # Without its values, the policy could only say that it does not know them.
    if not in_values:
        chosen = choose(document, given, settings)
        values = effective(document, chosen)
        forbidden = deployment_policy.problems(document, values, settings.parameters, settings.policy)
        cost = deployment_policy.worst_case_cost(document, values, settings.policy)
    try:
        text = pipeline_document.serialise(document)
    except InvalidDefinition as error:
        in_document = error.problems
    return Judgement(in_document, in_values, forbidden, [], given, chosen, text, cost)


def _load(beside: bytes | str) -> dict[str, Any]:
    if isinstance(beside, bytes) and len(beside) > MAX_BYTES:
        beside = f"{len(beside):,} bytes; at most {MAX_BYTES:,} are read"
    if isinstance(beside, str):
        raise InvalidDefinition([Problem("", beside)])
    return pipeline_document.load(beside)


def _together(*lists: list[Problem]) -> list[Problem]:
    """Join lists, without what a later one says of a value that an earlier one has refused."""
    told: list[Problem] = []
    refused: set[str] = set()
    for problems in lists:
        told.extend(each for each in problems if _place(each) not in refused)
        refused.update(map(_place, problems))
    return told[:MAX_PROBLEMS]


def _place(found: Problem) -> str:
    """Point at the value that a problem is in, which an expression is as a whole."""
    return _IN_EXPRESSION.split(found.pointer, maxsplit=1)[0]


def read_beside(s3: Any, upload: Upload) -> bytes:
    """Read the newest parameters.json beside a definition; none is like an empty one."""
    key = f"{upload.key.rpartition('/')[0]}/{FILE}"
    version_id = object_versions.latest(s3, upload.bucket, key)
    if version_id is None:
        return b"{}"
    return object_versions.read(s3, Upload(upload.bucket, key, version_id), MAX_BYTES).body


def choose(definition: dict[str, Any], given: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """Choose the values to start with, in the definition's order; what has its DefaultValue needs none."""
    chosen = {}
    for name, parameter in pipeline_walk.parameters(definition).items():
        if name in settings.parameters:
            chosen[name] = settings.parameters[name]
        elif name in given:
            chosen[name] = _text(given[name])
        elif "DefaultValue" not in parameter and name in settings.parameter_defaults:
            chosen[name] = settings.parameter_defaults[name]
    return chosen


def value_problems(definition: dict[str, Any], given: Mapping[str, Any], settings: Settings) -> list[Problem]:
    """List what is wrong with the values to start with (at most `MAX_PROBLEMS`), sound definition or not."""
    declared = pipeline_walk.parameters(definition)
    found = itertools.chain(_unknown(given, declared, settings), _unfit(definition, given, settings))
    return list(itertools.islice(found, MAX_PROBLEMS))


def effective(definition: dict[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """Give the value that each declared parameter has in the execution, None where it has none."""
    declared = pipeline_walk.parameters(definition)
    return {name: chosen.get(name, parameter.get("DefaultValue")) for name, parameter in declared.items()}


def _unknown(given: Mapping[str, Any], declared: Mapping[str, Any], settings: Settings) -> Iterator[Problem]:
    for name in given:
        if name in settings.parameters:
            yield _in_file(problem((name,), "the deployment itself gives this value; leave it out"))
        elif name not in declared:
            hint = did_you_mean(name, declared)
            yield _in_file(problem((name,), f"the definition has no such parameter{hint}"))


def _unfit(definition: dict[str, Any], given: Mapping[str, Any], settings: Settings) -> Iterator[Problem]:
    for path, parameter in entries(definition, (), "Parameters"):
        name = parameter.get("Name")
        if not isinstance(name, str):
            continue
        if name in given and name not in settings.parameters:
            yield from map(_in_file, _wrong(name, given[name], parameter))
        elif name in settings.parameters or "DefaultValue" not in parameter:
            yield from _of_deployment(name, parameter, path, settings)


def _of_deployment(
    name: str, parameter: Mapping[str, Any], path: Path, settings: Settings
) -> Iterator[Problem]:
    names = {*settings.parameters, *settings.parameter_defaults}
    if name not in names:
        what = f"{name} needs a DefaultValue, or a value in {FILE} beside the definition"
        yield problem(path, f"{what}: this deployment gives values to {', '.join(sorted(names))} only")
    elif parameter.get("Type") != "String":
        yield problem((*path, "Type"), 'the deployment gives this parameter a text; write "String"')


def _wrong(name: str, value: Any, parameter: Mapping[str, Any]) -> Iterator[Problem]:
    kind, legal, path = parameter.get("Type"), parameter.get("EnumValues"), (name,)
    if not isinstance(kind, str) or kind not in pipeline_walk.PARAMETER_TYPES:
        return  # told where the parameter is declared
    if not _is_a(kind, value):
        yield problem(path, f"{show(value)} is no {kind}")
    elif len(_text(value)) > MAX_PARAMETER_LENGTH:
        said = f"{len(_text(value)):,} characters; a value has at most {MAX_PARAMETER_LENGTH:,}"
        yield problem(path, said)
    elif isinstance(legal, list) and _read(kind, value) not in legal:
        hint = did_you_mean(_text(value), map(_text, legal))
        yield problem(path, f"not one of EnumValues: {show(value)}{hint}")


def _is_a(kind: str, value: Any) -> bool:
    """Tell whether a value, or the text of one, is of a parameter's type."""
    known = _read(kind, value)
    if not pipeline_walk.is_a(kind, known):
        return False
    if isinstance(known, int):
        return -(2**63) <= known < 2**63
    return isinstance(known, str) or math.isfinite(known)


def _read(kind: str, value: Any) -> Any:
    """Give what a text stands for where no text is due, None when it stands for nothing."""
    if kind == "String" or not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value == value.strip() else None
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _in_file(found: Problem) -> Problem:
    return Problem(f"{FILE}#{found.pointer}", found.message)
