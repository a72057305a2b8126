"""What every request passes first: it must come from a client of this machine, and it must be signed.

MiniStack has routes without a signature that any web page could call: they wipe its state, show messages and
change settings. None of them is AWS's, so whatever carries no signature is refused here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import ministack.app
from ministack.services import eventbridge

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 64
"""For functions, SageMaker and CloudFormation, each of which may wait for a call to this very server."""
_PIECE_BYTES = 1 << 20
_HOST = re.compile(r"(?:(?:[a-z0-9.-]+\.)?localhost|127\.0\.0\.1)(?::(\d+))?")
"""A browser takes *.localhost for this machine, whatever its name server says; so do clients of S3."""
_ANSWERS_OF_FUNCTIONS = "/_ministack/cfn-response/"
"""Where a function answers CloudFormation: a URL with a secret of its own, as on AWS."""
_NOT_AWS = re.compile(r"/(?:_ministack|_localstack|_aws|health|v2)(?:/.*)?", re.DOTALL)
"""Routes that MiniStack answers to whoever comes: its own, and those of a registry of images."""
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 .*\bCredential=[^/,\s]+/.+", re.DOTALL)
_IN_THE_QUERY = ({"X-Amz-Credential", "X-Amz-Signature"}, {"AWSAccessKeyId", "Signature"})
"""What a presigned URL of either kind has."""


class FrontDoor:
    """An ASGI application in front of MiniStack's."""

    def __init__(self, port: int, application: Application) -> None:
        self._port = port
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http" and (refusal := self._refusal(scope)):
            # A client that still sends its body would find the connection closed, and no answer.
            while (await receive()).get("more_body"):
                pass
            await respond(send, *refusal)
        elif scope["type"] == "http":
            await self._application(scope, receive, _in_pieces(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        """Return status and body for a request that no AWS client of this machine would send."""
        headers = headers_of(scope)
        host, path = headers.get("host", ""), scope["path"]
        matched = _HOST.fullmatch(host)
        if not matched or (matched[1] or "80") != str(self._port):
            return error(
                403,
                "AccessDenied",
                f"The Host header {host!r} is not this server's: use http://localhost:{self._port}.",
            )
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return error(403, "AccessDenied", "Local AWS answers no web page.")
        if scope["method"] == "PUT" and path.startswith(_ANSWERS_OF_FUNCTIONS):
            return None
        if _NOT_AWS.fullmatch(path):
            return error(403, "AccessDenied", f"{path} is not part of AWS's API.")
        if not _is_signed(scope):
            return error(403, "AccessDenied", "Request is missing Authentication Token", headers)
        return None  # MiniStack checks the signature


def _is_signed(scope: Scope) -> bool:
    """Return whether a request has one signature, in a form that MiniStack checks.

    It takes other forms, and two signatures at once, for those of whoever has the access key that they name.
    """
    signed = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    presigned = [form for form in _IN_THE_QUERY if form & query.keys()]
    if signed:
        return len(signed) == 1 and not presigned and _SIGNED.fullmatch(signed[0]) is not None
    return len(presigned) == 1 and all(len(query.get(name, ())) == 1 for name in presigned[0])


def _in_pieces(send: Send) -> Send:
    """Return a `send` that sends a large body piece by piece.

    The event loop copies twice what does not fit into the connection's buffer, which takes longer for an
    object of hundreds of megabytes than sending it.
    """

    async def sent(message: dict[str, Any]) -> None:
        body = memoryview(message.get("body", b""))
        while len(body) > _PIECE_BYTES:
            await send({**message, "body": bytes(body[:_PIECE_BYTES]), "more_body": True})
            body = body[_PIECE_BYTES:]
            message = {**message, "body": body}
        await send(message)

    return sent


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers of a request with their names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Return an error as the protocol of the request with these headers has it: JSON, or S3's XML."""
    if headers and headers.get("x-amz-target"):
        return status, json.dumps({"__type": code, "message": message}).encode()
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return status, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


async def respond(send: Send, status: int, body: bytes) -> None:
    """Send a whole answer."""
    kind = b"application/x-amz-json-1.1" if body.startswith(b"{") else b"application/xml"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    """Start and end what of MiniStack is needed: its own start also runs scripts and sweeps Docker."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            loop = asyncio.get_running_loop()
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(THREADS, "local-aws"))
            ministack.app._MAIN_LOOP = loop
            eventbridge.start_scheduler()
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
