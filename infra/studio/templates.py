"""The bucket that projects are made from: the template for Studio, and the code of the projects' function.

A function of our own fills it at the deployment: CloudFormation puts no objects into buckets, and the CDK's
construct for that brings a role that may write anywhere in the bucket it reads from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aws_cdk import Aws, CustomResource, Duration, RemovalPolicy, aws_iam, aws_lambda, aws_s3
from constructs import Construct

from infra.iam import Grant, role_with
from infra.nag import acknowledge
from infra.names import filled
from infra.storage import READING, everybody_but, private_bucket
from infra.studio.studio_names import StudioNames

SOURCE = Path(__file__).parent / "publisher" / "publish.py"
TEMPLATES = "templates/"
"""What Studio looks through."""
PRODUCTS = "products/"
"""The versions of the Service Catalog's product."""
LOCATION = "sagemaker:projectS3TemplatesLocation"
VISIBLE = "sagemaker:studio-visibility"

_COPIES = "It holds copies of what is in Git, templates and code, and nothing that anybody wrote."
_REASONS_OF_THE_BUCKET = {
    "AwsSolutions-S1": _COPIES,
    "NIST.800.53.R5-S3BucketLoggingEnabled": _COPIES,
    "CKV_AWS_18": _COPIES,
    "NIST.800.53.R5-S3BucketReplicationEnabled": "The next deployment makes every object in it again.",
    "NIST.800.53.R5-S3DefaultEncryptionKMS": _COPIES,
}
_RUNTIME = "python3.13 is supported until 2029; the runtime changes on purpose, with the function's tests."
_ANSWERS = "CloudFormation waits for its answer, and fails the deployment with the reason."
_ONCE = "It runs once at a deployment; reserved concurrency would be idle."
_PUBLIC = "It calls the public endpoints of S3 and SageMaker only."
_REASONS_OF_THE_FUNCTION = {
    "AwsSolutions-L1": _RUNTIME,
    "Serverless-LambdaLatestVersion": _RUNTIME,
    "Serverless-LambdaDLQ": _ANSWERS,
    "NIST.800.53.R5-LambdaDLQ": _ANSWERS,
    "CKV_AWS_116": _ANSWERS,
    "Serverless-LambdaAsyncFailureDestination": _ANSWERS,
    "Serverless-LambdaEventSourceMappingDestination": _ANSWERS,
    "Serverless-LambdaTracing": "It runs for seconds at a deployment; its log tells what it did.",
    "NIST.800.53.R5-LambdaConcurrency": _ONCE,
    "CKV_AWS_115": _ONCE,
    "NIST.800.53.R5-LambdaInsideVPC": _PUBLIC,
    "CKV_AWS_117": _PUBLIC,
}


