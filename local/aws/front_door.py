"""What every request passes first: it comes from a client of this machine, and is signed or has the token.

MiniStack has routes without a signature that any web page could call: they wipe its state, show messages and
change settings. None of them is AWS's, so whatever carries no signature is refused here. What a browser is
shown is below /-/<token>/, where no bucket can be, for those alone who know the token.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
import secrets
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
_HOST_OF_PAGE = re.compile(r"(?:localhost|127\.0\.0\.1)(?::\d+)?")
"""Below <bucket>.localhost every path is a key of S3's."""
PAGE = "/-/"
"""What paths of the page begin with; the name of no bucket does."""
_PAGE_METHODS = ("GET", "HEAD", "POST")
_HEADERS_OF_PAGE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # The address has the token in it. With no-referrer, browsers would call the origin of a form "null".
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_IN_THE_QUERY = ({"X-Amz-Credential", "X-Amz-Signature"}, {"AWSAccessKeyId", "Signature"})
"""What a presigned URL of either kind has."""


class FrontDoor:
    """An ASGI application in front of MiniStack's, and of the page for a browser."""

    def __init__(self, port: int, application: Application, page: Application, token: str) -> None:
        self._port = port
        self._application = application
        self._page = page
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = headers_of(scope)
        if refusal := self._refusal(scope, headers):
            # A client that still sends its body would find the connection closed, and no answer.
            while (await receive()).get("more_body"):
                pass
            await respond(send, *refusal)
        elif _is_of_page(scope, headers):
            await self._page(scope, receive, _in_pieces(_as_page(send)))
        else:
            await self._application(scope, receive, _in_pieces(send))

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Return status and body for a request that no AWS client or browser of this machine would send."""
        host, path = headers.get("host", ""), scope["path"]
        matched = _HOST.fullmatch(host)
        if not matched or (matched[1] or "80") != str(self._port):
            return error(
                403,
                "AccessDenied",
                f"The Host header {host!r} is not this server's: use http://localhost:{self._port}.",
            )
        if _is_of_page(scope, headers):
            return self._refusal_of_page(scope, headers)
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return error(403, "AccessDenied", "Local AWS answers no web page.")
        if scope["method"] == "PUT" and path.startswith(_ANSWERS_OF_FUNCTIONS):
            return None
        if _NOT_AWS.fullmatch(path):
            return error(403, "AccessDenied", f"{path} is not part of AWS's API.")
        return None if _is_signed(scope) else _unsigned(scope, headers)  # MiniStack checks the signature

    def _refusal_of_page(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Return status and body for what is no request of the page itself, or of whoever typed its address.

        A page of another site, or of another port of this machine, could send it from the same browser.
        """
        method, site, origin = scope["method"], headers.get("sec-fetch-site"), headers.get("origin")
        if method not in _PAGE_METHODS:
            return 405, html(f"The page of local AWS takes no {method}.")
        ours = f"http://{headers['host']}"
        if site not in (None, "none", "same-origin") or origin not in (None, ours):
            return 403, html(
                "Another page sent you here: copy the address into the address bar of the browser instead."
            )
        if method == "POST" and origin is None and site != "same-origin":
            return 403, html("The browser did not say which page this form is from; local AWS takes its own.")
        token = scope["path"].removeprefix(PAGE).partition("/")[0]
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return 403, html("This address has no token, or that of another run. " + _WHERE)
        return None


_WHERE = "The address for a browser was printed when it started, after “In a browser”."


def _unsigned(scope: Scope, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """Return status and body for whoever has no keys: a person with a browser, or a client without any."""
    if scope["method"] == "GET" and scope["path"] == "/" and "text/html" in headers.get("accept", ""):
        return 403, html("This is local AWS, which answers AWS clients. " + _WHERE)
    return error(403, "AccessDenied", "Request is missing Authentication Token", headers)


def _is_of_page(scope: Scope, headers: Mapping[str, str]) -> bool:
    return scope["path"].startswith(PAGE) and _HOST_OF_PAGE.fullmatch(headers.get("host", "")) is not None


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


def html(sentence: str) -> bytes:
    """Return a small page that says one thing."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Local AWS</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 60ch; margin: 15vh auto; padding: 0 24px; }}
</style>
<main><h1>Local AWS</h1><p>{escape(sentence)}</p></main>
""".encode()


async def respond(send: Send, status: int, body: bytes) -> None:
    """Send a whole answer."""
    is_html = body.startswith(b"<!doctype")
    kind = b"text/html; charset=utf-8" if is_html else b"application/xml"
    kind = b"application/x-amz-json-1.1" if body.startswith(b"{") else kind
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    send = _as_page(send) if is_html else send
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _as_page(send: Send) -> Send:
    """Return a `send` that adds to an answer what keeps the page from other sites."""
    added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS_OF_PAGE.items()]

    async def sent(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sent


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
