"""Say what stops an upload, or the execution that it starts, before somebody pays to find out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from ops.aws.session import Session
from ops.commands.options import NAME, PARAMETER, STACK, named
from ops.doctor.diagnosis import Diagnosis, Level
from ops.doctor.examination import examine
from ops.errors import CannotUploadError
from ops.output.terminal import say
from ops.uploads import outcome, validation
from ops.uploads.parameters import with_defaults
from ops.uploads.upload import check_parameters, definition_key

DEFINITION = Path(__file__).resolve().parents[2] / "pipeline_definition" / "pipeline.json"
FILE = click.Path(path_type=Path)
INDENT = " " * 11


@click.command()
@click.argument("definition", type=FILE, default=DEFINITION, metavar="[DEFINITION]")
@PARAMETER
@click.option(
    "--parameters",
    "parameters_file",
    type=FILE,
    metavar="FILE",
    help="A parameters.json to stand beside the definition.  [default: the one in the bucket]",
)
@NAME
@click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output, and nothing else.")
@STACK
@click.pass_context
def doctor(
    context: click.Context,
    *,
    definition: Path,
    pairs: tuple[str, ...],
    parameters_file: Path | None,
    name: str | None,
    as_json: bool,
    stack: str,
) -> None:
    """Say what would stop an upload of DEFINITION or its jobs, and the command that mends it.

    Looks at credentials, region, stack and the CDK's bootstrap; at the function, whose code it starts with
    S3's test event; at the bucket and its notification, the roles, the key; at the image in ECR and its media
    type; and at the account's quotas for the instance types that the definition asks for with these
    parameters: Spot, On-Demand and processing. What AWS refuses to tell you is said, and the rest looked at.
    Changes nothing.

    Exits with 0 when nothing stops an upload, else with 1.
    """
    given = named(pairs)
    check_parameters(definition, given, parameters_file)
    document = with_defaults(validation.read_definition(definition), given)
    values = validation.values_of(parameters_file) if parameters_file else None
    found = examine(Session, stack, document, given=given, values=values, key=definition_key(name))
    stops = _write_json(stack, found) if as_json else _tell(found)
    context.exit(1 if stops else 0)


def _tell(found: Iterable[Diagnosis]) -> int:
    console, stops = Console(), 0
    for each in found:
        stops += each.stops
        say(console, f"{each.outcome:<{len(INDENT)}}{each.check}: {each.message}")
        if each.mend:
            say(console, f"{INDENT}  mend it with: {each.mend}")
    said = (
        f"{outcome.counted(stops, 'problem')}: mend the first one first" if stops else "Nothing that is known"
    )
    say(console, f"{said}{'.' if stops else ' stops an upload.'}")
    return stops


def _write_json(stack: str, found: Iterable[Diagnosis]) -> int:
    listed = list(found)
    stops = sum(each.stops for each in listed)
    diagnoses = [
        {"check": each.check, "outcome": each.outcome, "message": each.message, "mend": each.mend or None}
        for each in listed
    ]
    click.echo(json.dumps({"stack": stack, "problems": stops, "diagnoses": diagnoses}, indent=2))
    return stops


def tell_before_upload(found: Iterable[Diagnosis], console: Console) -> None:
    """Print what is likely not meant or could not be asked; raise CannotUploadError with what stops it."""
    problems = []
    for each in found:
        if each.stops:
            problems.append(f"{each.check}: {each.message}\n    mend it with: {each.mend}")
        elif each.outcome is Level.ADVICE:
            say(console, f"{each.check}: {each.message}; mend it with: {each.mend}")
        elif each.outcome is Level.NOT_ASKED:
            say(console, f"Not asked before the upload: {each.check}: {each.message}")
    if problems:
        raise CannotUploadError(
            "\n  ".join(["nothing was uploaded (--no-doctor uploads all the same):", *problems])
        )
