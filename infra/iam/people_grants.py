"""What the roles that people assume may do: hand in uploads and follow them, or remove what must not stay.

Neither starts, updates or approves anything: the function does the first two, and only because of an upload,
and an approver has rights of their own.
"""

from __future__ import annotations

from infra.deployment import Deployment
from infra.iam.grants import Grant
from infra.iam.key_grants import bucket_key_grants
from infra.names import (
    DATA,
    DEFINITION_SUFFIX,
    DEFINITIONS,
    EXECUTIONS,
    PARAMETERS_SUFFIX,
    VERDICTS,
    Names,
    filled,
)

JOB_LOGS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")


def uploader_grants(deployment: Deployment) -> list[Grant]:
    """Return every statement of the uploader role: what `upload`, `rollback` and following use."""
    names, data_key_arn = deployment.names, deployment.data_key_arn
    return [
        *_upload_grants(names),
        *_outcome_grants(names),
        *_pipeline_grants(names),
        *_job_grants(names),
        # Definitions, data, verdicts and results: S3 asks the key with this role.
        *bucket_key_grants(deployment),
        *(_queue_key_grants(data_key_arn) if data_key_arn else []),
    ]


def break_glass_grants(names: Names) -> list[Grant]:
    """Return the break-glass role's statements: find versions by their key, and delete them for good."""
    return [
        Grant(
            sid="FindVersions",
            actions=["s3:ListBucketVersions"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{DEFINITIONS}*", f"{VERDICTS}*"]}},
        ),
        # Without reading any: whoever has a leaked secret removed need not see it.
        Grant(
            sid="DeleteVersions",
            actions=["s3:DeleteObjectVersion"],
            resources=[f"{names.bucket_arn}/{prefix}*" for prefix in (DEFINITIONS, VERDICTS)],
            wildcard="the two prefixes that nobody else may delete versions below.",
        ),
    ]


def _upload_grants(names: Names) -> list[Grant]:
    uploads = f"{names.bucket_arn}/{DEFINITIONS}*"
    definitions, values = f"{uploads}{DEFINITION_SUFFIX}", f"{uploads}{PARAMETERS_SUFFIX}"
    named = "pipeline/<name>/ has any name; nothing but definitions and the values beside them."
    return [
        # A rollback copies an earlier version over the newest one.
        Grant(
            sid="Upload",
            actions=["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"],
            resources=[definitions, values],
            wildcard=named,
        ),
        # Values beside a definition win over its defaults, so they can be taken away; a version stays.
        Grant(sid="WithdrawValues", actions=["s3:DeleteObject"], resources=[values], wildcard=named),
        # Which versions a pipeline has been uploaded in.
        Grant(
            sid="ListUploads",
            actions=["s3:ListBucketVersions"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{DEFINITIONS}*"}},
        ),
        # Whether an upload would reach the function, before there is one.
        Grant(sid="ReadNotification", actions=["s3:GetBucketNotification"], resources=[names.bucket_arn]),
        # In parts when it is large.
        Grant(
            sid="UploadData",
            actions=["s3:AbortMultipartUpload", "s3:PutObject"],
            resources=[f"{names.bucket_arn}/{DATA}*"],
            wildcard="a prefix of its own; the keys in it are the data's own.",
        ),
        # What of the data is there already, and which uploads have a verdict.
        Grant(
            sid="ListDataAndVerdicts",
            actions=["s3:ListBucket"],
            resources=[names.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [f"{DATA}*", f"{VERDICTS}*"]}},
        ),
    ]


def _outcome_grants(names: Names) -> list[Grant]:
    return [
        # Verdicts, and for a report evaluations and models.
        Grant(
            sid="ReadOutcome",
            actions=["s3:GetObject"],
            resources=[f"{names.bucket_arn}/{prefix}*" for prefix in (VERDICTS, EXECUTIONS)],
            wildcard="a prefix for each purpose; keys are made of the upload's or the execution's id.",
        ),
        # What the deployment is called; no action here changes a stack.
        Grant(
            sid="ReadStack",
            actions=["cloudformation:DescribeStacks", "cloudformation:ListStackResources"],
            resources=[names.arn("cloudformation", f"stack/{names.stack}/*")],
            wildcard="CloudFormation ends a stack's ARN with an id of its own.",
        ),
        # The policy by which an upload will be judged.
        Grant(
            sid="ReadPolicy",
            actions=["lambda:GetFunctionConfiguration"],
            resources=[names.arn("lambda", f"function:{names.function}")],
        ),
        # Why the function gave an upload up; looking at a message gives it back, and never removes it.
        Grant(
            sid="LookAtFailures",
            actions=["sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"],
            resources=[names.arn("sqs", names.failure_queue)],
        ),
    ]


def _pipeline_grants(names: Names) -> list[Grant]:
    return [
        Grant(
            sid="ReadExecutions",
            actions=[
                "sagemaker:DescribePipeline",
                "sagemaker:DescribePipelineDefinitionForExecution",
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:ListPipelineExecutions",
                "sagemaker:ListPipelineParametersForExecution",
            ],
            resources=[*names.pipeline_arns, names.execution_arn],
            wildcard="the pipelines that uploads define, and their executions, which SageMaker names.",
        ),
        Grant(
            sid="ReadModelPackages",
            actions=["sagemaker:DescribeModelPackage"],
            resources=[names.arn("sagemaker", f"model-package/{names.model_package_group}/*")],
            wildcard="the versions of the project's own model package group.",
        ),
    ]


def _job_grants(names: Names) -> list[Grant]:
    unscoped = "SageMaker names jobs pipelines-<execution id>-<step>-<random>: no project to scope by."
    streams = [names.arn("logs", f"log-group:{group}:log-stream:pipelines-*") for group in JOB_LOGS]
    return [
        Grant(
            sid="ReadJobs",
            actions=["sagemaker:DescribeProcessingJob", "sagemaker:DescribeTrainingJob"],
            resources=[
                names.arn("sagemaker", "processing-job/pipelines-*"),
                names.arn("sagemaker", "training-job/pipelines-*"),
            ],
            wildcard=unscoped,
        ),
        # What an execution was billed: the jobs that a retry replaced are found by its id in their names.
        Grant(
            sid="ListJobs",
            actions=["sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"],
            resources=["*"],
            wildcard="IAM knows no resource for listing jobs, which tells their names and times.",
        ),
        # Error messages name these logs.
        Grant(
            sid="ReadLogs",
            actions=["logs:GetLogEvents"],
            resources=[*streams, names.arn("logs", f"log-group:{names.function_log_group}:log-stream:*")],
            wildcard=f"{unscoped} The function's streams are named by Lambda.",
        ),
        # A stream ends in the time at which it began: a report has to look for those of a job.
        Grant(
            sid="FindLogs",
            actions=["logs:DescribeLogStreams"],
            resources=[
                names.arn("logs", f"log-group:{group}{end}") for group in JOB_LOGS for end in ("", ":*")
            ],
            wildcard="the group itself, whose ARN Logs writes in either form; reading is scoped by stream.",
        ),
    ]


def _queue_key_grants(data_key_arn: str) -> list[Grant]:
    return [
        # Messages of the failure queue are read, and none is sent.
        Grant(
            sid="DecryptFailures",
            actions=["kms:Decrypt"],
            resources=[data_key_arn],
            conditions={"StringEquals": {"kms:ViaService": filled("sqs.${AWS::Region}.amazonaws.com")}},
        ),
    ]
