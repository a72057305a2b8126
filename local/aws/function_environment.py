"""One execution environment of a function: a process, the Runtime API that it asks, and what it writes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.aws.function_api import Invocation, RuntimeApi
from local.aws.function_runtime import END_OF_INVOCATION

BOOTSTRAP = Path(__file__).with_name("function_runtime.py")
INIT_SECONDS = 10.0
"""Lambda's limit of the init phase; the function's timeout is added, as for an init that Lambda repeats."""


@dataclass(frozen=True)
class Result:
    """How an invocation ended: the payload, whether it is an error, and what belongs in the log."""

    payload: bytes
    errored: bool
    lines: list[str]
    duration_ms: float
    memory_mb: int
    init_ms: float | None
    status: str = "success"


class Environment:
    """A function's process, cold until its first invocation; one invocation at a time."""

    def __init__(
        self,
        api: RuntimeApi,
        *,
        arn: str,
        task_root: Path,
        scratch: Path,
        variables: Mapping[str, str],
        timeout: float,
    ) -> None:
        """Start the process with exactly `variables` (and what finds the runtime), `scratch` as its /tmp."""
        self.arn, self._api, self._timeout = arn, api, timeout
        self._queue: queue.Queue[Invocation | None] = queue.Queue()
        self._current: Invocation | None = None
        self._ready, self._init_error = threading.Event(), b""
        self._lines: list[str] = []
        self._memory_mb, self._started, self._init_ms = 0, time.monotonic(), 0.0
        self._cold = True
        self._closing, self._closed = threading.Lock(), False
        scratch.mkdir(parents=True)
        address = api.admit(self)
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "LAMBDA_TASK_ROOT": str(task_root),
            "LAMBDA_RUNTIME_DIR": str(BOOTSTRAP.parent),
            "AWS_LAMBDA_RUNTIME_API": address,
            "PYTHONIOENCODING": "utf-8",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(BOOTSTRAP)],
            cwd=task_root,
            env={**base, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(
            target=self._read, name=f"lambda-output-{self._process.pid}", daemon=True
        )
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process can take another invocation."""
        return self._process.poll() is None and not self._init_error

    @property
    def age_seconds(self) -> float:
        """The time since the process was started."""
        return time.monotonic() - self._started

    def invoke(self, event: bytes, request_id: str) -> Result:
        """Run the handler; a crash, a time-out or a failed import is a result too, and ends the process."""
        init_ms = None
        if self._cold:
            problem = self._wait_for_init(request_id)
            self._cold, init_ms = False, self._init_ms
            if problem is not None:
                self.close()
                return self._result(problem, 0.0, init_ms, errored=True, status="error")
        invocation = Invocation(request_id, event, time.time() + self._timeout)
        began = time.monotonic()
        self._current = invocation
        self._queue.put(invocation)
        status = self._wait(invocation, began)
        duration = (time.monotonic() - began) * 1000
        if status in ("timeout", "exit"):
            self.close()
            payload = self._broken(status, request_id)
            return self._result(
                payload, duration, init_ms, errored=True, status="timeout" if status == "timeout" else "error"
            )
        invocation.written.wait(1.0)
        return self._result(invocation.payload, duration, init_ms, errored=invocation.errored, status=status)

    def crash(self) -> None:
        """End the process where it stands: the invocation that it is at fails."""
        with self._closing:
            if not self._closed:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and its children, and stop serving it; harmless when it was done already."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._api.dismiss(self)
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._queue.put(None)
            self._reader.join(2.0)

    # What the Runtime API calls

    def next(self) -> Invocation | None:
        """Wait for the next invocation; None when the environment ends."""
        if not self._ready.is_set():
            self._init_ms = self.age_seconds * 1000
            self._ready.set()
        return self._queue.get()

    def finish(self, request_id: str, payload: bytes, *, errored: bool) -> bool:
        """Take the handler's result; False when no such invocation is running."""
        invocation = self._current
        if invocation is None or invocation.request_id != request_id:
            return False
        invocation.payload, invocation.errored = payload, errored
        invocation.answered.set()
        return True

    def fail_init(self, payload: bytes) -> None:
        """Take the error of the init phase."""
        self._init_error = payload
        self._init_ms = self.age_seconds * 1000
        self._ready.set()

    # Waiting

    def _wait_for_init(self, request_id: str) -> bytes | None:
        limit = time.monotonic() + INIT_SECONDS + self._timeout
        while not self._ready.wait(0.05):
            if self._process.poll() is not None:
                return self._broken("exit", request_id)
            if time.monotonic() > limit:
                return self._broken("timeout", request_id)
        return self._init_error or None

    def _wait(self, invocation: Invocation, began: float) -> str:
        while True:
            left = self._timeout - (time.monotonic() - began)
            if invocation.answered.wait(min(0.05, max(left, 0))):
                return "error" if invocation.errored else "success"
            if self._process.poll() is not None:
                return "exit"
            if left <= 0:
                return "timeout"

    def _broken(self, status: str, request_id: str) -> bytes:
        if status == "timeout":
            kind, reason = "Sandbox.Timedout", f"Task timed out after {self._timeout:.2f} seconds"
        else:
            code = self._process.wait()
            how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
            kind, reason = "Runtime.ExitError", f"Runtime exited with error: {how}"
        return json.dumps(
            {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {reason}"}
        ).encode()

    def _result(
        self, payload: bytes, duration_ms: float, init_ms: float | None, *, errored: bool, status: str
    ) -> Result:
        lines, self._lines = self._lines, []
        self._current = None
        return Result(payload, errored, lines, duration_ms, self._memory_mb, init_ms, status)

    def _read(self) -> None:
        """Collect what the process writes, until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - opened above
        with self._process.stdout as output:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip("\n").replace("\r", "\n")
                if line.startswith(END_OF_INVOCATION):
                    self._memory_mb = int(line.split()[-1])
                    if self._current is not None:
                        self._current.written.set()
                elif line:
                    self._lines.append(line)
