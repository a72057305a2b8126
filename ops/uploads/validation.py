"""Say what AWS and the deployed function would say of a definition, before it is uploaded.

What SageMaker would refuse is said by `pipeline_definition.checks`, and what the deployment forbids by the
function's own code, in the function's own words. Offline, the default policy judges, with a deployment's
settings that deployment's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.aws.session import ClientFactory
from ops.aws.stack import function_name
from ops.errors import AbsentError, CannotUploadError
from ops.input_files import read_file
from ops.uploads.parameters import DEPLOYMENT_PARAMETERS, VPC_PARAMETER, is_deployments
from pipeline_definition.checks import Finding, Place, check, illegal_values
from pipeline_definition.checks.service_model import bundled_model
from upload_trigger.definition import loading, walk
from upload_trigger.definition.loading import InvalidDefinitionError, Problem

if TYPE_CHECKING:
    from upload_trigger.settings import Settings


DEFINITION = "a pipeline definition"
VALUES_FILE = "parameters.json"
"""What the function calls the file of the values, which it points into as `parameters.json#/Epochs`."""
VALUES_LIMIT = 262_144
"""Bytes of a parameters.json; the function reads no more either."""


@dataclass(frozen=True)
class SoundDefinition:
    """A definition that nothing is known against, with what there is to say of it all the same."""

    steps: int
    parameters: int
    advice: list[Finding]
    worst_case_cost: float | None
    """In USD; None when the policy sets no bound."""


def load(path: Path) -> dict[str, Any]:
    """Read what is to be a definition; OpsError when it cannot be read, or is no strict JSON."""
    try:
        return loading.load(read_file(path, "the definition", loading.MAX_BYTES))
    except InvalidDefinitionError as error:
        raise CannotUploadError(_told(f"{path} is not {DEFINITION}", error.problems)) from error


def read_definition(path: Path) -> dict[str, Any]:
    """Read a definition; raise CannotUploadError with all that AWS refuses whatever its parameters are."""
    definition = load(path)
    refuse_what_aws_refuses(path, definition)
    return definition


def refuse_what_aws_refuses(
    path: Path, definition: dict[str, Any], values: Mapping[str, Any] | None = None
) -> None:
    """Raise CannotUploadError with all that AWS would refuse of a definition.

    `values` are those of its parameters as far as they are known; without them it is what AWS would refuse
    whatever they are.
    """
    found = check(definition, bundled_model(), values)
    lines = [tell(each) for each in found if each.place is not Place.ADVICE]
    if lines:
        raise CannotUploadError(_told(f"{path} would not run", lines))


def tell(finding: Finding) -> str:
    """Say a finding in one line, with who on AWS would say it."""
    match finding.place:
        case Place.CREATE:
            return f"CreatePipeline refuses: {finding}"
        case Place.RUN:
            return f"the job of step {finding.step} would be refused: {finding}"
        case Place.EXECUTION:
            return f"the execution would fail: {finding}"
        case Place.ADVICE:
            return f"advice: {finding}"


def offline(definition: Mapping[str, Any]) -> Settings:
    """Return the default policy, and something for all that a deployment of this project fills in.

    A definition for a VPC is judged as if the deployment had so many subnets and security groups.
    """
    from upload_trigger.settings import PARALLEL, Policy, Settings  # noqa: PLC0415

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


def values_of(path: Path | None) -> bytes:
    """Read the bytes of a parameters.json, by default an empty one; OpsError when it cannot be read."""
    return read_file(path, "the parameters", VALUES_LIMIT) if path else b"{}"


def read_parameters(path: Path) -> dict[str, Any]:
    """Read a parameters.json, or raise CannotUploadError."""
    try:
        return loading.load(values_of(path))
    except InvalidDefinitionError as error:
        raise CannotUploadError(
            _told(f"{path} is not a JSON object of parameters", error.problems)
        ) from error


def check_parameters(path: Path, definition: dict[str, Any], values: bytes, beside: str) -> None:
    """Raise CannotUploadError when a definition does not take the `values` of the file `beside`."""
    from upload_trigger import admission  # noqa: PLC0415

    judged = admission.examine(definition, values, offline(definition))
    if judged.in_values:
        raise CannotUploadError("\n".join(_rejected(path, judged.in_values, beside)))


def refuse_illegal_values(definition: dict[str, Any], *sources: tuple[str, Mapping[str, Any]]) -> None:
    """Raise CannotUploadError with the values that an execution would end as Failed for.

    Each source has where its values stand, nothing for the command line; a value counts where it comes first.
    """
    values: dict[str, Any] = {}
    found_in: dict[str, str] = {}
    for where, given in reversed(sources):
        values |= given
        found_in |= dict.fromkeys(given, f"{where}: " if where else "")
    wrong = [found_in[name] + message for name, message in illegal_values(definition, values).items()]
    if wrong:
        raise CannotUploadError("; ".join(wrong))


def judge(
    path: Path,
    definition: dict[str, Any],
    values: bytes = b"{}",
    settings: Settings | None = None,
    beside: str = VALUES_FILE,
) -> SoundDefinition:
    """Judge the loaded definition of `path`, with the values beside it and a deployment's `settings`.

    `beside` is what the person knows the file of the values as.

    Raises:
        CannotUploadError: With all that AWS would refuse, and all that the function would reject.
    """
    from upload_trigger import admission  # noqa: PLC0415

    judged = admission.examine(definition, values, settings or offline(definition))
    known = admission.effective(definition, judged.parameters) if judged.parameters else {}
    if settings is None:
        known = {name: None if is_deployments(name) else value for name, value in known.items()}
    found = check(definition, bundled_model(), known)
    refused = any(each.place is not Place.ADVICE for each in found)
    said = []
    if found:
        said.append(_told(f"{path} would {'not run' if refused else 'run, with advice'}", map(tell, found)))
    said += _rejected(path, [*judged.in_document, *judged.in_values], beside)
    if judged.forbidden:
        default = "the default policy (--stack NAME asks a deployment's)"
        whose = "this deployment's policy" if settings else default
        said.append(_told(f"{path} would be rejected by {whose}", judged.forbidden))
    if refused or judged.problems:
        raise CannotUploadError("\n".join(said))
    return SoundDefinition(
        steps=sum(1 for _ in walk.steps(definition)),
        parameters=len(walk.parameters(definition)),
        advice=found,
        worst_case_cost=judged.worst_case_cost,
    )


def values_at_start(
    definition: dict[str, Any], values: bytes = b"{}", settings: Settings | None = None
) -> dict[str, Any]:
    """Return the value of each parameter in an execution that a sound definition starts."""
    from upload_trigger import admission  # noqa: PLC0415

    chosen = admission.examine(definition, values, settings or offline(definition)).parameters
    return admission.effective(definition, chosen)


def deployed_settings(clients: ClientFactory, stack: str) -> Settings:
    """Read the settings of a stack's function, its policy among them, of its environment."""
    from upload_trigger.settings import Settings, SettingsError  # noqa: PLC0415

    name = function_name(clients.client("cloudformation"), stack)
    configuration = clients.client("lambda").get_function_configuration(FunctionName=name)
    try:
        return Settings.read(configuration.get("Environment", {}).get("Variables", {}))
    except SettingsError as error:
        raise AbsentError(f"stack {stack}: {error}") from error


def _rejected(path: Path, problems: Iterable[Problem], beside: str) -> list[str]:
    """Tell what the function rejects whatever the policy is: of the values' file, then of the definition."""
    in_file, in_definition = [], []
    for each in problems:
        file, hash_, pointer = each.pointer.partition("#")
        if hash_ and file == VALUES_FILE:
            in_file.append(Problem(pointer, each.message))
        else:
            in_definition.append(each)
    told = []
    if in_file:
        told.append(_told(f"{beside} would be rejected by the deployed function, beside {path}", in_file))
    if in_definition:
        told.append(_told(f"{path} would be rejected by the deployed function", in_definition))
    return told


def _entries(listed: Any) -> list[dict[str, Any]]:
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _told(why: str, lines: Iterable[object]) -> str:
    return "\n  ".join([f"{why}:", *map(str, lines)])
