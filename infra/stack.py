"""The stack: composes the units and says what a person needs to know about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Fn, Stack, Tags
from aws_cdk.aws_lambda import CfnFunction
from constructs import Construct

from infra.config import Config
from infra.deployment import Deployment
from infra.iam import FunctionRole, People, PipelineRole, limit_roles
from infra.image import TrainingImage
from infra.model_package_group import ModelPackageGroup
from infra.monitoring import Alarms, Dashboard, Notifications
from infra.nag import check
from infra.names import DEFINITION_SUFFIX, DEFINITIONS, Names, filled
from infra.storage import Encryption, Storage
from infra.trigger import UploadTrigger

STUDIO = "https://${AWS::Region}.console.aws.amazon.com/sagemaker/home?region=${AWS::Region}#/studio-landing"


def build(app: App, *, config: Config) -> PipelineStack:
    """Add the stack to `app`, to be checked by cdk-nag at synthesis."""
    stack = PipelineStack(app, config=config)
    check(app)
    return stack


class PipelineStack(Stack):
    """Everything one project needs on AWS, for whatever account and region it is deployed to."""

    def __init__(
        self,
        scope: Construct,
        *,
        config: Config,
        names: Names | None = None,
        description: str = "Training pipeline {name}, started by uploading pipeline.json",
    ) -> None:
        super().__init__(
            scope,
            config.name,
            description=description.format(name=config.name),
            # The metadata would differ between releases of the CDK.
            analytics_reporting=False,
            # Without the rule the template has no parameter, so any CloudFormation client can deploy it.
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        # Constructs keep their ids: logical ids are made of them, and another one replaces what holds data.
        keyless = Deployment(config=config, names=names or Names(config.name))
        self.deployment = keyless.with_data_key(Encryption(self, "Encryption", keyless).data_key)
        image = TrainingImage(self, "TrainingImage", self.deployment)
        self.pipeline_role = PipelineRole(
            self, "PipelineRole", self.deployment, image_repository_arn=image.repository_arn
        )
        trigger = self._trigger(image)
        self.function = cast(CfnFunction, trigger.function.node.default_child)
        people = People(self, "People", self.deployment) if config.hardened else None
        storage = self._storage(trigger, people)
        ModelPackageGroup(self, "Registry", self.deployment)
        notifications = self._monitoring(trigger)
        if config.permissions_boundary:
            limit_roles(self, config.permissions_boundary)
        for name, value in {**dict(config.tags), **self._own_tags()}.items():
            Tags.of(self).add(name, value)
        self._outputs(storage, trigger, notifications, people)

    def _own_tags(self) -> Mapping[str, str]:
        return self.deployment.config.own_tags

    def _trigger(self, image: TrainingImage) -> UploadTrigger:
        return UploadTrigger(
            self,
            "Trigger",
            self.deployment,
            role=FunctionRole(self, "FunctionRole", self.deployment).role,
            pipeline_role_arn=self.pipeline_role.role.role_arn,
            training_image_uri=image.uri,
        )

    def _storage(self, trigger: UploadTrigger, people: People | None) -> Storage:
        storage = Storage(self, "Storage", self.deployment)
        if storage.bucket.policy and people:
            # What it denies to everybody else, these may at no time be too late for; and it goes before them.
            storage.bucket.policy.node.add_dependency(people)
        storage.notify(function_arn=trigger.function.function_arn, permission=trigger.permission)
        return storage

    def _monitoring(self, trigger: UploadTrigger) -> Notifications:
        notifications = Notifications(self, "Notifications", self.deployment)
        alarms = Alarms(
            self,
            "Observability",
            self.deployment,
            function=trigger.function,
            failure_queue=trigger.failure_queue,
            log=trigger.log,
            topic=notifications.topic,
        )
        Dashboard(
            self,
            "Dashboard",
            self.deployment,
            function=trigger.function,
            failure_queue=trigger.failure_queue,
            alarms=alarms.alarms,
        )
        return notifications

    def _outputs(
        self,
        storage: Storage,
        trigger: UploadTrigger,
        notifications: Notifications,
        people: People | None,
    ) -> None:
        names = self.deployment.names
        for name, value in {
            "BucketName": storage.bucket.bucket_name,
            "UploadCommand": self._upload_command(),
            "ModelPackageGroupName": filled(names.model_package_group),
            "PipelineName": filled(names.pipeline),
            "PipelineExecutionRoleArn": self.pipeline_role.role.role_arn,
            "FailureQueueUrl": trigger.failure_queue.queue_url,
            "NotificationTopicArn": notifications.topic.topic_arn,
            "StudioUrl": Fn.sub(STUDIO),
            **(people.outputs if people else {}),
        }.items():
            CfnOutput(self, name, value=value)

    def _upload_command(self) -> str:
        """Write what uploads a definition; for jobs in a VPC, one of so many subnets and groups."""
        network = self.deployment.network
        if not network:
            return self._upload()
        file = "vpc-pipeline.json"
        options = f"{network.definition_options} --output {file}"
        return f"python -m pipeline_definition {options} && {self._upload(file)}"

    def _upload(self, file: str = "") -> str:
        if self.deployment.config.hardened:
            return f"cv-pipeline upload --stack {self.stack_name} {file}".rstrip()
        file = file or "pipeline_definition/pipeline.json"
        return filled(
            f"aws s3 cp {file} s3://{self.deployment.names.bucket}/{DEFINITIONS}{DEFINITION_SUFFIX}"
        )
