"""What the roles that people assume are for: every right, and the nearest things that they must not reach.

The rest is tests/support/iam/role_table.py, the roles of the function and of the jobs.
"""

from __future__ import annotations

from tests.support.iam.rights import Right
from tests.support.iam.role_table import (
    ACCOUNT,
    BUCKET,
    DATA_KEY,
    LOGS,
    OTHER_ACCOUNT,
    OTHER_KEYS,
    OTHER_PIPELINES,
    QUEUES,
    REGION,
    SAGEMAKER,
    jobs,
    key_right,
    other_jobs,
    pipelines,
)

STACKS = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack"
FUNCTIONS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
_KEYS = ("pipeline.json", "night/pipeline.json", "parameters.json", "night/parameters.json")
_VALUES = ("parameters.json", "night/parameters.json")
_ELSEWHERE = (
    f"{BUCKET}/pipeline/notes.txt",
    f"{BUCKET}/pipeline/pipeline.json.bak",
    f"{BUCKET}/pipeline/parameters.json.bak",
    f"{BUCKET}/pipeline.json",
    f"{BUCKET}/parameters.json",
    f"{BUCKET}-more/pipeline/pipeline.json",
    f"{BUCKET}-more/pipeline/parameters.json",
    f"{BUCKET}/checkpoints/cv-birds/pipeline.json",
    f"{BUCKET}/checkpoints/cv-birds/parameters.json",
)

