"""What is held against an upload before SageMaker hears of it, and the values that it would start with.

Its bytes have to be strict JSON, its values those of its parameters, what it does allowed by the deployment's
policy, and its data there. Whether it is a definition at all is SageMaker's to say.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from upload_trigger import input_data, policy, uploads
from upload_trigger.definition import loading, walk
from upload_trigger.definition.loading import MAX_PROBLEMS, InvalidDefinitionError
from upload_trigger.definition.problems import Path, Problem, did_you_mean, entries, problem, show
from upload_trigger.definition.walk import MAX_PARAMETER_LENGTH
from upload_trigger.input_data import DIGEST, UNKNOWN, URL, NoDataSetError
from upload_trigger.settings import Settings
from upload_trigger.uploads import Upload

FILE = "parameters.json"
MAX_BYTES = 262_144
"""Two hundred values of 1,024 characters, and then some."""


@dataclass
class Examination:
    """Everything that there is to say of a definition and its values, each list in its order."""

    in_document: list[Problem] = field(default_factory=list)
    in_values: list[Problem] = field(default_factory=list)
    forbidden: list[Problem] = field(default_factory=list)
    """Empty, too, while the values are wrong: the policy judges values."""
    warnings: list[Problem] = field(default_factory=list)
    file_values: dict[str, Any] = field(default_factory=dict)
    """What its parameters.json says."""
    parameters: dict[str, str] = field(default_factory=dict)
    """What it would start with."""
    text: str = ""
    """As SageMaker is to get it."""
    worst_case_cost: float | None = None
    """In USD, None where the policy does not bound it."""

    @property
    def problems(self) -> list[Problem]:
        """Return every reason against it, at most `MAX_PROBLEMS`; none = it may start."""
        return [*self.in_document, *self.in_values, *self.forbidden][:MAX_PROBLEMS]


def admit(body: bytes, upload: Upload, settings: Settings, s3: Any) -> Examination:
    """Read a definition and its values; raise InvalidDefinitionError with every reason against them."""
    document = loading.load(body)
    try:
        parameters_file: bytes | str = read_parameters_file(s3, upload)
    except uploads.TooLargeError as error:
        parameters_file = str(error)
    examined = examine(document, parameters_file, settings, s3)
    if examined.problems:
        raise InvalidDefinitionError(examined.problems)
    return examined


def examine(
    document: dict[str, Any], parameters_file: bytes | str, settings: Settings, s3: Any = None
) -> Examination:
    """Judge a loaded definition by its values, by the deployment's policy and by its data.

    `parameters_file` are the bytes of its parameters.json, or why those were not read. Without `s3` nobody
    looks at the data: what the deployment says by default stands.
    """
    found = Examination()
    try:
        found.text = loading.serialise(document)
    except InvalidDefinitionError as error:
        found.in_document = error.problems
    try:
        found.file_values = _load(parameters_file)
        found.in_values = value_problems(document, found.file_values, settings)
    except InvalidDefinitionError as error:
        found.in_values = list(map(_in_file, error.problems))
    if found.in_values:
        return found
    found.parameters = choose(document, found.file_values, settings)
    try:
        if s3 is not None:
            _choose_data_set(found, settings, s3)
        values = effective(document, found.parameters)
        found.forbidden = policy.problems(document, values, settings.parameters, settings.policy)
        found.worst_case_cost = policy.worst_case_cost(document, values, settings.policy)
        # Last, because only what the policy lets a job read may be looked at.
        if s3 is not None and not found.problems:
            _look_at_data(document, found, values, settings, s3)
    except NoDataSetError as error:
        found.in_values = [_at_url(document, found.file_values, str(error))]
    return found


def _choose_data_set(found: Examination, settings: Settings, s3: Any) -> None:
    """Choose the one data set that there is where nobody says which to read."""
    if URL in found.parameters and URL not in found.file_values:
        url = found.parameters[URL]
        found.parameters[URL] = input_data.only_data_set(s3, settings.bucket, url)


def _look_at_data(
    document: dict[str, Any], found: Examination, values: Mapping[str, Any], settings: Settings, s3: Any
) -> None:
    """See that there is data, and let the execution have its digest."""
    url = values.get(URL)
    if not isinstance(url, str):
        return
    data = input_data.look(s3, settings.bucket, url, digest=DIGEST in values)
    parameters = {**found.parameters, **({DIGEST: data.digest} if DIGEST in values else {})}
    if data.url != url:
        parameters[URL] = data.url
    found.parameters = {name: parameters[name] for name in values if name in parameters}
    found.warnings = [_at_url(document, found.file_values, data.warning)] if data.warning else []


def _at_url(document: dict[str, Any], file_values: Mapping[str, Any], message: str) -> Problem:
    """Point at where InputDataUrl has its value, or is declared."""
    if URL in file_values:
        return _in_file(problem((URL,), message))
    declared = entries(document, (), "Parameters")
    return problem(next(path for path, each in declared if each.get("Name") == URL), message)


def _load(parameters_file: bytes | str) -> dict[str, Any]:
    if isinstance(parameters_file, bytes) and len(parameters_file) > MAX_BYTES:
        parameters_file = f"{len(parameters_file):,} bytes; at most {MAX_BYTES:,} are read"
    if isinstance(parameters_file, str):
        raise InvalidDefinitionError([Problem("", parameters_file)])
    return loading.load(parameters_file)


def read_parameters_file(s3: Any, upload: Upload) -> bytes:
    """Read the newest parameters.json beside a definition; none is like an empty one."""
    key = f"{upload.key.rpartition('/')[0]}/{FILE}"
    version_id = uploads.latest(s3, upload.bucket, key)
    if version_id is None:
        return b"{}"
    return uploads.read(s3, Upload(upload.bucket, key, version_id), MAX_BYTES).body


def choose(definition: dict[str, Any], file_values: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """Choose the values to start with, in the definition's order; what has its DefaultValue needs none."""
    chosen = {}
    for name, parameter in walk.parameters(definition).items():
        if name in settings.parameters:
            chosen[name] = settings.parameters[name]
        elif name == DIGEST:
            chosen[name] = UNKNOWN
        elif name in file_values:
            chosen[name] = _text(file_values[name])
        elif "DefaultValue" not in parameter and name in settings.parameter_defaults:
            chosen[name] = settings.parameter_defaults[name]
    return chosen


