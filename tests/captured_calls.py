"""What a boto3 call needs of IAM, read from the request before it leaves the client."""

from __future__ import annotations

import functools
import io
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto.core.request import Request

from local.aws.access_services import requirements
from local.aws.request_context import Requirement, read_call

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"


def asked(service: str, operation: str, **parameters: Any) -> list[Requirement]:
    """What a boto3 call needs: the request is taken from the client before it leaves the machine."""
    found: list[Requirement] = []

    def read(request: Any, **_: Any) -> AWSResponse:
        body = request.body.read() if hasattr(request.body, "read") else request.body or b""
        body = body.encode() if isinstance(body, str) else body
        sent = Request.from_primitives(request.method, request.url, request.headers, body)
        environ = {**sent.environ, "wsgi.input": io.BytesIO(body)}
        signed = client.meta.service_model.signing_name
        found.extend(requirements(read_call(environ, body, service=signed, region=REGION, account=ACCOUNT)))
        raise Captured

    client = _client(service)
    client.meta.events.register("before-send", read, unique_id="capture")
    with pytest.raises(Captured):
        getattr(client, operation)(**parameters)
    client.meta.events.unregister("before-send", read, unique_id="capture")
    return found


@functools.cache
def _client(service: str) -> Any:
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url="http://localhost:1",
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="secret",
    )


class Captured(Exception):  # noqa: N818 - it is no error
    """The request was read; nothing was sent."""


def names(found: list[Requirement]) -> list[tuple[str, str]]:
    return [(item.action, item.resource) for item in found]
