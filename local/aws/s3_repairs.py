"""Mend what moto's S3 loses: bodies that call themselves forms, parts of no upload, order, atomic conditions.

`curl --data-binary` and Python's urllib call every body a form unless told otherwise; moto takes a PUT of one
for a form and stores nothing.
"""

from __future__ import annotations

from typing import Any

from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response
from werkzeug.datastructures import ImmutableMultiDict

from local.aws.events import ORDER
from local.aws.s3_versions import list_object_versions

_DECOMPRESS = S3Response.decompress_request_body
_PUT_OBJECT = S3Response.put_object
_UPLOAD_PART = S3Backend.upload_part
_CONDITIONS = ("If-Match", "If-None-Match")


def install() -> None:
    """Put the repairs in."""
    S3Response.decompress_request_body = _read_body
    S3Response.put_object = _put_object
    S3Backend.upload_part = _upload_part
    S3Backend.list_object_versions = list_object_versions
    S3Backend.log_incoming_request = _log_nothing


def _read_body(response: S3Response, request: Any) -> None:
    """Let no PUT be read as a form; POST, which browsers upload with, stays one."""
    if request.method == "PUT":
        request.get_data()
        # werkzeug parses nothing where these are set.
        vars(request).update(form=ImmutableMultiDict(), files=ImmutableMultiDict())
    _DECOMPRESS(response, request)


def _put_object(response: S3Response) -> Any:
    """Let nobody write between the look at a condition and the write that it is for."""
    if not any(name in response.headers for name in _CONDITIONS):
        return _PUT_OBJECT(response)
    with ORDER:
        return _PUT_OBJECT(response)


def _log_nothing(_backend: S3Backend, _request: Any, _bucket_name: str) -> None:
    """Write no access log: moto's has invented callers and answers, in an object for every request."""


def _upload_part(backend: S3Backend, bucket_name: str, multipart_id: str, *part: Any) -> Any:
    if multipart_id not in backend.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(multipart_id)
    return _UPLOAD_PART(backend, bucket_name, multipart_id, *part)
