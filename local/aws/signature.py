"""Check who signed a request: AWS Signature Version 4 in the Authorization header or in a presigned URL.

The check runs on the request as it arrived, before any service sees it, so it holds for every operation.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

ALGORITHM = "AWS4-HMAC-SHA256"
_SKEW = timedelta(minutes=15)
_EMPTY = hashlib.sha256(b"").hexdigest()
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


class SignatureError(Exception):
    """A signature that is missing, malformed, out of date or wrong; `code` is AWS's name of the error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Credentials:
    """What the server knows about an access key."""

    secret_access_key: str
    session_token: str | None = None
    expiration: datetime | None = None


@dataclass(frozen=True)
class Signature:
    """The parts of a signature as a request carries them."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    timestamp: str
    """As it was signed, for example 20260131T120000Z."""
    signed_at: datetime
    token: str | None
    expires_seconds: int | None
    """How long a presigned URL is good for; None for a signed header."""

    @property
    def scope(self) -> str:
        """The credential scope that the key is derived for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_signature(environ: Mapping[str, Any]) -> Signature | None:
    """Find the signature of a WSGI request; None when it is not signed at all."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    header = environ.get("HTTP_AUTHORIZATION")
    try:
        if header:
            return _from_header(header, environ)
        if "X-Amz-Signature" in query:
            return _from_query(query)
    except (KeyError, ValueError):
        raise SignatureError("IncompleteSignature", f"the signature is not of the form {ALGORITHM}") from None
    if "AWSAccessKeyId" in query:
        message = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
        raise SignatureError("InvalidRequest", message)
    return None


def _from_header(header: str, environ: Mapping[str, Any]) -> Signature:
    if not header.startswith(ALGORITHM):
        raise ValueError(header)
    fields = dict(_FIELD.findall(header))
    return _signature(fields, environ["HTTP_X_AMZ_DATE"], environ.get("HTTP_X_AMZ_SECURITY_TOKEN"), None)


def _from_query(query: Mapping[str, str]) -> Signature:
    fields = {name: query[f"X-Amz-{name}"] for name in ("Credential", "SignedHeaders", "Signature")}
    expires = int(query["X-Amz-Expires"])
    return _signature(fields, query["X-Amz-Date"], query.get("X-Amz-Security-Token"), expires)


def _signature(
    fields: Mapping[str, str], timestamp: str, token: str | None, expires: int | None
) -> Signature:
    key, date, region, service, _ = fields["Credential"].split("/")
    headers = tuple(fields["SignedHeaders"].split(";"))
    return Signature(
        access_key_id=key,
        date=date,
        region=region,
        service=service.lower(),
        signed_headers=headers,
        value=fields["Signature"],
        timestamp=timestamp,
        signed_at=datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        token=token,
        expires_seconds=expires,
    )


def check_signature(
    signature: Signature, environ: Mapping[str, Any], body: bytes, find: Callable[[str], Credentials | None]
) -> None:
    """Raise SignatureError unless the request was signed, in time, with the secret of its access key."""
    credentials = find(signature.access_key_id)
    if credentials is None:
        raise SignatureError("InvalidClientTokenId", "The security token included in the request is invalid.")
    if credentials.session_token != signature.token:
        raise SignatureError("InvalidToken", "The provided token is malformed or otherwise invalid.")
    if credentials.expiration is not None and credentials.expiration < datetime.now(UTC):
        raise SignatureError("ExpiredToken", "The security token included in the request is expired")
    _check_time(signature)
    _check_body(signature, environ, body)
    canonical = _canonical_request(signature, environ, body)
    if not hmac.compare_digest(_sign(signature, canonical, credentials.secret_access_key), signature.value):
        raise SignatureError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method. "
            "Consult the service documentation for details.",
        )


def _check_time(signature: Signature) -> None:
    signed, now = signature.signed_at, datetime.now(UTC)
    if signature.expires_seconds is not None:
        if not signed - _SKEW <= now <= signed + timedelta(seconds=signature.expires_seconds):
            raise SignatureError("AccessDenied", "Request has expired")
    elif abs(now - signed) > _SKEW:
        message = "The difference between the request time and the current time is too large."
        raise SignatureError("RequestTimeTooSkewed", message)


def _check_body(signature: Signature, environ: Mapping[str, Any], body: bytes) -> None:
    claimed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if signature.service != "s3" or not re.fullmatch(r"[0-9a-f]{64}", claimed):
        return
    if claimed != hashlib.sha256(body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise SignatureError("XAmzContentSHA256Mismatch", message)


def _canonical_request(signature: Signature, environ: Mapping[str, Any], body: bytes) -> str:
    headers = [f"{name}:{_header(environ, name)}\n" for name in signature.signed_headers]
    parts = [
        environ["REQUEST_METHOD"],
        _canonical_path(signature, environ),
        _canonical_query(environ),
        "".join(headers),
        ";".join(signature.signed_headers),
        _payload_hash(signature, environ, body),
    ]
    return "\n".join(parts)


def _header(environ: Mapping[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", "")
    return " ".join(str(value).split())


def _canonical_path(signature: Signature, environ: Mapping[str, Any]) -> str:
    path = str(environ["RAW_URI"]).partition("?")[0]
    if signature.service == "s3":
        return quote(unquote(path), safe="/~")
    normal = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
    return quote(re.sub("^//+", "/", normal), safe="/~")


def _canonical_query(environ: Mapping[str, Any]) -> str:
    pairs = []
    for item in str(environ.get("QUERY_STRING", "")).split("&"):
        name, _, value = item.partition("=")
        if item and name != "X-Amz-Signature":
            pairs.append(tuple(quote(unquote(part.replace("+", " ")), safe="~") for part in (name, value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _payload_hash(signature: Signature, environ: Mapping[str, Any], body: bytes) -> str:
    claimed = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if claimed:
        return str(claimed)
    if signature.expires_seconds is not None and signature.service == "s3":
        return "UNSIGNED-PAYLOAD"
    return hashlib.sha256(body).hexdigest() if body else _EMPTY


def _sign(signature: Signature, canonical: str, secret: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, signature.timestamp, signature.scope, digest])
    key = f"AWS4{secret}".encode()
    for part in (signature.date, signature.region, signature.service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
