"""What the role of the function that starts executions may do."""

from __future__ import annotations

from infra.deployment import Deployment
from infra.iam.grants import Grant
from infra.iam.key_grants import bucket_key_grants, key_grant
from infra.names import DATA, DEFINITION_SUFFIX, DEFINITIONS, PARAMETERS_SUFFIX, VERDICTS, Names


def function_grants(deployment: Deployment) -> list[Grant]:
    """Return every statement of the function's role; stopping executions is none unless it is configured."""
    names, data_key_arn = deployment.names, deployment.data_key_arn
    return [
        *_upload_grants(names),
        *_pipeline_grants(names),
        *([_stop_grant(names)] if deployment.config.on_running == "stop" else []),
        *_service_grants(names),
        # Definitions are read, verdicts written: S3 asks the key with this role.
        *bucket_key_grants(deployment),
        # Apart from it, so that whatever goes wrong with the one is still told through the other.
        *([key_grant(data_key_arn, via=("sqs",), sid="EncryptFailures")] if data_key_arn else []),
    ]


def _upload_grants(names: Names) -> list[Grant]:
    uploads = f"{names.bucket_arn}/{DEFINITIONS}*"
    return [
        # Exactly the objects it is notified of, and the values beside them, each in a named version.
        Grant(
            sid="ReadDefinition",
            actions=["s3:GetObject", "s3:GetObjectVersion"],
            resources=[f"{uploads}{DEFINITION_SUFFIX}", f"{uploads}{PARAMETERS_SUFFIX}"],
            wildcard="the notification's own prefix and suffix; pipeline/<name>/pipeline.json has any name.",
        ),
        # Which upload is the newest, and which has no verdict: of the definitions' prefix alone.
        Grant(
            sid="ListUploads",
            actions=["s3:ListBucketVersions"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{DEFINITIONS}*"}},
        ),
        # A missing verdict is found out by listing: reading it would be refused like a forbidden one. Which
        # data there is, and whether it has changed, a listing tells, too: no object of it is read.
        Grant(
            sid="ListVerdictsAndData",
            actions=["s3:ListBucket"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{VERDICTS}*", f"{DATA}*"]}},
        ),
        Grant(
            sid="LeaveVerdict",
            actions=["s3:GetObject", "s3:PutObject"],
            resources=[f"{names.bucket_arn}/{VERDICTS}*"],
            wildcard="a prefix of its own; a verdict's key is made of the upload's key and version.",
        ),
    ]


def _pipeline_grants(names: Names) -> list[Grant]:
    return [
        # Create or update the upload's pipeline, and learn which version that made.
        Grant(
            sid="Upsert",
            actions=[
                "sagemaker:CreatePipeline",
                "sagemaker:DescribePipeline",
                "sagemaker:ListPipelineVersions",
                "sagemaker:UpdatePipeline",
            ],
            resources=names.pipeline_arns,
            wildcard="an upload to pipeline/<name>/ defines the pipeline <project>-<name>.",
        ),
        # Only a named version may be started, never whatever the pipeline has become by then.
        Grant(
            sid="StartPinned",
            actions=["sagemaker:StartPipelineExecution"],
            resources=names.pipeline_arns,
            conditions={"Null": {"sagemaker:PipelineVersionId": "false"}},
            wildcard="an upload to pipeline/<name>/ starts the pipeline <project>-<name>.",
        ),
        # Whether an upload, or a newer one, has started already, and with which values.
        Grant(
            sid="FindExecutions",
            actions=[
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutions",
                "sagemaker:ListPipelineParametersForExecution",
            ],
            resources=[*names.pipeline_arns, names.execution_arn],
            wildcard="the executions of the project's pipelines; SageMaker names them.",
        ),
        # The one role its pipelines may run with, handed to SageMaker and to no other service.
        Grant(
            sid="PassPipelineRole",
            actions=["iam:PassRole"],
            resources=[names.pipeline_role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]


def _stop_grant(names: Names) -> Grant:
    return Grant(
        sid="StopOlder",
        actions=["sagemaker:StopPipelineExecution"],
        resources=[names.execution_arn],
        wildcard="the executions of the project's pipelines; SageMaker names them.",
    )


def _service_grants(names: Names) -> list[Grant]:
    return [
        # Lambda delivers a failed event to the on-failure destination with this role.
        Grant(
            sid="ReportFailure",
            actions=["sqs:SendMessage"],
            resources=[names.arn("sqs", names.failure_queue)],
        ),
        # The log group is the deployment's; the function cannot make another.
        Grant(
            sid="OwnLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[names.arn("logs", f"log-group:{names.function_log_group}:*")],
            wildcard="Lambda names the log streams of the function's own log group.",
        ),
    ]
