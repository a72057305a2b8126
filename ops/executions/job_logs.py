"""What the jobs of an execution have printed: CloudWatch Logs, in the streams `<job>/algo-<n>-<time>`.

A training job that lost its Spot instance goes on in a stream of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import DENIED, error_code
from ops.executions.execution import ABSENT

GROUPS = {"Training": "/aws/sagemaker/TrainingJobs", "Processing": "/aws/sagemaker/ProcessingJobs"}
"""The log group of each type of step."""
STREAMS = 50
"""More than any job here has: a stream for each instance and each time it was interrupted."""
LINES = 20_000
"""The most that is read of one job from its beginning: some megabytes."""


@dataclass(frozen=True)
class LogLine:
    """One line, and when it was printed."""

    at: datetime
    text: str


@dataclass(frozen=True)
class JobLog:
    """Lines in the order of time; `problem` says why there are none to be had."""

    lines: tuple[LogLine, ...]
    problem: str = ""


def read(logs: Any, step_type: str, job: str) -> JobLog:
    """Read a job's log from its beginning, 20,000 lines at most."""
    return _read(logs, step_type, job, lambda group, streams: _all(logs, group, streams))


def tail(logs: Any, step_type: str, job: str, lines: int) -> JobLog:
    """Read the last lines of a job's log."""
    found = _read(logs, step_type, job, lambda group, streams: _ends(logs, group, streams, lines))
    return JobLog(found.lines[-lines:], found.problem)


def _read(logs: Any, step_type: str, job: str, lines_of: Any) -> JobLog:
    group = GROUPS[step_type]
    try:
        streams = _streams(logs, group, job)
        if not streams:
            return JobLog((), f"log group {group} has no stream of job {job}")
        return JobLog(tuple(sorted(lines_of(group, streams), key=lambda line: line.at)))
    except ClientError as error:
        code = error_code(error)
        if code in ABSENT:
            return JobLog((), f"log group {group} has no stream of job {job}")
        if code in DENIED:
            return JobLog((), f"AWS refuses {error.operation_name} on log group {group} to you")
        raise


def _streams(logs: Any, group: str, job: str) -> list[str]:
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, logStreamNamePrefix=f"{job}/"
    )
    return [stream["logStreamName"] for page in pages for stream in page["logStreams"]][:STREAMS]


def _all(logs: Any, group: str, streams: list[str]) -> Iterator[LogLine]:
    left = LINES
    for stream in streams:
        token: dict[str, str] = {}
        while left > 0:
            page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
            lines = [_line(event) for event in page["events"][:left]]
            left -= len(lines)
            yield from lines
            if page["nextForwardToken"] == token.get("nextToken"):
                break
            token = {"nextToken": page["nextForwardToken"]}


def _ends(logs: Any, group: str, streams: list[str], lines: int) -> Iterator[LogLine]:
    for stream in streams:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=False, limit=lines)
        yield from map(_line, page["events"])


def _line(event: dict[str, Any]) -> LogLine:
    return LogLine(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), event["message"].rstrip())
