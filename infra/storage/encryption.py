"""With which key the deployment's data is encrypted, who may use it, and what the bucket refuses.

One key for bucket, failure queue and log: the stack's own, one of yours, or none, which means S3's. The topic
of the hardened profile has a key of its own (monitoring/notifications.py), whose policy lets two services in.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Tags, aws_iam, aws_kms
from constructs import Construct

from infra.deployment import Deployment
from infra.names import CHECKPOINTS, Names, filled

OWN = "own"
"""The stack makes the key."""
KEY_TAG = "data-key-of"
"""The tag by which `cv-pipeline destroy` knows the key, also without the stack: CloudFormation's own
tags do not reach keys, and a key of yours may have the project's tags."""
S3_MANAGED = "s3"
"""No key: S3, SQS and CloudWatch encrypt with keys of their own."""


class Encryption(Construct):
    """The key of the deployment's data, if it has one."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        self.data_key: aws_kms.IKey | None = None
        """The stack's own or yours, with which it becomes the deployment's."""
        encryption_key = deployment.config.encryption_key
        if encryption_key == OWN:
            self.data_key = self._own_key(deployment)
        elif encryption_key != S3_MANAGED:
            self.data_key = aws_kms.Key.from_key_arn(self, "Yours", encryption_key)

    def _own_key(self, deployment: Deployment) -> aws_kms.Key:
        names = deployment.names
        key = aws_kms.Key(
            self,
            "Key",
            description=filled(f"Encrypts data, models, messages and the log of {names.project}"),
            enable_key_rotation=True,
            # Without the key there is no data: it goes when the bucket does, and can be taken back for long.
            removal_policy=deployment.removal_policy,
            pending_window=Duration.days(30),
        )
        Tags.of(key).add(KEY_TAG, filled(names.project))
        key.add_to_resource_policy(_log_statement(names))
        # Never retained: the next deployment has a key of its own, and wants the name for it.
        aws_kms.Alias(self, "Alias", alias_name=filled(names.key_alias), target_key=key)
        return key


def _log_statement(names: Names) -> aws_iam.PolicyStatement:
    """Let CloudWatch Logs encrypt the function's log group, and no other."""
    return aws_iam.PolicyStatement(
        sid="EncryptLog",
        principals=[aws_iam.ServicePrincipal(filled("logs.${AWS::Region}.amazonaws.com"))],
        actions=["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        # The key itself.
        resources=["*"],
        conditions={
            "ArnEquals": {
                "kms:EncryptionContext:aws:logs:arn": filled(
                    names.arn("logs", f"log-group:{names.function_log_group}")
                )
            }
        },
    )


def bucket_statements(names: Names, data_key_arn: str) -> list[aws_iam.PolicyStatement]:
    """Refuse whoever asks S3 for another encryption than the bucket's.

    A request that asks for none passes: the bucket's default encrypts it with the deployment's key.
    One that names the key names it by its ARN, with which the policy compares it.
    """
    sse = "s3:x-amz-server-side-encryption"
    key_id = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    customer_key = "s3:x-amz-server-side-encryption-customer-algorithm"
    conditions: dict[str, dict[str, dict[str, str]]] = {
        "NoOtherEncryption": {"Null": {sse: "false"}, "StringNotEquals": {sse: "aws:kms"}},
        "NoOtherKey": {"Null": {key_id: "false"}, "StringNotEquals": {key_id: data_key_arn}},
        "NoCustomersKey": {"Null": {customer_key: "false"}},
    }
    anywhere = filled(f"{names.bucket_arn}/*")
    return [
        *(_refusal(sid, condition, resources=[anywhere]) for sid, condition in conditions.items()),
        # Without a key's name aws:kms means the account's aws/s3, and not the bucket's default. Not for
        # checkpoints: a job names no key for them, and SageMaker does not say what it asks S3 for.
        _refusal(
            "NoUnnamedKey",
            {"StringEquals": {sse: "aws:kms"}, "Null": {key_id: "true"}},
            not_resources=[filled(f"{names.bucket_arn}/{CHECKPOINTS}*")],
        ),
    ]


def _refusal(
    sid: str,
    conditions: dict[str, dict[str, str]],
    *,
    resources: Sequence[str] | None = None,
    not_resources: Sequence[str] | None = None,
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.StarPrincipal()],
        actions=["s3:PutObject"],
        resources=resources,
        not_resources=not_resources,
        conditions=conditions,
    )
