"""Check a request to SageMaker against its API's constraints, which clients do not check before they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import botocore.session

from local.sagemaker.errors import ResourceNotFoundError, ServiceError, ValidationError
from local.sagemaker.required_permissions import RESOURCES

_LONGEST_MATCHED = 8192
"""Characters: a longer text (a definition) is not matched with the API's pattern, which may take long."""


_NUMBERS = ("integer", "long", "float", "double")
_UNCHECKED = ("boolean", "timestamp", "blob")


@dataclass(frozen=True)
class Call:
    """One request: the operation, its parameters, and the key that signed it."""

    operation: str
    parameters: Mapping[str, Any]
    access_key: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a parameter, `default` when it is not there."""
        value = self.parameters.get(name)
        return default if value is None else value

    def refuse(self, *names: str) -> None:
        """Raise ValidationException for the first of these parameters that the request has."""
        for name in names:
            if self.get(name):
                raise ValidationError(f"{self.operation}: {name} is not implemented on local AWS.")


@lru_cache(maxsize=1)
def service_model() -> Any:
    """Load botocore's description of the SageMaker API once."""
    return botocore.session.get_session().get_service_model("sagemaker")


def known_members(operation: str, parameters: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the members that the operation has, the ARNs of resources among them in their one spelling.

    So what IAM judges is what the operation is about. `prefix` is what this account's ARNs begin with; an ARN
    of another account, region or type names nothing here: raises NotFoundError.
    """
    members = service_model().operation_model(operation).input_shape.members
    known = {name: value for name, value in parameters.items() if name in members}
    for name, kind in RESOURCES.items():
        value = known.get(name)
        if isinstance(value, str) and value.startswith("arn:"):
            begin = f"{prefix}{kind}/" if kind else prefix
            if not value.lower().startswith(begin):
                raise ResourceNotFoundError(
                    f"{name} {value} does not exist: its ARN would begin with {begin}"
                )
            known[name] = value.lower()
    return known


def check_request(call: Call) -> None:
    """Raise ServiceError with every constraint that the request does not satisfy."""
    shape = service_model().operation_model(call.operation).input_shape
    problems = list(_problems(shape, call.parameters, ""))
    if problems:
        number = len(problems)
        errors = "error" if number == 1 else "errors"
        raise ValidationError(f"{number} validation {errors} detected: {'; '.join(problems)}")


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, Mapping):
        yield from _structure(shape, value, path)
    elif shape.type_name == "list" and isinstance(value, Sequence) and not isinstance(value, str):
        yield from _length(shape, value, path)
        for number, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{path}.{number}.member")
    elif shape.type_name == "map" and isinstance(value, Mapping):
        yield from _length(shape, value, path)
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.{key}.key")
            yield from _problems(shape.value, item, f"{path}.{key}.value")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _string(shape, value, path)
    elif shape.type_name in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(shape, value, path)
    elif shape.type_name not in _UNCHECKED:
        article = "an" if shape.type_name == "integer" else "a"
        what = f"{path or 'The request'} must be {article} {shape.type_name}."
        raise ServiceError("SerializationException", what)


def _structure(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _problem(None, _join(path, name), "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _problems(member, value[name], _join(path, name))


def _string(shape: Any, value: str, path: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        yield _problem(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        return
    yield from _length(shape, value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and len(value) <= _LONGEST_MATCHED and not _matches(pattern, value):
        yield _problem(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _length(shape: Any, value: Any, path: str) -> Iterator[str]:
    shown = value if isinstance(value, str) and len(value) <= 1024 else f"{len(value)} members"
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _problem(shown, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _problem(shown, path, f"Member must have length less than or equal to {most}")


def _number(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _problem(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _problem(value, path, f"Member must have value less than or equal to {most}")


def _problem(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    member = name[0].lower() + name[1:]
    return f"{path}.{member}" if path else member


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # Java's own syntax (\p{L}), which Python does not know
