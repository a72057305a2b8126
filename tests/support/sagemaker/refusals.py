"""What the local SageMaker answers a request that it refuses."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.sagemaker.account import ToyAccount


def error_of(account: ToyAccount, operation: str, **request: Any) -> tuple[str, str]:
    # A client that checks nothing itself: what is refused is refused by the service.
    session = boto3.Session(
        aws_access_key_id=account.aws.environment()["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=account.aws.environment()["AWS_SECRET_ACCESS_KEY"],
        region_name=account.aws.region,
    )
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    client = session.client("sagemaker", endpoint_url=account.aws.endpoint_url, config=config)
    with pytest.raises(client.exceptions.ClientError) as caught:
        getattr(client, operation)(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]
