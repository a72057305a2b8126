"""The two roles against requests: what the product does is allowed, what an abuser would do is not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from local.aws.iam import Access, Decision, Policy, Principal, decide, parse_policy

TEMPLATE = json.loads((Path(__file__).parents[1] / "infra" / "template.json").read_text(encoding="utf-8"))
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
}
BUCKET = "arn:aws:s3:::cv-birds-123456789012-us-east-1"
SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012"
PIPELINE_ROLE = "arn:aws:iam::123456789012:role/cv-birds-pipeline-us-east-1"
FUNCTION_ROLE = "arn:aws:iam::123456789012:role/cv-birds-start-execution-us-east-1"
LOGS = "arn:aws:logs:us-east-1:123456789012:log-group"
REPOSITORIES = "arn:aws:ecr:us-east-1:123456789012:repository"
IMAGES = f"{REPOSITORIES}/cdk-hnb659fds-container-assets-123456789012-us-east-1"
TRAINING_JOB = f"{SAGEMAKER}:training-job/pipelines-abc123-trainspot-x1"
PROCESSING_JOB = f"{SAGEMAKER}:processing-job/pipelines-abc123-preprocess-x1"
TO_SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}

Context = dict[str, str | list[str]]
Request = tuple[str, str, Context]

BOUNDED: Context = {
    "sagemaker:NetworkIsolation": "true",
    "sagemaker:InterContainerTrafficEncryption": "true",
    "sagemaker:MaxRuntimeInSeconds": "14400",
}
TRAIN: Context = {**BOUNDED, "sagemaker:InstanceTypes": ["ml.c5.4xlarge"]}
PROCESS: Context = {**BOUNDED, "sagemaker:InstanceTypes": ["ml.m5.xlarge"]}
PENDING: Context = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}


def without(context: Context, key: str) -> Context:
    return {name: value for name, value in context.items() if name != key}


def resolve(value: Any) -> Any:
    """Give a template's value with the pseudo parameters filled in."""
    match value:
        case {"Ref": str(name)}:
            return PSEUDO_PARAMETERS[name]
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: PSEUDO_PARAMETERS[found[1]], text)
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(resolve(part) for part in parts)
        case dict():
            return {key: resolve(each) for key, each in value.items()}
        case list():
            return [resolve(each) for each in value]
    return value


def statements(role_arn: str) -> list[dict[str, Any]]:
    for resource in TEMPLATE["Resources"].values():
        name = resolve(resource["Properties"].get("RoleName"))
        if name and role_arn.endswith(f"/{name}"):
            (policy,) = resource["Properties"]["Policies"]
            found: list[dict[str, Any]] = resolve(policy["PolicyDocument"])["Statement"]
            return found
    raise LookupError(role_arn)


def policy(given: list[dict[str, Any]]) -> Policy:
    return parse_policy({"Version": "2012-10-17", "Statement": given}, kind="identity")


def judge(role_arn: str, request: Request, given: list[dict[str, Any]] | None = None) -> Decision:
    action, resource, context = request
    principal = Principal(arn=role_arn, account="123456789012", role_arn=role_arn)
    identity = [policy(statements(role_arn) if given is None else given)]
    return decide(Access(principal, action, resource, context), identity=identity)


