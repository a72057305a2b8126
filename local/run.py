"""One command from an upload to registered models, on this machine: `python -m local run`."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from local import sample_data
from local.aws import LocalAWS
from local.deploy import deploy, read_template
from local.engine.jobs.session import JobSettings
from local.stay import check_env_file, command_line, stay
from ops.aws import roles
from ops.aws.stack import StackOutputs
from ops.executions import models
from ops.executions.snapshot import SnapshotReader
from ops.output import report
from ops.output.terminal import say
from ops.output.watch import follow
from ops.uploads import upload, validation
from ops.uploads.data_set import DataFiles, check_data, choice_of
from ops.uploads.start import wait_for_start

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = REPOSITORY / "infra" / "template.json"
DEFINITION = REPOSITORY / "pipeline_definition" / "pipeline.json"
SAMPLES = REPOSITORY / ".cache" / "sample-data"
STACK = "cv-birds"
_HOW_TO_KEEP = "`make run KEEP=1` leaves it up, `make up` starts one that stays."
MODELS_BYTES = 30_000_000
"""Both models of the shipped backbone, with their evaluations and the report; most others are larger."""
START_TIMEOUT_SECONDS = 60.0
"""A start takes a fraction of a second; a minute is enough on the busiest machine."""
NOTES = (
    "This execution ran on local AWS. Durations are this machine's, and the billable time of the Spot "
    "job assumes a Spot price of 30 % of On-Demand, which on AWS is the market's. Nothing was paid.",
)
DRAWN_NOTE = (
    "The images are drawings made by local/sample_data.py, not photographs: "
    "the accuracy on them says nothing about photographs."
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `python -m local run` was asked for."""

    data: Path | None
    parameters: str
    output: Path
    template: Path
    interruptions: int
    iam: bool
    keep: bool
    """Whether local AWS stays up after the report."""
    env_file: Path


def parse_parameters(text: str) -> dict[str, str]:
    """Read `Epochs=3 ClassSelection=13, 17`: a value runs up to the next `Name=`.

    Raises:
        click.UsageError: The text does not start with a name, or a name comes twice or is InputDataUrl.
    """
    before, *rest = re.split(r"(?:^|\s+)([A-Za-z][\w-]*)=", text.strip())
    if before:
        raise click.UsageError(
            f'parameters: write "Name=value Other=value"; {before!r} has no name before it'
        )
    names, values = rest[::2], rest[1::2]
    if "InputDataUrl" in names:
        raise click.UsageError(
            "parameters: InputDataUrl is where the data is uploaded to; give DATA (--data) instead"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"parameters: {', '.join(twice)} is given twice")
    return {name: value.strip() for name, value in zip(names, values, strict=True)}


def run(options: RunOptions) -> int:
    """Take the upload to registered models; 0 when the execution Succeeded, else 1."""
    console = Console()
    if options.keep:
        check_env_file(options.env_file)
    read_template(options.template)
    parameters = parse_parameters(options.parameters)
    upload.check_parameters(DEFINITION, parameters)
    _check_output(options.output)
    source = options.data or _sample_archive(console)
    choice = choice_of(validation.load(DEFINITION), parameters)
    data = check_data(source, choice, console)
    _check_room(Path(tempfile.gettempdir()), MODELS_BYTES + 2 * data.size, "the variable TMPDIR")
    notes = NOTES if options.data else (DRAWN_NOTE, *NOTES)
    with (
        tempfile.TemporaryDirectory(prefix=f"{STACK}-", ignore_cleanup_errors=True) as work_dir,
        LocalAWS(
            work_dir=Path(work_dir),
            iam=options.iam,
            jobs=JobSettings(interruptions=options.interruptions),
            notes=notes,
        ) as aws,
    ):
        say(console, f"Local AWS at {aws.endpoint_url}")
        say(console, f"In a browser: {aws.page_url}")
        outputs = deploy(aws, options.template, STACK)
        if "BucketName" not in outputs:
            raise click.UsageError(f"{options.template} is not this project's: it has no output BucketName")
        say(console, f"Deployed {options.template.name}: bucket {outputs['BucketName']}")
        execution = _start(aws, outputs, data, parameters, console)
        logs, s3 = aws.client("logs"), aws.client("s3")
        # What follows needs an AWS that is there: it is told at the end, if it stays.
        status = follow(aws.client("sagemaker"), logs, execution, console, s3=s3, tells_next_step=False)
        directory = options.output / execution.rsplit("/", 1)[-1]
        report.write_report(aws, execution, directory, notes=notes, stays=options.keep)
        say(console, f"Report: {directory / 'report.html'}")
        say(console, "The price of Spot is assumed here to be 30 % of On-Demand; on AWS it is the market's.")
        if options.keep:
            stay(aws, options.env_file, console, _following(aws, execution))
    say(console, "This AWS is gone now" + ("." if options.keep else f"; {_HOW_TO_KEEP}"))
    return 0 if status == "Succeeded" else 1


def _start(
    aws: LocalAWS,
    outputs: Mapping[str, str],
    data: DataFiles,
    parameters: Mapping[str, str],
    console: Console,
) -> str:
    """Upload data and definition, in the uploader role if there is one; the ARN of what this started."""
    uploader = roles.uploader(aws, StackOutputs(STACK, outputs))
    s3, bucket = uploader.client("s3"), outputs["BucketName"]
    url = upload.upload_data(s3, bucket, data, console)
    uploaded = upload.upload_definition(s3, bucket, DEFINITION, {**parameters, "InputDataUrl": url})
    say(console, f"Uploaded {uploaded.url}, version {uploaded.version_id}")
    return wait_for_start(
        s3,
        uploader.client("sqs"),
        uploaded,
        outputs["FailureQueueUrl"],
        START_TIMEOUT_SECONDS,
    )


def _following(aws: LocalAWS, execution: str) -> list[str]:
    """Name commands that work while local AWS stays up."""
    sagemaker, ops = aws.client("sagemaker"), command_line()
    packages = models.read_packages(
        sagemaker, SnapshotReader(sagemaker, aws.client("logs"), execution).read()
    )
    said = [f"then: {ops} models"]
    for package in packages[:1]:
        said.append(f"      {ops} approve {package.name}")
        said.append(f"      {ops} predict --model {package.name} IMAGE.jpg")
    return said


def _check_output(folder: Path) -> None:
    """Make the folder, and try it now: after the run a report that cannot be written would be lost."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    _check_room(folder, MODELS_BYTES, "--output")


def _check_room(folder: Path, needed: int, chosen_by: str) -> None:
    """Raise a UsageError where a run would fill the disk, perhaps only after it has trained."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise click.UsageError(
            f"the disk of {folder} has {free / 1e6:.0f} MB free, and a run needs at least "
            f"{needed / 1e6:.0f} MB there: make room, or choose another folder with {chosen_by}"
        )


def _sample_archive(console: Console) -> Path:
    """Return the drawn data set's archive, after saying that it is drawn."""
    say(console, DRAWN_NOTE)
    drawing = f"Drawing them, for about half a minute; they are kept in {SAMPLES}"
    return sample_data.cached_archive(SAMPLES, lambda: say(console, drawing))