def value_problems(
    definition: dict[str, Any], file_values: Mapping[str, Any], settings: Settings
) -> list[Problem]:
    """List what is wrong with the values to start with (at most `MAX_PROBLEMS`), sound definition or not."""
    declared = walk.parameters(definition)
    found = itertools.chain(
        _unknown(file_values, declared, settings), _unfit(definition, file_values, settings)
    )
    return list(itertools.islice(found, MAX_PROBLEMS))


def effective(definition: dict[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return the value that each declared parameter has in the execution, None where it has none."""
    declared = walk.parameters(definition)
    return {name: chosen.get(name, parameter.get("DefaultValue")) for name, parameter in declared.items()}


def _unknown(
    file_values: Mapping[str, Any], declared: Mapping[str, Any], settings: Settings
) -> Iterator[Problem]:
    for name in file_values:
        if _is_deployments(name, settings):
            yield _in_file(problem((name,), "the deployment itself gives this value; leave it out"))
        elif name not in declared:
            hint = did_you_mean(name, declared)
            yield _in_file(problem((name,), f"the definition has no such parameter{hint}"))


def _is_deployments(name: str, settings: Settings) -> bool:
    return name in settings.parameters or name == DIGEST


def _unfit(
    definition: dict[str, Any], file_values: Mapping[str, Any], settings: Settings
) -> Iterator[Problem]:
    for path, parameter in entries(definition, (), "Parameters"):
        name = parameter.get("Name")
        if not isinstance(name, str):
            continue
        if name in file_values and not _is_deployments(name, settings):
            yield from map(_in_file, _wrong(name, file_values[name], parameter))
        elif _is_deployments(name, settings) or "DefaultValue" not in parameter:
            yield from _of_deployment(name, parameter, path, settings)


def _of_deployment(
    name: str, parameter: Mapping[str, Any], path: Path, settings: Settings
) -> Iterator[Problem]:
    names = {*settings.parameters, *settings.parameter_defaults, DIGEST}
    if name not in names:
        what = f"{name} needs a DefaultValue, or a value in {FILE} beside the definition"
        yield problem(path, f"{what}: this deployment gives values to {', '.join(sorted(names))} only")
    elif parameter.get("Type") != "String":
        yield problem((*path, "Type"), 'the deployment gives this parameter a text; write "String"')


def _wrong(name: str, value: Any, parameter: Mapping[str, Any]) -> Iterator[Problem]:
    kind, legal, path = parameter.get("Type"), parameter.get("EnumValues"), (name,)
    if not isinstance(kind, str) or kind not in walk.PARAMETER_TYPES:
        return  # SageMaker refuses the declaration
    if kind == "String" and isinstance(value, int | float) and not isinstance(value, bool):
        value = _text(value)  # as StartPipelineExecution gets every value
    if not _is_a(kind, value):
        yield problem(path, f"{show(value)} is no {kind}")
    elif value == "":
        yield problem(path, "SageMaker takes no empty value; leave it out")
    elif len(_text(value)) > MAX_PARAMETER_LENGTH:
        said = f"{len(_text(value)):,} characters; a value has at most {MAX_PARAMETER_LENGTH:,}"
        yield problem(path, said)
    elif isinstance(legal, list) and _read(kind, value) not in legal:
        hint = did_you_mean(_text(value), map(_text, legal))
        yield problem(path, f"not one of EnumValues: {show(value)}{hint}")


def _is_a(kind: str, value: Any) -> bool:
    """Return whether a value, or the text of one, is of a parameter's type."""
    known = _read(kind, value)
    if not walk.is_a(kind, known):
        return False
    if isinstance(known, int):
        return -(2**63) <= known < 2**63
    return isinstance(known, str) or math.isfinite(known)


def _read(kind: str, value: Any) -> Any:
    """Return what a text stands for where the type is not String, None when it stands for nothing."""
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
