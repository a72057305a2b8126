"""AWS::CloudFormation::CustomResource: what a function of the template's own makes.

The function is invoked as CloudFormation does it, and answers by a PUT to the URL that it is given; here that
is a socket on loopback which is open for this one answer.
"""

from __future__ import annotations

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

from local.aws.cloudformation_resource import ANY, Properties, ResourceType, Shape, Target, Unsupported

_TIMEOUT_SECONDS = 3600
_MAX_BYTES = 4096
"""CloudFormation takes no larger answer."""


class CustomResource(ResourceType):
    """A resource that a Lambda function makes, changes and removes."""

    type = "AWS::CloudFormation::CustomResource"
    shape: ClassVar[Shape | None] = ANY
    required = frozenset({"ServiceToken"})
    create_only = frozenset({"ServiceToken"})

    def create(self, target: Target) -> str:
        """Let the function make it; the physical id is the one that it answers with."""
        answer = _ask(target, "Create", {"LogicalResourceId": target.id})
        return str(answer.get("PhysicalResourceId") or target.id)

    def apply(self, target: Target) -> None:
        """Let the function change a resource that was there before."""
        if not target.before:
            return
        more = {"LogicalResourceId": target.id, "PhysicalResourceId": target.id}
        answer = _ask(target, "Update", {**more, "OldResourceProperties": _texts(target.before)})
        if answer.get("PhysicalResourceId", target.id) != target.id:
            raise Unsupported(
                f"the function gave {target.id} another PhysicalResourceId: the laptop's CloudFormation "
                "replaces no custom resource; let it keep its id"
            )

    def delete(self, target: Target) -> None:
        """Let the function remove it."""
        _ask(target, "Delete", {"LogicalResourceId": target.id, "PhysicalResourceId": target.id})

    def read(self, target: Target) -> Properties:
        """Give back what was asked: what it made is the function's business."""
        return target.properties


def _ask(target: Target, request: str, more: dict[str, Any]) -> dict[str, Any]:
    """Invoke the function and give its answer; raise `Unsupported` with its reason when it failed."""
    with _Mailbox() as mailbox:
        token, region = target.properties["ServiceToken"], target.aws("lambda").meta.region_name
        event = {
            "RequestType": request,
            "RequestId": secrets.token_hex(16),
            "ResponseURL": mailbox.url,
            "ResourceType": CustomResource.type,
            "ResourceProperties": _texts(target.properties),
            "ServiceToken": token,
            "StackId": f"arn:aws:cloudformation:{region}:{token.split(':')[4]}:stack/laptop/{mailbox.secret}",
            **more,
        }
        done = target.aws("lambda").invoke(FunctionName=token, Payload=json.dumps(event))
        if "FunctionError" in done:
            raise Unsupported(f"{token} failed on {request}: {done['Payload'].read().decode()[:500]}")
        seconds = int(target.properties.get("ServiceTimeout", _TIMEOUT_SECONDS))
        answer = mailbox.answer(min(seconds, 5))
    if answer is None:
        raise Unsupported(f"{token} ended on {request} and did not answer to the event's ResponseURL")
    if answer.get("Status") != "SUCCESS":
        raise Unsupported(f"Received response status [FAILED] from custom resource: {answer.get('Reason')}")
    return answer


def _texts(value: Any) -> Any:
    """Write every number and truth value as text, which is how CloudFormation sends them."""
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Mailbox:
    """A place on loopback for one answer."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(16)
        self._answer: dict[str, Any] | None = None
        self._came = threading.Event()
        self._server = HTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/{self.secret}"

    def __enter__(self) -> _Mailbox:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Give the answer, None when none has come in time."""
        self._came.wait(seconds)
        return self._answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                taken = self.path == f"/{mailbox.secret}" and size <= _MAX_BYTES
                if taken:
                    mailbox._take(self.rfile.read(size))
                self.send_response(200 if taken else 403)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing: what comes of the answer is a stack event."""

        return Handler

    def _take(self, body: bytes) -> None:
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        reason = f"its answer is no JSON object: {body[:200]!r}"
        self._answer = found if isinstance(found, dict) else {"Status": "FAILED", "Reason": reason}
        self._came.set()
