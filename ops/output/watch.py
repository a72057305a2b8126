"""Follow an execution to its end: `cv-pipeline watch`. What ends is this command, never the execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console

from ops.aws.session import poll_seconds
from ops.executions import evaluations, models
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
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] | None = None,
) -> str:
    """Show the execution on `console` until it has ended, and return its final status.

    With an `s3` client, the closing sentence tells the test accuracies of evaluation.json; without one,
    the last validation accuracies.
    """
    reader = SnapshotReader(sagemaker, logs, execution_arn, clock)
    view = LiveView(console) if is_live(console) else PlainView(console)
    with view:
        while True:
            snapshot = reader.read()
            view.show(snapshot)
            if snapshot.execution.finished:
                break
            sleep(poll_seconds(sagemaker))
    _close(sagemaker, s3, snapshot, console)
    return snapshot.execution.status


def _close(sagemaker: Any, s3: Any, snapshot: Snapshot, console: Console) -> None:
    packages = models.read_packages(sagemaker, snapshot)
    say(console)
    for line in words.failures(snapshot):
        say(console, line)
    say(console, words.summary(snapshot, packages, _accuracies(sagemaker, s3, snapshot)))
    following = words.next_step(packages)
    if following:
        say(console, following)


def _accuracies(sagemaker: Any, s3: Any, snapshot: Snapshot) -> dict[str, float]:
    if s3 is None:
        return {}
    found, _ = evaluations.read(sagemaker, s3, snapshot)
    accuracies = {kind: evaluation.metric("accuracy") for kind, evaluation in found.items()}
    return {kind: value for kind, value in accuracies.items() if value is not None}
