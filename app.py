"""The CDK app: `cdk synth`, `cdk diff` and `cdk deploy` run it (see cdk.json)."""

import os
import shutil
import sys
from pathlib import Path

from aws_cdk import App, Stack

from infra.assembly import build
from infra.config import POLICY_FILE, Config, ConfigError, DeploymentPolicy, read_context
from infra.image import ASSET

ROOT = Path(__file__).resolve().parent


def main() -> None:
    """Synthesise the stack that the context of cdk.json and of -c and the deployment policy ask for."""
    app = App()
    try:
        config = read_context(app.node.get_all_context(), DeploymentPolicy.read(ROOT / POLICY_FILE))
        stack = build(app, config=config)
        check_docker(config, stack)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    app.synth()


def check_docker(config: Config, stack: Stack) -> None:
    """Raise `ConfigError` where this machine has to build the image and cannot."""
    docker = os.environ.get("CDK_DOCKER") or "docker"
    # Commands such as destroy build nothing; the CDK says so to the app.
    if config.image == ASSET and stack.bundling_required and not shutil.which(docker):
        raise ConfigError(
            f"the training image is built on this machine, and {docker} is not on the PATH: install it, let "
            "AWS build the image with -c image=codebuild, or take one that is in ECR already with "
            "-c image=<uri>@sha256:<digest>"
        )


if __name__ == "__main__":
    main()
