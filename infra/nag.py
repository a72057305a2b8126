"""The cdk-nag checks and the findings they are told to accept, each with its reason at one construct."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks, ServerlessChecks
from constructs import IConstruct

PACKS = (AwsSolutionsChecks, ServerlessChecks, NIST80053R5Checks)


def check(app: App) -> None:
    """Let the synthesis of `app` fail on every finding of the packs that nobody acknowledged."""
    Validations.of(app).add_plugins(*(pack(app) for pack in PACKS))


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings at `construct` only; keys are rule ids as cdk-nag prints them, values the reasons.

    A rule's id begins with its pack's name: AwsSolutions-S1, Serverless-..., NIST.800.53.R5-...
    """
    Validations.of(construct).acknowledge(
        *(
            Acknowledgment(id=f"{rule.partition('-')[0]}::{rule}", reason=reason)
            for rule, reason in reasons.items()
        )
    )
