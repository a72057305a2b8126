"""Pipeline parameters of one upload: checked against the definition, then written into the uploaded copy."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any

from ops.errors import CannotUploadError
from upload_trigger.definition.problems import did_you_mean

DEPLOYMENT_PARAMETERS = frozenset(
    {
        "ArtifactBucket",
        "ExecutionRoleArn",
        "ModelPackageGroupName",
        "OutputKmsKeyId",
        "TrainingImageUri",
        "VolumeKmsKeyId",
    }
)
"""Set by the deployed Lambda at StartPipelineExecution; a value in the definition would never be used."""
DATA_DIGEST = "InputDataDigest"
"""Set by the Lambda, too, which makes it of the objects that it finds."""
VPC_PARAMETER = re.compile(r"(?:SubnetId|SecurityGroupId)\d+")
"""The names of those that a deployment with a VPC sets, too."""

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
STRING_LIMIT = 1024  # characters; SageMaker's limit of a parameter's value
BOOLEANS = {"true": True, "false": False}

Value = str | int | float | bool


def is_deployments(name: str) -> bool:
    """Return whether the deployment sets a parameter."""
    is_named = name in DEPLOYMENT_PARAMETERS or name == DATA_DIGEST
    return is_named or VPC_PARAMETER.fullmatch(name) is not None


def with_defaults(definition: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Copy `definition` with the DefaultValue of each of `parameters` replaced, typed as declared.

    Raises:
        CannotUploadError: A name the definition does not declare or the deployment sets, or a value that is
            not of the declared type or not among its EnumValues. All problems are named at once.
    """
    changed = copy.deepcopy(dict(definition))
    declared = {entry["Name"]: entry for entry in changed.get("Parameters", [])}
    problems = []
    for name, text in parameters.items():
        try:
            _check_name(name, declared)
            declared[name]["DefaultValue"] = typed(declared[name], text)
        except CannotUploadError as error:
            problems.append(error.message)
    if problems:
        raise CannotUploadError("; ".join(problems))
    return changed


def typed(parameter: Mapping[str, Any], text: str) -> Value:
    """Read `text` as the parameter's Type (String, Integer, Float or Boolean) and check its EnumValues."""
    name, kind = parameter["Name"], parameter["Type"]
    if kind == "String" and not text:
        raise CannotUploadError(f"{name}= is empty, and SageMaker takes no empty value; leave it out")
    value = _convert(kind, text)
    if value is None:
        raise CannotUploadError(f"{name}={text!r} is not {EXPECTED.get(kind, kind)}")
    allowed = parameter.get("EnumValues")
    if allowed and value not in allowed:
        raise CannotUploadError(
            f"{name} is {text!r} but must be one of its EnumValues{did_you_mean(text, map(str, allowed))}"
        )
    return value


EXPECTED = {
    "Integer": "an Integer (such as 20)",
    "Float": "a Float (such as 0.7)",
    "Boolean": "a Boolean (true or false)",
    "String": f"a String of at most {STRING_LIMIT} characters",
}


def _check_name(name: str, declared: Mapping[str, Any]) -> None:
    if is_deployments(name):
        raise CannotUploadError(
            f"{name} is set by the deployment and cannot be given with an upload: change the stack instead"
        )
    if name not in declared:
        known = [candidate for candidate in declared if not is_deployments(candidate)]
        raise CannotUploadError(f"no parameter {name} in the definition{did_you_mean(name, known)}")


def _convert(kind: str, text: str) -> Value | None:
    match kind:
        case "Integer":
            return int(text.strip()) if INTEGER.fullmatch(text.strip()) else None
        case "Float":
            return _finite(text)
        case "Boolean":
            return BOOLEANS.get(text.strip().lower())
        case "String":
            return text if len(text) <= STRING_LIMIT and text.isprintable() else None
    return None


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
