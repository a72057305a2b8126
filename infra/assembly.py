"""The app as a whole: the stack and, where it is asked for, what offers it to SageMaker Studio."""

from __future__ import annotations

from aws_cdk import App

from infra.config import Config
from infra.stack import PipelineStack
from infra.stack import build as build_stack
from infra.studio import StudioOffer


def build(app: App, *, config: Config) -> PipelineStack:
    """Add the stack to `app`, to be checked by cdk-nag at synthesis."""
    stack = build_stack(app, config=config)
    if config.studio_template:
        StudioOffer(stack, "Studio", stack.deployment)
    return stack
