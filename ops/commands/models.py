"""The command that asks a model: predict."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from ops.aws.session import Session
from ops.aws.stack import output
from ops.commands.options import STACK
from ops.errors import AbsentError, OpsError
from ops.executions import serving
from ops.executions.models import (
    DESCRIPTION,
    ArtifactError,
    fetch,
    find_package,
    model_data,
    unpack,
)
from ops.output.terminal import say, show_table

ARCHIVE = "model.tar.gz"


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    metavar="VERSION|PATH",
    help="A version of the stack's models (1), a model package's ARN, a model.tar.gz or its folder.",
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
        _place(model, stack, base, console)
        with serving.serving(base) as port:
            rows = [
                (str(image), str(each["class"]), f"{each['probability']:.4f}")
                for image, content in contents.items()
                for each in serving.ask(port, str(image), content)
            ]
    show_table(console, ("image", "class", "probability"), rows)


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise OpsError(f"cannot read the image {image}: {error.strerror}") from error


def _place(model: str, stack: str, base: Path, console: Console) -> None:
    """Put a model's two files where the container finds them."""
    target = base / "model"
    archive = base / ARCHIVE
    if not _is_registered(model):
        archive = Path(model)
        if not archive.exists():
            raise AbsentError(
                f"no model {model}: give a version of the stack's model package group (1), a model package's "
                "ARN, or the path of a model.tar.gz or of its unpacked folder"
            )
        if archive.is_dir():
            if not (archive / DESCRIPTION).is_file():
                raise OpsError(f"{archive} is not a model's folder: it has no {DESCRIPTION}")
            target.symlink_to(archive.resolve())
            return
    else:
        _download(model, stack, archive, console)
    target.mkdir()
    try:
        unpack(archive, target)
    except ArtifactError as error:
        raise OpsError(f"{model} is not a model: {error}") from error


def _is_registered(model: str) -> bool:
    return model.startswith("arn:") or re.fullmatch(r"[0-9]{1,9}", model) is not None


def _download(model: str, stack: str, archive: Path, console: Console) -> None:
    session = Session()
    sagemaker = session.client("sagemaker")
    package = model
    if not model.startswith("arn:"):
        group = output(session.deployment(stack).outputs, "ModelPackageGroupName", stack)
        package = find_package(sagemaker, group, int(model))
    url = model_data(sagemaker, package)
    say(console, f"Model package {package.partition(':model-package/')[2] or package}: {url}")
    fetch(session.client("s3"), url, archive)
