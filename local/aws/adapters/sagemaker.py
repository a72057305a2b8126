"""The resource types of our SageMaker that CloudFormation makes: what our templates have of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ministack.services.cloudformation import provisioners

from local.sagemaker.errors import ResourceNotFoundError, ServiceError
from local.sagemaker.service import SageMaker

Properties = Mapping[str, Any]
Made = tuple[str, dict[str, str]]
"""The physical id of a resource and its attributes."""


def add_types(sagemaker: SageMaker) -> None:
    """Teach CloudFormation model package groups and pipelines; what it asks for, nobody's rights bound."""
    for each in (_ModelPackageGroup(sagemaker), _Pipeline(sagemaker)):
        provisioners._RESOURCE_HANDLERS[each.type] = {
            "create": each.create,
            "update": each.update,
            "delete": each.delete,
        }


class _Type:
    """A resource type whose resources have a name, and tags that change in place."""

    type = ""
    members: tuple[str, ...] = ()
    """Of a request that makes one, beside the tags; the first is the name."""

    def __init__(self, sagemaker: SageMaker) -> None:
        self._sagemaker = sagemaker

    def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """Return SageMaker's answer; raise ValueError with its refusal, as CloudFormation tells it."""
        try:
            return self._sagemaker.answer(operation, request, "")
        except ResourceNotFoundError:
            raise
        except ServiceError as error:
            raise ValueError(str(error)) from error

    def request(self, properties: Properties) -> dict[str, Any]:
        """Return the request, without tags, that makes a resource with these properties."""
        return {name: properties[name] for name in self.members if name in properties}

    def retag(self, arn: str, old: Properties, new: Properties) -> None:
        """Bring the tags of a resource to those of its new properties."""
        before, after = ({tag["Key"]: tag["Value"] for tag in each.get("Tags", [])} for each in (old, new))
        if gone := [key for key in before if key not in after]:
            self.ask("DeleteTags", ResourceArn=arn, TagKeys=gone)
        if after:
            self.ask("AddTags", ResourceArn=arn, Tags=new["Tags"])

    def refuse_replacement(self, names: tuple[str, ...], old: Properties, new: Properties) -> None:
        """Raise ValueError when a property of these changes."""
        if changed := [name for name in names if old.get(name) != new.get(name)]:
            raise ValueError(f"{self.type}: local AWS cannot change {', '.join(changed)} of what is there.")


class _ModelPackageGroup(_Type):
    type = "AWS::SageMaker::ModelPackageGroup"
    members = ("ModelPackageGroupName", "ModelPackageGroupDescription")

    def create(self, _logical_id: str, properties: Properties, _stack: str) -> Made:
        request = {**self.request(properties), "Tags": properties.get("Tags", [])}
        arn = self.ask("CreateModelPackageGroup", **request)["ModelPackageGroupArn"]
        return properties["ModelPackageGroupName"], {"ModelPackageGroupArn": arn}

    def update(self, name: str, old: Properties, new: Properties, _stack: str) -> Made:
        self.refuse_replacement(self.members, old, new)
        arn = self.ask("DescribeModelPackageGroup", ModelPackageGroupName=name)["ModelPackageGroupArn"]
        self.retag(arn, old, new)
        return name, {"ModelPackageGroupArn": arn}

    def delete(self, name: str, _properties: Properties) -> None:
        self.ask("DeleteModelPackageGroup", ModelPackageGroupName=name)


class _Pipeline(_Type):
    type = "AWS::SageMaker::Pipeline"
    members = (
        "PipelineName",
        "PipelineDescription",
        "PipelineDisplayName",
        "RoleArn",
        "ParallelismConfiguration",
    )

    def request(self, properties: Properties) -> dict[str, Any]:
        definition = properties["PipelineDefinition"]
        if "PipelineDefinitionBody" not in definition:
            raise ValueError(f"{self.type}: local AWS takes a PipelineDefinitionBody alone.")
        return {**super().request(properties), "PipelineDefinition": definition["PipelineDefinitionBody"]}

    def create(self, _logical_id: str, properties: Properties, _stack: str) -> Made:
        request = {**self.request(properties), "Tags": properties.get("Tags", [])}
        self.ask("CreatePipeline", **request, ClientRequestToken=str(uuid.uuid4()))
        return properties["PipelineName"], {}

    def update(self, name: str, old: Properties, new: Properties, _stack: str) -> Made:
        # Whatever definition it has by now, it gets the template's.
        self.refuse_replacement(("PipelineName",), old, new)
        self.retag(self.ask("UpdatePipeline", **self.request(new))["PipelineArn"], old, new)
        return name, {}

    def delete(self, name: str, _properties: Properties) -> None:
        try:
            self.ask("DeletePipeline", PipelineName=name, ClientRequestToken=str(uuid.uuid4()))
        except ResourceNotFoundError:
            return  # somebody was faster