UPLOADER = (
    Right(
        ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"),
        tuple(f"{BUCKET}/pipeline/{key}" for key in _KEYS),
        _ELSEWHERE,
    ),
    Right(
        ("s3:DeleteObject",),
        tuple(f"{BUCKET}/pipeline/{key}" for key in _VALUES),
        (*_ELSEWHERE, f"{BUCKET}/pipeline/pipeline.json", f"{BUCKET}/data/a", f"{BUCKET}/verdicts/a"),
    ),
    Right(
        ("s3:ListBucketVersions",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "pipeline/night/pipeline.json"),),
        required=("s3:prefix",),
        never=(("s3:prefix", ""), ("s3:prefix", "data/"), ("s3:prefix", "verdicts/"), ("s3:prefix", "p")),
    ),
    Right(("s3:GetBucketNotification",), (BUCKET,), (f"{BUCKET}-more",)),
    Right(
        ("s3:AbortMultipartUpload", "s3:PutObject"),
        (f"{BUCKET}/data/0123/images/1.jpg",),
        (
            *(f"{BUCKET}/{key}" for key in ("datas/a", "verdicts/a", "executions/1/a", "checkpoints/a", "a")),
            f"{BUCKET}-more/data/a",
        ),
    ),
    Right(
        ("s3:ListBucket",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "data/0123/"),),
        required=("s3:prefix",),
        never=tuple(
            ("s3:prefix", prefix)
            for prefix in ("", "pipeline/", "executions/", "checkpoints/", "d", "v", "datas/", "verdict")
        ),
        also=(("s3:prefix", "verdicts/pipeline/pipeline.json/"),),
    ),
    Right(
        ("s3:GetObject",),
        (f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json", f"{BUCKET}/executions/1/model.tar.gz"),
        (
            *(f"{BUCKET}/{key}" for key in ("data/a", "checkpoints/a", "verdicts-2/a", "executions-2/a")),
            f"{BUCKET}-more/verdicts/a",
            f"{BUCKET}-more/executions/a",
        ),
    ),
    Right(
        ("cloudformation:DescribeStacks", "cloudformation:ListStackResources"),
        (f"{STACKS}/cv-birds/0123",),
        (f"{STACKS}/cv-birds-two/0123", f"{STACKS}/another/0123"),
    ),
    Right(
        ("lambda:GetFunctionConfiguration",),
        (f"{FUNCTIONS}:cv-birds-start-execution",),
        (f"{FUNCTIONS}:cv-birds-start-execution-2", f"{FUNCTIONS}:another"),
    ),
    Right(
        ("sqs:ChangeMessageVisibility", "sqs:ReceiveMessage"),
        (f"{QUEUES}:cv-birds-failures",),
        (f"{QUEUES}:cv-birds-failures-more", f"{QUEUES}:another"),
    ),
    Right(
        (
            "sagemaker:DescribePipeline",
            "sagemaker:DescribePipelineDefinitionForExecution",
            "sagemaker:DescribePipelineExecution",
            "sagemaker:ListPipelineExecutionSteps",
            "sagemaker:ListPipelineExecutions",
            "sagemaker:ListPipelineParametersForExecution",
        ),
        pipelines("", "-nightly", "/execution/abc", "-nightly/execution/abc"),
        (*OTHER_PIPELINES, f"{SAGEMAKER}:pipeline/another/execution/abc"),
    ),
    Right(
        ("sagemaker:DescribeModelPackage",),
        (f"{SAGEMAKER}:model-package/cv-birds/1",),
        (f"{SAGEMAKER}:model-package/another/1", f"{SAGEMAKER}:model-package/cv-birds-2/1"),
    ),
    Right(
        ("sagemaker:DescribeProcessingJob",),
        jobs("processing-job"),
        (*other_jobs("processing-job"), f"{OTHER_ACCOUNT}:processing-job/mine"),
    ),
    Right(
        ("sagemaker:DescribeTrainingJob",),
        jobs("training-job"),
        (*other_jobs("training-job"), f"{OTHER_ACCOUNT}:training-job/mine"),
    ),
    Right(("sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"), ("*",)),
    Right(
        ("logs:GetLogEvents",),
        (
            f"{LOGS}:/aws/sagemaker/ProcessingJobs:log-stream:pipelines-abc/algo-1",
            f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:pipelines-abc/algo-1",
            f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:2026/01/01",
        ),
        (
            f"{LOGS}:/aws/sagemaker/ProcessingJobs:log-stream:mine/algo-1",
            f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:mine/algo-1",
            f"{LOGS}:/aws/sagemaker/TrainingJobs-2:log-stream:pipelines-a",
            f"{LOGS}:/aws/sagemaker/Endpoints/a:log-stream:pipelines-a",
            f"{LOGS}:/aws/lambda/cv-birds-start-execution-2:log-stream:a",
            f"{LOGS}:/aws/lambda/cv-birds-start-execution:metric-filter:a",
            f"{LOGS}:/aws/lambda/another:log-stream:a",
        ),
    ),
    Right(
        ("logs:DescribeLogStreams",),
        tuple(
            f"{LOGS}:/aws/sagemaker/{kind}Jobs{end}"
            for kind in ("Processing", "Training")
            for end in ("", ":log-stream:")
        ),
        (
            f"{LOGS}:/aws/sagemaker/TrainingJobs-2:log-stream:",
            f"{LOGS}:/aws/sagemaker/Endpoints/a:log-stream:",
            f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:",
        ),
    ),
    key_right("s3", never=("sqs", "ec2")),
    Right(
        ("kms:Decrypt",),
        (DATA_KEY,),
        OTHER_KEYS,
        (("kms:ViaService", f"sqs.{REGION}.amazonaws.com"),),
        required=("kms:ViaService",),
        never=(("kms:ViaService", "sqs.eu-west-1.amazonaws.com"),),
    ),
)

BREAK_GLASS = (
    Right(
        ("s3:ListBucketVersions",),
        (BUCKET,),
        (f"{BUCKET}-more",),
        (("s3:prefix", "pipeline/"),),
        required=("s3:prefix",),
        never=tuple(("s3:prefix", prefix) for prefix in ("", "data/", "executions/", "p", "v", "verdict")),
        also=(("s3:prefix", "verdicts/"),),
    ),
    Right(
        ("s3:DeleteObjectVersion",),
        (f"{BUCKET}/pipeline/pipeline.json", f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json"),
        (
            *(f"{BUCKET}/{key}" for key in ("data/a", "executions/1/a", "pipelines/a", "verdicts-2/a")),
            f"{BUCKET}-more/pipeline/pipeline.json",
            f"{BUCKET}-more/verdicts/a",
        ),
    ),
)
