"""The one bucket: definitions, data, what executions write, checkpoints; one prefix for each right."""

from __future__ import annotations

from typing import cast

from aws_cdk import Duration, Fn, RemovalPolicy, aws_lambda, aws_s3
from constructs import Construct

from infra.nag import acknowledge
from infra.names import CHECKPOINTS, DEFINITION_SUFFIX, DEFINITIONS, EXECUTIONS, Names


class Storage(Construct):
    """The bucket, its life cycle and its notification."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: Names,
        retain: bool,
        noncurrent_versions_expire_days: int,
        executions_expire_days: int | None,
        checkpoints_expire_days: int | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = aws_s3.Bucket(
            self,
            "Bucket",
            bucket_name=Fn.sub(names.bucket),
            # The function runs the bytes of one upload, not whatever the key holds by then.
            versioned=True,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    id="forget-overwritten-and-abandoned",
                    noncurrent_version_expiration=Duration.days(noncurrent_versions_expire_days),
                    expired_object_delete_marker=True,
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                *_expiry(EXECUTIONS, executions_expire_days),
                *_expiry(CHECKPOINTS, checkpoints_expire_days),
            ],
        )
        acknowledge(
            self.bucket,
            {
                "AwsSolutions-S1": "Access logs need a second bucket that nobody would read; who uploaded a "
                "definition is in the account's CloudTrail data events."
            },
        )

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
