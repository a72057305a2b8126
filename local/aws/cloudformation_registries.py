"""Pipelines, the model registry and image repositories; and CDK's metadata, which is nothing."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Clients,
    Properties,
    ResourceType,
    Shape,
    Target,
    tag_changes,
    tag_list,
)


class ModelPackageGroup(ResourceType):
    """AWS::SageMaker::ModelPackageGroup."""

    type = "AWS::SageMaker::ModelPackageGroup"
    name_property = "ModelPackageGroupName"
    required = frozenset({"ModelPackageGroupName"})
    create_only = frozenset({"ModelPackageGroupDescription"})
    attributes = frozenset({"ModelPackageGroupArn", "ModelPackageGroupStatus", "CreationTime"})
    defaults: ClassVar[Properties] = {"Tags": None}
    shape: ClassVar[Shape] = {"ModelPackageGroupName": ANY, "ModelPackageGroupDescription": ANY, "Tags": TAGS}

    def create(self, target: Target) -> str:
        """Make the group; its ARN is the physical id."""
        keys = ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags")
        given = {key: target.properties[key] for key in keys if target.properties.get(key)}
        return str(target.aws("sagemaker").create_model_package_group(**given)["ModelPackageGroupArn"])

    def find(self, target: Target) -> str | None:
        """Give the ARN of the group when it is there."""
        pages = target.aws("sagemaker").get_paginator("list_model_package_groups").paginate()
        held = (each for page in pages for each in page["ModelPackageGroupSummaryList"])
        arns = {each["ModelPackageGroupName"]: str(each["ModelPackageGroupArn"]) for each in held}
        return arns.get(target.id)

    def apply(self, target: Target) -> None:
        """Settle the tags of a group that was there before."""
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        if gone:
            target.aws("sagemaker").delete_tags(ResourceArn=target.id, TagKeys=gone)
        if target.before and new:
            target.aws("sagemaker").add_tags(ResourceArn=target.id, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the group; SageMaker refuses while packages are in it."""
        name = target.id.rpartition("/")[2]
        target.aws("sagemaker").delete_model_package_group(ModelPackageGroupName=name)

    def describe(self, target: Target) -> dict[str, str]:
        """Give ARN, status and creation time."""
        group = self._group(target.aws, target.id)
        return {
            "ModelPackageGroupArn": target.id,
            "ModelPackageGroupStatus": group["ModelPackageGroupStatus"],
            "CreationTime": group["CreationTime"].isoformat(),
        }

    def read(self, target: Target) -> Properties:
        """Read description and tags."""
        tags = target.aws("sagemaker").list_tags(ResourceArn=target.id).get("Tags")
        return {**self._group(target.aws, target.id), "Tags": tags}

    @staticmethod
    def _group(aws: Clients, arn: str) -> Any:
        name = arn.rpartition("/")[2]
        return aws("sagemaker").describe_model_package_group(ModelPackageGroupName=name)


