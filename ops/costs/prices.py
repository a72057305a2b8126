"""By what prices a bill is made: AWS's list prices, and what a deployment's policy says of its region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory
from ops.errors import DENIED, AbsentError, error_code
from ops.uploads.validation import deployed_settings
from upload_trigger.policy.prices import AS_OF, PRICES, REGION, VOLUME_GB_HOUR

LIST = f"AWS's list prices of {REGION}"


@dataclass(frozen=True)
class Prices:
    """On-Demand prices of instances in USD an hour, with where and when they are from."""

    source: str
    as_of: str
    region: str
    by_type: Mapping[str, float]
    stated: frozenset[str] = frozenset()
    """The types whose prices are the deployment's own, for whatever region it is in."""
    volume_gb_hour: float = VOLUME_GB_HOUR

    @property
    def phrase(self) -> str:
        """Say what a sum of money rests on: `by AWS's list prices of us-east-1 (2025)`."""
        return f"by {self.source} ({self.as_of})"


def list_prices(source: str = LIST) -> Prices:
    """Return AWS's prices as the policy assumes them."""
    return Prices(source, AS_OF, REGION, PRICES)


def deployed_prices(clients: ClientFactory, stack: str) -> Prices:
    """Return the prices that a deployed stack counts with, or AWS's where there is no policy to be read."""
    try:
        own = deployed_settings(clients, stack).policy.instance_prices
    except AbsentError:
        return list_prices()
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        return list_prices(f"{LIST}, because AWS refuses {error.operation_name} of stack {stack} to you")
    return with_policy(own, f"stack {stack}")


def with_policy(instance_prices: Mapping[str, float], whose: str) -> Prices:
    """Return AWS's prices with the `instance_prices` of a deployment policy over them."""
    if not instance_prices:
        return list_prices()
    source = f"{LIST} and instance_prices of {whose}"
    return Prices(source, AS_OF, REGION, {**PRICES, **instance_prices}, frozenset(instance_prices))
