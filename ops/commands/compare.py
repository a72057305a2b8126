"""The command that sets executions and models side by side: compare."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from ops.aws.session import Session
from ops.commands.executions import find_execution
from ops.commands.models import names_model, package_arn
from ops.commands.options import PIPELINE, STACK
from ops.comparison.columns import Column, Columns
from ops.comparison.table import Comparison
from ops.comparison.table import compare as side_by_side
from ops.costs.prices import deployed_prices
from ops.errors import OpsError
from ops.output.files import check_writable, write_file
from ops.output.page import render_comparison
from ops.output.terminal import say, show_table

MOST = 8
"""Columns that a table has room for."""


@click.command()
@click.argument("compared", metavar="[EXECUTION|VERSION]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Show what is the same, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page to FILE, too.")
@PIPELINE
@STACK
def compare(
    *,
    compared: tuple[str, ...],
    everything: bool,
    as_json: bool,
    html: Path | None,
    pipeline: str | None,
    stack: str,
) -> None:
    """Compare executions and registered models, or the models of the newest execution.

    Each is an execution (`latest`, a PipelineExecutionId or an ARN), which has a column for each model that
    it evaluated, or a model: a VERSION of the stack's group, GROUP/NUMBER or the ARN of a model package.
    What differs in data, code, parameters, metrics and cost stands side by side. The first column is what
    the others are compared with: image by image where the test images are the same.
    """
    if html is not None:
        check_writable(html)
    session = Session()
    columns = Columns(session, deployed_prices(session, stack))
    found: list[Column] = []
    for wanted in compared or ("latest",):
        if names_model(wanted):
            found.append(columns.of_package(package_arn(session, wanted, stack)))
        else:
            found += columns.of_execution(find_execution(session, wanted, pipeline, stack))
    if len(found) < 2:
        raise OpsError(f"{found[0].title} is one model: name a second execution or model to compare it with")
    if len(found) > MOST:
        raise OpsError(f"{len(found)} models are more than the {MOST} that a table has room for: name fewer")
    comparison = side_by_side(found)
    if html is not None:
        write_file(html, render_comparison(comparison, everything=everything))
    if as_json:
        click.echo(json.dumps(comparison.document(), indent=2))
    else:
        _show(comparison, Console(), everything=everything)
        if html is not None:
            say(Console(), f"Page: {html}")


def _show(comparison: Comparison, console: Console, *, everything: bool) -> None:
    titles = [column.title for column in comparison.columns]
    for group, rows, same in comparison.groups(everything=everything):
        if rows:
            show_table(console, (group, *titles), [(row.name, *row.values) for row in rows])
        if same:
            say(console, f"{group}, the same in all: {', '.join(same)}")
        if rows or same:
            say(console)
    say(console, f"Against {titles[0]}:")
    for each in comparison.compared:
        say(console, f"  {each.sentence}")
        if each.metrics_sentence:
            say(console, f"  {each.metrics_sentence}")
    for problem in comparison.problems:
        say(console, f"Not known: {problem}")
