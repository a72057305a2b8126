"""The stack: composes the units and says what a person needs to know about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aws_cdk import App, CfnOutput, DefaultStackSynthesizer, Fn, Stack, Tags
from aws_cdk.aws_lambda import CfnFunction
from constructs import Construct

from infra.config.context import Config
from infra.iam.people import People
from infra.iam.roles import FunctionRole, PipelineRole, limit_roles
from infra.image.training_image import TrainingImage
from infra.monitoring.alarms import Observability
from infra.monitoring.dashboard import Dashboard
from infra.monitoring.notifications import Notifications
from infra.nag import check
from infra.names import DEFINITION_SUFFIX, DEFINITIONS, Names, filled
from infra.network import job_network
from infra.registry import Registry
from infra.storage.encryption import Encryption
from infra.storage.storage import Storage
from infra.studio.studio_names import EVERY_PROJECT
from infra.trigger import Trigger

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
        self._config = config
        self._names = names or Names(config.name)
        image = TrainingImage(
            self,
            "TrainingImage",
            names=self._names,
            image=config.image,
            gpus=config.policy.gpus,
            user_id=config.image_user_id,
            retain=config.retain_data,
            log_retention_days=config.log_retention_days,
        )
        self._encryption = Encryption(
            self,
            "Encryption",
            names=self._names,
            encryption_key=config.encryption_key,
            retain=config.retain_data,
        )
        self._network = job_network(config)
        pipeline_role = self.pipeline_role = self._pipeline_role(image)
        trigger = self._trigger(image, pipeline_role)
        self.function = cast(CfnFunction, trigger.function.node.default_child)
        people = self._people() if config.hardened else None
        storage = self._storage(trigger, people)
        Registry(self, "Registry", names=self._names, retain=config.retain_data)
        notifications = self._operations(trigger)
        if config.permissions_boundary:
            limit_roles(self, config.permissions_boundary)
        for name, value in {**dict(config.tags), **self._own_tags()}.items():
            Tags.of(self).add(name, value)
        self._outputs(storage, pipeline_role, trigger, notifications, people)

    def _own_tags(self) -> Mapping[str, str]:
        return self._config.own_tags

    def _pipeline_role(self, image: TrainingImage) -> PipelineRole:
        return PipelineRole(
            self,
            "PipelineRole",
            names=self._names,
            image_repository_arn=image.repository_arn,
            processing_instance_types=self._config.policy.processing_instance_types,
            training_instance_types=self._config.policy.training_instance_types,
            max_runtime_seconds=self._config.policy.max_runtime_seconds,
            model_approval_statuses=self._config.policy.model_approval_statuses,
            data_key_arn=self._encryption.data_key_arn,
            encrypt_volumes=self._config.encrypt_volumes,
            network=self._network,
            former_key_arns=self._config.former_encryption_keys,
        )

    def _trigger(self, image: TrainingImage, pipeline_role: PipelineRole) -> Trigger:
        job_parameters = self._job_parameters()
        return Trigger(
            self,
            "Trigger",
            names=self._names,
            role=FunctionRole(
                self,
                "FunctionRole",
                names=self._names,
                stops_running=self._config.on_running == "stop",
                data_key_arn=self._encryption.data_key_arn,
                former_key_arns=self._config.former_encryption_keys,
            ).role,
            pipeline_role_arn=pipeline_role.role.role_arn,
            training_image_uri=image.uri,
            on_running=self._config.on_running,
            deployment_policy=self._config.policy.variable(job_parameters),
            job_parameters=job_parameters,
            reserved_concurrency=self._config.reserved_concurrency,
            log_retention_days=self._config.log_retention_days,
            data_key=self._encryption.data,
        )

    def _job_parameters(self) -> dict[str, str]:
        """Return the pipeline parameters that say how jobs are protected, beside their outputs' key."""
        given = dict(self._network.parameters) if self._network else {}
        if self._config.encrypt_volumes and self._encryption.data_key_arn:
            given["VolumeKmsKeyId"] = self._encryption.data_key_arn
        return given

    def _people(self) -> People:
        return People(
            self,
            "People",
            names=self._names,
            uploader_arns=self._config.uploader_arns,
            break_glass_arns=self._config.break_glass_arns,
            break_glass_requires_mfa=self._config.break_glass_requires_mfa,
            data_key_arn=self._encryption.data_key_arn,
            former_key_arns=self._config.former_encryption_keys,
        )

    def _storage(self, trigger: Trigger, people: People | None) -> Storage:
        storage = Storage(
            self,
            "Storage",
            names=self._names,
            retain=self._config.retain_data,
            noncurrent_versions_expire_days=self._config.noncurrent_versions_expire_days,
            executions_expire_days=self._config.executions_expire_days,
            checkpoints_expire_days=self._config.checkpoints_expire_days,
            log_retention_days=self._config.log_retention_days,
            hardened=self._config.hardened,
            data_key=self._encryption.data,
        )
        if storage.bucket.policy and people:
            # What it denies to everybody else, these may at no time be too late for; and it goes before them.
            storage.bucket.policy.node.add_dependency(people)
        storage.notify(function_arn=trigger.function.function_arn, permission=trigger.permission)
        return storage

    def _operations(self, trigger: Trigger) -> Notifications:
        notifications = Notifications(
            self,
            "Notifications",
            names=self._names,
            topic_arn=self._config.alarm_topic_arn,
            email=self._config.notify_email,
            encrypted=self._config.hardened,
            guests=EVERY_PROJECT if self._config.studio_template else None,
        )
        observability = Observability(
            self,
            "Observability",
            names=self._names,
            function=trigger.function,
            failure_queue=trigger.failure_queue,
            log=trigger.log,
            topic=notifications.topic,
        )
        Dashboard(
            self,
            "Dashboard",
            names=self._names,
            function=trigger.function,
            failure_queue=trigger.failure_queue,
            alarms=observability.alarms,
        )
        return notifications

    def _outputs(
        self,
        storage: Storage,
        pipeline_role: PipelineRole,
        trigger: Trigger,
        notifications: Notifications,
        people: People | None,
    ) -> None:
        for name, value in {
            "BucketName": storage.bucket.bucket_name,
            "UploadCommand": self._upload_command(),
            "ModelPackageGroupName": filled(self._names.model_package_group),
            "PipelineName": filled(self._names.pipeline),
            "PipelineExecutionRoleArn": pipeline_role.role.role_arn,
            "FailureQueueUrl": trigger.failure_queue.queue_url,
            "NotificationTopicArn": notifications.topic.topic_arn,
            "StudioUrl": Fn.sub(STUDIO),
            **(people.outputs if people else {}),
        }.items():
            CfnOutput(self, name, value=value)

    def _upload_command(self) -> str:
        """Write what uploads a definition; for jobs in a VPC, one of so many subnets and groups."""
        if not self._network:
            return self._upload()
        file = "vpc-pipeline.json"
        options = f"{self._network.definition_options} --output {file}"
        return f"python -m pipeline_definition {options} && {self._upload(file)}"

    def _upload(self, file: str = "") -> str:
        if self._config.hardened:
            return f"cv-pipeline upload --stack {self.stack_name} {file}".rstrip()
        file = file or "pipeline_definition/pipeline.json"
        return filled(f"aws s3 cp {file} s3://{self._names.bucket}/{DEFINITIONS}{DEFINITION_SUFFIX}")
