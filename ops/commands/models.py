"""The commands about models: models, approve, reject, download, predict."""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError, ParamValidationError
from rich.console import Console
from rich.filesize import decimal

from ops.aws.session import Session
from ops.aws.stack import output as stack_output
from ops.commands.options import STACK
from ops.errors import AbsentError, OpsError, error_code, error_message
from ops.executions import evaluations, serving
from ops.executions.evaluations import Evaluation
from ops.executions.models import (
    DESCRIPTION,
    EXECUTION_PROPERTY,
    UNPACKED_LIMIT,
    ArtifactError,
    RegisteredModel,
    fetch,
    find_package,
    list_packages,
    model_data,
    read_package,
    unpack,
    weights_sha256,
)
from ops.output.terminal import say, show_table

ARCHIVE = "model.tar.gz"
SUFFIXES = (".tar.gz", ".tgz")
APPROVED, REJECTED, PENDING = STATUSES = ("Approved", "Rejected", "PendingManualApproval")
REASON_LIMIT = 1024
"""Characters that SageMaker takes as an ApprovalDescription."""
METRICS = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
SHOWN = ("TrainingType", EXECUTION_PROPERTY)
"""Properties that have a line of their own."""
NOTHING = "-"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_GROUP_AND_NUMBER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,62})/([1-9][0-9]{0,8})")
_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:model-package/\S+")

VERSION = click.argument("version", metavar="VERSION")


@dataclass(frozen=True)
class Measured:
    """A model package and the evaluation that its ModelMetrics name, or why there is none."""

    model: RegisteredModel
    evaluation: Evaluation | None
    problem: str | None


@click.command()
@click.argument("version", metavar="[VERSION]", required=False)
@click.option("--status", type=click.Choice(STATUSES), help="Only those with this approval status.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the newest are shown.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line, for programs.")
@STACK
def models(version: str | None, status: str | None, limit: int, as_json: bool, stack: str) -> None:
    """List the registered models, the newest first, or show VERSION in full.

    One row for each version of the deployment's model package group: its training, its accuracy on the test
    images with the 95 % interval, its approval status and the reason that was given for it, when it was
    registered and by which execution.

    VERSION is a number of that list, GROUP/NUMBER for another group, or the ARN of a model package. It shows
    every metric, and where the image, the weights and the evaluation are.
    """
    session, console = Session(), Console()
    sagemaker, s3 = session.client("sagemaker"), session.client("s3")
    if version:
        if status:
            raise click.UsageError("--status chooses among all models: leave it or VERSION out")
        found = [read_package(sagemaker, package_arn(session, version, stack))]
    else:
        found = list_packages(sagemaker, _group(session, stack), status, limit)
    measured = [_measured(s3, model) for model in found]
    if as_json:
        for each in measured:
            click.echo(json.dumps(_document(each)))
    elif version:
        _show(console, measured[0])
    else:
        _show_list(console, measured, status)


@click.command()
@VERSION
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the model.")
@STACK
def approve(version: str, reason: str, stack: str) -> None:
    """Approve a model.

    Sets the approval status of VERSION to Approved, and says what it was before. VERSION is a number as
    `models` shows it, GROUP/NUMBER, or the ARN of a model package. The reason of an earlier status goes.
    """
    _decide(version, APPROVED, reason, stack)


@click.command()
@VERSION
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with the model.")
@STACK
def reject(version: str, reason: str, stack: str) -> None:
    """Reject a model, with a reason.

    Sets the approval status of VERSION to Rejected, and says what it was before. VERSION is a number as
    `models` shows it, GROUP/NUMBER, or the ARN of a model package. Its files stay, and it may be approved
    later.
    """
    if not reason.strip():
        raise click.UsageError("--reason must say why the model is rejected")
    _decide(version, REJECTED, reason, stack)


