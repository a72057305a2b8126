"""What the role of the function that starts executions may do."""

from __future__ import annotations

from infra.grants import Grant
from infra.names import DEFINITION_SUFFIX, DEFINITIONS, Names


def function_grants(names: Names) -> list[Grant]:
    """Give every statement of the function's role."""
    return [*_delivery_grants(names), *_service_grants(names)]


def _delivery_grants(names: Names) -> list[Grant]:
    return [
        # Exactly the objects it is notified of, in the version it is notified of. No ListBucket: without
        # it a version deleted in the meantime is a 403 instead of a 404, and either way the upload is
        # reported as failed; with it the function could list every key of the bucket.
        Grant(
            sid="ReadDefinition",
            actions=["s3:GetObject", "s3:GetObjectVersion"],
            resources=[f"{names.bucket_arn}/{DEFINITIONS}*{DEFINITION_SUFFIX}"],
            wildcard="the notification's own prefix and suffix; pipeline/<name>/pipeline.json has any name.",
        ),
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
        # The one role its pipelines may run with, handed to SageMaker and to no other service.
        Grant(
            sid="PassPipelineRole",
            actions=["iam:PassRole"],
            resources=[names.pipeline_role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]


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