class Templates(Construct):
    """The bucket and what is in it; `published` is done when the objects are there."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: StudioNames,
        objects: Sequence[Mapping[str, str]],
        domain_arn: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = self._bucket(names)
        function = self._function(names, objects, domain_arn)
        self.location = f"s3://{self.bucket.bucket_name}/{TEMPLATES}"
        domain = {"DomainArn": domain_arn, "Location": self.location} if domain_arn else {}
        self.published = CustomResource(
            self,
            "Published",
            service_token=function.function_arn,
            # Longer than the function may run; without it CloudFormation waits an hour for an answer.
            service_timeout=Duration.minutes(5),
            properties={"Bucket": self.bucket.bucket_name, "Objects": list(objects), **domain},
        )

    def _bucket(self, names: StudioNames) -> aws_s3.Bucket:
        bucket = private_bucket(
            self,
            "Bucket",
            name=names.templates,
            # The function empties it; a later deployment fills it again.
            removal_policy=RemovalPolicy.DESTROY,
            # Studio runs in the browser and reads with the rights of whoever uses it.
            cors=[
                aws_s3.CorsRule(
                    allowed_methods=[aws_s3.HttpMethods.GET, aws_s3.HttpMethods.HEAD],
                    allowed_origins=["https://*.sagemaker.aws"],
                    allowed_headers=["*"],
                    exposed_headers=["ETag", "x-amz-version-id"],
                )
            ],
        )
        # Who writes here decides what the launch role makes and what runs in projects: no administrator, and
        # nobody whom AWS's own policies let write in many buckets.
        bucket.add_to_resource_policy(
            everybody_but(
                names.publisher_role_arn,
                "OnlyThePublisherWrites",
                objects=[f"{names.templates_arn}/*"],
                not_actions=READING,
            )
        )
        acknowledge(bucket, _REASONS_OF_THE_BUCKET)
        return bucket

    def _function(
        self, names: StudioNames, objects: Sequence[Mapping[str, str]], domain_arn: str | None
    ) -> aws_lambda.Function:
        function = aws_lambda.Function(
            self,
            "Function",
            function_name=filled(names.publisher),
            description="Puts the project template where SageMaker Studio finds it",
            handler="index.handler",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.ARM_64,
            code=aws_lambda.Code.from_inline(SOURCE.read_text(encoding="utf-8")),
            # S3 copies by itself. When the stack goes, every version is deleted, one call each.
            memory_size=256,
            timeout=Duration.minutes(2),
            role=role_with(
                self,
                "Role",
                name=names.publisher_role,
                description=f"Fills the templates of {names.project} at a deployment",
                assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
                grants=_publisher_grants(names, objects, domain_arn),
            ),
        )
        # The CDK repeats what the reference to the role says already.
        cast(aws_lambda.CfnFunction, function.node.default_child).add_deletion_override("DependsOn")
        acknowledge(function, _REASONS_OF_THE_FUNCTION)
        return function


def _publisher_grants(
    names: StudioNames, objects: Sequence[Mapping[str, str]], domain_arn: str | None
) -> list[Grant]:
    its_own = f"{names.templates_arn}/*"
    return [
        # What the CDK has published, each by its hash.
        Grant(
            sid="ReadAssets",
            actions=["s3:GetObject"],
            resources=[
                f"arn:{Aws.PARTITION}:s3:::{each['FromBucket']}/{each['FromKey']}" for each in objects
            ],
        ),
        Grant(
            sid="Publish",
            actions=["s3:PutObject", "s3:PutObjectTagging"],
            resources=[its_own],
            wildcard="the bucket of templates, which nobody else writes.",
        ),
        # Only when the stack goes: a bucket with objects cannot be deleted.
        Grant(
            sid="Empty",
            actions=["s3:DeleteObjectVersion"],
            resources=[its_own],
            wildcard="the bucket of templates, with every version in it.",
        ),
        Grant(sid="ListVersions", actions=["s3:ListBucketVersions"], resources=[names.templates_arn]),
        Grant(
            sid="OwnLogs",
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[names.arn("logs", f"log-group:{names.publisher_log_group}:*")],
            wildcard="Lambda names the log streams of the function's own log group.",
        ),
        # Also of a domain that an earlier deployment named: when it is to be forgotten, nobody names it.
        _tag_grant(
            "ForgetDomain",
            "sagemaker:DeleteTags",
            names.arn("sagemaker", "domain/*"),
            wildcard="the domain of an earlier deployment; of its tags this one alone.",
        ),
        *([_tag_grant("TagDomain", "sagemaker:AddTags", domain_arn)] if domain_arn else []),
    ]


def _tag_grant(sid: str, action: str, domain_arn: str, wildcard: str = "") -> Grant:
    return Grant(
        sid=sid,
        actions=[action],
        resources=[domain_arn],
        conditions={
            "ForAllValues:StringEquals": {"aws:TagKeys": [LOCATION]},
            "Null": {"aws:TagKeys": "false"},
        },
        wildcard=wildcard,
    )


def documents(value: Mapping[str, Any]) -> list[str]:
    """Return the keys of the function's code that a template names."""
    return [
        resource["Properties"]["Code"]["S3Key"]
        for resource in value["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
    ]
