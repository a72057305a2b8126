"""The deployment's choices: what cdk.json and the command line may say, and how that is read."""

from infra.config.config import Config, context_keys
from infra.config.context import read_context
from infra.config.deployment_policy import POLICY_FILE, DeploymentPolicy
from infra.config.parsers import ConfigError

__all__ = [
    "POLICY_FILE",
    "Config",
    "ConfigError",
    "DeploymentPolicy",
    "context_keys",
    "read_context",
]