class Pipeline(ResourceType):
    """AWS::SageMaker::Pipeline with its definition in the template."""

    type = "AWS::SageMaker::Pipeline"
    name_property = "PipelineName"
    required = frozenset({"PipelineDefinition", "PipelineName", "RoleArn"})
    defaults: ClassVar[Properties] = {"Tags": None}
    shape: ClassVar[Shape] = {
        "PipelineDefinition": {"PipelineDefinitionBody": ANY},
        "PipelineDescription": ANY,
        "PipelineDisplayName": ANY,
        "PipelineName": ANY,
        "RoleArn": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the pipeline; its name is the physical id."""
        tags = {"Tags": target.properties["Tags"]} if target.properties["Tags"] else {}
        target.aws("sagemaker").create_pipeline(**self._content(target), **tags)
        return target.id

    def apply(self, target: Target) -> None:
        """Settle a pipeline that was there before; whatever definition it has by now, it gets this one."""
        if not target.before:
            return
        sagemaker = target.aws("sagemaker")
        sagemaker.update_pipeline(**self._content(target))
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        arn = sagemaker.describe_pipeline(PipelineName=target.id)["PipelineArn"]
        if gone:
            sagemaker.delete_tags(ResourceArn=arn, TagKeys=gone)
        if new:
            sagemaker.add_tags(ResourceArn=arn, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the pipeline; SageMaker refuses while it runs."""
        target.aws("sagemaker").delete_pipeline(PipelineName=target.id)

    def read(self, target: Target) -> Properties:
        """Read definition, role, names and tags."""
        held = target.aws("sagemaker").describe_pipeline(PipelineName=target.id)
        tags = target.aws("sagemaker").list_tags(ResourceArn=held["PipelineArn"]).get("Tags")
        definition = {"PipelineDefinitionBody": held["PipelineDefinition"]}
        return {**held, "PipelineDefinition": definition, "Tags": tags}

    @staticmethod
    def _content(target: Target) -> dict[str, Any]:
        keys = ("PipelineDescription", "PipelineDisplayName", "RoleArn")
        return {
            "PipelineName": target.id,
            "PipelineDefinition": target.properties["PipelineDefinition"]["PipelineDefinitionBody"],
            **{key: target.properties[key] for key in keys if key in target.properties},
        }


class Repository(ResourceType):
    """AWS::ECR::Repository."""

    type = "AWS::ECR::Repository"
    name_property = "RepositoryName"
    create_only = frozenset({"EncryptionConfiguration"})
    attributes = frozenset({"Arn", "RepositoryUri"})
    defaults: ClassVar[Properties] = {
        "EmptyOnDelete": False,
        "ImageScanningConfiguration": {"ScanOnPush": False},
        "ImageTagMutability": "MUTABLE",
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "EmptyOnDelete": ANY,
        "EncryptionConfiguration": {"EncryptionType": ANY},
        "ImageScanningConfiguration": {"ScanOnPush": ANY},
        "ImageTagMutability": ANY,
        "LifecyclePolicy": {"LifecyclePolicyText": ANY},
        "RepositoryName": ANY,
        "RepositoryPolicyText": ANY,
        "Tags": TAGS,
    }

    def create(self, target: Target) -> str:
        """Make the repository."""
        keys = ("EncryptionConfiguration", "ImageScanningConfiguration", "ImageTagMutability")
        target.aws("ecr").create_repository(
            repositoryName=target.id,
            **{
                key[0].lower() + key[1:]: _lower_keys(target.properties[key])
                for key in keys
                if key in target.properties
            },
        )
        return target.id

    def apply(self, target: Target) -> None:
        """Settle scanning, mutability and policies."""
        ecr = target.aws("ecr")
        scanning = _lower_keys(target.properties["ImageScanningConfiguration"])
        ecr.put_image_scanning_configuration(repositoryName=target.id, imageScanningConfiguration=scanning)
        mutability = target.properties["ImageTagMutability"]
        ecr.put_image_tag_mutability(repositoryName=target.id, imageTagMutability=mutability)
        if text := target.properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText"):
            ecr.put_lifecycle_policy(repositoryName=target.id, lifecyclePolicyText=text)
        elif target.before.get("LifecyclePolicy"):
            ecr.delete_lifecycle_policy(repositoryName=target.id)
        if document := target.properties.get("RepositoryPolicyText"):
            ecr.set_repository_policy(repositoryName=target.id, policyText=json.dumps(document))
        elif target.before.get("RepositoryPolicyText"):
            ecr.delete_repository_policy(repositoryName=target.id)
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        arn = self._repository(target.aws, target.id)["repositoryArn"]
        if gone:
            ecr.untag_resource(resourceArn=arn, tagKeys=gone)
        if new:
            ecr.tag_resource(resourceArn=arn, tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the repository; with images in it only when EmptyOnDelete says so."""
        target.aws("ecr").delete_repository(
            repositoryName=target.id, force=bool(target.properties["EmptyOnDelete"])
        )

    def describe(self, target: Target) -> dict[str, str]:
        """Give ARN and URI."""
        repository = self._repository(target.aws, target.id)
        return {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]}

    def read(self, target: Target) -> Properties:
        """Read the repository; its policies only where the template has them."""
        ecr, repository = target.aws("ecr"), self._repository(target.aws, target.id)
        held = {
            "EmptyOnDelete": target.properties["EmptyOnDelete"],  # CloudFormation's own, ECR does not know it
            "EncryptionConfiguration": {
                "EncryptionType": repository["encryptionConfiguration"]["encryptionType"]
            },
            "ImageScanningConfiguration": {
                "ScanOnPush": repository["imageScanningConfiguration"]["scanOnPush"]
            },
            "ImageTagMutability": repository["imageTagMutability"],
            "RepositoryName": repository["repositoryName"],
            "Tags": ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"],
        }
        if "LifecyclePolicy" in target.properties:
            text = ecr.get_lifecycle_policy(repositoryName=target.id)["lifecyclePolicyText"]
            held["LifecyclePolicy"] = {"LifecyclePolicyText": text}
        if "RepositoryPolicyText" in target.properties:
            policy = ecr.get_repository_policy(repositoryName=target.id)["policyText"]
            held["RepositoryPolicyText"] = json.loads(policy)
        return held

    @staticmethod
    def _repository(aws: Clients, name: str) -> Any:
        return aws("ecr").describe_repositories(repositoryNames=[name])["repositories"][0]


def _lower_keys(value: Any) -> Any:
    return (
        {key[0].lower() + key[1:]: item for key, item in value.items()} if isinstance(value, dict) else value
    )


class CdkMetadata(ResourceType):
    """AWS::CDK::Metadata: CDK's usage record; it makes nothing on AWS either."""

    type = "AWS::CDK::Metadata"
    shape: ClassVar[Shape] = {"Analytics": ANY}

    def create(self, target: Target) -> str:
        """Give it its name."""
        return target.id

    def delete(self, target: Target) -> None:
        """Do nothing: nothing was made."""

    def read(self, target: Target) -> Properties:
        """Give back what was asked: there is nothing to read."""
        return target.properties
