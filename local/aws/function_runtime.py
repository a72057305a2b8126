"""What runs inside a function's process: imports the handler and serves the Lambda Runtime API.

    python -P function_runtime.py

Started by local/aws/functions.py with AWS_LAMBDA_RUNTIME_API, _HANDLER and LAMBDA_TASK_ROOT set. Needs the
standard library alone and imports nothing of this project, so that the function sees what it would on AWS.
"""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

API = "/2018-06-01/runtime"
END_OF_INVOCATION = "\0end"
"""Starts the line that tells the parent: everything that this invocation wrote has been written."""
_NO_SUCH_HANDLER = "Runtime.HandlerNotFound"


class Context:
    """The second argument of a handler."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until the function is stopped; 0 when that is due."""
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message: object) -> None:
        """Write to the function's log."""
        sys.stdout.write(str(message))


class LambdaLog(logging.Handler):
    """Writes log records as Lambda does: text with tabs, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self.request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what cannot be formatted goes to logging's own error report."""
        try:
            line = self._json(record) if self._as_json else self._text(record)
            sys.stdout.write(line + "\n")
        except (TypeError, ValueError):
            self.handleError(record)

    def _text(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        # A carriage return keeps the lines of one record in one log event.
        return f"[{record.levelname}]\t{_stamp(record.created, 3)}\t{self.request_id}\t{text}".replace(
            "\n", "\r"
        )

    def _json(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "timestamp": _stamp(record.created, 0),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": self.request_id,
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, trace = record.exc_info
            entry["errorType"], entry["errorMessage"] = kind.__name__, str(error)
            entry["stackTrace"] = [line.rstrip() for line in traceback.format_tb(trace)]
        extra = set(vars(record)) - _STANDARD_FIELDS
        return json.dumps(entry | {key: vars(record)[key] for key in sorted(extra)}, default=str)


_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def _stamp(seconds: float, digits: int) -> str:
    when = datetime.fromtimestamp(seconds, timezone.utc)  # noqa: UP017 - Python 3.10 in a function's runtime
    return when.isoformat(timespec="milliseconds" if digits else "seconds").replace("+00:00", "Z")


def _call(method: str, path: str, body: bytes | None = None) -> tuple[bytes, Mapping[str, str]]:
    """Call the Runtime API; a new connection each time, so that a stopped parent is noticed."""
    address, _, root = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
    connection = http.client.HTTPConnection(address)
    try:
        connection.request(method, f"/{root}{API}{path}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status >= 300:
            sys.exit(0)  # the environment is being shut down
        return answer.read(), answer.headers  # type: ignore[return-value]
    finally:
        connection.close()


def _error(error: BaseException, skip: int = 0) -> dict[str, Any]:
    """Describe an exception as Lambda does; `skip` frames at the top are the runtime's own."""
    frames = traceback.extract_tb(error.__traceback__)[skip:]
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": "",
        "stackTrace": traceback.format_list(frames),
    }


def _load(handler: str) -> Callable[[Any, Context], Any]:
    """Import the handler; a failure is told to the Runtime API and ends the process."""
    module, _, name = handler.rpartition(".")
    try:
        found: Callable[[Any, Context], Any] = getattr(
            importlib.import_module(module.replace("/", ".")), name
        )
    except ImportError as error:
        problem = _error(error) | {
            "errorType": "Runtime.ImportModuleError",
            "errorMessage": f"Unable to import module '{module}': {error}",
            "stackTrace": [],
        }
    except SyntaxError as error:
        where = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        problem = {
            "errorType": "Runtime.UserCodeSyntaxError",
            "errorMessage": f"Syntax error in module '{module}': {error}",
            "requestId": "",
            "stackTrace": [where],
        }
    except AttributeError as error:
        missing = f"Handler '{name}' missing on module '{module}'"
        problem = _error(error) | {"errorType": _NO_SUCH_HANDLER, "errorMessage": missing, "stackTrace": []}
    except Exception as error:  # noqa: BLE001 - whatever the function's module raises is the function's error
        problem = _error(error, skip=1)
    else:
        return found
    _print_error(problem, "")
    _call("POST", "/init/error", json.dumps(problem).encode())
    sys.exit(1)


def _print_error(problem: Mapping[str, Any], request_id: str) -> None:
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        entry = {
            "timestamp": _stamp(time.time(), 0),
            "level": "ERROR",
            "message": problem["errorMessage"],
            **problem,
            "requestId": request_id,
        }
        sys.stdout.write(json.dumps(entry) + "\n")
        return
    lines = [
        f"[ERROR] {problem['errorType']}: {problem['errorMessage']}",
        "Traceback (most recent call last):",
    ]
    text = "\n".join([*lines, *(frame.rstrip() for frame in problem["stackTrace"])])
    sys.stdout.write(text.replace("\n", "\r") + "\n")


def _serve_one(handler: Callable[[Any, Context], Any], log: LambdaLog) -> None:
    body, headers = _call("GET", "/invocation/next")
    context = Context(headers)
    log.request_id = context.aws_request_id
    try:
        result = json.dumps(handler(json.loads(body), context)).encode()
        outcome = "response"
    except Exception as error:  # noqa: BLE001 - an exception of the handler is the invocation's result
        problem = _error(error, skip=1) | {"requestId": context.aws_request_id}
        if isinstance(error, TypeError) and "JSON serializable" in str(error):
            problem |= {
                "errorType": "Runtime.MarshalError",
                "errorMessage": f"Unable to marshal response: {error}",
                "stackTrace": [],
            }
        _print_error(problem, context.aws_request_id)
        result, outcome = json.dumps(problem).encode(), "error"
    _end_of_invocation(context.aws_request_id)
    _call("POST", f"/invocation/{context.aws_request_id}/{outcome}", result)


def _end_of_invocation(request_id: str) -> None:
    sys.stderr.flush()
    sys.stdout.write(f"\n{END_OF_INVOCATION} {request_id} {_peak_megabytes()}\n")
    sys.stdout.flush()


def _peak_megabytes() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - as light as it gets
            peak = next(line for line in status if line.startswith("VmHWM"))
            return int(peak.split()[1]) // 1024
    except (OSError, StopIteration):
        # No Linux. There getrusage would count what the parent had in memory when it started this process.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024)


def main() -> None:
    """Import the handler, then serve one invocation after the other until the parent ends the process."""
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    log = LambdaLog(as_json)
    root = logging.getLogger()
    root.addHandler(log)
    root.setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL") or ("INFO" if as_json else "WARNING"))
    handler = _load(os.environ["_HANDLER"])
    while True:
        _serve_one(handler, log)


if __name__ == "__main__":
    main()
