"""The roles: who may assume each, and no permission that `*_grants.py` does not list with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Aws, aws_iam
from constructs import Construct

from infra.iam.function_grants import function_grants
from infra.iam.grants import role_with
from infra.iam.pipeline_grants import pipeline_grants
from infra.names import Names, filled
from infra.network import JobNetwork


def limit_roles(scope: Construct, permissions_boundary: str) -> None:
    """Set the boundary of every role below `scope`: a managed policy of this account, or any ARN."""
    arn = permissions_boundary
    if not arn.startswith("arn:"):
        arn = filled(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{permissions_boundary}")
    policy = aws_iam.ManagedPolicy.from_managed_policy_arn(scope, "PermissionsBoundary", arn)
    aws_iam.PermissionsBoundary.of(scope).apply(policy)


class FunctionRole(Construct):
    """The role of the function that starts executions; only Lambda assumes it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: Names,
        stops_running: bool,
        data_key_arn: str | None = None,
        former_key_arns: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = role_with(
            self,
            "Role",
            name=names.function_role,
            description=f"Upserts and starts the pipelines of {names.project}",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            grants=function_grants(
                names,
                stops_running=stops_running,
                data_key_arn=data_key_arn,
                former_key_arns=former_key_arns,
            ),
        )


class PipelineRole(Construct):
    """The pipeline execution role: what SageMaker may do for the pipeline's steps and jobs."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: Names,
        image_repository_arn: str,
        processing_instance_types: Sequence[str],
        training_instance_types: Sequence[str],
        max_runtime_seconds: int,
        model_approval_statuses: Sequence[str],
        data_key_arn: str | None = None,
        encrypt_volumes: bool = False,
        network: JobNetwork | None = None,
        former_key_arns: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = role_with(
            self,
            "Role",
            name=names.pipeline_role,
            description=f"Runs the steps and jobs of the pipelines of {names.project}",
            assumed_by=_sagemaker_of_this_account(names),
            grants=pipeline_grants(
                names,
                image_repository_arn=image_repository_arn,
                processing_instance_types=processing_instance_types,
                training_instance_types=training_instance_types,
                max_runtime_seconds=max_runtime_seconds,
                model_approval_statuses=model_approval_statuses,
                data_key_arn=data_key_arn,
                encrypt_volumes=encrypt_volumes,
                network=network,
                former_key_arns=former_key_arns,
            ),
        )


def _sagemaker_of_this_account(names: Names) -> aws_iam.IPrincipal:
    """Let SageMaker assume the role for this account's resources only (no confused deputy)."""
    return aws_iam.ServicePrincipal(
        "sagemaker.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {"aws:SourceArn": filled(names.arn("sagemaker", "*"))},
        },
    )
