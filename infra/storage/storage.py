"""The one bucket: definitions, data, what executions write, checkpoints; one prefix for each right.

A second one receives the record of who read and wrote what in it.
"""

from __future__ import annotations

from typing import cast

from aws_cdk import Aws, Duration, aws_iam, aws_lambda, aws_s3
from constructs import Construct

from infra.deployment import Deployment
from infra.nag import acknowledge
from infra.names import CHECKPOINTS, DEFINITION_SUFFIX, DEFINITIONS, EXECUTIONS, Names, filled
from infra.storage.bucket_policy import denials
from infra.storage.encryption import bucket_statements
from infra.storage.private_bucket import private_bucket

_REASONS = {
    "NIST.800.53.R5-S3BucketReplicationEnabled": "What is in it can be made again from the sources, the data "
    "set and the definitions in Git; a copy in another region would double the bill of every execution.",
}
_REASONS_WITHOUT_A_KEY = {
    "NIST.800.53.R5-S3DefaultEncryptionKMS": "With encryption_key=s3, S3 encrypts with keys of its own, and "
    "access is decided by the policies of bucket and roles alone; another choice has a key.",
}
_REASONS_OF_THE_LOGS = {
    "CKV_AWS_18": "Logs of the access to logs would be logged without end.",
    "NIST.800.53.R5-S3BucketLoggingEnabled": "Logs of the access to logs would be logged without end.",
    "NIST.800.53.R5-S3BucketReplicationEnabled": "The record of some months; nothing depends on it.",
    "NIST.800.53.R5-S3DefaultEncryptionKMS": "S3 delivers access logs only to a bucket with its own keys.",
}


class Storage(Construct):
    """The bucket, its life cycle, its access logs and its notification."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        config, names, data_key = deployment.config, deployment.names, deployment.data_key
        # Versioned: the function runs the bytes of one upload, not whatever the key holds by then.
        self.bucket = private_bucket(
            self,
            "Bucket",
            name=names.bucket,
            key=data_key,
            removal_policy=deployment.removal_policy,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="forget-overwritten-and-abandoned",
                    noncurrent_version_expiration=Duration.days(config.noncurrent_versions_expire_days),
                    expired_object_delete_marker=True,
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                *_expiry(EXECUTIONS, config.executions_expire_days),
                *_expiry(CHECKPOINTS, config.checkpoints_expire_days),
            ],
        )
        for statement in bucket_statements(names, data_key.key_arn) if data_key else []:
            self.bucket.add_to_resource_policy(statement)
        acknowledge(self.bucket, _REASONS if data_key else _REASONS | _REASONS_WITHOUT_A_KEY)
        for statement in denials(names, hardened=config.hardened):
            self.bucket.add_to_resource_policy(statement)
        self.access_logs = self._access_logs(deployment)
        self._log_access(self.access_logs, names)

    def _log_access(self, logs: aws_s3.Bucket, names: Names) -> None:
        """Let S3 write the bucket's access logs into `logs`.

        On the L1 bucket: the L2 would open `logs` to it with an access control list.
        """
        granted = logs.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="DeliverAccessLogs",
                principals=[aws_iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[logs.arn_for_objects("*")],
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnEquals": {"aws:SourceArn": filled(names.bucket_arn)},
                },
            )
        )
        resource = cast(aws_s3.CfnBucket, self.bucket.node.default_child)
        resource.logging_configuration = aws_s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=logs.bucket_name
        )
        if granted.policy_dependable:
            self.bucket.node.add_dependency(granted.policy_dependable)

    def _access_logs(self, deployment: Deployment) -> aws_s3.Bucket:
        # Without a key: S3 delivers access logs only to a bucket with its own.
        bucket = private_bucket(
            self,
            "AccessLogs",
            name=deployment.names.access_log_bucket,
            removal_policy=deployment.removal_policy,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="forget",
                    expiration=Duration.days(deployment.config.log_retention_days),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
        )
        acknowledge(bucket, _REASONS_OF_THE_LOGS)
        return bucket

    def notify(self, *, function_arn: str, permission: aws_lambda.CfnPermission) -> None:
        """Send every PUT of a definition to the function.

        On the L1 bucket: `add_event_notification` would deploy a second function, with a role that
        may rewrite any bucket's notifications.
        """
        resource = cast(aws_s3.CfnBucket, self.bucket.node.default_child)
        resource.notification_configuration = aws_s3.CfnBucket.NotificationConfigurationProperty(
            lambda_configurations=[
                aws_s3.CfnBucket.LambdaConfigurationProperty(
                    # However the object came: PUT, POST, copy, multipart. Deleting one starts nothing.
                    event="s3:ObjectCreated:*",
                    function=function_arn,
                    filter=aws_s3.CfnBucket.NotificationFilterProperty(
                        s3_key=aws_s3.CfnBucket.S3KeyFilterProperty(
                            rules=[
                                aws_s3.CfnBucket.FilterRuleProperty(name="prefix", value=DEFINITIONS),
                                aws_s3.CfnBucket.FilterRuleProperty(name="suffix", value=DEFINITION_SUFFIX),
                            ]
                        )
                    ),
                )
            ]
        )
        # S3 tries the permission out when it takes the configuration.
        resource.add_resource_dependency(permission)


def _expiry(prefix: str, days: int | None) -> list[aws_s3.LifecycleRule]:
    if days is None:
        return []
    name = f"expire-{prefix.rstrip('/')}"
    return [aws_s3.LifecycleRule(id=name, prefix=prefix, expiration=Duration.days(days))]
