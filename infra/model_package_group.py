"""The model package group: where the registered models and their approvals live."""

from __future__ import annotations

from aws_cdk import aws_sagemaker
from constructs import Construct

from infra.deployment import Deployment
from infra.names import filled


class ModelPackageGroup(Construct):
    """The project's model package group."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        names = deployment.names
        self.group = aws_sagemaker.CfnModelPackageGroup(
            self,
            "Group",
            model_package_group_name=filled(names.model_package_group),
            model_package_group_description=filled(f"Models of the {names.project} training pipeline"),
        )
        # A group that holds model packages cannot be deleted: retaining it lets `cdk destroy` end well.
        self.group.apply_removal_policy(deployment.removal_policy)
