"""Where a client talks to, and how often it may be asked."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

from botocore.config import Config

RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})  # a person may watch for hours
# Longer than Lambda lets any function run, and over networks that drop idle connections.
INVOCATION = Config(read_timeout=910, tcp_keepalive=True)
DIRECT = Config(proxies={})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Clients(Protocol):
    """Whatever makes boto3 clients: `boto3.Session()`, or local AWS."""

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`."""


def settings(service: str, *, direct: bool = False) -> Config:
    """Return how often and how long a client of `service` tries, and whether past any proxy."""
    config = RETRIES.merge(INVOCATION) if service == "lambda" else RETRIES
    return config.merge(DIRECT) if direct else config


def on_this_machine(client: Any) -> bool:
    """Tell whether `client` talks to local AWS."""
    return urlsplit(client.meta.endpoint_url).hostname in LOOPBACK


def poll_seconds(client: Any) -> float:
    """Return the pause between two polls: short on this machine, within SageMaker's request limits on AWS."""
    return 0.5 if on_this_machine(client) else 5.0
