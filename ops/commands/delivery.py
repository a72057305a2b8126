"""Commands about uploads that are there already: failures, redrive, reconcile, rollback, history."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

import click
from rich.console import Console

from ops.aws import roles
from ops.aws.session import Session
from ops.aws.stack import function_name
from ops.commands.options import AS_ROLE, NAME, STACK, TIMEOUT, WAIT
from ops.errors import FunctionFailedError, OpsError
from ops.output.terminal import say, show_table
from ops.uploads import outcome
from ops.uploads.failures import failed, queued
from ops.uploads.history import Entry, History
from ops.uploads.outcome import Verdict
from ops.uploads.redrive import Invoke, Replayed, invocation, replay, settle_uploads
from ops.uploads.rollback import Rollback, changed
from ops.uploads.start import settle, watch_next
from ops.uploads.upload import definition_key
from upload_trigger.verdicts import FAILED


@click.command()
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the newest verdicts are looked through for FAILED.",
)
@STACK
def failures(limit: int, stack: str) -> None:
    """List what the function gave up on, with reasons.

    Events that are in the failure queue, and uploads whose verdict is FAILED. Nothing is taken out of the
    queue: `redrive` does that.
    """
    session, console = Session(), Console()
    deployed = session.deployment(stack)
    found = queued(session.client("sqs"), deployed.failure_queue)
    found += failed(session.client("s3"), deployed.bucket, limit)
    if not found:
        say(console, "Nothing failed: the failure queue is empty and no verdict is FAILED")
        return
    rows = [(each.kind, _moment(each.at), each.times, each.subject, each.reason) for each in found]
    show_table(console, ("where", "since (UTC)", "received", "what", "reason"), rows)
    say(console, outcome.REDRIVE)


@click.command()
@STACK
def redrive(stack: str) -> int:
    """Try again whatever failed.

    Replays every event in the failure queue, and settles once more whatever has FAILED or has no verdict. An
    event whose replay fails stays in the queue. Doing it twice does no harm: an upload that is settled is
    not settled again.

    Exits with 1 when something fails still.
    """
    session, console = Session(), Console()
    deployed, invoke = session.deployment(stack), _invoke(session, stack)
    sqs, made = session.client("sqs"), list[Verdict]()

    def replay_all() -> list[Replayed]:
        replayed = []
        for each in replay(sqs, deployed.failure_queue, invoke):
            replayed.append(each)
            made.extend(_say_all(console, [verdict for verdict in each.verdicts if verdict not in made]))
        return replayed

    replayed, broken = replay_all(), False
    try:
        made.extend(_say_all(console, settle_uploads(invoke, failed=True)))
    except FunctionFailedError as error:
        say(console, f"The function could not settle the rest: {error.message}")
        broken = True
    # What passed meanwhile, or was settled by reconciling, need not stay in the queue.
    stayed = replay_all() if any(each.error for each in replayed) else []
    stayed = [each for each in stayed if each.error]
    for each in stayed:
        reason = str(each.error).replace("\n", "\n  ")
        say(console, f"Still failing, and left in the queue: {each.message.subject}\n  {reason}")
    queued = f"{outcome.counted(len(replayed), 'event')} replayed, {len(stayed)} left in the queue"
    settled = outcome.counts(_last(made), *(["nothing was settled"] if broken else []))
    say(console, f"{queued if replayed else 'The failure queue was empty'}; {settled}")
    return 1 if broken or stayed or _failed(made) else 0


@click.command()
@STACK
def reconcile(stack: str) -> int:
    """Settle every upload without a verdict now.

    The deployment does this on a schedule, for uploads that have been without a verdict for a while. Also
    stores each pipeline's newest started definition again, should somebody have changed the pipeline by
    hand.

    Exits with 1 when a verdict is FAILED.
    """
    session, console = Session(), Console()
    made = _say_all(console, settle_uploads(_invoke(session, stack)))
    say(console, outcome.counts(made))
    return 1 if _failed(made) else 0


@click.command()
@click.argument("version", required=False)
@click.option(
    "--start-only",
    is_flag=True,
    help="Start that version as it is; the newest definition stays in place.",
)
@NAME
@WAIT
@TIMEOUT
@AS_ROLE
@STACK
def rollback(
    *,
    version: str | None,
    start_only: bool,
    name: str | None,
    wait: bool,
    timeout: float,
    as_role: str | None,
    stack: str,
) -> None:
    """Go back to an earlier pipeline VERSION.

    VERSION is a number as `history` shows it, or the version id of an upload. Unless given, it is the newest
    version before the current one with an execution that Succeeded; where none has, rollback asks. Its
    definition is uploaded once more, in a hardened deployment as the uploader role: it is judged, stored and
    started like any upload, with the values of today's parameters.json. Rolling back twice brings back what
    there was, if that had Succeeded.

    With --start-only nothing is uploaded or judged: SageMaker starts that version with the parameters that
    its last execution that Succeeded had, or else its last one, and your own rights count.
    """
    key = definition_key(name)
    session, console = Session(), Console()
    deployed = session.deployment(stack)
    pipeline = deployed.pipeline(name)
    # The uploader role starts nothing.
    who = session if start_only else roles.uploader(session, deployed, as_role)
    back = Rollback(who.client("s3"), who.client("sagemaker"), deployed.bucket, key, pipeline)
    target = back.choose(version)
    say(console, target.why)
    if version is None and not target.succeeded:
        _ask(target.pipeline_version, start_only=start_only)
    if start_only:
        arn = back.start(target)
        say(console, f"Started version {target.pipeline_version} of pipeline {pipeline} as it is: {arn}")
        watch_next(console, arn)
        return
    restored = back.restore(target)
    say(
        console,
        f"Uploaded version {restored.pipeline_version} of pipeline {pipeline} once more: "
        f"{restored.upload.url}, version {restored.upload.version_id}",
    )
    if wait:
        verdict = settle(who, deployed, restored.upload, timeout, console)
        for line in changed(restored.earlier, verdict) if restored.earlier else ():
            say(console, f"Other than the execution then: {line}")


def _ask(version: int, *, start_only: bool) -> None:
    """Let the person say whether to go back to a version that is not known to work; raise OpsError if not."""
    command = f"cv-pipeline rollback {version}{' --start-only' if start_only else ''}"
    if not sys.stdin.isatty():
        raise OpsError(
            f"nothing was started: there is no terminal to ask on. To go back to it, say {command}"
        )
    if not click.confirm(f"Go back to version {version} all the same?"):
        raise OpsError("nothing was started. `cv-pipeline history` shows the versions to choose from")


@click.command()
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the newest rows are shown.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line, for programs.")
@NAME
@STACK
def history(limit: int, as_json: bool, name: str | None, stack: str) -> None:
    """List uploads, verdicts and executions, newest first.

    One row an upload: when, its S3 version, the verdict, the pipeline version, and the execution with its
    status and what failed in it, or the reason why there is none. An execution that no upload started has
    a row of its own.
    """
    key = definition_key(name)
    session, console = Session(), Console()
    deployed = session.deployment(stack)
    pipeline = deployed.pipeline(name)
    uploads = History(session.client("s3"), session.client("sagemaker"), deployed.bucket, key, pipeline)
    entries = uploads.explained(uploads.newest(limit))
    if as_json:
        for entry in entries:
            say(console, json.dumps(entry.document()))
    elif entries:
        show_table(console, HISTORY, map(_row, entries))
    else:
        say(
            console,
            f"Nothing was uploaded to s3://{deployed.bucket}/{key} yet: start with `cv-pipeline upload`",
        )


HISTORY = ("when (UTC)", "upload", "verdict", "pipeline version", "execution", "status", "why")


def _row(entry: Entry) -> tuple[str, ...]:
    execution = entry.execution_arn
    return (
        _moment(entry.at),
        outcome.short(entry.version_id or "-"),
        entry.outcome,
        str(entry.pipeline_version or "-"),
        execution.rpartition("/")[2] if execution else "-",
        (entry.execution.status if entry.execution else "") or "-",
        entry.reason,
    )


def _invoke(session: Session, stack: str) -> Invoke:
    name = function_name(session.client("cloudformation"), stack)
    return invocation(session.client("lambda"), name)


def _say_all(console: Console, made: list[Verdict]) -> list[Verdict]:
    for verdict in made:
        for line in outcome.lines(verdict):
            say(console, line)
    return made


def _last(made: Iterable[Verdict]) -> list[Verdict]:
    """Keep the last verdict on each upload."""
    return list({(each.get("key"), each.get("versionId")): each for each in made}.values())


def _failed(made: Iterable[Verdict]) -> bool:
    return any(each["verdict"] == FAILED for each in _last(made))


def _moment(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"
