"""The AWS of the environment: the clients, how often each may be asked, and whether it is on this machine."""

from __future__ import annotations

import os
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from ops.aws.stack import StackOutputs, deployment
from ops.errors import OpsError

# botocore rewrites "max_attempts" into "total_max_attempts" in the very object that it is given.
RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 9})  # a person may watch for hours
# Who is not there now will not be there in a minute: local AWS was ended, or never started.
ONCE_MORE = Config(retries={"mode": "standard", "total_max_attempts": 2})
# Longer than Lambda lets any function run, and over networks that drop idle connections.
INVOCATION = Config(read_timeout=910, tcp_keepalive=True)
DIRECT = Config(proxies={})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ClientFactory(Protocol):
    """Whatever makes boto3 clients: `boto3.Session()`, or local AWS."""

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`."""


class Session:
    """The AWS of the environment: credentials, region and endpoint as every AWS tool takes them."""

    def __init__(self) -> None:
        # As the AWS CLI and the other SDKs do; boto3 itself reads AWS_DEFAULT_REGION and the profile alone.
        self._session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`; OpsError where the endpoint that was set is no URL."""
        try:
            client = self._session.client(service, config=settings(service))
            _ = urlsplit(client.meta.endpoint_url).port  # which botocore looks at with the first request
        except ValueError as error:
            raise OpsError(
                f"{error}: AWS_ENDPOINT_URL, or endpoint_url of the profile, must be a URL such as "
                "http://localhost:4566"
            ) from error
        return client

    def deployment(self, stack: str) -> StackOutputs:
        """Read what `stack` deployed."""
        return deployment(self.client("cloudformation"), stack)


def settings(service: str, *, direct: bool = False) -> Config:
    """Return how often and how long a client of `service` tries, and whether past any proxy."""
    local = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname in LOOPBACK
    config = ONCE_MORE if local else RETRIES
    if service == "lambda":
        config = config.merge(INVOCATION)
    return config.merge(DIRECT) if direct else config


def on_this_machine(client: Any) -> bool:
    """Return whether `client` talks to local AWS."""
    return urlsplit(client.meta.endpoint_url).hostname in LOOPBACK


def poll_seconds(client: Any) -> float:
    """Return the pause between two polls: short on this machine, within SageMaker's request limits on AWS."""
    return 0.5 if on_this_machine(client) else 5.0
