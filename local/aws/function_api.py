"""The Lambda Runtime API on loopback, for the processes of all functions."""

from __future__ import annotations

import http.server
import secrets
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Served(Protocol):
    """An execution environment, as the Runtime API sees it."""

    arn: str

    def next(self) -> Invocation | None:
        """Wait for the next invocation; None when the environment ends."""

    def finish(self, request_id: str, payload: bytes, *, errored: bool) -> bool:
        """Take the handler's result; False when no such invocation is running."""

    def fail_init(self, payload: bytes) -> None:
        """Take the error of the init phase."""


@dataclass
class Invocation:
    """One event on its way through the Runtime API."""

    request_id: str
    event: bytes
    deadline: float
    written: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    payload: bytes = b""
    errored: bool = False


class RuntimeApi:
    """The Lambda Runtime API of all environments, on loopback; each has a path that only it knows."""

    def __init__(self) -> None:
        self._environments: dict[str, Served] = {}
        environments = self._environments

        class Handler(_RuntimeHandler):
            known = environments

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="lambda-runtime-api", daemon=True
        )
        self._thread.start()

    def admit(self, environment: Served) -> str:
        """Give the environment its address: host, port and a secret path."""
        token = secrets.token_urlsafe(16)
        self._environments[token] = environment
        return f"127.0.0.1:{self._server.server_port}/{token}"

    def dismiss(self, environment: Served) -> None:
        """Forget an environment: it is answered 404 from now on."""
        for token, known in list(self._environments.items()):
            if known is environment:
                self._environments.pop(token, None)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _RuntimeHandler(http.server.BaseHTTPRequestHandler):
    known: Mapping[str, Served]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        environment, path = self._route()
        if environment is None or not path.endswith("/runtime/invocation/next"):
            return self._answer(404)
        invocation = environment.next()
        if invocation is None:
            return self._answer(410)
        return self._answer(
            200,
            invocation.event,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": environment.arn,
            },
        )

    def do_POST(self) -> None:
        environment, path = self._route()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        *_, subject, outcome = path.split("/")
        if environment is None:
            self._answer(404)
        elif path.endswith("/runtime/init/error"):
            environment.fail_init(body)
            self._answer(202)
        else:
            self._answer(202 if environment.finish(subject, body, errored=outcome == "error") else 400)

    def _route(self) -> tuple[Served | None, str]:
        _, token, path = urllib.parse.urlsplit(self.path).path.split("/", 2)
        return self.known.get(token), path

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            self.close_connection = True  # the process was stopped while it waited

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        """Stay silent: the function's log is in CloudWatch Logs."""
