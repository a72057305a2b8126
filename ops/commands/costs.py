"""Commands about money: costs, estimate."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ops.aws.session import Session
from ops.commands.executions import find_execution
from ops.commands.options import NAME, PARAMETER, PIPELINE, STACK, named
from ops.commands.uploads import DEFINITION, FILE, known_settings
from ops.costs import bars, explorer
from ops.costs.bill import Bill, BillLine, read_bill
from ops.costs.estimate import Estimate, StepEstimate, estimate_costs, read_history
from ops.costs.explorer import Month
from ops.costs.prices import Prices, deployed_prices, list_prices, with_policy
from ops.errors import OpsError
from ops.executions.snapshot import SnapshotReader
from ops.output import words
from ops.output.files import check_writable, write_file
from ops.output.terminal import dollars, duration, say, show_table
from ops.uploads import outcome, validation
from ops.uploads.parameters import with_defaults
from ops.uploads.upload import check_parameters, check_values, definition_key, parameters_key, values_beside

NOTHING = "-"


@click.command()
@click.argument("execution", metavar="[EXECUTION_ARN|latest]", required=False)
@click.option("--month", metavar="YYYY-MM", help="Ask Cost Explorer for a month instead.")
@click.option(
    "--by",
    type=click.Choice(explorer.TAGS),
    help="Tell a month by this tag; by project it is every project's.  [default: TrainingType]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--csv", "csv_file", type=FILE, metavar="FILE", help="Write the lines to FILE, too.")
@click.option("--svg", "svg_file", type=FILE, metavar="FILE", help="Draw a month to FILE: a bar a day.")
@click.option(
    "--activate-tags", is_flag=True, help="Activate the jobs' tags for cost allocation, for Cost Explorer."
)
@PIPELINE
@STACK
def costs(
    *,
    execution: str | None,
    month: str | None,
    by: str | None,
    as_json: bool,
    csv_file: Path | None,
    svg_file: Path | None,
    activate_tags: bool,
    pipeline: str | None,
    stack: str,
) -> None:
    """Say what an execution was billed, or what a month did.

    An execution, the newest unless one is given: every job of every attempt, from what SageMaker says of it,
    at once, by AWS's list prices and the instance_prices of the stack's policy. With what Spot was billed
    against what On-Demand was for the same training.

    A month: what Cost Explorer knows of SageMaker's costs by TrainingType, project or execution, day by day.
    It is asked in us-east-1, is up to a day late, and each request costs 0.01 USD. It knows the tags from the
    day on which they were activated: --activate-tags does that, once for an account, and it takes 12 to 48
    hours.
    """
    _check_options(execution, month, by, svg_file, activate_tags=activate_tags)
    first = explorer.month_of(month) if month is not None else None
    for path in (csv_file, svg_file):
        if path is not None:
            check_writable(path)
    session, output = Session(), _Output(as_json, csv_file, svg_file)
    if activate_tags:
        _activate(session, output.console)
    elif first is not None:
        month_of_stack = _read_month(session, output, first, by or explorer.TAGS[0], stack)
        _tell_month(output, month_of_stack)
    else:
        arn = find_execution(session, execution or "latest", pipeline, stack)
        _tell_bill(output, session, arn, deployed_prices(session, stack))


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
@STACK
def estimate(
    definition: Path, pairs: tuple[str, ...], parameters_file: Path | None, name: str | None, stack: str
) -> None:
    """Say what an execution of DEFINITION is likely to cost, before it is uploaded.

    From the newest finished executions of the pipeline, at most 20: for each step the billed time of the jobs
    that Completed, at the prices of the instance types asked for now. Likely is the sum of the medians, the
    interval that of the shortest and of the longest. Beside it stands the worst case that the stack's policy
    bounds. Nothing is uploaded.
    """
    given = named(pairs)
    check_parameters(definition, given, parameters_file)
    key = definition_key(name)
    session, console = Session(), Console()
    deployed = session.deployment(stack)
    beside = str(parameters_file or f"s3://{deployed.bucket}/{parameters_key(key)}")
    if parameters_file is None:
        values = values_beside(session.client("s3"), deployed.bucket, key, given)
        check_values(definition, given, values, beside)
    else:
        values = validation.values_of(parameters_file)
    document = with_defaults(validation.read_definition(definition), given)
    settings = known_settings(session, stack, console)
    prices = with_policy(settings.policy.instance_prices, f"stack {stack}") if settings else list_prices()
    sound = validation.judge(definition, document, values, settings, beside)
    known = validation.values_at_start(document, values, settings)
    history = read_history(session.client("sagemaker"), deployed.pipeline(name))
    policy = (settings or validation.offline(document)).policy
    found = estimate_costs(document, known, policy, history)
    _tell_estimate(console, found, prices, sound.worst_case_cost)


def _check_options(
    execution: str | None, month: str | None, by: str | None, svg: Path | None, *, activate_tags: bool
) -> None:
    """Refuse options that say nothing together."""
    if activate_tags and (execution or month or by or svg):
        raise click.UsageError("--activate-tags stands alone: it changes the account, and asks for no costs")
    if month is not None and execution is not None:
        raise click.UsageError(f"give an execution ({execution}) or --month {month}, not both")
    if month is None and (by or svg):
        raise click.UsageError(f"{'--by' if by else '--svg'} tells a month: give --month, too")


class _Output:
    """Where a command tells what it found: standard output, and the files that are asked for."""

    def __init__(self, as_json: bool, csv_file: Path | None, svg_file: Path | None) -> None:
        self.as_json, self.csv_file, self.svg_file = as_json, csv_file, svg_file
        self.console = Console()
        self.remarks = Console(stderr=True) if as_json else self.console
        """Not among the JSON of standard output."""

    def write(self, path: Path | None, text: Callable[[], str]) -> None:
        """Write one of the files, where it is asked for."""
        if path is None:
            return
        write_file(path, text())
        say(self.remarks, f"Wrote {path}")


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return out.getvalue()


def _tell_bill(output: _Output, session: Session, arn: str, prices: Prices) -> None:
    sagemaker, console = session.client("sagemaker"), output.console
    snapshot = SnapshotReader(sagemaker, session.client("logs"), arn).read()
    bill, state = read_bill(sagemaker, snapshot, prices), snapshot.execution.status
    if output.as_json:
        say(console, json.dumps({"execution_arn": arn, "status": state, **bill.document()}, indent=2))
    else:
        say(console, f"{snapshot.execution.pipeline_name}  execution {snapshot.execution.id}  {state}")
        if bill.lines:
            show_table(console, ("step", "job", "instances", "billed", "USD"), map(_row, bill.lines))
        for line in (f"Billed {words.total(bill)} {bill.prices.phrase}.", *words.bill_remarks(bill)):
            say(console, line)
    output.write(output.csv_file, lambda: bill_csv(bill))


def bill_csv(bill: Bill) -> str:
    """Write the lines of a bill as CSV, under the names that JSON has."""
    rows = (dataclasses.asdict(line) for line in bill.lines)
    return _table([each.name for each in dataclasses.fields(BillLine)], (list(row.values()) for row in rows))


def _row(line: BillLine) -> tuple[str, ...]:
    what = f"{line.step}, attempt {line.attempt}" if line.retried or line.attempt > 1 else line.step
    spot = " (Spot)" if line.spot else ""
    return (
        what,
        line.job,
        f"{line.instance_count} x {line.instance_type or 'unknown'}{spot}",
        NOTHING if line.billed_seconds is None else duration(line.billed_seconds),
        "not known" if line.usd is None else f"{line.usd:.4f}",
    )


def _activate(session: Session, console: Console) -> None:
    ce = session.client("ce")
    explorer.refuse_local(ce)
    active, errors = explorer.activate(ce)
    if active:
        say(console, f"Active for cost allocation: {', '.join(active)}. {explorer.ACTIVATION}.")
    if errors:
        told = "; ".join(f"{tag}: {reason}" for tag, reason in errors.items())
        raise OpsError(
            f"not activated: {told} (AWS knows a tag up to a day after the first job that has it; in an "
            "organization its management account activates tags)"
        )


def _read_month(session: Session, output: _Output, first: date, by: str, stack: str) -> Month:
    ce = session.client("ce")
    explorer.refuse_local(ce)
    project = None if by == explorer.PROJECT else session.deployment(stack).project
    if note := explorer.check_active(ce, tuple(dict.fromkeys((by, explorer.PROJECT)))):
        say(output.remarks, note)
    return explorer.read_month(ce, first, by, project)


def _tell_month(output: _Output, month: Month) -> None:
    if output.as_json:
        say(output.console, json.dumps(_month_document(month), indent=2))
    else:
        _show_month(output.console, month)
    output.write(output.csv_file, lambda: month_csv(month))
    output.write(output.svg_file, lambda: bars.draw(month))


def _show_month(console: Console, month: Month) -> None:
    whose = f"project {month.project}" if month.project else "all projects"
    said = f"SageMaker in {month.month:%Y-%m}, {whose}: {month.total:,.2f} {month.currency} (Cost Explorer)"
    say(console, said)
    if not month.totals:
        say(console, "Cost Explorer knows of no costs with these tags; it is up to a day late.")
        return
    rows = [
        (month.name(value), f"{amount:,.4f}", f"{amount / month.total:.0%}" if month.total else NOTHING)
        for value, amount in month.totals.items()
    ]
    show_table(console, (month.tag, month.currency, "share"), rows)
    if estimated := [each.day for each in month.days if each.estimated]:
        say(console, f"AWS may still change the days from {min(estimated)} on.")


def month_csv(month: Month) -> str:
    """Write a month as CSV: a row for each day and value of the tag."""
    headers = ("date", month.tag, "amount", "currency", "estimated")
    rows = [
        (each.day, value, f"{amount:.10f}".rstrip("0").rstrip("."), month.currency, each.estimated)
        for each in month.days
        for value, amount in sorted(each.amounts.items())
    ]
    return _table(headers, rows)


def _month_document(month: Month) -> dict[str, Any]:
    return {
        "month": f"{month.month:%Y-%m}",
        "tag": month.tag,
        "currency": month.currency,
        "total": month.total,
        "totals": month.totals,
        "days": [
            {"date": f"{each.day}", "amounts": dict(each.amounts), "estimated": each.estimated}
            for each in month.days
        ],
    }


def _tell_estimate(console: Console, found: Estimate, prices: Prices, worst: float | None) -> None:
    if found.known:
        show_table(
            console,
            ("step", "instances", "runs", "likely USD", "from", "to"),
            [_estimate_row(each) for each in found.steps],
        )
        said = f"Likely {dollars(found.likely)}, from {dollars(found.least)} to {dollars(found.most)}"
        runs = outcome.counted(found.executions, "finished execution")
        say(console, f"{said}: medians, least and most of {runs}, {prices.phrase}.")
    else:
        jobs = outcome.counted(len(found.steps), "job")
        say(
            console,
            "No finished execution of this pipeline has a job that Completed: no history yet.",
        )
        say(
            console,
            f"Rule of thumb: {jobs} of a quarter of an hour each cost {dollars(found.rule_of_thumb)}, "
            f"{prices.phrase}.",
        )
    for line in _doubts(found):
        say(console, line)
    if worst is None:
        say(console, "Worst case: without a bound, because the policy's rule cost is off.")
    else:
        say(console, f"Worst case: {outcome.cost(worst)}, every job to its time limit and on every retry.")


def _estimate_row(each: StepEstimate) -> tuple[str, ...]:
    resources = each.resources
    amounts = ("not known" if usd is None else f"{usd:.4f}" for usd in (each.likely, each.least, each.most))
    return each.step, f"{resources.count:g} x {resources.instance_type}", str(each.runs), *amounts


def _doubts(found: Estimate) -> Iterable[str]:
    """Say what an estimate lacks."""
    unmeasured = [each.step for each in found.steps if each.likely is None] if found.known else []
    if unmeasured:
        yield f"Not counted, because no earlier job of it Completed: {', '.join(unmeasured)}."
    for each in found.steps:
        if each.measured_on:
            others = ", ".join(each.measured_on)
            asked = each.resources.instance_type
            yield f"{each.step} ran on {others}, too, or only: how long it takes on {asked} may differ."
    for line in found.not_known:
        yield f"Not known: {line}."
