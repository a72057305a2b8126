"""The options that several commands take alike."""

from __future__ import annotations

import click

from ops.errors import CannotUploadError

STACK = click.option(
    "--stack",
    default="cv-birds",
    show_default=True,
    metavar="NAME",
    help="The deployed CloudFormation stack.",
)
PIPELINE = click.option(
    "--pipeline",
    metavar="NAME",
    help="Look at executions of this pipeline.  [default: the stack's own pipeline]",
)
NAME = click.option(
    "--name", metavar="NAME", help="Use the pipeline <project>-NAME instead of the project's own."
)
AS_ROLE = click.option(
    "--as-role",
    metavar="ARN|none",
    help="Upload as this role, or as yourself.  [default: a hardened stack's uploader role]",
)
PARAMETER = click.option(
    "--parameter",
    "-p",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="A pipeline parameter; may be repeated.",
)
EXECUTION = click.argument("execution", metavar="[EXECUTION_ARN|latest]", default="latest")
WAIT = click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the verdict.")
TIMEOUT = click.option(
    "--timeout",
    default=300.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Seconds to wait for the verdict.",
)


def named(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the values of `PARAMETER` by name."""
    values: dict[str, str] = {}
    for text in pairs:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise CannotUploadError(f"-p {text!r}: write NAME=VALUE, such as -p Epochs=3")
        if name.strip() in values:
            raise CannotUploadError(f"-p {name.strip()} is given twice")
        values[name.strip()] = value
    return values
