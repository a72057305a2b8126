"""What the local SageMaker answers a request that it refuses."""

from __future__ import annotations

import functools
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.sagemaker.account import ToyAccount


@functools.cache
def _unchecked(endpoint_url: str, region: str, access_key_id: str, secret_access_key: str) -> Any:
    """Return a client that checks nothing itself: what is refused is refused by the service."""
    return boto3.Session(access_key_id, secret_access_key, region_name=region).client(
        "sagemaker",
        endpoint_url=endpoint_url,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )


def error_of(account: ToyAccount, operation: str, **request: Any) -> tuple[str, str]:
    """Return code and message of the error that a call ends with."""
    given = account.aws.environment()
    names = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    client = _unchecked(*(given[name] for name in names))
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, operation)(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]
