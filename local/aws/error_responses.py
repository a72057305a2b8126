"""Errors that the laptop answers itself, in the shape that each AWS protocol has for them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status line, headers and body of an HTTP response."""

_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "KMS.AccessDeniedException": "KmsAccessDenied",
    "KMS.DisabledException": "KmsDisabled",
    "KMS.KMSInvalidStateException": "KmsInvalidState",
    "KMS.NotFoundException": "KmsNotFound",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "InvalidToken": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
}
"""What the JSON protocols call the errors that have another name in XML."""
_S3_CODES = {"InvalidClientTokenId": "InvalidAccessKeyId", "MissingAuthenticationToken": "AccessDenied"}
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Slow Down",
}
_STATUSES = {"InternalFailure": 500, "SlowDown": 503}
_BAD_REQUESTS = {"BadRequest", "InvalidRequest", "NotImplemented"}


@dataclass(frozen=True)
class ErrorStyle:
    """What decides an error's shape: the protocol a request speaks, and the service it is for."""

    protocol: str
    service: str
    resource: str = "/"
    """The path of the request, which S3 repeats."""


def error_answer(style: ErrorStyle, code: str, message: str) -> Answer:
    """Shape an error as the service would send it."""
    request_id = str(uuid.uuid4())
    if style.protocol == "rest-xml":
        return _s3(style, code, message, request_id)
    if style.protocol == "query":
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
            f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return _answer(_status(code, 403), "text/xml", body, [("x-amzn-RequestId", request_id)])
    return _json(style, code, message, request_id)


def _s3(style: ErrorStyle, code: str, message: str, request_id: str) -> Answer:
    name = _S3_CODES.get(code, code)
    status = {"NotImplemented": 501, "ExpiredToken": 400, "InvalidToken": 400}.get(name) or _status(name, 403)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{name}</Code>'
        f"<Message>{escape(message)}</Message><Resource>{escape(style.resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
    )
    return _answer(status, "application/xml", body, [("x-amz-request-id", request_id)])


def _json(style: ErrorStyle, code: str, message: str, request_id: str) -> Answer:
    name = _JSON_CODES.get(code, code)
    headers = [("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", name)]
    if style.service in {"sqs", "monitoring"}:
        # These two once spoke XML, and clients still see the error codes of that time.
        headers.append(("x-amzn-query-error", f"{code};Sender"))
    forbidden = style.protocol == "rest-json" or style.service == "sqs"
    status = _status(code, 403 if forbidden else 400)
    body = json.dumps({"__type": name, "message": message, "Message": message})
    kind = "application/json" if style.protocol == "rest-json" else "application/x-amz-json-1.1"
    return _answer(status, kind, body, headers)


def _status(code: str, otherwise: int) -> int:
    bad = code in _BAD_REQUESTS or code.startswith("KMS.")
    return _STATUSES.get(code, 400 if bad else otherwise)


def _answer(status: int, content_type: str, body: str, headers: list[tuple[str, str]]) -> Answer:
    content = body.encode()
    fixed = [("Content-Type", content_type), ("Content-Length", str(len(content)))]
    return f"{status} {_REASONS[status]}", [*fixed, *headers], content
