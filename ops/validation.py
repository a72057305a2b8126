"""Judge a definition on this machine as the function will judge its upload: same code, same messages.

Offline, the default policy judges, with a deployment's settings that deployment's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline_document
from ops.errors import NotFoundError, UploadError
from ops.parameters import DEPLOYMENT_PARAMETERS, VPC_PARAMETER
from ops.service_model import bundled_model
from pipeline_document import InvalidDefinition, Problem

if TYPE_CHECKING:
    from function_settings import Settings


DEFINITION = "a pipeline definition"
_IN_EXPRESSION = re.compile(r"/(?:Get$|Std:)")


@dataclass(frozen=True)
class Judgement:
    """A sound definition, with what there is to say of it all the same."""

    steps: int
    parameters: int
    warnings: list[Problem]
    worst_case_cost: float | None
    """In USD; None when no policy was asked, or the policy sets no bound."""


def load(path: Path) -> dict[str, Any]:
    """Read what is to be a definition, or raise UploadError when it is no strict JSON."""
    return _load(path, "definition", DEFINITION)


def read_definition(path: Path) -> dict[str, Any]:
    """Read a pipeline definition, or raise UploadError with everything that is wrong with it."""
    definition = load(path)
    check(path, definition)
    return definition


def check(path: Path, definition: dict[str, Any]) -> None:
    """Raise UploadError with everything that is wrong with the loaded definition of `path`."""
    _refuse(path, f"is not {DEFINITION}", pipeline_document.judge(definition, bundled_model())[0])


def offline(definition: Mapping[str, Any]) -> Settings:
    """Give the default policy, and something for all that a deployment of this project fills in.

    A definition for a VPC is judged as if the deployment had so many subnets and security groups.
    """
    from function_settings import PARALLEL, Policy, Settings  # noqa: PLC0415

    given = {
        "ArtifactBucket": "artifact-bucket",
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/pipeline",
        "ModelPackageGroupName": "models",
        "TrainingImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:latest",
    }
    declared = [each.get("Name") for each in _entries(definition.get("Parameters"))]
    ids = {name: name for name in map(str, declared) if VPC_PARAMETER.fullmatch(name)}
    return Settings(
        pipeline_name="",
        role_arn="",
        parameters={name: given.get(name, "") for name in sorted(DEPLOYMENT_PARAMETERS)} | ids,
        parameter_defaults={"InputDataUrl": "s3://artifact-bucket/data/"},
        policy=Policy.read("{}"),
        on_running=PARALLEL,
    )


def read_parameters(path: Path | None) -> dict[str, Any]:
    """Read a parameters.json, or raise UploadError; without a path it is an empty one."""
    return _load(path, "parameters", "a JSON object of parameters") if path else {}


def judge(
    path: Path,
    definition: dict[str, Any],
    parameters: Path | None = None,
    settings: Settings | None = None,
    *,
    by_policy: bool = True,
) -> Judgement:
    """Judge the loaded definition of `path`, with the values of `parameters` and a deployment's `settings`.

    Raises:
        UploadError: With every problem that the function would reject the upload for.
    """
    import admission  # noqa: PLC0415

    deployed = settings or offline(definition)
    beside = _bytes(parameters, "parameters") if parameters else b"{}"
    in_document, warnings = pipeline_document.judge(definition, bundled_model())
    judged = admission.judge(definition, beside, deployed)
    forbidden = judged.forbidden if by_policy else []
    whose = "the deployment's policy" if settings else "the default policy; --stack NAME asks a deployment's"
    why = f"is forbidden by {whose}"
    in_document = [*judged.in_document, *in_document]
    if in_document or judged.in_values:
        why = f"is not {DEFINITION}" if in_document else "cannot be started"
    _refuse(path, why, _together(in_document, judged.in_values, forbidden))
    return Judgement(
        steps=_count_steps(definition.get("Steps", [])),
        parameters=len(definition.get("Parameters", [])),
        warnings=warnings,
        worst_case_cost=judged.worst_case_cost if by_policy else None,
    )


def settings_of(environment: Mapping[str, str], stack: str) -> Settings:
    """Read a deployed function's environment."""
    from function_settings import Settings, SettingsError  # noqa: PLC0415

    try:
        return Settings.read(environment)
    except SettingsError as error:
        raise NotFoundError(f"stack {stack}: {error}") from error


def _together(*lists: list[Problem]) -> list[Problem]:
    """Join lists, without what a later one says of a value that an earlier one has refused."""
    told: list[Problem] = []
    refused: set[str] = set()
    for problems in lists:
        told.extend(each for each in problems if _place(each) not in refused)
        refused.update(map(_place, problems))
    return told[: pipeline_document.MAX_PROBLEMS]


def _place(found: Problem) -> str:
    """Return where the value that a problem is in stands, which an expression is as a whole."""
    return _IN_EXPRESSION.split(found.pointer, maxsplit=1)[0]


def _load(path: Path, what: str, due: str) -> dict[str, Any]:
    try:
        return pipeline_document.load(_bytes(path, what))
    except InvalidDefinition as error:
        _refuse(path, f"is not {due}", error.problems)
        raise


def _entries(listed: Any) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UploadError(f"cannot read the {what} {path}: {error.strerror}") from error


def _refuse(path: Path, why: str, problems: list[Problem]) -> None:
    if problems:
        raise UploadError("\n  ".join([f"{path} {why}:", *map(str, problems)]))


def _count_steps(steps: list[Any]) -> int:
    """Count the steps, those in the branches of conditions too."""
    branches = [
        step.get("Arguments", {}).get(branch, []) for step in steps for branch in ("IfSteps", "ElseSteps")
    ]
    return len(steps) + sum(map(_count_steps, branches))
