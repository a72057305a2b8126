"""What every request passes before a service sees it: where it came from, who signed it, what IAM says.

The gate also makes the services' failures look like AWS's: an operation that moto does not implement is an
error that says so, and a defect is an InternalFailure instead of a page of HTML.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

from local.aws.access_keys import key_uses
from local.aws.authorization import Authorizer
from local.aws.error_responses import Answer, ErrorStyle, error_answer
from local.aws.http_server import Application, call
from local.aws.iam import AccessDenied, PolicyError, Principal
from local.aws.identities import Caller, Identities
from local.aws.key_use import UnusableKeyError, check_state
from local.aws.request_context import Call, UnknownOperationError, protocol, read_call
from local.aws.signature import Signature, SignatureError, check_signature, read_signature

Interfere = Callable[[str, Call, ErrorStyle, Callable[[], Answer]], Answer]
"""Answers a call, given the access key of whoever makes it, how errors look there, and what would answer."""

_LOG = logging.getLogger(__name__)
_HOSTS = {"localhost", "127.0.0.1"}
_FORBIDDEN_PATHS = ("/moto-api", "/favicon.ico", "/latest/meta-data", "/latest/api")
"""moto's own control pages and its instance metadata, none of which asks for a signature."""

_IGNORED = re.compile(
    "Analytics|IntelligentTiering|BucketMetrics|BucketMetadata|Abac|Annotation|RequestPayment|"
    "DirectoryBuckets|RenameObject|ObjectTorrent|ObjectEncryption|CreateSession"
)
"""S3 operations that moto takes for others, because it does not know what tells them apart."""


class Gate:
    """A WSGI application in front of moto's."""

    def __init__(
        self,
        app: Application,
        identities: Identities,
        authorizer: Authorizer | None,
        *,
        account: str,
        interfere: Interfere = lambda *call: call[-1](),
    ) -> None:
        self._app = app
        self._identities = identities
        self._authorizer = authorizer
        """None when IAM is switched off; signatures are checked all the same."""
        self._account = account
        self._interfere = interfere

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        status, headers, body = self._answer(environ)
        start_response(status, headers)
        return [body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        style = ErrorStyle("rest-xml", "s3", environ["PATH_INFO"])
        try:
            signature = read_signature(environ)
            style = _style(environ, signature)
            if refusal := _foreign(environ):
                return error_answer(style, "BadRequest", refusal)
            asked = self._admit(environ, signature)
            key = signature.access_key_id if signature else ""
            return self._interfere(key, asked, style, lambda: self._pass_on(environ))
        except SignatureError as error:
            return error_answer(style, error.code, str(error))
        except (AccessDenied, UnusableKeyError) as error:
            return error_answer(style, _code(style, error), str(error))
        except (UnknownOperationError, NotImplementedError) as error:
            message = f"The laptop's AWS does not implement this operation: {error}"
            return error_answer(style, "NotImplemented", message)
        except Exception as error:  # noqa: BLE001 - a defect is answered like AWS's, and logged
            _LOG.exception("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            message = f"The laptop's AWS has a defect here: {type(error).__name__}: {error}"
            return error_answer(style, "InternalFailure", message)

    def _admit(self, environ: dict[str, Any], signature: Signature | None) -> Call:
        """Read the request; raise unless it is signed, or meant for everybody, and IAM allows it."""
        body = environ["wsgi.input"].getvalue()
        if signature is not None:
            check_signature(signature, environ, body, self._identities.credentials)
        elif _style(environ, None).service != "s3":
            raise SignatureError("MissingAuthenticationToken", "Request is missing Authentication Token")
        asked = read_call(
            environ,
            body,
            service=signature.service if signature else "s3",
            region=signature.region if signature else "us-east-1",
            account=self._account,
        )
        if asked.service == "s3" and _IGNORED.search(asked.operation):
            raise UnknownOperationError(asked.operation)
        if self._authorizer is not None or signature is None:
            self._judge(signature, asked)
        for use in key_uses(asked):
            check_state(use.key, use.key_id)
        return asked

    def _judge(self, signature: Signature | None, asked: Call) -> None:
        if self._authorizer is None:
            raise SignatureError("AccessDenied", "Access Denied")
        try:
            anonymous = Caller(Principal.anonymous())
            caller = self._identities.caller(signature.access_key_id) if signature else anonymous
        except PolicyError as error:
            message = f"One of the caller's policies cannot be judged by the laptop: {error}"
            raise SignatureError("AccessDenied", message) from error
        self._authorizer.check_call(caller, asked)

    def _pass_on(self, environ: dict[str, Any]) -> Answer:
        """Let moto answer, without the headers that would open the laptop to web pages."""
        status, headers, body = call(self._app, environ)
        if status.startswith(("404", "405")) and body[:20].lower().startswith(b"<!doctype html"):
            raise UnknownOperationError(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
        return status, kept, body


def _style(environ: dict[str, Any], signature: Signature | None) -> ErrorStyle:
    """Tell what errors look like to the sender; only S3 has requests that need no signature."""
    service = signature.service if signature else ""
    spoken = protocol(environ, service)
    if signature is None and spoken == "rest-json":
        service, spoken = "s3", "rest-xml"
    return ErrorStyle(spoken, service, environ["PATH_INFO"])


def _code(style: ErrorStyle, error: AccessDenied | UnusableKeyError) -> str:
    if isinstance(error, UnusableKeyError):
        return error.code
    # Alone among the services, SQS has a word of its own for a missing right on the key.
    of_key = style.service == "sqs" and error.access.action.startswith("kms:")
    return "KMS.AccessDeniedException" if of_key else "AccessDenied"


def _foreign(environ: dict[str, Any]) -> str | None:
    """Say what is wrong with a request that no AWS client of this machine would send."""
    host = str(environ.get("HTTP_HOST", ""))
    name, _, port = host.partition(":")
    if name not in _HOSTS or port != environ["SERVER_PORT"]:
        return (
            f"The Host header {host!r} is not this server's: use http://localhost:{environ['SERVER_PORT']}, "
            "and path-style addressing for S3."
        )
    if environ["PATH_INFO"].startswith(_FORBIDDEN_PATHS):
        return f"{environ['PATH_INFO']} is not part of AWS's API."
    return None
