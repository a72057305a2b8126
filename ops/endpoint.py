"""Where a client talks to, and how often it may be asked."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Clients(Protocol):
    """Whatever makes boto3 clients: `boto3.Session()`, or the laptop's AWS."""

    def client(self, service: str, /) -> Any:
        """Make a boto3 client of `service`."""


def on_this_machine(client: Any) -> bool:
    """Tell whether `client` talks to the laptop's AWS."""
    return urlsplit(client.meta.endpoint_url).hostname in LOOPBACK


def poll_seconds(client: Any) -> float:
    """Give the pause between two polls: short on this machine, within SageMaker's request limits on AWS."""
    return 0.5 if on_this_machine(client) else 5.0
