"""What Lambda writes into a function's log group around what the function wrote: START, END and REPORT."""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.function_environment import Result

logger = logging.getLogger(__name__)

_BATCH = 1000
"""Events of one PutLogEvents; a megabyte and 10,000 events are CloudWatch's limits."""


class FunctionLog:
    """One log stream, written with the function's own role: without the permission there is no log."""

    def __init__(self, client: Any, function: Any) -> None:
        """`client` is a logs client that calls as the function's role."""
        self.stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{function.version}]{uuid.uuid4().hex}"
        self._client, self._group = client, function.logs_group_name
        self._name, self._memory = function.function_name, function.memory_size
        self._version = str(function.version)
        self._json = function.logging_config["LogFormat"] == "JSON"
        self._quiet = function.logging_config.get("SystemLogLevel") == "WARN"
        self._made = False

    def write(self, request_id: str, result: Result) -> None:
        """Write one invocation; a refusal is told on the laptop's own log and changes nothing else."""
        if self._json:
            lines = [] if self._quiet else [self._start_json(request_id, result)]
            lines += result.lines + ([] if self._quiet else [self._report_json(request_id, result)])
        else:
            lines = [f"START RequestId: {request_id} Version: {self._version}", *result.lines]
            lines += [
                *_trouble(request_id, result),
                f"END RequestId: {request_id}",
                self._report(request_id, result),
            ]
        try:
            self._put(lines)
        except (BotoCoreError, ClientError) as error:
            logger.warning("%s cannot write its log group %s: %s", self._name, self._group, error)

    def _put(self, lines: list[str]) -> None:
        if not self._made:
            self._make()
        now = time.time_ns() // 1_000_000
        for start in range(0, len(lines), _BATCH):
            events = [{"timestamp": now, "message": line} for line in lines[start : start + _BATCH]]
            self._client.put_log_events(logGroupName=self._group, logStreamName=self.stream, logEvents=events)

    def _make(self) -> None:
        names = {"logGroupName": self._group, "logStreamName": self.stream}
        try:
            self._client.create_log_stream(**names)
        except self._client.exceptions.ResourceNotFoundException:
            self._client.create_log_group(logGroupName=self._group)
            self._client.create_log_stream(**names)
        self._made = True

    def _report(self, request_id: str, result: Result) -> str:
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {result.duration_ms:.2f} ms",
            f"Billed Duration: {math.ceil(result.duration_ms)} ms",
            f"Memory Size: {self._memory} MB",
            f"Max Memory Used: {result.memory_mb} MB",
        ]
        if result.init_ms is not None:
            fields.append(f"Init Duration: {result.init_ms:.2f} ms")
        if result.status == "timeout":
            fields.append("Status: timeout")
        return "\t".join(fields)

    def _start_json(self, request_id: str, result: Result) -> str:
        record = {"requestId": request_id, "version": self._version}
        began = _stamp(time.time() - result.duration_ms / 1000)
        return json.dumps({"time": began, "type": "platform.start", "record": record})

    def _report_json(self, request_id: str, result: Result) -> str:
        metrics: dict[str, float] = {
            "durationMs": round(result.duration_ms, 3),
            "billedDurationMs": math.ceil(result.duration_ms),
            "memorySizeMB": self._memory,
            "maxMemoryUsedMB": result.memory_mb,
        }
        if result.init_ms is not None:
            metrics["initDurationMs"] = round(result.init_ms, 3)
        record = {"requestId": request_id, "metrics": metrics, "status": result.status}
        if result.status in ("timeout", "error"):
            record["errorType"] = _error_type(result.payload)
        return json.dumps({"time": _now(), "type": "platform.report", "record": record})


def _trouble(request_id: str, result: Result) -> list[str]:
    """Say what the function could not say itself: that it was stopped, or that its process ended."""
    if _error_type(result.payload) not in ("Sandbox.Timedout", "Runtime.ExitError") or not result.errored:
        return []
    message = json.loads(result.payload)["errorMessage"]
    return [f"{_now()} {request_id} {message.partition('Error: ')[2]}"]


def _error_type(payload: bytes) -> str:
    try:
        answer = json.loads(payload)
    except ValueError:
        return ""
    return str(answer.get("errorType", "")) if isinstance(answer, dict) else ""


def _now() -> str:
    return _stamp(time.time())


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"
