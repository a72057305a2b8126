"""Keep local AWS running for any AWS client: `python -m local up --env-file local.env`."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from local.run import STACK
from ops.output.terminal import say


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What `python -m local up` was asked for."""

    env_file: Path
    port: int
    template: Path
    deploy: bool
    interruptions: int
    iam: bool
    faults: int | None


def up(options: UpOptions) -> int:
    """Serve until Ctrl-C or SIGTERM, then end every process and remove the env file; always 0."""
    console = Console(soft_wrap=True)
    with (
        tempfile.TemporaryDirectory(prefix=f"{STACK}-", ignore_cleanup_errors=True) as work_dir,
        LocalAWS(
            port=options.port,
            work_dir=Path(work_dir),
            iam=options.iam,
            jobs=JobSettings(interruptions=options.interruptions),
            faults=options.faults,
        ) as aws,
    ):
        outputs = deploy(aws, options.template, STACK) if options.deploy else {}
        aws.write_env_file(options.env_file)
        try:
            _tell(console, aws.endpoint_url, options, outputs)
            aws.wait()
        except KeyboardInterrupt:
            console.print("Stopping")
        finally:
            options.env_file.unlink(missing_ok=True)
    return 0


def _tell(console: Console, endpoint_url: str, options: UpOptions, outputs: dict[str, str]) -> None:
    console.print(f"[bold]Local AWS[/] at {endpoint_url}; Ctrl-C stops it, and what it holds is gone then.")
    for name, value in outputs.items():
        console.print(f"  {name} = {value}", highlight=False)
    console.print(f"In another terminal: set -a; . '{options.env_file.absolute()}'; set +a", highlight=False)
    if options.faults is not None:
        console.print(
            f"With the faults of seed {options.faults}, which are told here one by one. "
            "What they leave undone is settled by the schedule, which comes 60 times as often as on AWS."
        )
    if outputs:
        ops = _command_line()
        say(console, f"then: {ops} upload --data FOLDER, {ops} watch, or any AWS client.")


def _command_line() -> str:
    """Return how the other terminal calls ops: by its path where its shell would not find it."""
    name = "cv-pipeline"
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).absolute().with_name(name)))
