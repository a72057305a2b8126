"""From an upload to the function: the function, who may invoke it, and what becomes of its failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from aws_cdk import (
    Aws,
    Duration,
    IgnoreMode,
    RemovalPolicy,
    Stack,
    aws_events,
    aws_iam,
    aws_lambda,
    aws_logs,
    aws_sqs,
)
from constructs import Construct

from infra.deployment import Deployment
from infra.nag import acknowledge
from infra.names import DATA, Names, filled

SOURCE = Path(__file__).resolve().parent.parent / "lambda"
SOURCES_ALONE = ["*", "!upload_trigger", "upload_trigger/**", "!upload_trigger/**/*.py"]

# An event is lost once in a long while, and a look costs a listing of all uploads: sooner is worth nothing.
RECONCILE_MINUTES = 60

_QUEUE_INSTEAD = (
    "Failures go to the failure queue as the destination of FailedUploads: a dead-letter queue would receive "
    "the event without its error."
)
_DEAD_LETTERS = "This is the dead-letter queue: the uploads that failed, for people."
_KEY_OF_SQS = "With encryption_key=s3, SQS encrypts it with a key of its own."
_RUNTIME = (
    "python3.13 is supported until 2029; the runtime changes on purpose, with the function's tests, and not "
    "by the next release of the CDK."
)
_CONCURRENCY = (
    "reserved_concurrency sets it; by default there is none, because a new account's ten cannot be reserved. "
    "What runs at once is as many as people upload."
)
_NO_NETWORK = (
    "It calls the public endpoints of S3 and SageMaker, over TLS and with its role, and nothing in a "
    "network; nothing can call it over one."
)
_REASONS = {
    "AwsSolutions-L1": _RUNTIME,
    "Serverless-LambdaLatestVersion": _RUNTIME,
    "Serverless-LambdaDLQ": _QUEUE_INSTEAD,
    "NIST.800.53.R5-LambdaDLQ": _QUEUE_INSTEAD,
    "CKV_AWS_116": _QUEUE_INSTEAD,
    "Serverless-LambdaTracing": "Each upload leaves a verdict and a structured log; a trace of its few calls "
    "would cost the role a right on every resource.",
    "NIST.800.53.R5-LambdaConcurrency": _CONCURRENCY,
    "CKV_AWS_115": _CONCURRENCY,
    "NIST.800.53.R5-LambdaInsideVPC": _NO_NETWORK,
    "CKV_AWS_117": _NO_NETWORK,
    "CKV_AWS_173": "The variables are names, ARNs and the deployment policy, and no secret; Lambda encrypts "
    "them with a key of its own.",
}


class UploadTrigger(Construct):
    """The function that turns an uploaded definition into a pipeline execution."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        *,
        role: aws_iam.IRole,
        pipeline_role_arn: str,
        training_image_uri: str,
    ) -> None:
        super().__init__(scope, construct_id)
        config, names = deployment.config, deployment.names
        self.log = _log_group(self, deployment)
        self.function = aws_lambda.Function(
            self,
            "Function",
            function_name=filled(names.function),
            description="Starts a SageMaker pipeline execution for each pipeline.json that is uploaded",
            handler="upload_trigger.handler.handler",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.ARM_64,
            # The sources alone: the hash must not depend on byte code or on who last edited a file.
            code=aws_lambda.Code.from_asset(
                str(SOURCE), exclude=SOURCES_ALONE, ignore_mode=IgnoreMode.DOCKER
            ),
            # The processor comes with the memory, a whole one at 1,769 MB, and the price with both: what
            # computes costs the same with more, and is sooner done. It never needs more than 100 MB.
            memory_size=1024,
            # An upload takes seconds; looking through all of them for lost ones may take minutes.
            timeout=Duration.minutes(5),
            role=role,
            reserved_concurrent_executions=config.reserved_concurrency,
            log_group=self.log,
            logging_format=aws_lambda.LoggingFormat.JSON,
            environment=self._environment(deployment, pipeline_role_arn, training_image_uri),
        )
        resource = cast(aws_lambda.CfnFunction, self.function.node.default_child)
        # The CDK repeats what the reference to the role says already.
        resource.add_deletion_override("DependsOn")
        acknowledge(self.function, _REASONS)
        self.permission = self._allow_the_bucket(names)
        self.failure_queue = self._keep_failures(deployment)
        self._look_for_lost_uploads(names)

    def _environment(self, deployment: Deployment, role_arn: str, image_uri: str) -> Mapping[str, str]:
        config, names, job_parameters = deployment.config, deployment.names, deployment.job_parameters
        to_json = Stack.of(self).to_json_string
        return {
            "PIPELINE_NAME": filled(names.pipeline),
            "PIPELINE_ROLE_ARN": role_arn,
            # Win over the definition's defaults: what the deployment decides and no upload may.
            "PIPELINE_PARAMETERS": to_json(
                {
                    "ExecutionRoleArn": role_arn,
                    "TrainingImageUri": image_uri,
                    "ArtifactBucket": filled(names.bucket),
                    "ModelPackageGroupName": filled(names.model_package_group),
                    **({"OutputKmsKeyId": deployment.data_key_arn} if deployment.data_key_arn else {}),
                    **{name: filled(value) for name, value in job_parameters.items()},
                }
            ),
            # Only for a parameter that the definition leaves without a value.
            "PIPELINE_PARAMETER_DEFAULTS": to_json({"InputDataUrl": filled(f"s3://{names.bucket}/{DATA}")}),
            "ON_RUNNING": config.on_running,
            "DEPLOYMENT_POLICY": config.policy.variable(job_parameters),
        }

    def _allow_the_bucket(self, names: Names) -> aws_lambda.CfnPermission:
        return aws_lambda.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self.function.function_arn,
            principal="s3.amazonaws.com",
            # A bucket's ARN names no account: a stranger's later bucket of that name must not invoke.
            source_account=Aws.ACCOUNT_ID,
            source_arn=filled(names.bucket_arn),
        )

    def _keep_failures(self, deployment: Deployment) -> aws_sqs.Queue:
        data_key = deployment.data_key
        queue = aws_sqs.Queue(
            self,
            "Failures",
            queue_name=filled(deployment.names.failure_queue),
            encryption=aws_sqs.QueueEncryption.KMS if data_key else aws_sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=data_key,
            enforce_ssl=True,
            # The longest there is: a failed upload waits for a person.
            retention_period=Duration.days(14),
        )
        acknowledge(
            queue,
            {
                "AwsSolutions-SQS3": _DEAD_LETTERS,
                "Serverless-SQSRedrivePolicy": _DEAD_LETTERS,
                **({} if data_key else {"CKV_AWS_27": _KEY_OF_SQS}),
            },
        )
        aws_lambda.CfnEventInvokeConfig(
            self,
            "FailedUploads",
            function_name=self.function.function_name,
            qualifier="$LATEST",
            # Both Lambda's maximum: throttling by SageMaker or by the account may last hours.
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=21600,
            destination_config=aws_lambda.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=aws_lambda.CfnEventInvokeConfig.OnFailureProperty(destination=queue.queue_arn)
            ),
        )
        return queue

    def _look_for_lost_uploads(self, names: Names) -> None:
        """Let the function reconcile on a schedule: S3 and Lambda may lose an event, if rarely."""
        rule = aws_events.CfnRule(
            self,
            "Reconcile",
            name=filled(names.reconcile_rule),
            description="Finds uploads whose event got lost",
            schedule_expression=f"rate({RECONCILE_MINUTES} minutes)",
            targets=[
                aws_events.CfnRule.TargetProperty(
                    id="Function",
                    arn=self.function.function_arn,
                    # A younger upload is still in the hands of its own event, or of its retries.
                    input=json.dumps({"reconcile": {"minimumAgeSeconds": 900}}),
                )
            ],
        )
        acknowledge(
            rule,
            {
                "Serverless-EventBusDLQ": "The next look finds what this one would have found, and an alarm "
                "on the rule tells of the one that failed."
            },
        )
        aws_lambda.CfnPermission(
            self,
            "ReconcilePermission",
            action="lambda:InvokeFunction",
            function_name=self.function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )


def _log_group(scope: Construct, deployment: Deployment) -> aws_logs.LogGroup:
    group = aws_logs.LogGroup(
        scope,
        "Log",
        log_group_name=filled(deployment.names.function_log_group),
        encryption_key=deployment.data_key,
        removal_policy=RemovalPolicy.DESTROY,
    )
    # The L2 takes the enum RetentionDays only, whose names say months where CloudWatch counts days.
    resource = cast(aws_logs.CfnLogGroup, group.node.default_child)
    resource.retention_in_days = deployment.config.log_retention_days
    if deployment.data_key is None:
        reason = (
            "with encryption_key=s3 CloudWatch encrypts it with a key of its own; it holds names, "
            "ARNs and reasons, and no data."
        )
        acknowledge(group, {"NIST.800.53.R5-CloudWatchLogGroupEncrypted": reason, "CKV_AWS_158": reason})
    return group
