"""What each role is for: every right it needs, and the nearest things that it must not reach.

Written by hand beside the policies, not derived from them: the two are held against each other.
"""

from __future__ import annotations

import dataclasses

from tests.support.iam.rights import Right

ACCOUNT, REGION = "123456789012", "us-east-1"
BUCKET = f"arn:aws:s3:::cv-birds-{ACCOUNT}-{REGION}"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
OTHER_ACCOUNT = f"arn:aws:sagemaker:{REGION}:999999999999"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
REPOSITORIES = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
IMAGES = f"{REPOSITORIES}/cdk-hnb659fds-container-assets-{ACCOUNT}-{REGION}"
KEYS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key"
DATA_KEY = f"{KEYS}/data"
QUEUES = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
ROLES = f"arn:aws:iam::{ACCOUNT}:role"
PIPELINE_ROLE = f"{ROLES}/cv-birds-pipeline-{REGION}"
FUNCTION_ROLE = f"{ROLES}/cv-birds-start-execution-{REGION}"
UPLOADER_ROLE = f"{ROLES}/cv-birds-uploader-{REGION}"
BREAK_GLASS_ROLE = f"{ROLES}/cv-birds-break-glass-{REGION}"


def pipelines(*rest: str) -> tuple[str, ...]:
    return tuple(f"{SAGEMAKER}:pipeline/cv-birds{each}" for each in rest)


OTHER_PIPELINES = (
    f"{SAGEMAKER}:pipeline/cv-birdsong",
    f"{SAGEMAKER}:pipeline/another",
    f"{SAGEMAKER}:pipeline/my-cv-birds",
    f"{OTHER_ACCOUNT}:pipeline/cv-birds",
    f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:pipeline/cv-birds-nightly",
)
TO_SAGEMAKER = (("iam:PassedToService", "sagemaker.amazonaws.com"),)
OTHER_SERVICES = tuple(("iam:PassedToService", f"{name}.amazonaws.com") for name in ("lambda", "ec2", "glue"))

OTHER_KEYS = (
    f"{KEYS}/another",
    f"{DATA_KEY}-more",
    f"arn:aws:kms:{REGION}:999999999999:key/data",
    f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/data",
)


def key_right(service: str, *, never: tuple[str, ...]) -> Right:
    """Use the data's key through one service of this region."""

    def via(name: str, region: str = REGION) -> tuple[str, str]:
        return "kms:ViaService", f"{name}.{region}.amazonaws.com"

    return Right(
        ("kms:Decrypt", "kms:GenerateDataKey"),
        (DATA_KEY,),
        OTHER_KEYS,
        (via(service),),
        required=("kms:ViaService",),
        never=(*map(via, never), via(service, "eu-west-1")),
    )


