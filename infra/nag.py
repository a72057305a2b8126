"""The cdk-nag check and the findings it is told to accept, each with its reason at one construct."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

PACK = "AwsSolutions"


def check(app: App) -> None:
    """Let the synthesis of `app` fail on every AwsSolutions finding that nobody acknowledged."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings at `construct` only; keys are rule ids as cdk-nag prints them, values the reasons."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=f"{PACK}::{rule}", reason=reason) for rule, reason in reasons.items())
    )
