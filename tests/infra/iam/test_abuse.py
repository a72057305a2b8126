"""The roles against what an abuser would ask for; role_table.py and people_table.py have what is right."""

from typing import Any

import pytest

from tests.support.iam.job_requests import PROCESS, PROCESSING_JOB, TRAIN, TRAINING_JOB, without
from tests.support.iam.rights import Context
from tests.support.iam.role_table import (
    BREAK_GLASS_ROLE,
    BUCKET,
    DATA_KEY,
    FUNCTION_ROLE,
    KEYS,
    LOGS,
    PIPELINE_ROLE,
    QUEUES,
    REGION,
    REPOSITORIES,
    SAGEMAKER,
    UPLOADER_ROLE,
)
from tests.support.iam.roles import Access, judge, statements
from tests.support.infra.profiles import DEFAULT

OUTPUT_KEY = "sagemaker:OutputKmsKeyArn"
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}


ELSEWHERE: list[Context] = [
    {"sagemaker:VpcSubnets": ["subnet-0123456789abcdef0"]},
    {"sagemaker:VpcSecurityGroupIds": ["sg-0123456789abcdef0"]},
    {"sagemaker:VolumeKmsKeyArn": f"{KEYS}/another"},
]
VIA_S3: Context = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
PENDING: Context = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}