FUNCTION = (
    Right(
        ("s3:GetObject", "s3:GetObjectVersion"),
        tuple(
            f"{BUCKET}/pipeline/{key}"
            for key in ("pipeline.json", "night/pipeline.json", "parameters.json", "night/parameters.json")
        ),
        (
            f"{BUCKET}/pipeline/notes.txt",
            f"{BUCKET}/pipeline.json",
            f"{BUCKET}/parameters.json",
            f"{BUCKET}/data/pipeline.json",
            f"{BUCKET}/data/parameters.json",
            f"{BUCKET}/executions/1/pipeline.json",
            f"{BUCKET}-more/pipeline/pipeline.json",
            f"{BUCKET}-more/pipeline/parameters.json",
            f"{BUCKET}/pipeline/pipeline.json.bak",
            f"{BUCKET}/pipeline/parameters.json.bak",
        ),
    ),
    Right(
        ("s3:ListBucketVersions",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "pipeline/night/pipeline.json"),),
        required=("s3:prefix",),
        never=(("s3:prefix", ""), ("s3:prefix", "data/"), ("s3:prefix", "verdicts/"), ("s3:prefix", "p")),
    ),
    Right(
        ("s3:ListBucket",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "verdicts/pipeline/pipeline.json/v1.json"),),
        required=("s3:prefix",),
        never=(("s3:prefix", ""), ("s3:prefix", "pipeline/"), ("s3:prefix", "v"), ("s3:prefix", "database/")),
    ),
    Right(
        ("s3:ListBucket",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "data/"),),
        required=("s3:prefix",),
        never=(("s3:prefix", "data"), ("s3:prefix", "executions/1/"), ("s3:prefix", "checkpoints/")),
    ),
    Right(
        ("s3:GetObject", "s3:PutObject"),
        (f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json",),
        (f"{BUCKET}/verdicts", f"{BUCKET}/data/a", f"{BUCKET}-more/verdicts/a", f"{BUCKET}/executions/1/a"),
    ),
    Right(
        (
            "sagemaker:CreatePipeline",
            "sagemaker:DescribePipeline",
            "sagemaker:ListPipelineVersions",
            "sagemaker:UpdatePipeline",
        ),
        pipelines("", "-nightly"),
        OTHER_PIPELINES,
    ),
    Right(
        ("sagemaker:StartPipelineExecution",),
        pipelines("", "-nightly"),
        OTHER_PIPELINES,
        (("sagemaker:PipelineVersionId", "3"),),
        required=("sagemaker:PipelineVersionId",),
    ),
    Right(
        (
            "sagemaker:DescribePipelineExecution",
            "sagemaker:ListPipelineExecutions",
            "sagemaker:ListPipelineParametersForExecution",
        ),
        pipelines("", "-nightly", "/execution/abc", "-nightly/execution/abc"),
        (*OTHER_PIPELINES, f"{SAGEMAKER}:pipeline/another/execution/abc"),
    ),
    Right(
        ("iam:PassRole",),
        (PIPELINE_ROLE,),
        (FUNCTION_ROLE, f"{ROLES}/admin", f"{PIPELINE_ROLE}-more"),
        TO_SAGEMAKER,
        required=("iam:PassedToService",),
        never=OTHER_SERVICES,
    ),
    Right(
        ("sqs:SendMessage",),
        (f"{QUEUES}:cv-birds-failures",),
        (f"{QUEUES}:cv-birds-failures-more", f"{QUEUES}:another"),
    ),
    Right(
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:a",),
        (
            f"{LOGS}:/aws/lambda/another:log-stream:a",
            f"{LOGS}:/aws/lambda/cv-birds-start-execution-2:log-stream:a",
            f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:a",
        ),
    ),
)
# S3, and the failure queue.
FUNCTION_WITH_KEY = (
    *FUNCTION,
    key_right("s3", never=("sns", "ec2")),
    key_right("sqs", never=("sns", "ec2")),
)

_OUTPUT_KEY, _VOLUME_KEY = "sagemaker:OutputKmsKeyArn", "sagemaker:VolumeKmsKeyArn"
_BOUNDED = (
    ("sagemaker:NetworkIsolation", "true"),
    ("sagemaker:InterContainerTrafficEncryption", "true"),
    ("sagemaker:MaxRuntimeInSeconds", "14400"),
)
_REQUIRED = (
    "sagemaker:NetworkIsolation",
    "sagemaker:InterContainerTrafficEncryption",
    "sagemaker:MaxRuntimeInSeconds",
    "sagemaker:InstanceTypes",
)
_UNBOUNDED: tuple[tuple[str, str | tuple[str, ...]], ...] = (
    ("sagemaker:NetworkIsolation", "false"),
    ("sagemaker:InterContainerTrafficEncryption", "false"),
    ("sagemaker:MaxRuntimeInSeconds", "86401"),
    ("sagemaker:InstanceTypes", ("ml.p5.48xlarge",)),
    ("sagemaker:VpcSubnets", ("subnet-0123456789abcdef0",)),
    ("sagemaker:VpcSecurityGroupIds", ("sg-0123456789abcdef0",)),
    *((name, key) for name in (_OUTPUT_KEY, _VOLUME_KEY) for key in (DATA_KEY, *OTHER_KEYS)),
)
# What the shipped definition says where it has no key.
_NO_KEYS = ((_OUTPUT_KEY, ""), (_VOLUME_KEY, ""))


