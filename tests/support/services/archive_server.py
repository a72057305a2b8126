"""A server of one file over HTTP: ranges, If-Range and ETags as a real one has them, and faults on demand."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/files/CUB_200_2011.tgz"


@dataclass(frozen=True)
class Behaviour:
    """How requests are answered; the default is a sound server's way."""

    status: int = 0  # other than 0: an error, with a page
    breaks_after: int | None = None  # bytes of the body until the connection ends
    hangs_after: int | None = None  # bytes of the body until nothing more comes
    ranges: bool = True
    refuses_ranges: bool = False  # answers 416 to every range
    starts_at: int | None = None  # begins at this byte, whatever range is asked for
    if_range: bool = True  # looks at If-Range
    etag: str = '"one"'
    length: int | None = -1  # Content-Length where all is sent: -1 the true one, None no such header
    kind: str = "application/gzip"
    location: str = ""  # redirects there


@dataclass
class ArchiveServer:
    """What the server has and will do, and what it was asked for."""

    content: bytes
    then: Behaviour = field(default_factory=Behaviour)
    """How it answers when `behaviours` are used up."""
    behaviours: list[Behaviour] = field(default_factory=list)
    """One for each request, in order."""
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of each request, and its target as `path`."""
    sent: int = 0
    """Bytes of bodies, in all answers together."""
    when_hanging: Callable[[], None] = lambda: None
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges(self) -> list[str | None]:
        """Return the Range of each request."""
        return [each.get("range") for each in self.requests]

    def will(self, **changes: Any) -> None:
        """Answer one more request in this way."""
        self.behaviours.append(replace(self.then, **changes))

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append({**headers, "path": handler.path})
        how = self.behaviours.pop(0) if self.behaviours else self.then
        if how.location:
            handler.send_response(302)
            handler.send_header("Location", how.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif how.status:
            handler.send_error(how.status)
        else:
            self._send(handler, how, self._start(headers, how))

    def _start(self, headers: dict[str, str], how: Behaviour) -> int | None:
        """Return the first byte that is asked for, or None where all is to be sent."""
        if how.starts_at is not None:
            return how.starts_at
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if not asked or not how.ranges:
            return None
        if how.if_range and headers.get("if-range", how.etag) != how.etag:
            return None
        return int(asked[1])

    def _send(self, handler: BaseHTTPRequestHandler, how: Behaviour, start: int | None) -> None:
        size, length = len(self.content), how.length
        if start is not None and (start >= size or how.refuses_ranges):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{size}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(200 if start is None else 206)
        if start is not None:
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        body = self.content[start or 0 :]
        if length is not None:
            handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        handler.send_header("Content-Type", how.kind)
        if how.etag:
            handler.send_header("ETag", how.etag)
        handler.end_headers()
        body = body[: how.breaks_after][: how.hangs_after]
        self.sent += len(body)
        handler.wfile.write(body)
        if how.hangs_after is not None:
            self.when_hanging()
            self.released.wait(30)  # seconds: a test of a client that would wait for ever has an end


@contextmanager
def serving(
    content: bytes, then: Behaviour | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[ArchiveServer]:
    """Yield a server of `content` on loopback, which is gone afterwards."""
    archive = ArchiveServer(content, then or Behaviour())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            archive.answer(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing: `requests` has it."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: a client that hangs up is a part of these tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        archive.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}{PATH}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield archive
        finally:
            archive.released.set()
            server.shutdown()
            thread.join()