FUNCTION_NEVER: list[Access] = [
    ("s3:PutObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:GetObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:DeleteObject", f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json", {}),
    ("s3:DeleteObjectVersion", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:ListBucket", BUCKET, {}),
    ("sagemaker:StopPipelineExecution", f"{SAGEMAKER}:pipeline/cv-birds/execution/abc", {}),
    ("s3:GetObject", "arn:aws:s3:::another-bucket/pipeline/pipeline.json", {}),
    ("sagemaker:StartPipelineExecution", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:UpdatePipeline", f"{SAGEMAKER}:pipeline/somebody-elses", {}),
    ("sagemaker:DeletePipeline", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, TRAIN),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/admin", {**TO_SAGEMAKER}),
    ("iam:PassRole", PIPELINE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("kms:Decrypt", DATA_KEY, {}),
    ("kms:Decrypt", f"{KEYS}/another", VIA_S3),
    ("kms:PutKeyPolicy", DATA_KEY, VIA_S3),
    ("kms:DescribeKey", DATA_KEY, {}),
]
PIPELINE_NEVER: list[Access] = [
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:InstanceTypes": ["ml.p5.48xlarge"]}),
    *[("sagemaker:CreateTrainingJob", TRAINING_JOB, without(TRAIN, key)) for key in TRAIN],
    *[("sagemaker:CreateProcessingJob", PROCESSING_JOB, without(PROCESS, key)) for key in PROCESS],
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:NetworkIsolation": "false"}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:MaxRuntimeInSeconds": "172800"}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:KeepAlivePeriod": "3600"}),
    (
        "sagemaker:CreateTrainingJob",
        TRAINING_JOB,
        {**TRAIN, "sagemaker:FileSystemId": "fs-0123456789abcdef0"},
    ),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:EnableRemoteDebug": "true"}),
    ("sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/mine", TRAIN),
    ("sagemaker:AddTags", TRAINING_JOB, {}),
    (
        "sagemaker:CreateModelPackage",
        f"{SAGEMAKER}:model-package/cv-birds/*",
        {"sagemaker:ModelApprovalStatus": "Approved"},
    ),
    ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package/others/*", PENDING),
    ("sagemaker:UpdateModelPackage", f"{SAGEMAKER}:model-package/cv-birds/1", {}),
    ("sagemaker:StartPipelineExecution", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:CreateEndpoint", f"{SAGEMAKER}:endpoint/mine", {}),
    ("iam:PassRole", FUNCTION_ROLE, {**TO_SAGEMAKER}),
    ("iam:PassRole", PIPELINE_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    ("s3:PutObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:PutObject", f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json", {}),
    ("s3:PutObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:DeleteObject", f"{BUCKET}/executions/abc/preprocess/train/a", {}),
    (
        "sagemaker:CreateModelPackage",
        f"{SAGEMAKER}:model-package/cv-birds/*",
        {**PENDING, "sagemaker:ModelLifeCycle:Stage": "Production"},
    ),
    *[("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, **elsewhere}) for elsewhere in ELSEWHERE],
    *[("sagemaker:CreateProcessingJob", PROCESSING_JOB, {**PROCESS, **elsewhere}) for elsewhere in ELSEWHERE],
    ("s3:GetObject", "arn:aws:s3:::another-bucket/data/a", {}),
    ("s3:ListBucket", BUCKET, {}),
    ("s3:ListBucket", BUCKET, {"s3:prefix": "pipeline/"}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("ecr:BatchGetImage", f"{REPOSITORIES}/others", {}),
    ("logs:PutLogEvents", f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:a", {}),
    ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/Billing"}),
    # A job that got hold of a ciphertext decrypts nothing by itself.
    ("kms:Decrypt", DATA_KEY, {}),
    ("kms:Decrypt", DATA_KEY, {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}),
    ("kms:GenerateDataKey", f"{KEYS}/another", VIA_S3),
    *[
        (f"kms:{action}", DATA_KEY, VIA_S3)
        for action in (
            *("CreateGrant", "PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey", "ReEncryptFrom"),
            *("CreateAlias", "UpdateAlias"),
        )
    ],
]
UPLOADER_NEVER: list[Access] = [
    (
        "sagemaker:StartPipelineExecution",
        f"{SAGEMAKER}:pipeline/cv-birds",
        {"sagemaker:PipelineVersionId": "1"},
    ),
    ("sagemaker:UpdatePipeline", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:CreatePipeline", f"{SAGEMAKER}:pipeline/cv-birds-mine", {}),
    ("sagemaker:StopPipelineExecution", f"{SAGEMAKER}:pipeline/cv-birds/execution/abc", {}),
    ("sagemaker:UpdateModelPackage", f"{SAGEMAKER}:model-package/cv-birds/1", {}),
    ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package/cv-birds/*", PENDING),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, TRAIN),
    ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:cv-birds-start-execution", {}),
    ("iam:PassRole", PIPELINE_ROLE, {**TO_SAGEMAKER}),
    ("sts:AssumeRole", BREAK_GLASS_ROLE, {}),
    ("sqs:DeleteMessage", f"{QUEUES}:cv-birds-failures", {}),
    ("s3:PutObject", f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json", {}),
    ("s3:PutObject", f"{BUCKET}/executions/abc/train/model.tar.gz", {}),
    ("s3:PutObject", f"{BUCKET}/checkpoints/cv-birds/spot/a", {}),
    ("s3:GetObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:DeleteObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:DeleteObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:DeleteObjectVersion", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("s3:PutLifecycleConfiguration", BUCKET, {}),
    ("s3:PutBucketVersioning", BUCKET, {}),
]
BREAK_GLASS_NEVER: list[Access] = [
    ("s3:GetObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:GetObjectVersion", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:PutObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:PutObject", f"{BUCKET}/verdicts/pipeline/pipeline.json/v1.json", {}),
    ("s3:DeleteObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:DeleteObjectVersion", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:DeleteObjectVersion", f"{BUCKET}/executions/abc/train/model.tar.gz", {}),
    ("s3:DeleteBucket", BUCKET, {}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("s3:ListBucketVersions", BUCKET, {}),
    ("sts:AssumeRole", UPLOADER_ROLE, {}),
    ("cloudformation:DeleteStack", "arn:aws:cloudformation:us-east-1:123456789012:stack/cv-birds/1", {}),
]


def cases(role_arn: str, requests: list[Access]) -> list[Any]:
    return [pytest.param(role_arn, request, id=f"{request[0]}-{n}") for n, request in enumerate(requests)]


@pytest.mark.parametrize(
    ("role_arn", "request_"),
    [
        *cases(FUNCTION_ROLE, FUNCTION_NEVER),
        *cases(PIPELINE_ROLE, PIPELINE_NEVER),
        *cases(UPLOADER_ROLE, UPLOADER_NEVER),
        *cases(BREAK_GLASS_ROLE, BREAK_GLASS_NEVER),
    ],
)
def test_what_an_abuser_would_do_is_denied(role_arn: str, request_: Access) -> None:
    decision = judge(role_arn, request_)
    assert not decision.allowed
    # What AWS cannot be asked like this is denied by itself, and proves nothing.
    assert (decision.ignored, decision.unknown) == ((), None)


@pytest.mark.parametrize(
    ("role_arn", "request_"),
    [*cases(FUNCTION_ROLE, FUNCTION_NEVER), *cases(PIPELINE_ROLE, PIPELINE_NEVER)],
)
def test_an_abuser_gets_no_more_in_the_default_profile(role_arn: str, request_: Access) -> None:
    action, resource, context = request_
    # There is no key that a job could have left out.
    if resource in (TRAINING_JOB, PROCESSING_JOB) and context.get(OUTPUT_KEY) in (DATA_KEY, None):
        if context == without({TRAINING_JOB: TRAIN, PROCESSING_JOB: PROCESS}[resource], OUTPUT_KEY):
            pytest.skip("it is what every job asks for")
        request_ = (action, resource, without(context, OUTPUT_KEY))
    assert not judge(role_arn, request_, statements(role_arn, DEFAULT)).allowed


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"])
@pytest.mark.parametrize("key", ["pipeline/pipeline.json", "verdicts/pipeline/pipeline.json/v1.json"])
def test_the_definitions_stay_out_of_reach_when_somebody_allows_everything(action: str, key: str) -> None:
    generous = [*statements(PIPELINE_ROLE), {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    decision = judge(PIPELINE_ROLE, (action, f"{BUCKET}/{key}", {}), generous)
    assert (decision.allowed, decision.denied_by) == (False, ("NeverTheTrigger",))
