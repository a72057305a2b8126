"""The roles: who may assume each, and no permission that `*_grants.py` does not list with its reason."""

from __future__ import annotations

from aws_cdk import Aws, aws_iam
from constructs import Construct

from infra.deployment import Deployment
from infra.iam.function_grants import function_grants
from infra.iam.grants import role_with
from infra.iam.pipeline_grants import pipeline_grants
from infra.names import Names, filled


def limit_roles(scope: Construct, permissions_boundary: str) -> None:
    """Set the boundary of every role below `scope`: a managed policy of this account, or any ARN."""
    arn = permissions_boundary
    if not arn.startswith("arn:"):
        arn = filled(f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:policy/{permissions_boundary}")
    policy = aws_iam.ManagedPolicy.from_managed_policy_arn(scope, "PermissionsBoundary", arn)
    aws_iam.PermissionsBoundary.of(scope).apply(policy)


class FunctionRole(Construct):
    """The role of the function that starts executions; only Lambda assumes it."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        names = deployment.names
        self.role = role_with(
            self,
            "Role",
            name=names.function_role,
            description=f"Upserts and starts the pipelines of {names.project}",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            grants=function_grants(deployment),
        )


class PipelineRole(Construct):
    """The pipeline execution role: what SageMaker may do for the pipeline's steps and jobs."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, *, image_repository_arn: str
    ) -> None:
        super().__init__(scope, construct_id)
        names = deployment.names
        self.role = role_with(
            self,
            "Role",
            name=names.pipeline_role,
            description=f"Runs the steps and jobs of the pipelines of {names.project}",
            assumed_by=_sagemaker_of_this_account(names),
            grants=pipeline_grants(deployment, image_repository_arn=image_repository_arn),
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
