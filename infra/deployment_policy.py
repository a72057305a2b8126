"""The deployment policy as the function reads it: from the context's keys to one environment variable.

The rules themselves are in `lambda/deployment_policy.py`, whose settings have the same names.
"""

from __future__ import annotations

import json

from infra.config import Config, ConfigError
from infra.network import job_network

SETTINGS = (
    "policy_off",
    "allowed_images",
    "entry_points",
    "environment_keys",
    "tag_keys",
    "processing_instance_types",
    "training_instance_types",
    "max_instance_count",
    "max_volume_gb",
    "max_runtime_seconds",
    "max_wait_seconds",
    "max_retry_attempts",
    "model_approval_statuses",
    "min_accuracy_threshold",
    "instance_prices",
    "max_execution_cost_usd",
)
"""The context's keys that the policy is made of."""
_OBJECTS = ("policy_off", "instance_prices")
LONGEST_ID = len("subnet-0123456789abcdef0")
LONGEST_KEY_ARN = f"arn:aws-us-gov:kms:us-gov-west-1:{'0' * 12}:key/{'0' * 36}"
MAX_BYTES = 2700
"""Lambda takes 4 KB of environment; the other variables have up to 1.2 KB, long names and ARNs included."""


def document(config: Config) -> dict[str, object]:
    """Give the policy of a deployment, every limit written out: what the template shows is what counts."""
    settings = {name: getattr(config, name) for name in SETTINGS}
    return {name: dict(value) if name in _OBJECTS else value for name, value in settings.items()}


def variable(config: Config) -> str:
    """Write the function's DEPLOYMENT_POLICY, or raise `ConfigError` when Lambda would not take it."""
    text = json.dumps(document(config), separators=(",", ":"))
    room = MAX_BYTES - _job_parameter_bytes(config)
    if len(text.encode()) > room:
        raise ConfigError(
            f"the deployment policy has {len(text.encode()):,} bytes, and the function's environment has "
            f"room for {room:,}: shorten the reasons in policy_off, or the lists "
            f"{', '.join(SETTINGS[1:7])}"
        )
    return text


def _job_parameter_bytes(config: Config) -> int:
    """Give the room that subnets, security groups and a key for volumes take beside the policy."""
    network = job_network(config)
    given = dict(network.parameters) if network else {}
    if config.create_vpc:  # whose ids are longer than what stands for them here
        given = {name: value.ljust(LONGEST_ID) for name, value in given.items()}
    if config.encrypt_volumes:
        given["VolumeKmsKeyId"] = LONGEST_KEY_ARN
    return len(json.dumps(given)) if given else 0
