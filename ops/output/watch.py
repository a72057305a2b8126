"""Follow an execution to its end: `cv-pipeline watch`. What ends is this command, never the execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from ops.aws.session import poll_seconds
from ops.costs.bill import read_bill
from ops.costs.prices import Prices, list_prices
from ops.executions import evaluations, models
from ops.executions.execution import StartedStep
from ops.executions.jobs import property_file_urls
from ops.executions.models import RegisteredModel
from ops.executions.snapshot import Snapshot, SnapshotReader
from ops.output import words
from ops.output.live import LiveView
from ops.output.plain import PlainView
from ops.output.terminal import is_live, say


def follow(
    sagemaker: Any,
    logs: Any,
    execution_arn: str,
    console: Console,
    *,
    s3: Any = None,
    prices: Prices | None = None,
    tells_next_step: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] | None = None,
) -> str:
    """Show the execution on `console` until it has ended, and return its final status.

    With an `s3` client, evaluate steps and the closing sentence tell the test accuracies of evaluation.json;
    without one, the closing sentence tells the last validation accuracies. `prices` are AWS's list prices
    unless given. `tells_next_step` is for an AWS that is there afterwards.
    """
    reader = SnapshotReader(sagemaker, logs, execution_arn, clock)
    tested = _TestAccuracies(sagemaker, s3)
    view = LiveView(console) if is_live(console) else PlainView(console)
    with view:
        while True:
            snapshot = tested.added(reader.read())
            view.show(snapshot)
            if snapshot.execution.finished:
                break
            sleep(poll_seconds(sagemaker))
    packages = _close(sagemaker, s3, snapshot, prices or list_prices(), console)
    if tells_next_step and (following := words.next_step(packages)):
        say(console, following)
    return snapshot.execution.status


class _TestAccuracies:
    """Reads the evaluation.json of each evaluate step once, as soon as the step has succeeded."""

    def __init__(self, sagemaker: Any, s3: Any) -> None:
        self._sagemaker, self._s3 = sagemaker, s3
        self._read: dict[str, float | None] = {}

    def added(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with the test accuracies that are there."""
        for step in snapshot.execution.steps if self._s3 else ():
            if step.status == "Succeeded" and step.name not in self._read:
                self._read[step.name] = self._accuracy(snapshot, step)
        return replace(snapshot, test_accuracies={k: v for k, v in self._read.items() if v is not None})

    def _accuracy(self, snapshot: Snapshot, step: StartedStep) -> float | None:
        """Return the step's test accuracy; None where there is none to read (a report says why)."""
        for url in property_file_urls(self._sagemaker, snapshot.execution, step):
            try:
                accuracy = evaluations.fetch(self._s3, url, step.name).metric("accuracy")
            except (ClientError, ValueError):
                continue
            if accuracy is not None:
                return accuracy
        return None


def _close(
    sagemaker: Any, s3: Any, snapshot: Snapshot, prices: Prices, console: Console
) -> list[RegisteredModel]:
    """Sum up, and return the registered models."""
    packages = models.read_packages(sagemaker, snapshot)
    bill = read_bill(sagemaker, snapshot, prices)
    say(console)
    for line in words.failures(snapshot):
        say(console, line)
    say(console, words.summary(snapshot, packages, _accuracies(sagemaker, s3, snapshot), bill))
    for line in words.bill_sentences(bill):
        say(console, line)
    return packages


def _accuracies(sagemaker: Any, s3: Any, snapshot: Snapshot) -> dict[str, float]:
    if s3 is None:
        return {}
    found, _ = evaluations.read(sagemaker, s3, snapshot)
    accuracies = {kind: evaluation.metric("accuracy") for kind, evaluation in found.items()}
    return {kind: value for kind, value in accuracies.items() if value is not None}
