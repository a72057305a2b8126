"""A job's data, image, log, metrics, network and keys: what is refused, and the rights they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sagemaker.account import EVERYTHING, ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.refusals import error_of
from tests.support.sagemaker.toy_jobs import BUCKET, training_request

OK = "pathlib.Path(base, 'model').mkdir(exist_ok=True)"
ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        yield opened


@pytest.fixture(scope="module")
def vpc(account: ToyAccount) -> dict[str, Any]:
    """A VpcConfig of the account's own default VPC."""
    ec2 = account.aws.client("ec2")
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    subnets = ec2.describe_subnets()["Subnets"]
    return {"Subnets": [each["SubnetId"] for each in subnets[:2]], "SecurityGroupIds": [group["GroupId"]]}


@pytest.fixture(scope="module")
def key(account: ToyAccount) -> str:
    arn: str = account.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def refusal(account: ToyAccount, **changes: Any) -> str:
    code, message = error_of(account, "create_training_job", **training_request("refused", OK, **changes))
    assert code == "ValidationException"
    return message


def less(*actions: str) -> list[dict[str, Any]]:
    return [*EVERYTHING, {"Effect": "Deny", "Action": list(actions), "Resource": "*"}]


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("cloudwatch:PutMetricData", "*"),
        ("ecr:BatchGetImage", "*"),
        ("ecr:GetAuthorizationToken", "*"),
        ("logs:PutLogEvents", "*"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/data/*"),
        ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}"),
        ("s3:PutObject", f"arn:aws:s3:::{BUCKET}/models/*"),
    ],
)
def test_a_right_that_the_role_lacks_fails_the_job_and_is_named(
    account: ToyAccount, action: str, resource: str
) -> None:
    account.put("data/a.txt", "a")
    account.allow([*EVERYTHING, {"Effect": "Deny", "Action": action, "Resource": resource}])
    try:
        job = account.train(
            "denied-" + action.replace(":", "-"),
            "print('loss=1')",
            inputs={"train": f"s3://{BUCKET}/data/"},
            algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
        )
    finally:
        account.allow(EVERYTHING)
    assert job["TrainingJobStatus"] == "Failed"
    assert f"not authorized to perform: {action} on resource: " in job["FailureReason"]


def test_a_job_in_a_vpc_runs_and_says_where(account: ToyAccount, vpc: dict[str, Any]) -> None:
    described = account.train("in-vpc", OK, VpcConfig=vpc)
    assert described["TrainingJobStatus"] == "Completed"
    assert described["VpcConfig"] == vpc


def test_a_network_that_is_not_there_is_refused(account: ToyAccount, vpc: dict[str, Any]) -> None:
    subnet, group = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
    assert f"The subnet '{subnet}' does not exist" in refusal(account, VpcConfig={**vpc, "Subnets": [subnet]})
    said = refusal(account, VpcConfig={**vpc, "SecurityGroupIds": [group]})
    assert f"The security group '{group}' does not exist" in said


def test_subnets_and_groups_of_two_networks_are_refused(account: ToyAccount, vpc: dict[str, Any]) -> None:
    ec2 = account.aws.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="other", Description="other", VpcId=other)["GroupId"]
    assert "must be of one VPC" in refusal(account, VpcConfig={**vpc, "SecurityGroupIds": [group]})


@pytest.mark.parametrize(
    "config",
    [
        {"Subnets": []},
        {"Subnets": [f"subnet-{number}" for number in range(17)]},
        {"SecurityGroupIds": []},
        {"SecurityGroupIds": [f"sg-{number}" for number in range(6)]},
        {"Subnets": ["subnet 1"]},
    ],
)
def test_a_network_of_another_shape_is_refused(
    account: ToyAccount, vpc: dict[str, Any], config: dict[str, Any]
) -> None:
    assert "failed to satisfy constraint" in refusal(account, VpcConfig={**vpc, **config})


@pytest.mark.parametrize("action", ACTIONS)
def test_a_job_in_a_vpc_needs_each_right_on_its_network(
    account: ToyAccount, vpc: dict[str, Any], action: str
) -> None:
    name = action.replace(":", "-")
    account.allow(less(action))
    try:
        described = account.train(f"without-{name}", OK, VpcConfig=vpc)
        alone = account.train(f"no-vpc-without-{name}", OK)
    finally:
        account.allow(EVERYTHING)
    assert described["TrainingJobStatus"] == "Failed"
    assert "cannot be connected to its VPC: AccessDenied" in described["FailureReason"]
    assert action in described["FailureReason"]
    assert alone["TrainingJobStatus"] == "Completed"


def test_the_rights_are_asked_for_with_the_subnet(account: ToyAccount, vpc: dict[str, Any]) -> None:
    arn = f"arn:aws:ec2:us-east-1:123456789012:subnet/{vpc['Subnets'][1]}"
    elsewhere = {
        "Effect": "Deny",
        "Action": "ec2:DeleteNetworkInterface",
        "Resource": "*",
        "Condition": {"ArnEquals": {"ec2:Subnet": arn}},
    }
    account.allow([*EVERYTHING, elsewhere])
    try:
        described = account.train("second-subnet", OK, VpcConfig=vpc)
    finally:
        account.allow(EVERYTHING)
    assert "ec2:DeleteNetworkInterface" in described["FailureReason"]


def test_a_jobs_outputs_have_the_key_that_it_names(account: ToyAccount, key: str) -> None:
    config = {"S3OutputPath": f"s3://{BUCKET}/out", "KmsKeyId": key}
    described = account.train("with-key", OK, OutputDataConfig=config)
    assert described["TrainingJobStatus"] == "Completed"
    model = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    head = account.s3.head_object(Bucket=BUCKET, Key=model)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_an_empty_key_is_none(account: ToyAccount) -> None:
    config = {"S3OutputPath": f"s3://{BUCKET}/out", "KmsKeyId": ""}
    assert account.train("empty-key", OK, OutputDataConfig=config)["TrainingJobStatus"] == "Completed"


def test_a_key_for_outputs_or_volumes_needs_its_right(account: ToyAccount, key: str) -> None:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": key}
    output = {"S3OutputPath": f"s3://{BUCKET}/out", "KmsKeyId": key}
    for action, what, changes in (
        ("kms:CreateGrant", "volumes", {"ResourceConfig": cluster}),
        ("kms:DescribeKey", "outputs", {"OutputDataConfig": output}),
    ):
        assert account.train(f"{what}-key", OK, **changes)["TrainingJobStatus"] == "Completed"
        account.allow(less(action))
        try:
            described = account.train(f"{what}-key-denied", OK, **changes)
        finally:
            account.allow(EVERYTHING)
        assert f"cannot use the KMS key of its {what}: AccessDenied" in described["FailureReason"]
        assert action in described["FailureReason"]


def test_no_volume_key_for_an_instance_with_storage_of_its_own(account: ToyAccount, key: str) -> None:
    cluster = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": key}
    assert "ml.g5.xlarge, which has storage of its own" in refusal(account, ResourceConfig=cluster)
    described = account.train("g5", OK, ResourceConfig={**cluster, "VolumeKmsKeyId": ""})
    assert described["TrainingJobStatus"] == "Completed"
