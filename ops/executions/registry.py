"""The model packages an execution registered, and how to approve them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import DENIED, error_code
from ops.executions.execution import ABSENT
from ops.executions.snapshot import Snapshot


@dataclass(frozen=True)
class ModelPackage:
    """One registered model."""

    arn: str
    training_type: str
    approval_status: str

    @property
    def name(self) -> str:
        """Return `group/version`."""
        return self.arn.partition(":model-package/")[2] or self.arn

    @property
    def approve_command(self) -> str:
        """Return the AWS CLI command that approves it."""
        return (
            f"aws sagemaker update-model-package --model-package-arn {shlex.quote(self.arn)} "
            "--model-approval-status Approved"
        )


def read(sagemaker: Any, snapshot: Snapshot) -> list[ModelPackage]:
    """List the packages in the order of their register steps, each with its status now."""
    arns = [step.model_package for step in snapshot.execution.steps if step.model_package]
    return [_package(sagemaker, arn) for arn in arns]


def _package(sagemaker: Any, arn: str) -> ModelPackage:
    try:
        answer = sagemaker.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        if error_code(error) in ABSENT | DENIED | {"ValidationException"}:
            return ModelPackage(arn, "unknown", "unknown: it was deleted, or you may not read it")
        raise
    kind = (answer.get("CustomerMetadataProperties") or {}).get("TrainingType", "unknown")
    return ModelPackage(arn, kind, answer.get("ModelApprovalStatus", "unknown"))
