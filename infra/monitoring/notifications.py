"""Who is told: one topic, and the rules that put executions, failed jobs and models on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import (
    Aws,
    Duration,
    RemovalPolicy,
    aws_events,
    aws_iam,
    aws_kms,
    aws_sns,
)
from constructs import Construct

from infra.deployment import Deployment
from infra.nag import acknowledge
from infra.names import STUDIO_PROJECTS, Names, filled, filled_each

ENDED = ("Failed", "Stopped", "Succeeded")
"""The statuses in which an execution stays."""

_NO_KEY = (
    "SNS's own key lets neither CloudWatch nor EventBridge publish, and one that does costs a dollar a "
    "month, which security=hardened spends. News are names and statuses, kept until they are delivered."
)


class Notifications(Construct):
    """The topic of the alarms and of SageMaker's events, somebody's own or one that is made here."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        config, names = deployment.config, deployment.names
        self.topic: aws_sns.ITopic = (
            aws_sns.Topic.from_topic_arn(self, "Topic", filled(config.alarm_topic_arn))
            if config.alarm_topic_arn
            else self._own_topic(deployment)
        )
        if config.notify_email:
            self._subscribe(config.notify_email)
        self._rule(
            "Executions",
            name=names.execution_rule,
            description="An execution of a pipeline of the project ended",
            detail_type="SageMaker Model Building Pipeline Execution Status Change",
            detail={
                "pipelineArn": _these_pipelines(names),
                "currentPipelineExecutionStatus": list(ENDED),
            },
        )
        self._rule(
            "TrainingJobs",
            name=names.training_job_rule,
            description="A training job with the project's pipeline role failed or was stopped",
            detail_type="SageMaker Training Job State Change",
            # A job's name has the execution in it and not the project; its role is the project's alone.
            detail={
                "RoleArn": [filled(names.pipeline_role_arn)],
                "TrainingJobStatus": ["Failed", "Stopped"],
            },
        )
        self._rule(
            "ModelPackages",
            name=names.model_package_rule,
            description="A model of the project was registered, approved or rejected",
            detail_type="SageMaker Model Package State Change",
            detail={"ModelPackageGroupName": [filled(names.model_package_group)]},
        )

    def _subscribe(self, email: str) -> None:
        """Let the topic write to an address; silent until the person follows the link in the first mail."""
        subscription = aws_sns.Subscription(
            self,
            "Email",
            topic=self.topic,
            protocol=aws_sns.SubscriptionProtocol.EMAIL,
            endpoint=email,
        )
        acknowledge(
            subscription,
            {
                "Serverless-SNSRedrivePolicy": "SNS tries a mail again for hours; the dashboard and the "
                "commands of ops show the same news to whoever got none."
            },
        )

    def _own_topic(self, deployment: Deployment) -> aws_sns.Topic:
        """Make the topic of the project's alarms, and of those of Studio's projects, which have none."""
        names, encrypted = deployment.names, deployment.config.hardened
        topic = aws_sns.Topic(
            self,
            "Topic",
            topic_name=filled(names.notification_topic),
            display_name=filled(names.project),
            master_key=self._own_key(names) if encrypted else None,
            enforce_ssl=True,
        )
        if not encrypted:
            acknowledge(topic, dict.fromkeys(("NIST.800.53.R5-SNSEncryptedKMS", "CKV_AWS_26"), _NO_KEY))
        alarms = [names.alarm_arns]
        if deployment.config.studio_template:
            alarms.append(STUDIO_PROJECTS.alarm_arns)
        for statement in _publishers(alarms, topic.topic_arn):
            topic.add_to_resource_policy(statement)
        return topic

    def _own_key(self, names: Names) -> aws_kms.Key:
        """Make the topic's key, which the data's key is not: two services may use it whoever publishes."""
        key = aws_kms.Key(
            self,
            "Key",
            description=filled(f"Encrypts the notifications of {names.project}"),
            enable_key_rotation=True,
            # What it encrypted is delivered within hours, or lost.
            removal_policy=RemovalPolicy.DESTROY,
            pending_window=Duration.days(7),
        )
        key.add_to_resource_policy(_publishers_statement())
        return key

    def _rule(
        self,
        construct_id: str,
        *,
        name: str,
        description: str,
        detail_type: str,
        detail: Mapping[str, Sequence[Any]],
    ) -> None:
        rule = aws_events.CfnRule(
            self,
            construct_id,
            name=filled(name),
            description=description,
            event_pattern={"source": ["aws.sagemaker"], "detail-type": [detail_type], "detail": detail},
            # The event as it is, which people can read and chat integrations insist on.
            targets=[aws_events.CfnRule.TargetProperty(id="Topic", arn=self.topic.topic_arn)],
        )
        acknowledge(
            rule,
            {
                "Serverless-EventBusDLQ": "A notification is news and no work: nothing is to be done again "
                "with one that EventBridge could not deliver for a day. An alarm on the rule tells of it."
            },
        )


def _publishers(alarm_arns: Sequence[str], topic_arn: str) -> list[aws_iam.PolicyStatement]:
    """Let this account's alarms and rules publish, and nobody else."""
    return [
        aws_iam.PolicyStatement(
            sid="AlarmsOfTheProject",
            principals=[_service("cloudwatch")],
            actions=["sns:Publish"],
            resources=[topic_arn],
            conditions={
                "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                "ArnLike": {"aws:SourceArn": filled_each(alarm_arns)},
            },
        ),
        aws_iam.PolicyStatement(
            # AWS documents that EventBridge knows no conditions here: with one, an allowance never holds.
            sid="Rules",
            principals=[_service("events")],
            actions=["sns:Publish"],
            resources=[topic_arn],
        ),
        aws_iam.PolicyStatement(
            # Wherever a service does say for whom it publishes.
            sid="NoOtherAccount",
            effect=aws_iam.Effect.DENY,
            principals=[aws_iam.StarPrincipal()],
            actions=["sns:Publish"],
            resources=[topic_arn],
            conditions={
                "Null": {"aws:SourceAccount": "false"},
                "StringNotEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            },
        ),
    ]


def _publishers_statement() -> aws_iam.PolicyStatement:
    """Let CloudWatch and EventBridge publish on an encrypted topic: SNS asks the key with their rights."""
    return aws_iam.PolicyStatement(
        sid="EncryptNotifications",
        principals=[_service(name) for name in ("cloudwatch", "events")],
        actions=["kms:Decrypt", "kms:GenerateDataKey*"],
        # The key itself. No aws:Source... condition: EventBridge sends none to KMS, and the
        # notifications would be lost without a word; who may publish is the topic's policy.
        resources=["*"],
    )


def _these_pipelines(names: Names) -> list[Any]:
    """Match `<project>` and `<project>-<name>`, as `Names.pipeline_arns` does for IAM."""
    own = names.arn("sagemaker", f"pipeline/{names.project}")
    return [filled(own), {"prefix": filled(f"{own}-")}]


def _service(name: str) -> aws_iam.ServicePrincipal:
    return aws_iam.ServicePrincipal(f"{name}.amazonaws.com")
