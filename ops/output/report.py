"""Leave a directory that tells an execution: `cv-pipeline report`.

    report.html                     one page without links to anywhere, to read and to forward
    summary.json                    the same for programs (ops/output/summary.py lists the keys)
    evaluation-<type>.json          as the evaluate steps wrote them
    models/<type>/model.tar.gz      as the training jobs wrote them
    pipeline.json                   the definition that was executed

The directory appears complete or not at all. Executions that failed, were stopped or still run are told as
far as they came.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ops.aws.session import ClientFactory
from ops.costs.bill import read_bill
from ops.costs.prices import Prices, list_prices
from ops.errors import ReportError
from ops.executions import curves, evaluations, execution, job_logs, models
from ops.executions.job_logs import JobLog
from ops.executions.jobs import log_name
from ops.executions.models import folder_name
from ops.executions.snapshot import Snapshot, SnapshotReader
from ops.output.page import Page, render
from ops.output.summary import Summary, summarise

PAGE, SUMMARY = "report.html", "summary.json"
LOG_LINES = 40  # of a failed step's job


def write_report(
    clients: ClientFactory,
    execution_arn: str,
    directory: Path,
    notes: Sequence[str] = (),
    prices: Prices | None = None,
    *,
    stays: bool = True,
) -> Summary:
    """Write the report of an execution to `directory`, replacing an earlier report there.

    Its bill is by `prices`, AWS's list prices unless given. Where the AWS that it tells of does not stay, it
    names no command to ask that AWS with.

    Raises:
        AbsentError: There is no such execution.
        ReportError: `directory` holds something else, or cannot be written.
    """
    _check_target(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            summary = _write(clients, execution_arn, new, notes, prices, stays=stays)
            if directory.exists():
                directory.rename(Path(beside) / "old")
            new.rename(directory)
    except OSError as error:
        raise ReportError(
            f"cannot write the report to {directory}: {error.strerror or error}; give another --output"
        ) from error
    return summary


def _check_target(directory: Path) -> None:
    """Refuse to replace what is not a report of ours."""
    if directory.is_dir() and not directory.is_symlink():
        if not any(directory.iterdir()) or (directory / SUMMARY).is_file():
            return
        raise ReportError(
            f"{directory} holds something that is no report; choose an empty or new directory with --output"
        )
    if directory.exists() or directory.is_symlink():
        raise ReportError(f"{directory} is no directory; choose another place with --output")


def read_page(
    clients: ClientFactory, execution_arn: str, notes: Sequence[str] = (), prices: Prices | None = None
) -> Page:
    """Read everything that a report shows, without the models themselves.

    Raises:
        AbsentError: There is no such execution.
    """
    reader = SnapshotReader(clients.client("sagemaker"), clients.client("logs"), execution_arn)
    return _read(clients, reader, notes, prices)


def _read(
    clients: ClientFactory, reader: SnapshotReader, notes: Sequence[str], prices: Prices | None
) -> Page:
    sagemaker, logs, s3 = (clients.client(service) for service in ("sagemaker", "logs", "s3"))
    snapshot = reader.read()
    parameters = execution.read_parameters(sagemaker, snapshot.execution.arn)
    packages = models.read_packages(sagemaker, snapshot)
    read, missing = evaluations.read(sagemaker, s3, snapshot)
    found = {kind: evaluations.with_pictures(s3, each) for kind, each in read.items()}
    bill = read_bill(sagemaker, snapshot, prices or list_prices())
    summary = summarise(snapshot, parameters, found, packages, {}, bill=bill)
    told = curves.read(logs, snapshot.trainings)
    return Page(
        snapshot,
        summary,
        found,
        packages,
        [*missing, *told.missing],
        list(notes),
        curves=told,
        logs=_ends_of_logs(sagemaker, logs, snapshot),
        definition_sha256=hashlib.sha256(_definition(reader).encode(errors="replace")).hexdigest(),
    )


def _ends_of_logs(sagemaker: Any, logs: Any, snapshot: Snapshot) -> dict[str, JobLog]:
    """Read the end of what the job of each failed step printed."""
    failed = [step for step in snapshot.execution.steps if step.status == "Failed" and step.job_name]
    return {
        step.name: job_logs.tail(logs, step.type, job, LOG_LINES)
        for step in failed
        if step.type in job_logs.GROUPS and (job := log_name(sagemaker, step))
    }


def _definition(reader: SnapshotReader) -> str:
    """Return the text of pipeline.json."""
    return json.dumps(reader.definition, indent=2) + "\n"


def _write(
    clients: ClientFactory,
    execution_arn: str,
    directory: Path,
    notes: Sequence[str],
    prices: Prices | None,
    *,
    stays: bool,
) -> Summary:
    reader = SnapshotReader(clients.client("sagemaker"), clients.client("logs"), execution_arn)
    page = replace(_read(clients, reader, notes, prices), stays=stays)
    digests, no_models = models.download(clients.client("s3"), page.snapshot, directory / "models")
    page = page.with_models(digests, no_models)
    for kind, evaluation in page.evaluations.items():
        (directory / f"evaluation-{folder_name(kind)}.json").write_bytes(evaluation.body)
    _text(directory / "pipeline.json", _definition(reader))
    _text(directory / SUMMARY, page.summary.to_json())
    _text(directory / PAGE, render(page))
    return page.summary


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")