@click.command()
@VERSION
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Where it goes: a folder, or a file that ends in .tar.gz.  [default: this folder]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@STACK
def download(version: str, output: Path | None, force: bool, stack: str) -> None:
    """Download the model.tar.gz of a registered model.

    To <group>-<number>.tar.gz, which `predict --model` takes as it is. The file appears when all of it has
    arrived and there is a model in it; its size and the sha256 of its weights are printed. After Ctrl-C or a
    broken connection the same command begins again. VERSION is a number as `models` shows it, GROUP/NUMBER,
    or the ARN of a model package.
    """
    session, console = Session(), Console()
    model = read_package(session.client("sagemaker"), package_arn(session, version, stack))
    target = _target(output, model)
    if target.exists() and not force:
        raise OpsError(f"{target} is there already: give --force to replace it, or another --output")
    url = model_data(model)
    say(console, f"Model package {model.name}: {url}")
    with (
        _writing(target, "give another place with --output"),
        _beside(target) as part,
    ):
        fetch(session.client("s3"), url, part)
        try:
            digest = weights_sha256(part)
        except ArtifactError as error:
            raise OpsError(f"{url} is not a model: {error}") from error
        size = part.stat().st_size
        part.replace(target)
    say(console, f"{target}: {size:,} bytes ({decimal(size)}), sha256 of the weights {digest}")
    say(console, f"Ask it: cv-pipeline predict IMAGE --model {shlex.quote(str(target))}")


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    metavar="VERSION|PATH",
    help="A version of the stack's models (1), GROUP/NUMBER, a model package's ARN, a model.tar.gz or its "
    "folder.",
)
@STACK
def predict(images: Sequence[Path], model: str, stack: str) -> None:
    """Ask a model which class each IMAGE shows.

    The code of the container answers, as a process of this machine, and ends with the command: what an
    endpoint would answer. Needs no AWS for a model that lies here, and PyTorch in any case: pip install
    'cv-training-pipeline[training]'.
    """
    serving.check_installed()
    contents = {image: _read(image) for image in images}
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cv-pipeline-") as folder:
        base = Path(folder)
        with _writing(base, "TMPDIR names another folder for what is temporary"):
            _place(model, stack, base, console)
        with serving.serving(base) as port:
            rows = [
                (str(image), str(each["class"]), f"{each['probability']:.4f}")
                for image, content in contents.items()
                for each in serving.ask(port, str(image), content)
            ]
    show_table(console, ("image", "class", "probability"), rows)


def names_model(text: str) -> bool:
    """Return whether a text is of a form that `package_arn` takes."""
    return any(form.fullmatch(text) for form in (_ARN, _GROUP_AND_NUMBER, _NUMBER))


def package_arn(session: Session, version: str, stack: str) -> str:
    """Return the ARN of a registered model: of a version of the stack's group, of GROUP/NUMBER, or itself.

    Raises:
        OpsError: It is none of the three.
        AbsentError: The group has no such version.
    """
    if _ARN.fullmatch(version):
        return version
    if named := _GROUP_AND_NUMBER.fullmatch(version):
        return find_package(session.client("sagemaker"), named[1], int(named[2]))
    if _NUMBER.fullmatch(version):
        return find_package(session.client("sagemaker"), _group(session, stack), int(version))
    raise OpsError(
        f"{version!r} is no version of a model: write its number (3), GROUP/NUMBER (cv-birds/3) or the ARN "
        "of a model package; `cv-pipeline models` lists them"
    )


def _group(session: Session, stack: str) -> str:
    return stack_output(session.deployment(stack).outputs, "ModelPackageGroupName", stack)


def _measured(s3: Any, model: RegisteredModel) -> Measured:
    if not model.evaluation_url:
        was_read = model.created is not None
        return Measured(model, None, "it has no ModelMetrics" if was_read else "the package was not read")
    try:
        return Measured(model, evaluations.fetch(s3, model.evaluation_url, model.training_type), None)
    except ClientError as error:
        return Measured(model, None, f"{error_code(error)}: {error_message(error)}")
    except (ParamValidationError, ValueError) as error:
        return Measured(model, None, " ".join(str(error).split()))


def _show_list(console: Console, measured: Sequence[Measured], status: str | None) -> None:
    if not measured:
        why = f"has the status {status}" if status else "is registered yet: `cv-pipeline upload` trains two"
        say(console, f"No model {why}")
        return
    headers = (
        "version",
        "training",
        "test accuracy (95 %)",
        "status",
        "registered (UTC)",
        "execution",
        "reason",
    )
    rows = [
        (
            each.model.name.rpartition("/")[2],
            each.model.training_type,
            _metric(each, "accuracy"),
            each.model.approval_status,
            _registered(each.model),
            (each.model.execution_arn or NOTHING).rpartition("/")[2],
            each.model.approval_description or NOTHING,
        )
        for each in measured
    ]
    show_table(console, headers, rows)


def _show(console: Console, each: Measured) -> None:
    model, evaluation = each.model, each.evaluation
    reason = f": {model.approval_description}" if model.approval_description else ""
    images = f", {evaluation.images} test images" if evaluation and evaluation.images else ""
    rows = [
        ("status", model.approval_status + reason),
        ("registered", f"{_registered(model)} UTC"),
        ("training", model.training_type),
        ("accuracy", _metric(each, "accuracy") + images),
        *((name, _metric(each, name)) for name in METRICS[1:] if evaluation),
        ("execution", model.execution_arn or NOTHING),
        ("image", model.image or NOTHING),
        ("model data", model.model_data_url or NOTHING),
        ("evaluation", model.evaluation_url or NOTHING),
        ("ARN", model.arn),
        *((name, value) for name, value in sorted(model.properties.items()) if name not in SHOWN),
    ]
    say(console, model.name)
    for name, value in rows:
        say(console, f"  {name:<16}  {value}")


