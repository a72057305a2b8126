"""Keep local AWS running for any AWS client: `python -m local up --env-file local.env`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from local.aws import LocalAWS
from local.deploy import deploy, read_template
from local.engine.jobs.session import JobSettings
from local.run import NOTES, STACK
from local.stay import check_env_file, command_line, stay


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
    check_env_file(options.env_file)
    if options.deploy:
        read_template(options.template)
    with (
        tempfile.TemporaryDirectory(prefix=f"{STACK}-", ignore_cleanup_errors=True) as work_dir,
        LocalAWS(
            port=options.port,
            work_dir=Path(work_dir),
            iam=options.iam,
            jobs=JobSettings(interruptions=options.interruptions),
            faults=options.faults,
            notes=NOTES,
        ) as aws,
    ):
        outputs = deploy(aws, options.template, STACK) if options.deploy else {}
        console.print(f"[bold]Local AWS[/] at {aws.endpoint_url}")
        for name, value in outputs.items():
            console.print(f"  {name} = {value}", highlight=False)
        stay(aws, options.env_file, console, _following(options, bool(outputs)))
    return 0


def _following(options: UpOptions, is_deployed: bool) -> list[str]:
    """Say what is to be expected, and which commands come next."""
    said = []
    if options.faults is not None:
        said.append(
            f"With the faults of seed {options.faults}, which are told here one by one. "
            "What they leave undone is settled by the schedule, which comes 60 times as often as on AWS."
        )
    if is_deployed:
        ops = command_line()
        said.append(f"then: {ops} upload --data FOLDER, {ops} watch, or any AWS client.")
    return said
