"""Serve a WSGI application on loopback over HTTP/1.1 with connections that stay open.

Werkzeug's own development server closes every connection and prints to the terminal; AWS clients make
hundreds of small requests, so this one keeps connections, answers `Expect: 100-continue`, reads the body of
each request before the application sees it, and ends every thread when it is closed.
"""

from __future__ import annotations

import errno
import http.server
import io
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_LOG = logging.getLogger(__name__)
_ADDRESS = "127.0.0.1"
_CLOSE_SECONDS = 5.0


class PortTakenError(Exception):
    """The port asked for belongs to another program."""


class _Handler(MotoRequestHandler):  # type: ignore[misc]  # moto is untyped
    """One connection; requests follow each other on it."""

    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    # Else an answer leaves in pieces, and the second one waits 40 ms until the first is acknowledged.
    disable_nagle_algorithm = True
    wbufsize = -1

    def run_wsgi(self) -> None:
        """Answer one request from the application."""
        environ = self.make_environ()
        body = self._read_body(environ)
        # The application gets the whole body, and a length even for a chunked one.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.update({"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})
        environ["wsgi.input_terminated"] = True
        status, headers, content = call(self.server.app, environ)
        self._send(status, headers, content)

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        if environ.get("wsgi.input_terminated"):
            return bytes(io.BufferedReader(environ["wsgi.input"]).read())
        return bytes(self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0)))

    def _send(self, status: str, headers: list[tuple[str, str]], content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        bodyless = int(code) in {204, 304} or int(code) < 200
        named = set()
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding"}:
                named.add(name.lower())
                self.send_header(name, value)
        if "content-length" not in named and not bodyless:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD" and not bodyless:
            self.wfile.write(content)
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Tell a client that waits for it to send the body."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def version_string(self) -> str:
        """Name the server in the Server header."""
        return "LocalAWS"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Log each request and each complaint for somebody who debugs."""
        _LOG.debug(format, *args)

    def log_request(self, *_: int | str) -> None:
        """Log one answered request."""
        _LOG.debug("%s", self.requestline)

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Log what is wrong with a request."""
        _LOG.debug(format, *args)


def call(app: Application, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Run a WSGI application and gather its whole answer: status line, headers and content."""
    answer: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], None]:
        answer[:] = [status, headers]
        return written.append

    written: list[bytes] = []
    parts = app(environ, start_response)
    try:
        content = b"".join([*written, *parts])
    finally:
        close = getattr(parts, "close", None)
        if close:
            close()
    return answer[0], answer[1], content


class LoopbackServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """An HTTP server on 127.0.0.1 with a thread for each connection; `close` ends them all."""

    daemon_threads = True
    request_queue_size = 128
    # What werkzeug's request handler reads from its server.
    ssl_context = None
    multithread = True
    multiprocess = False
    _server_version = "LocalAWS"

    def __init__(self, port: int, app: Application) -> None:
        self.app = app
        self._open: dict[socket.socket, threading.Thread] = {}
        self._open_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            super().__init__((_ADDRESS, port), _Handler)
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            raise PortTakenError(
                f"port {port} of {_ADDRESS} cannot be used ({error.strerror}): stop the program that listens "
                "there, or choose another port; port 0 takes any that is free"
            ) from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name="local-aws", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, drop the open connections and wait for their threads."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        self.server_close()
        with self._open_lock:
            still_open = list(self._open.items())
        for connection, _ in still_open:
            _shut(connection)
        for _, thread in still_open:
            thread.join(_CLOSE_SECONDS)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, known to `close` while it is open."""
        with self._open_lock:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._open_lock:
                self._open.pop(request, None)

    def handle_error(self, *connection: Any) -> None:
        """Log what went wrong on a connection; the others go on."""
        _LOG.debug("the connection %s ended badly", connection, exc_info=True)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        _LOG.debug("the connection was closed already")
