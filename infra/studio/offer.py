"""What offers a deployment to SageMaker Studio: boundary, launch role, templates, and one of two ways in.

cdk deploy -c studio_template=s3        # Studio reads the template from a bucket
cdk deploy -c studio_template=catalog   # Studio reads it from a portfolio of the Service Catalog
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, CfnTag, Stack, aws_iam, aws_s3_assets, aws_servicecatalog
from constructs import Construct

from infra.deployment import Deployment
from infra.iam import findings, role_with, wildcard_finding
from infra.nag import acknowledge
from infra.names import filled
from infra.studio import project
from infra.studio.access import catalog_grants, user_grants
from infra.studio.boundary import bind, resources
from infra.studio.launch import launch_grants
from infra.studio.studio_names import StudioNames
from infra.studio.templates import LOCATION, PRODUCTS, TEMPLATES, VISIBLE, Templates, documents


class StudioOffer(Construct):
    """The offer of one deployment; what is made from it is no part of the stack."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        config = self._config = deployment.config
        self._names = StudioNames(config.name)
        template = project.synthesise(config, self._names)
        bounds = bind(template, self._names)
        asset = self._asset(template)
        self._version = asset.asset_hash[:12]
        self._templates = Templates(
            self,
            "Templates",
            names=self._names,
            objects=[*self._offered(asset), *self._code(asset, template)],
            domain_arn=self._domain_arn(),
        )
        for kind, document in bounds.items():
            self._bound(kind, document)
        role = self._launch_role(bounds)
        self._output("StudioLaunchRoleArn", role.role_arn)
        if config.studio_template == "s3":
            self._offer_bucket()
        else:
            self._offer_product(role)
        if config.studio_principals:
            self._admit_users(makes_stacks=config.studio_template == "s3")

    def _asset(self, template: dict[str, Any]) -> aws_s3_assets.Asset:
        with tempfile.TemporaryDirectory(prefix="studio-template-") as folder:
            path = Path(folder) / "project.json"
            path.write_text(json.dumps(template, sort_keys=True), encoding="utf-8")
            return aws_s3_assets.Asset(self, "Template", path=str(path))

    def _offered(self, asset: aws_s3_assets.Asset) -> list[dict[str, str]]:
        from_asset = {"FromBucket": asset.s3_bucket_name, "FromKey": asset.s3_object_key}
        if self._config.studio_template == "catalog":
            return [{"Key": f"{PRODUCTS}{self._version}.json", **from_asset}]
        # Studio takes YAML, which JSON is.
        visible = {"Key": f"{TEMPLATES}{self._names.project}.yaml", "Tagging": f"{VISIBLE}=true"}
        return [{**visible, **from_asset}]

    @staticmethod
    def _code(asset: aws_s3_assets.Asset, template: dict[str, Any]) -> list[dict[str, str]]:
        return [
            {"Key": key, "FromBucket": asset.s3_bucket_name, "FromKey": key} for key in documents(template)
        ]

    def _domain_arn(self) -> str | None:
        domain = self._config.studio_domain_id
        if domain is None or self._config.studio_template != "s3":
            return None
        return filled(self._names.arn("sagemaker", f"domain/{domain}"))

    def _bound(self, kind: str, document: dict[str, Any]) -> None:
        policy = aws_iam.CfnManagedPolicy(
            self,
            f"Boundary-{kind}",
            managed_policy_name=filled(self._names.boundary(kind)),
            description=f"Bounds the role {kind} of every project that is made from {self._names.project}",
            policy_document=document,
        )
        why = "It gives nothing to anybody: it is the most that this role of any project may be given."
        wild = [resource for resource in resources(document) if "*" in resource]
        acknowledge(policy, {wildcard_finding(resource): why for resource in wild})

    def _launch_role(self, kinds: Iterable[str]) -> aws_iam.Role:
        catalog = self._config.studio_template == "catalog"
        service = "servicecatalog" if catalog else "cloudformation"
        return role_with(
            self,
            "LaunchRole",
            name=self._names.launch_role,
            description=f"Makes the projects of SageMaker Studio from {self._names.project}",
            assumed_by=aws_iam.ServicePrincipal(f"{service}.amazonaws.com"),
            grants=[*launch_grants(self._names, kinds), *(catalog_grants(self._names) if catalog else [])],
        )

    def _offer_bucket(self) -> None:
        """Tell people where Studio has to look."""
        self._output("StudioTemplatesLocation", self._templates.location)
        if self._config.studio_domain_id is None:
            domain = self._names.arn("sagemaker", "domain/<domain id>")
            self._output(
                "StudioDomainTagCommand",
                f"aws sagemaker add-tags --resource-arn {domain} "
                f"--tags Key={LOCATION},Value=s3://{self._names.templates}/{TEMPLATES}",
            )

    def _admit_users(self, *, makes_stacks: bool) -> None:
        grants = user_grants(self._names, makes_stacks=makes_stacks)
        policy = aws_iam.CfnManagedPolicy(
            self,
            "Users",
            description=f"Lets users of SageMaker Studio use projects of {self._names.project}",
            policy_document=aws_iam.PolicyDocument(statements=[grant.statement() for grant in grants]),
            roles=[arn.rpartition("/")[2] for arn in self._config.studio_principals],
        )
        acknowledge(policy, findings(grants))

    def _offer_product(self, role: aws_iam.Role) -> None:
        """Put the template into a portfolio, to be launched with the launch role alone."""
        portfolio = aws_servicecatalog.CfnPortfolio(
            self,
            "Portfolio",
            display_name=self._names.project,
            provider_name=self._names.project,
            description="Training pipelines for projects of SageMaker Studio",
        )
        product = aws_servicecatalog.CfnCloudFormationProduct(
            self,
            "Product",
            name=f"Training pipeline {self._names.project}",
            owner=self._names.project,
            description="Bucket, function, pipeline and model package group of a SageMaker project",
            provisioning_artifact_parameters=[
                self._artifact(version) for version in (self._version, *self._config.studio_versions)
            ],
            tags=[CfnTag(key=VISIBLE, value="true")],
        )
        product.node.add_dependency(self._templates.published)
        both = {"portfolio_id": portfolio.ref, "product_id": product.ref}
        held = aws_servicecatalog.CfnPortfolioProductAssociation(self, "Held", **both)
        launched = aws_servicecatalog.CfnLaunchRoleConstraint(
            self, "Launched", **both, role_arn=role.role_arn, description="Nobody launches it as themselves"
        )
        # A constraint is refused for a product that is not in the portfolio yet.
        launched.add_dependency(held)
        for number, arn in enumerate(self._config.studio_principals):
            aws_servicecatalog.CfnPortfolioPrincipalAssociation(
                self, f"User{number}", portfolio_id=portfolio.ref, principal_arn=arn, principal_type="IAM"
            )
        self._output("StudioPortfolioId", portfolio.ref)
        self._output("StudioProductVersion", self._version)

    def _artifact(
        self, version: str
    ) -> aws_servicecatalog.CfnCloudFormationProduct.ProvisioningArtifactPropertiesProperty:
        host = "s3.${AWS::Region}.${AWS::URLSuffix}"
        url = filled(f"https://{self._names.templates}.{host}/{PRODUCTS}{version}.json")
        return aws_servicecatalog.CfnCloudFormationProduct.ProvisioningArtifactPropertiesProperty(
            name=version, info={"LoadTemplateFromURL": url}
        )

    def _output(self, name: str, value: str) -> None:
        # On the stack itself, or the CDK would put the construct's name before it.
        CfnOutput(Stack.of(self), name, value=filled(value))
