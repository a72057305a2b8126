"""Clients of local AWS as a person has them, and what is asked without any client."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from ops.aws import roles
from ops.aws.stack import deployment


def port_of(aws: LocalAWS) -> int:
    return int(aws.endpoint_url.rpartition(":")[2])


def ask(aws: LocalAWS, method: str, path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
    """Send a request that is not signed; header names take _ for -."""
    connection = HTTPConnection("127.0.0.1", port_of(aws), timeout=10)
    connection.request(
        method, path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


def client(aws: LocalAWS, service: str, **changes: str) -> Any:
    """Make a client as a person would, from the environment; `changes` spoil a variable."""
    given = {**aws.environment(), **changes}
    session = boto3.session.Session(
        given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], given["AWS_SESSION_TOKEN"] or None
    )
    return session.client(
        service, region_name=given["AWS_REGION"], endpoint_url=given["AWS_ENDPOINT_URL"], config=SETTINGS
    )


def uploader(aws: LocalAWS, stack: str = "cv-birds") -> Any:
    """Make a client of S3 as somebody who may upload: the administrator, or the stack's role for that."""
    return roles.uploader(aws, deployment(aws.client("cloudformation"), stack)).client("s3")


SETTINGS = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


def refusal(call: Any, **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    error = response["Error"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]
