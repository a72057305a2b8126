"""Commands about one execution: watch, report."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from ops.aws.session import Session
from ops.commands.options import EXECUTION, PIPELINE, STACK
from ops.costs.prices import deployed_prices
from ops.executions.execution import find
from ops.output.report import PAGE, write_report
from ops.output.terminal import say
from ops.output.watch import follow

REPORTS = Path("runs")
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


@click.command()
@EXECUTION
@PIPELINE
@STACK
def watch(execution: str, pipeline: str | None, stack: str) -> int:
    """Follow an execution to its end.

    Shows steps, progress, spot interruptions and cache hits, and sums up in one sentence. Follows the newest
    execution unless an ARN or a PipelineExecutionId is given. A live picture on a terminal; one line for each
    change in CI, in files and with NO_COLOR. Ctrl-C ends the watching, not the execution.
    """
    session, console = Session(), Console()
    arn = find_execution(session, execution, pipeline, stack)
    sagemaker, logs, s3 = (session.client(service) for service in ("sagemaker", "logs", "s3"))
    try:
        status = follow(sagemaker, logs, arn, console, s3=s3, prices=deployed_prices(session, stack))
    except KeyboardInterrupt:
        say(console, f"\nThe execution goes on. Watch it again with: cv-pipeline watch {arn}")
        return INTERRUPTED
    say(console, f"A page, the models and the metrics of it: cv-pipeline report {arn}")
    return 0 if status == "Succeeded" else 1


@click.command()
@EXECUTION
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write.  [default: runs/<execution id>]",
)
@PIPELINE
@STACK
def report(execution: str, output: Path | None, pipeline: str | None, stack: str) -> None:
    """Write a report of an execution, finished or not.

    Leaves report.html (one page without links to anywhere), summary.json, pipeline.json, evaluation-*.json
    and models/*/model.tar.gz in DIR, which is replaced when it holds an earlier report.
    """
    session = Session()
    arn = find_execution(session, execution, pipeline, stack)
    directory = output or REPORTS / arn.rpartition("/")[2]
    summary = write_report(session, arn, directory, prices=deployed_prices(session, stack))
    say(Console(), f"{summary.status}: {directory / PAGE}")


def find_execution(session: Session, wanted: str, pipeline: str | None, stack: str) -> str:
    """Return the ARN of what was asked for: an ARN, a PipelineExecutionId, or `latest`."""
    if wanted.startswith("arn:"):
        return wanted
    return find(session.client("sagemaker"), wanted, pipeline or session.deployment(stack).project)
