"""Read a job's log while it grows: its lines go to CloudWatch Logs in batches, and to the job's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.jobs.metrics import JobMetrics
from local.engine.jobs.records import JobFailedError

_BATCH_BYTES = 1_000_000
"""Below the 1,048,576 bytes of a PutLogEvents call."""
_BATCH_EVENTS = 10_000
"""The most that one PutLogEvents call takes."""
_EVENT_BYTES = 250_000
"""Below the 256 KiB of one event; what is longer goes in pieces."""
_EVENT_OVERHEAD_BYTES = 26
"""What PutLogEvents counts for an event beside its text."""
_READ_BYTES = 1 << 20
_TICK_BYTES = 8 << 20
"""Read at one time, so that a job which never stops printing can still be stopped."""
_BACKLOG_BYTES = 64 << 20
"""Read at the end; memory holds the log, and a job may have printed more than fits."""


class LogStream:
    """One stream of CloudWatch Logs, written in batches."""

    def __init__(self, client: Any, group: str, stream: str) -> None:
        self._client = client
        self._where = {"logGroupName": group, "logStreamName": stream}
        self._created = False
        self._pending: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, line: str) -> None:
        """Keep one line for the next batch; send the batch when it is full."""
        for piece in _pieces(line):
            size = len(piece.encode()) + _EVENT_OVERHEAD_BYTES
            if self._bytes + size > _BATCH_BYTES or len(self._pending) >= _BATCH_EVENTS:
                self.flush()
            self._pending.append({"timestamp": int(time.time() * 1000), "message": piece})
            self._bytes += size

    def open(self) -> None:
        """Make the stream unless it exists, and its log group where that is missing."""
        missing = self._client.exceptions.ResourceNotFoundException
        exists = self._client.exceptions.ResourceAlreadyExistsException
        group = {"logGroupName": self._where["logGroupName"]}
        for create, where in (
            (self._client.create_log_stream, self._where),
            (self._client.create_log_group, group),
            (self._client.create_log_stream, self._where),
        ):
            try:
                create(**where)
                self._created = where is self._where
            except exists:
                self._created = where is self._where
            except missing:
                self._created = False
            if self._created:
                return

    def flush(self) -> None:
        """Send what is kept."""
        if not self._pending:
            return
        if not self._created:
            self.open()
        self._client.put_log_events(**self._where, logEvents=self._pending)
        self._pending = []
        self._bytes = 0


class LogFollower:
    """Reads what a container has written since the last time and hands its lines on, in `told`'s words."""

    def __init__(
        self,
        path: Path,
        stream: LogStream,
        interval: float,
        metrics: JobMetrics | None = None,
        told: Callable[[str], str] = str,
    ) -> None:
        self._path = path
        self._stream = stream
        self._interval = interval
        self._metrics = metrics
        self._told = told
        self._offset = 0
        self._rest = b""
        self._next = time.monotonic() + interval

    def tick(self) -> None:
        """Read on and send a batch, at most once an interval."""
        if time.monotonic() >= self._next:
            self._read(_TICK_BYTES)
            self._send()
            self._next = time.monotonic() + self._interval

    def finish(self) -> None:
        """Read to the end, a last line without its end included, and send everything.

        When far more is left than was read before, what lies between is left out, and the log says so.
        """
        left_out = self._path.stat().st_size - self._offset - _BACKLOG_BYTES
        if left_out > 0:
            self._take(self._rest)
            self._rest = b""
            self._take(f"[local AWS leaves out {left_out:,} bytes of this log here]".encode())
            self._offset += left_out
        self._read(_BACKLOG_BYTES)
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        self._send()

    def _read(self, limit: int) -> None:
        end = self._offset + limit
        with self._path.open("rb") as log:
            log.seek(self._offset)
            while chunk := log.read(min(_READ_BYTES, end - self._offset)):
                self._offset += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        # A progress bar rewrites its line: what stands at the end counts.
        text = self._told(line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", errors="replace"))
        if text:
            self._stream.add(text)
            if self._metrics:
                self._metrics.read(text)

    def _send(self) -> None:
        try:
            self._stream.flush()
        except (ClientError, BotoCoreError) as error:
            raise log_refused(error) from error
        if self._metrics:
            self._metrics.flush()


def log_refused(error: Exception) -> JobFailedError:
    """Make the failure of a job whose log cannot be written: nobody could say what it did."""
    return JobFailedError(f"ClientError: The job's log cannot be written to CloudWatch Logs:{error}")


def _pieces(line: str) -> list[str]:
    # A character has at most four bytes.
    step = _EVENT_BYTES if len(line.encode()) <= _EVENT_BYTES else _EVENT_BYTES // 4
    return [line[start : start + step] for start in range(0, len(line), step)]