def jobs(kind: str) -> tuple[str, ...]:
    return (f"{SAGEMAKER}:{kind}/pipelines-abc-step-x1",)


def other_jobs(kind: str) -> tuple[str, ...]:
    return (
        f"{SAGEMAKER}:{kind}/mine",
        f"{OTHER_ACCOUNT}:{kind}/pipelines-abc-step-x1",
        f"{SAGEMAKER}:transform-job/pipelines-abc-step-x1",
    )


PIPELINE = (
    Right(
        ("sagemaker:CreateTrainingJob",),
        jobs("training-job"),
        other_jobs("training-job"),
        (*_BOUNDED, ("sagemaker:InstanceTypes", ("ml.c5.4xlarge",))),
        required=_REQUIRED,
        never=(
            *_UNBOUNDED,
            ("sagemaker:InstanceTypes", ("ml.c5.4xlarge", "ml.p5.48xlarge")),
            ("sagemaker:KeepAlivePeriod", "600"),
            ("sagemaker:FileSystemId", "fs-0123456789abcdef0"),
            ("sagemaker:EnableRemoteDebug", "true"),
        ),
        also=(
            *(
                ("sagemaker:InstanceTypes", (each,))
                for each in (
                    "ml.c5.xlarge",
                    "ml.c5.2xlarge",
                    "ml.m5.xlarge",
                    "ml.m5.2xlarge",
                )
            ),
            ("sagemaker:MaxRuntimeInSeconds", "86400"),
            ("sagemaker:EnableRemoteDebug", "false"),
            *_NO_KEYS,
        ),
    ),
    Right(
        ("sagemaker:CreateProcessingJob",),
        jobs("processing-job"),
        other_jobs("processing-job"),
        (*_BOUNDED, ("sagemaker:InstanceTypes", ("ml.m5.xlarge",))),
        required=_REQUIRED,
        never=(*_UNBOUNDED, ("sagemaker:InstanceTypes", ("ml.m5.xlarge", "ml.p5.48xlarge"))),
        also=(
            *(
                ("sagemaker:InstanceTypes", (each,))
                for each in ("ml.m5.large", "ml.m5.2xlarge", "ml.m5.4xlarge")
            ),
            ("sagemaker:MaxRuntimeInSeconds", "86400"),
            *_NO_KEYS,
        ),
    ),
    Right(
        ("sagemaker:DescribeProcessingJob", "sagemaker:StopProcessingJob"),
        jobs("processing-job"),
        other_jobs("processing-job"),
    ),
    Right(
        ("sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"),
        jobs("training-job"),
        other_jobs("training-job"),
    ),
    Right(
        ("sagemaker:AddTags",),
        (*jobs("processing-job"), *jobs("training-job")),
        (*other_jobs("training-job"), f"{SAGEMAKER}:model-package/cv-birds/1"),
        (("sagemaker:TaggingAction", "CreateTrainingJob"),),
        required=("sagemaker:TaggingAction",),
        never=(("sagemaker:TaggingAction", "CreateModelPackage"),),
        also=(("sagemaker:TaggingAction", "CreateProcessingJob"),),
    ),
    Right(
        ("iam:PassRole",),
        (PIPELINE_ROLE,),
        (FUNCTION_ROLE, f"{ROLES}/admin", f"{PIPELINE_ROLE}-more"),
        TO_SAGEMAKER,
        required=("iam:PassedToService",),
        never=OTHER_SERVICES,
    ),
    Right(
        ("sagemaker:CreateModelPackage",),
        (f"{SAGEMAKER}:model-package/cv-birds/*", f"{SAGEMAKER}:model-package-group/cv-birds"),
        (
            f"{SAGEMAKER}:model-package/another/*",
            f"{SAGEMAKER}:model-package-group/another",
            f"{SAGEMAKER}:model-package-group/cv-birds-2",
        ),
        (("sagemaker:ModelApprovalStatus", "PendingManualApproval"),),
        required=("sagemaker:ModelApprovalStatus",),
        never=(
            ("sagemaker:ModelApprovalStatus", "Approved"),
            ("sagemaker:ModelApprovalStatus", "Rejected"),
            ("sagemaker:ModelLifeCycle:Stage", "Production"),
        ),
    ),
    Right(
        ("sagemaker:DescribeModelPackage",),
        (f"{SAGEMAKER}:model-package/cv-birds/1",),
        (f"{SAGEMAKER}:model-package/another/1", f"{SAGEMAKER}:model-package/cv-birds-2/1"),
    ),
    Right(
        ("s3:GetObject",),
        tuple(f"{BUCKET}/{prefix}/a" for prefix in ("data", "executions", "checkpoints")),
        (
            *(f"{BUCKET}/{key}" for key in ("pipeline/pipeline.json", "verdicts/a", "secrets/a", "datas/a")),
            f"{BUCKET}-more/data/a",
            f"{BUCKET}-more/executions/a",
            f"{BUCKET}-more/checkpoints/a",
            f"{BUCKET}/executions-2/a",
            f"{BUCKET}/checkpoints-2/a",
        ),
    ),
    Right(
        ("s3:ListBucket",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "data/images/"),),
        required=("s3:prefix",),
        never=tuple(("s3:prefix", prefix) for prefix in ("", "pipeline/", "verdicts/", "d", "e", "c")),
        also=(("s3:prefix", "executions/1/"), ("s3:prefix", "checkpoints/cv-birds/")),
    ),
    Right(
        ("s3:AbortMultipartUpload", "s3:PutObject"),
        (f"{BUCKET}/executions/1/a", f"{BUCKET}/checkpoints/cv-birds/spot/a"),
        (
            *(f"{BUCKET}/{key}" for key in ("pipeline/pipeline.json", "verdicts/a", "data/a", "other/a")),
            f"{BUCKET}-more/executions/a",
            f"{BUCKET}-more/checkpoints/a",
            f"{BUCKET}/executions-2/a",
            f"{BUCKET}/checkpoints-2/a",
        ),
    ),
    Right(
        ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        (IMAGES,),
        (f"{REPOSITORIES}/another", f"{IMAGES}-more"),
    ),
    Right(("ecr:GetAuthorizationToken",), ("*",)),
    Right(
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
        (
            f"{LOGS}:/aws/sagemaker/ProcessingJobs:log-stream:a",
            f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:a",
        ),
        (f"{LOGS}:/aws/sagemaker/Endpoints/a:log-stream:a", f"{LOGS}:/aws/lambda/another:log-stream:a"),
    ),
    Right(
        ("cloudwatch:PutMetricData",),
        ("*",),
        context=(("cloudwatch:namespace", "/aws/sagemaker/TrainingJobs"),),
        required=("cloudwatch:namespace",),
        never=(("cloudwatch:namespace", "AWS/Billing"), ("cloudwatch:namespace", "/aws/lambda")),
    ),
)


def _with_key(right: Right) -> Right:
    """Have a job's results encrypted with the deployment's key, which is asked for with the rest."""
    if right.actions[0] not in ("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob"):
        return right
    return dataclasses.replace(
        right,
        context=(*right.context, (_OUTPUT_KEY, DATA_KEY)),
        required=(*right.required, _OUTPUT_KEY),
        never=tuple(each for each in right.never if each != (_OUTPUT_KEY, DATA_KEY)),
        also=tuple(each for each in right.also if each[0] != _OUTPUT_KEY),
    )


PIPELINE_WITH_KEY = (
    *map(_with_key, PIPELINE),
    key_right("s3", never=("sqs", "ec2")),
    Right(("kms:DescribeKey",), (DATA_KEY,), OTHER_KEYS),
)
