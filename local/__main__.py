"""Local AWS: the whole of the pipeline's AWS on this machine.

python -m local run                       # the whole pipeline, once, with a report at the end
python -m local up --env-file local.env   # keep it running for any AWS client
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":  # Ctrl-C while the imports below take their seconds
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from local import run as local_run
from local import up as local_up
from local.problems import explained

PATH = click.Path(path_type=Path)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of local AWS itself."""
    template = click.option(
        "--template",
        type=PATH,
        default=local_run.TEMPLATE,
        show_default="infra/template.json",
        help="The CloudFormation template to deploy.",
    )
    interruptions = click.option(
        "--interruptions",
        default=1,
        show_default=True,
        type=click.IntRange(0),
        help="How often each managed spot training job is interrupted after a checkpoint; 0 is never.",
    )
    iam = click.option(
        "--iam/--no-iam", default=True, show_default=True, help="Judge every call by the template's roles."
    )
    return template(interruptions(iam(command)))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Run the deployed template, the Lambda, the pipeline and its jobs on this machine."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into Ctrl-C, so that both end every process the same way."""
    raise KeyboardInterrupt


@main.command()
@click.option(
    "--data", type=PATH, help="A folder or an archive of images (docs/data.md).  [default: drawn birds]"
)
@click.option(
    "--parameters", default="", metavar="TEXT", help='Pipeline parameters: "Name=value Other=value".'
)
@click.option(
    "--output", type=PATH, default=Path("runs"), show_default=True, help="Where <execution-id>/ is left."
)
@click.option(
    "--keep", is_flag=True, help="Leave local AWS up after the report, until Ctrl-C, for any AWS client."
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --keep: written with the endpoint, credentials and region.  [default: local.env]",
)
@_shared
def run(env_file: Path | None, **options: Any) -> None:
    """Deploy, upload pipeline.json, follow the execution, leave a report.

    Exits with 0 when the execution Succeeded, 1 when it did not, 2 when something given is wrong and 130
    after Ctrl-C.
    """
    if env_file and not options["keep"]:
        raise click.UsageError("--env-file goes with --keep: without it nothing is left to use the file with")
    sys.exit(local_run.run(local_run.RunOptions(env_file=env_file or Path("local.env"), **options)))


@main.command()
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Written with the endpoint, credentials and region.",
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--deploy/--no-deploy", default=True, show_default=True, help="Deploy the template as well.")
@click.option(
    "--faults",
    type=int,
    metavar="SEED",
    help="Let S3's events be lost, repeated, late and out of order, and the function's calls fail; a SEED "
    "gives the same faults every time.",
)
@_shared
def up(**options: Any) -> None:
    """Keep local AWS running until Ctrl-C. What it holds is gone when it stops."""
    sys.exit(local_up.up(local_up.UpOptions(**options)))


if __name__ == "__main__":
    with explained():
        main(standalone_mode=False)