def _metric(each: Measured, name: str) -> str:
    """Write a metric with its interval, or why it is not known."""
    if each.evaluation is None:
        return f"not known: {each.problem}"
    value, interval = each.evaluation.metric(name), each.evaluation.interval(name)
    if value is None:
        return NOTHING
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _registered(model: RegisteredModel) -> str:
    return f"{model.created.astimezone(UTC):%Y-%m-%d %H:%M}" if model.created else NOTHING


def _document(each: Measured) -> dict[str, Any]:
    """Return what --json writes of a model; what is not known is null."""
    model, evaluation = each.model, each.evaluation
    return {
        "name": model.name,
        "arn": model.arn,
        "training_type": model.training_type,
        "approval_status": model.approval_status,
        "reason": model.approval_description or None,
        "registered": model.created.astimezone(UTC).isoformat() if model.created else None,
        "execution_arn": model.execution_arn,
        "metrics": {
            name: {"value": evaluation.metric(name), "interval": evaluation.interval(name)}
            for name in METRICS
            if evaluation
        },
        "test_images": evaluation.images if evaluation else None,
        "evaluation_problem": each.problem,
        "image": model.image,
        "model_data_url": model.model_data_url,
        "evaluation_url": model.evaluation_url,
        "properties": dict(model.properties),
    }


def _decide(version: str, status: str, reason: str, stack: str) -> None:
    """Set the approval status of a model package and its reason."""
    reason = " ".join(reason.split())  # SageMaker takes one line
    if len(reason) > REASON_LIMIT:
        raise click.UsageError(
            f"--reason has {len(reason)} characters; SageMaker keeps at most {REASON_LIMIT:,}"
        )
    session, console = Session(), Console()
    sagemaker = session.client("sagemaker")
    model = read_package(sagemaker, package_arn(session, version, stack))
    same = model.approval_status == status
    if same and reason in ("", model.approval_description):
        kept = f": {model.approval_description}" if model.approval_description else ""
        say(console, f"{model.name} is {status} already{kept}")
        return
    sagemaker.update_model_package(
        ModelPackageArn=model.arn, ModelApprovalStatus=status, ApprovalDescription=reason
    )
    because = f": {reason}" if reason else ""
    before = "a new reason" if same else f"{model.approval_status} -> {status}"
    say(console, f"{model.name} ({model.training_type}): {before}{because}")


def _target(output: Path | None, model: RegisteredModel) -> Path:
    """Return the file to write: `output` where it is named like one, else a file in that folder."""
    if output and output.name.endswith(SUFFIXES) and not output.is_dir():
        return output
    return (output or Path()) / f"{model.name.replace('/', '-')}{SUFFIXES[0]}"


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; what is left there goes, whatever happens."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".cv-pipeline-", dir=target.parent) as folder:
        yield Path(folder) / ARCHIVE


@contextmanager
def _writing(place: Path, cure: str) -> Iterator[None]:
    """Raise OpsError for what the file system refuses."""
    try:
        yield
    except OSError as error:
        raise OpsError(f"cannot write {place}: {error.strerror or error}; {cure}") from error


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise OpsError(f"cannot read the image {image}: {error.strerror}") from error


def _place(model: str, stack: str, base: Path, console: Console) -> None:
    """Put a model's two files where the container finds them."""
    target = base / "model"
    archive = Path(model)
    if _is_registered(model):
        archive = base / ARCHIVE
        _download(model, stack, archive, console)
    elif not archive.exists():
        raise AbsentError(
            f"no model {model}: give a version of the stack's model package group (1), a model package's "
            "ARN, or the path of a model.tar.gz or of its unpacked folder"
        )
    elif archive.is_dir():
        if not (archive / DESCRIPTION).is_file():
            raise OpsError(f"{archive} is not a model's folder: it has no {DESCRIPTION}")
        target.symlink_to(archive.resolve())
        return
    target.mkdir()
    try:
        unpack(archive, target)
    except ArtifactError as error:
        raise OpsError(f"{model} is not a model: {error}") from error


def _is_registered(model: str) -> bool:
    """Return whether `model` names a registered one; a path of the form GROUP/NUMBER wins where it exists."""
    if _GROUP_AND_NUMBER.fullmatch(model):
        return not Path(model).exists()
    return model.startswith("arn:") or _NUMBER.fullmatch(model) is not None


def _download(version: str, stack: str, archive: Path, console: Console) -> None:
    session = Session()
    model = read_package(session.client("sagemaker"), package_arn(session, version, stack))
    say(console, f"Model package {model.name}: {model.model_data_url}")
    fetch(session.client("s3"), model_data(model), archive, limit=UNPACKED_LIMIT)