FUNCTION_DOES: list[Request] = [
    ("s3:GetObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:GetObjectVersion", f"{BUCKET}/pipeline/nightly/pipeline.json", {}),
    ("sagemaker:CreatePipeline", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:UpdatePipeline", f"{SAGEMAKER}:pipeline/cv-birds-nightly", {}),
    (
        "sagemaker:StartPipelineExecution",
        f"{SAGEMAKER}:pipeline/cv-birds",
        {"sagemaker:PipelineVersionId": "3"},
    ),
    ("iam:PassRole", PIPELINE_ROLE, {**TO_SAGEMAKER}),
    ("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:cv-birds-failures", {}),
    ("logs:PutLogEvents", f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:a", {}),
]
PIPELINE_DOES: list[Request] = [
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, TRAIN),
    ("sagemaker:CreateProcessingJob", PROCESSING_JOB, PROCESS),
    ("sagemaker:StopTrainingJob", TRAINING_JOB, {}),
    ("sagemaker:DescribeProcessingJob", PROCESSING_JOB, {}),
    ("sagemaker:AddTags", TRAINING_JOB, {"sagemaker:TaggingAction": "CreateTrainingJob"}),
    ("iam:PassRole", PIPELINE_ROLE, {**TO_SAGEMAKER}),
    ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package/cv-birds/*", PENDING),
    ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package-group/cv-birds", PENDING),
    ("sagemaker:DescribeModelPackage", f"{SAGEMAKER}:model-package/cv-birds/1", {}),
    ("s3:GetObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:GetObject", f"{BUCKET}/executions/abc/evaluation/spot/evaluation.json", {}),
    ("s3:ListBucket", BUCKET, {"s3:prefix": "data/"}),
    ("s3:PutObject", f"{BUCKET}/executions/abc/training/spot/model.tar.gz", {}),
    ("s3:PutObject", f"{BUCKET}/checkpoints/cv-birds/spot/a.safetensors", {}),
    ("ecr:BatchGetImage", IMAGES, {}),
    ("ecr:GetAuthorizationToken", "*", {}),
    ("logs:CreateLogGroup", f"{LOGS}:/aws/sagemaker/TrainingJobs", {}),
    ("logs:PutLogEvents", f"{LOGS}:/aws/sagemaker/ProcessingJobs:log-stream:a", {}),
    ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}),
]
FUNCTION_NEVER: list[Request] = [
    ("s3:PutObject", f"{BUCKET}/pipeline/pipeline.json", {}),
    ("s3:GetObject", f"{BUCKET}/data/images/1.jpg", {}),
    ("s3:GetObject", "arn:aws:s3:::another-bucket/pipeline/pipeline.json", {}),
    ("sagemaker:StartPipelineExecution", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:UpdatePipeline", f"{SAGEMAKER}:pipeline/somebody-elses", {}),
    ("sagemaker:DeletePipeline", f"{SAGEMAKER}:pipeline/cv-birds", {}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, TRAIN),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/admin", {**TO_SAGEMAKER}),
    ("iam:PassRole", PIPELINE_ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
]
PIPELINE_NEVER: list[Request] = [
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:InstanceTypes": ["ml.p5.48xlarge"]}),
    *[("sagemaker:CreateTrainingJob", TRAINING_JOB, without(TRAIN, key)) for key in TRAIN],
    *[("sagemaker:CreateProcessingJob", PROCESSING_JOB, without(PROCESS, key)) for key in PROCESS],
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:NetworkIsolation": "false"}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:MaxRuntimeInSeconds": "172800"}),
    ("sagemaker:CreateTrainingJob", TRAINING_JOB, {**TRAIN, "sagemaker:KeepAlivePeriod": "3600"}),
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
    ("s3:GetObject", "arn:aws:s3:::another-bucket/data/a", {}),
    ("s3:ListBucket", BUCKET, {}),
    ("s3:ListBucket", BUCKET, {"s3:prefix": "pipeline/"}),
    ("s3:PutBucketPolicy", BUCKET, {}),
    ("ecr:BatchGetImage", f"{REPOSITORIES}/others", {}),
    ("logs:PutLogEvents", f"{LOGS}:/aws/lambda/cv-birds-start-execution:log-stream:a", {}),
    ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/Billing"}),
]


def cases(role_arn: str, requests: list[Request]) -> list[Any]:
    return [pytest.param(role_arn, request, id=f"{request[0]}-{n}") for n, request in enumerate(requests)]


@pytest.mark.parametrize(
    ("role_arn", "request_"), cases(FUNCTION_ROLE, FUNCTION_DOES) + cases(PIPELINE_ROLE, PIPELINE_DOES)
)
def test_what_the_product_does_is_allowed(role_arn: str, request_: Request) -> None:
    assert judge(role_arn, request_).allowed


@pytest.mark.parametrize(
    ("role_arn", "request_"), cases(FUNCTION_ROLE, FUNCTION_NEVER) + cases(PIPELINE_ROLE, PIPELINE_NEVER)
)
def test_what_an_abuser_would_do_is_denied(role_arn: str, request_: Request) -> None:
    assert not judge(role_arn, request_).allowed


@pytest.mark.parametrize(
    ("role_arn", "does"), [(FUNCTION_ROLE, FUNCTION_DOES), (PIPELINE_ROLE, PIPELINE_DOES)]
)
def test_no_statement_could_be_left_out(role_arn: str, does: list[Request]) -> None:
    every = statements(role_arn)
    for missing in (each for each in every if each["Effect"] == "Allow"):
        rest = [each for each in every if each is not missing]
        assert not all(judge(role_arn, request, rest).allowed for request in does), missing["Sid"]


def test_the_definitions_stay_out_of_reach_when_somebody_allows_everything() -> None:
    generous = [*statements(PIPELINE_ROLE), {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    decision = judge(PIPELINE_ROLE, ("s3:PutObject", f"{BUCKET}/pipeline/pipeline.json", {}), generous)
    assert (decision.allowed, decision.sid) == (False, "NeverTheTrigger")
