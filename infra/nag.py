"""The findings of cdk-nag and checkov that are accepted, each with its reason at one construct."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import Acknowledgment, App, CfnResource, Validations
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks, ServerlessChecks
from constructs import IConstruct

_CHECKOV = "CKV"
PACKS = (AwsSolutionsChecks, ServerlessChecks, NIST80053R5Checks)


def check(app: App) -> None:
    """Let the synthesis of `app` fail on every finding of the packs that nobody acknowledged."""
    Validations.of(app).add_plugins(*(pack(app) for pack in PACKS))


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings at `construct` only; keys are rule ids as the scanner prints them, values the reasons.

    A rule of cdk-nag begins with its pack's name: AwsSolutions-S1, Serverless-..., NIST.800.53.R5-... One of
    checkov (CKV_AWS_18) is skipped by the metadata of the resource in the template, where checkov looks.
    """
    Validations.of(construct).acknowledge(
        *(
            Acknowledgment(id=f"{rule.partition('-')[0]}::{rule}", reason=reason)
            for rule, reason in reasons.items()
            if not rule.startswith(_CHECKOV)
        )
    )
    skipped = [
        {"id": rule, "comment": reason} for rule, reason in reasons.items() if rule.startswith(_CHECKOV)
    ]
    if skipped:
        resource = construct if isinstance(construct, CfnResource) else construct.node.default_child
        cast(CfnResource, resource).add_metadata("checkov", {"skip": skipped})
