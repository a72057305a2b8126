"""The CDK app: `cdk synth`, `cdk diff` and `cdk deploy` run it (see cdk.json)."""

import sys

from aws_cdk import App

from infra.assembly import build
from infra.config import Config, ConfigError


def main() -> None:
    """Synthesise the stack that the context of cdk.json and of -c asks for."""
    app = App()
    try:
        config = Config.from_context(app.node.get_all_context())
    except ConfigError as error:
        sys.exit(f"error: {error}")
    build(app, config=config)
    app.synth()


if __name__ == "__main__":
    main()
