"""What IAM allows on local AWS, MiniStack and our SageMaker alike, and how it says no."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from local.aws import LocalAWS
from local.engine.host import AccessDeniedError
from tests.support.local_aws.clients import refusal

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
TRAINING: dict[str, Any] = {
    "TrainingJobName": "Pipelines-Abc",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b-1/out"},
    "ResourceConfig": {"InstanceType": "ml.c5.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "EnableNetworkIsolation": True,
    "EnableInterContainerTrafficEncryption": True,
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as running:
        running.client("s3").create_bucket(Bucket="birds")
        running.client("s3").put_object(Bucket="birds", Key="data/a", Body=b"a")
        yield running


@pytest.fixture
def role(aws: LocalAWS) -> Callable[..., str]:
    """Make a role with these statements and return its ARN."""

    def make(*statements: Mapping[str, Any], trust: Mapping[str, Any] = TRUST, **options: Any) -> str:
        iam, name = aws.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), **options)
        if statements:
            document = {"Version": "2012-10-17", "Statement": list(statements)}
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
        return str(made["Role"]["Arn"])

    return make


def allow(*actions: str, on: str = "*", effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": list(actions), "Resource": on, **elements}


def test_a_role_may_do_what_its_policies_say_and_nothing_else(
    aws: LocalAWS, role: Callable[..., str]
) -> None:
    arn = role(allow("s3:GetObject", on="arn:aws:s3:::birds/data/*"))
    s3 = aws.client("s3", arn)
    assert s3.get_object(Bucket="birds", Key="data/a")["Body"].read() == b"a"
    code, status, message = refusal(s3.put_object, Bucket="birds", Key="data/a", Body=b"b")
    session = arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/local"
    assert (code, status) == ("AccessDenied", 403)
    assert message == (
        f"User: {session} is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::birds/data/a "
        "because no identity-based policy allows the s3:PutObject action"
    )


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code", "status"),
    [
        ("sagemaker", "describe_pipeline", {"PipelineName": "birds"}, "AccessDeniedException", 400),
        ("lambda", "get_function", {"FunctionName": "f"}, "AccessDeniedException", 403),
        ("logs", "create_log_group", {"logGroupName": "g"}, "AccessDeniedException", 400),
        ("iam", "get_role", {"RoleName": "r"}, "AccessDenied", 403),
        ("cloudformation", "describe_stacks", {"StackName": "s"}, "AccessDenied", 403),
        ("sqs", "list_queues", {}, "AccessDenied", 403),
    ],
)
def test_each_protocol_has_its_own_shape_of_access_denied(  # noqa: PLR0917 - its parameters are a table
    aws: LocalAWS,
    role: Callable[..., str],
    service: str,
    operation: str,
    parameters: dict[str, Any],
    code: str,
    status: int,
) -> None:
    found = refusal(getattr(aws.client(service, role()), operation), **parameters)
    assert found[:2] == (code, status)
    assert "is not authorized to perform: " in found[2]


def test_pass_role_is_needed_for_that_role_and_that_service(aws: LocalAWS, role: Callable[..., str]) -> None:
    condition = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    passing = allow("iam:PassRole", on="*", Condition=condition)
    client = aws.client("sagemaker", role(allow("sagemaker:*"), passing))
    _, _, message = refusal(client.create_training_job, **TRAINING)
    assert f"is not authorized to perform: iam:PassRole on resource: {ROLE}" in message


@pytest.mark.parametrize(
    ("change", "permitted"),
    [
        ({}, True),
        ({"EnableNetworkIsolation": False}, False),
        ({"ResourceConfig": {**TRAINING["ResourceConfig"], "InstanceType": "ml.p5.48xlarge"}}, False),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 7200}}, False),
        ({"ResourceConfig": {**TRAINING["ResourceConfig"], "KeepAlivePeriodInSeconds": 60}}, False),
        ({"TrainingJobName": "somebody-elses"}, False),
    ],
)
def test_the_bounds_of_a_role_hold_for_every_training_job(
    aws: LocalAWS, role: Callable[..., str], change: dict[str, Any], permitted: bool
) -> None:
    bounded = allow(
        "sagemaker:CreateTrainingJob",
        on=f"{SAGEMAKER}:training-job/pipelines-*",
        Condition={
            "Bool": {"sagemaker:NetworkIsolation": "true"},
            "NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": "3600"},
            "ForAllValues:StringEquals": {"sagemaker:InstanceTypes": ["ml.c5.4xlarge"]},
            "Null": {"sagemaker:InstanceTypes": "false", "sagemaker:KeepAlivePeriod": "true"},
        },
    )
    # The role is not allowed to pass a role, so that no job ever starts here; what is asked first tells.
    client = aws.client("sagemaker", role(bounded))
    _, _, message = refusal(client.create_training_job, **{**TRAINING, **change})
    assert ("iam:PassRole" in message) is permitted


def test_a_bucket_policy_denies_and_allows_by_principal_and_condition(
    aws: LocalAWS, role: Callable[..., str]
) -> None:
    reader, writer = role(), role(allow("s3:*"))
    admin = aws.client("s3")
    admin.create_bucket(Bucket="shared")
    admin.put_object(Bucket="shared", Key="k", Body=b"k")
    statements = [
        allow("s3:*", on="arn:aws:s3:::shared/*", effect="Deny", Principal="*", Condition=TLS_ONLY),
        allow("s3:GetObject", on="arn:aws:s3:::shared/*", Principal={"AWS": reader}),
        allow("s3:PutObject", on="arn:aws:s3:::shared/*", effect="Deny", Principal={"AWS": writer}),
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    admin.put_bucket_policy(Bucket="shared", Policy=json.dumps(policy))
    assert aws.client("s3", reader).get_object(Bucket="shared", Key="k")["Body"].read() == b"k"
    assert aws.client("s3", writer).get_object(Bucket="shared", Key="k")["Body"].read() == b"k"
    admin.put_object(Bucket="shared", Key="k", Body=b"k")
    _, _, message = refusal(aws.client("s3", writer).put_object, Bucket="shared", Key="k", Body=b"x")
    assert message.endswith("with an explicit deny in a resource-based policy")


@pytest.mark.parametrize("trusted", [{"AWS": ACCOUNT}, {"Service": "lambda.amazonaws.com"}], ids=str)
def test_a_denial_names_its_statement_and_whom_it_exempts(
    aws: LocalAWS, role: Callable[..., str], trusted: dict[str, str]
) -> None:
    trust = {**TRUST, "Statement": [{"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"}]}
    one, other, denial = role(trust=trust), role(allow("s3:*")), {"effect": "Deny", "Principal": "*"}
    on, exempt = "arn:aws:s3:::guarded/*", {"ArnNotEquals": {"aws:PrincipalArn": one}}
    statements = [
        allow("s3:PutObject", on=on, Sid="OnlyOne", Condition=exempt, **denial),
        allow("s3:DeleteObject", on=on, Sid="Nobody", **denial),
    ]
    s3, admin = aws.client("s3", other), aws.client("s3")
    admin.create_bucket(Bucket="guarded")
    policy = {"Version": "2012-10-17", "Statement": statements}
    admin.put_bucket_policy(Bucket="guarded", Policy=json.dumps(policy))
    _, _, message = refusal(s3.put_object, Bucket="guarded", Key="k", Body=b"k")
    advice = f"; use cv-pipeline or a profile with role_arn = {one}" if "AWS" in trusted else ""
    assert message.endswith(f" in a resource-based policy: statement OnlyOne lets only {one} do it{advice}")
    _, _, message = refusal(s3.delete_object, Bucket="guarded", Key="k")
    assert message.endswith(" in a resource-based policy: statement Nobody")
    admin.delete_bucket(Bucket="guarded")


TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


def test_a_queue_policy_is_judged_as_well(aws: LocalAWS, role: Callable[..., str]) -> None:
    sender = role()
    queue = aws.client("sqs").create_queue(QueueName="failures")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:failures"
    assert (
        refusal(aws.client("sqs", sender).send_message, QueueUrl=queue, MessageBody="m")[0] == "AccessDenied"
    )
    policy = {
        "Version": "2012-10-17",
        "Statement": [allow("sqs:SendMessage", on=arn, Principal={"AWS": sender})],
    }
    aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    assert aws.client("sqs", sender).send_message(QueueUrl=queue, MessageBody="m")["MessageId"]


def test_a_permissions_boundary_and_managed_policies_count(aws: LocalAWS, role: Callable[..., str]) -> None:
    iam = aws.client("iam")

    def managed(name: str, *statements: Mapping[str, Any]) -> str:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        return str(iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"])

    arn = role(PermissionsBoundary=managed("edge", allow("s3:Get*")))
    iam.attach_role_policy(RoleName=arn.rpartition("/")[2], PolicyArn=managed("everything", allow("*")))
    s3 = aws.client("s3", arn)
    s3.get_object(Bucket="birds", Key="data/a")
    _, _, message = refusal(s3.put_object, Bucket="birds", Key="data/a", Body=b"b")
    assert "is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::birds/data/a" in message


def test_a_changed_policy_counts_from_the_next_call_on(aws: LocalAWS, role: Callable[..., str]) -> None:
    arn = role(allow("s3:GetObject"))
    s3 = aws.client("s3", arn)
    s3.get_object(Bucket="birds", Key="data/a")
    aws.client("iam").delete_role_policy(RoleName=arn.rpartition("/")[2], PolicyName="own")
    assert refusal(s3.get_object, Bucket="birds", Key="data/a")[0] == "AccessDenied"


def test_a_condition_that_cannot_be_judged_allows_nothing(aws: LocalAWS, role: Callable[..., str]) -> None:
    arn = role()
    bad = allow("s3:*", Condition={"BinaryEquals": {"s3:prefix": "eA=="}})
    document = json.dumps({"Version": "2012-10-17", "Statement": [bad]})
    aws.client("iam").put_role_policy(
        RoleName=arn.rpartition("/")[2], PolicyName="odd", PolicyDocument=document
    )
    assert refusal(aws.client("s3", arn).get_object, Bucket="birds", Key="data/a")[0] == "AccessDenied"


# --- assuming roles -----------------------------------------------------------------------------------


def test_assuming_a_role_over_sts_needs_its_trust(aws: LocalAWS, role: Callable[..., str]) -> None:
    sts = aws.client("sts")
    closed = role(allow("s3:GetObject"))
    code, _, message = refusal(sts.assume_role, RoleArn=closed, RoleSessionName="person")
    assert code == "AccessDenied"
    assert f"is not authorized to perform: sts:AssumeRole on resource: {closed}" in message
    person = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    opened = role(allow("s3:GetObject"), trust={"Version": "2012-10-17", "Statement": [person]})
    given = sts.assume_role(RoleArn=opened, RoleSessionName="person")["Credentials"]
    session = boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], REGION
    )
    s3 = session.client("s3", endpoint_url=aws.endpoint_url)
    assert s3.get_object(Bucket="birds", Key="data/a")["Body"].read() == b"a"
    assert refusal(s3.list_objects_v2, Bucket="birds")[0] == "AccessDenied"


def test_a_service_gets_credentials_only_of_roles_that_trust_it(
    aws: LocalAWS, role: Callable[..., str]
) -> None:
    arn = role()
    assert aws.role_environment(arn, "job", trusted="sagemaker")["AWS_SESSION_TOKEN"]
    with pytest.raises(AccessDeniedError, match=r"User: lambda.amazonaws.com is not authorized"):
        aws.role_environment(arn, "function", trusted="lambda")
    missing = f"arn:aws:iam::{ACCOUNT}:role/missing"
    with pytest.raises(AccessDeniedError):
        aws.role_environment(missing, "job", trusted="sagemaker")
    assert refusal(aws.client("s3", missing).list_buckets)[0] == "AccessDenied"


def test_a_trust_policys_source_conditions_bind_the_service(aws: LocalAWS, role: Callable[..., str]) -> None:
    condition = {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"{SAGEMAKER}:pipeline/birds*"},
    }
    statement = {**TRUST["Statement"][0], "Condition": condition}  # type: ignore[dict-item]
    arn = role(trust={"Version": "2012-10-17", "Statement": [statement]})
    assert aws.role_environment(arn, "x", trusted="sagemaker", source_arn=f"{SAGEMAKER}:pipeline/birds-2")
    with pytest.raises(AccessDeniedError):
        aws.role_environment(arn, "x", trusted="sagemaker", source_arn=f"{SAGEMAKER}:pipeline/other")


# --- what a request is about --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def groups(aws: LocalAWS) -> list[str]:
    """Two model package groups, and what begins their ARNs."""
    names = ["mine", "prod"]
    for name in names:
        aws.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return names


def raw(aws: LocalAWS, role_arn: str, operation: str, parameters: dict[str, Any]) -> tuple[int, str]:
    """Send a request that no client would let pass; return status and body."""
    given = aws.role_environment(role_arn, "raw")
    keys = Credentials(
        *(given[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    )
    headers = {"x-amz-target": f"SageMaker.{operation}", "content-type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{aws.endpoint_url}/", headers, json.dumps(parameters))
    SigV4Auth(keys, "sagemaker", aws.region).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    return answer.status_code, answer.text


def test_a_member_that_the_operation_does_not_have_says_nothing_about_its_resource(
    aws: LocalAWS, role: Callable[..., str], groups: list[str]
) -> None:
    mine = role(allow("sagemaker:*", on=f"{SAGEMAKER}:pipeline/mine"))
    spoiled = {"ModelPackageGroupName": "prod", "PipelineArn": f"{SAGEMAKER}:pipeline/mine"}
    status, said = raw(aws, mine, "DescribeModelPackageGroup", spoiled)
    assert status == 400
    assert f"on resource: {SAGEMAKER}:model-package-group/prod" in said


@pytest.mark.parametrize(
    "name",
    [
        "prod",
        "PROD",
        f"{SAGEMAKER}:model-package-group/prod",
        f"{SAGEMAKER}:model-package-group/PROD",
        f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package-group/prod",
        f"arn:aws:sagemaker:{REGION}:999999999999:model-package-group/prod",
        f"{SAGEMAKER}:pipeline/prod",
    ],
)
def test_no_spelling_of_a_resource_slips_past_a_deny(
    name: str, aws: LocalAWS, role: Callable[..., str], groups: list[str]
) -> None:
    kept = allow("*", on=f"{SAGEMAKER}:model-package-group/prod", effect="Deny")
    status, said = raw(
        aws, role(allow("*"), kept), "DeleteModelPackageGroup", {"ModelPackageGroupName": name}
    )
    assert status == 400
    assert "AccessDenied" in said or "does not exist" in said
    listed = aws.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert {each["ModelPackageGroupName"] for each in listed} >= set(groups)


@pytest.mark.parametrize("where", [f"{ACCOUNT}:role", f"{ACCOUNT}:role/dev-x", "999999999999:role"])
def test_a_role_is_passed_under_its_own_arn_alone(
    where: str, aws: LocalAWS, role: Callable[..., str]
) -> None:
    admin = f"arn:aws:iam::{where}/{role(allow('*')).rpartition('/')[2]}"
    passable = (f"arn:aws:iam::{ACCOUNT}:role/dev-*", "arn:aws:iam::9*:*")
    passing = [allow("iam:PassRole", on=each) for each in passable]
    client = aws.client("sagemaker", role(allow("sagemaker:*"), *passing))
    definition = json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": []})
    create = {"PipelineName": "passed", "PipelineDefinition": definition, "RoleArn": admin}
    assert refusal(client.create_pipeline, **create)[0] in ("AccessDeniedException", "ValidationException")


def test_a_trust_policy_may_be_one_statement(aws: LocalAWS, role: Callable[..., str]) -> None:
    one = role(trust={"Version": "2012-10-17", "Statement": TRUST["Statement"][0]})
    assert aws.role_environment(one, "job", trusted="sagemaker")["AWS_SESSION_TOKEN"]
    with pytest.raises(AccessDeniedError):
        aws.role_environment(one, "job", trusted="lambda")


@pytest.mark.parametrize(
    "parameters", [{"Tags": [1]}, {"Tags": "abc"}, {"ResourceConfig": "x"}, {"TrainingJobName": [1]}]
)
def test_a_request_of_another_shape_is_the_callers_mistake(
    parameters: dict[str, Any], aws: LocalAWS, role: Callable[..., str]
) -> None:
    status, said = raw(aws, role(allow("*")), "CreateTrainingJob", {**TRAINING, **parameters})
    assert status == 400
    assert "defect" not in said
