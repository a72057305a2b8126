"""People's roles and the bucket's policy on local AWS, end to end: who uploads, who follows, who deletes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.run import STACK
from ops import __main__ as cli
from ops.aws import roles
from tests.support.iam.role_policies import statements, without
from tests.support.infra.profiles import write_template_without_second_factor
from tests.support.local_aws.clients import refusal
from tests.support.local_aws.deployed import (
    DeployedStack,
    deployed_stack,
)
from tests.support.local_aws.toy_pipeline import SHIPPED
from tests.support.training.cub_layout import write_cub

pytestmark = pytest.mark.slow

KEY = "pipeline/pipeline.json"
EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    """The deployment with one execution that succeeded."""
    folder = tmp_path_factory.mktemp("aws")
    template = write_template_without_second_factor(folder)
    with deployed_stack(folder, interruptions=0, template=template) as started:
        execution = started.run(SHIPPED)
        assert started.describe(execution)["PipelineExecutionStatus"] == "Succeeded"
        yield started


def role_arn(running: DeployedStack, kind: str) -> str:
    return running.outputs["UploaderRoleArn"].replace("-uploader-", f"-{kind}-")


@pytest.fixture
def generous(running: DeployedStack) -> Iterator[None]:
    """Somebody allows the roles of the jobs and the function everything."""
    iam, kinds = running.aws.client("iam"), ("pipeline", "start-execution")
    names = [f"{STACK}-{kind}-us-east-1" for kind in kinds]
    for name in names:
        iam.put_role_policy(RoleName=name, PolicyName="generous", PolicyDocument=EVERYTHING)
    yield
    for name in names:
        iam.delete_role_policy(RoleName=name, PolicyName="generous")


def s3_of(running: DeployedStack, kind: str) -> Any:
    """Make a client of S3 as the administrator, an uploader, or whoever a service assumes a role for."""
    if kind == "administrator":
        return running.aws.client("s3")
    if kind in ("uploader", "break-glass"):
        return roles.assume(running.aws, role_arn(running, kind)).client("s3")
    return running.aws.client("s3", role_arn(running, kind))


# What changes an object in some way, beside an upload in one piece.
CHANGES: dict[str, dict[str, Any]] = {
    "put_object": {"Body": b"{}"},
    "create_multipart_upload": {},
    "delete_object": {},
    "put_object_tagging": {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}},
    "put_object_acl": {"ACL": "private"},
    "restore_object": {"RestoreRequest": {"Days": 1}},
    "put_object_retention": {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01T00:00:00Z"}},
    "copy_object": {"CopySource": f"{STACK}-123456789012-us-east-1/data/toy/images.txt"},
}


@pytest.mark.parametrize("who", ["administrator", "pipeline", "start-execution", "break-glass"])
@pytest.mark.parametrize("change", CHANGES)
def test_nobody_but_the_uploader_changes_a_definition(
    running: DeployedStack, generous: None, who: str, change: str
) -> None:
    bucket = running.outputs["BucketName"]
    call = getattr(s3_of(running, who), change)
    code, _, message = refusal(call, Bucket=bucket, Key=KEY, **CHANGES[change])
    assert code == "AccessDenied"
    assert who == "break-glass" or "explicit deny" in message


@pytest.mark.parametrize("who", ["administrator", "pipeline", "uploader", "break-glass"])
@pytest.mark.parametrize("change", ["put_object", "delete_object"])
def test_nobody_but_the_function_writes_a_verdict(
    running: DeployedStack, generous: None, who: str, change: str
) -> None:
    call = getattr(s3_of(running, who), change)
    bucket = running.outputs["BucketName"]
    assert refusal(call, Bucket=bucket, Key="verdicts/a.json", **CHANGES[change])[0] == "AccessDenied"


@pytest.mark.parametrize("who", ["administrator", "pipeline", "start-execution", "uploader"])
def test_nobody_but_break_glass_deletes_a_version(running: DeployedStack, generous: None, who: str) -> None:
    bucket = running.outputs["BucketName"]
    s3 = running.aws.client("s3")
    for prefix in ("pipeline/", "verdicts/"):
        version = s3.list_object_versions(Bucket=bucket, Prefix=prefix)["Versions"][0]
        which = {"Key": version["Key"], "VersionId": version["VersionId"]}
        delete = s3_of(running, who).delete_object
        assert refusal(delete, Bucket=bucket, **which)[0] == "AccessDenied"
        assert s3.head_object(Bucket=bucket, **which)


def test_a_job_that_is_allowed_everything_cannot_become_an_uploader(
    running: DeployedStack, generous: None
) -> None:
    for kind in ("pipeline", "start-execution"):
        sts = running.aws.client("sts", role_arn(running, kind))
        for wanted in ("uploader", "break-glass"):
            arn = role_arn(running, wanted)
            assert refusal(sts.assume_role, RoleArn=arn, RoleSessionName="job")[0] == "AccessDenied"


def test_an_administrator_reads_and_the_uploader_withdraws_values(running: DeployedStack) -> None:
    bucket, beside = running.outputs["BucketName"], "pipeline/withdrawn/parameters.json"
    running.put_object(beside, b"{}")
    s3 = running.aws.client("s3")
    assert s3.get_object(Bucket=bucket, Key=beside)["Body"].read() == b"{}"
    s3_of(running, "uploader").delete_object(Bucket=bucket, Key=beside)
    assert refusal(s3.get_object, Bucket=bucket, Key=beside)[0] == "NoSuchKey"
    assert len(s3.list_object_versions(Bucket=bucket, Prefix=beside)["Versions"]) == 1
    assert refusal(s3_of(running, "uploader").delete_object, Bucket=bucket, Key=KEY)[0] == "AccessDenied"


def test_break_glass_deletes_a_leaked_version_and_reads_none(running: DeployedStack) -> None:
    bucket, key = running.outputs["BucketName"], "pipeline/leaked/parameters.json"
    running.put_object(key, b'{"password": "x"}')
    glass = s3_of(running, "break-glass")
    (version,) = glass.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    which = {"Bucket": bucket, "Key": key, "VersionId": version["VersionId"]}
    assert refusal(glass.get_object, **which)[0] == "AccessDenied"
    glass.delete_object(**which)
    assert "Versions" not in running.aws.client("s3").list_object_versions(Bucket=bucket, Prefix=key)


# --- each command as the uploader role alone -----------------------------------------------------------


@pytest.fixture
def as_uploader(
    running: DeployedStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command as a profile with `role_arn` would: as the uploader role, and with no other rights."""
    sts = running.aws.client("sts")
    given = sts.assume_role(RoleArn=role_arn(running, "uploader"), RoleSessionName="jo")["Credentials"]
    for name, value in running.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set that no other test has."""
    folder = write_cub(tmp_path / "birds", images=8)
    with next(folder.rglob("*.jpg")).open("ab") as image:
        image.write(str(tmp_path).encode())
    return folder


def test_every_command_of_an_uploader_works_as_the_role_alone(
    running: DeployedStack, as_uploader: Run, data: Path
) -> None:
    for arguments in (
        ("validate", str(SHIPPED), "--stack", STACK),
        ("doctor", str(SHIPPED)),
        ("upload", str(SHIPPED), "--data", str(data)),
        ("history",),
        ("failures",),
        ("watch",),
        ("report",),
        ("compare",),
        ("costs",),
        ("estimate",),
        ("upload", str(SHIPPED), "--data", str(data), "-p", "Seed=8"),
        ("rollback",),
    ):
        code, said = as_uploader(*arguments)
        assert (code, "AWS refused" in said) == (0, False), (arguments, said)
    code, said = as_uploader("rollback", "1", "--start-only")
    assert code == 2
    assert "sagemaker:StartPipelineExecution" in said


NEEDS: dict[str, tuple[str, ...]] = {
    "Upload": ("upload", str(SHIPPED)),
    "ListUploads": ("history",),
    "UploadData": ("upload", str(SHIPPED), "--data", "birds"),
    "ListDataAndVerdicts": ("failures",),
    "ReadOutcome": ("history",),
    "ReadStack": ("history",),
    "ReadPolicy": ("validate", str(SHIPPED), "--stack", STACK),
    "LookAtFailures": ("failures",),
    "ReadExecutions": ("watch",),
    "ReadJobs": ("watch",),
}
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ReadModelPackages": (
        "sagemaker",
        "describe_model_package",
        {"ModelPackageName": "arn:aws:sagemaker:us-east-1:123456789012:model-package/cv-birds/1"},
    ),
    "ListJobs": ("sagemaker", "list_training_jobs", {"NameContains": "pipelines-"}),
    "FindLogs": (
        "logs",
        "describe_log_streams",
        {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": "pipelines-"},
    ),
    "ReadNotification": ("s3", "get_bucket_notification_configuration", {}),
    "WithdrawValues": ("s3", "delete_object", {"Key": "pipeline/parameters.json"}),
    "ReadLogs": (
        "logs",
        "get_log_events",
        {"logGroupName": "/aws/lambda/cv-birds-start-execution", "logStreamName": "a"},
    ),
}


UNASKED = {
    "UseDataKey": "S3 on local AWS asks for no right on a key",
    "DecryptFailures": "nor does SQS",
}
"""What tests/infra/iam/test_least_privilege.py alone looks at."""


UPLOADER = f"{STACK}-uploader-us-east-1"


def test_every_statement_of_the_uploader_role_is_tried(running: DeployedStack) -> None:
    sids = [each["Sid"] for each in statements(running.aws.client("iam"), UPLOADER)]
    assert sorted([*NEEDS, *CALLS, *UNASKED]) == sorted(sids)


@pytest.mark.parametrize("sid", NEEDS)
def test_a_command_is_refused_without_the_statement(
    running: DeployedStack, as_uploader: Run, data: Path, sid: str
) -> None:
    with without(running.aws.client("iam"), UPLOADER, sid):
        code, said = as_uploader(*NEEDS[sid])
    assert code in (1, 2), said
    assert "is not authorized to perform: " in said, said


@pytest.mark.parametrize("sid", CALLS)
def test_a_call_is_refused_without_the_statement(running: DeployedStack, sid: str) -> None:
    service, operation, parameters = CALLS[sid]
    client = roles.assume(running.aws, role_arn(running, "uploader")).client(service)
    place = {"Bucket": running.outputs["BucketName"]} if service == "s3" else {}

    def refused() -> bool:
        try:
            getattr(client, operation)(**place, **parameters)
        except ClientError as error:
            return "AccessDenied" in str(error)
        return False

    assert not refused()
    with without(running.aws.client("iam"), UPLOADER, sid):
        assert refused()
