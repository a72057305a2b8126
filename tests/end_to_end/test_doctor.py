"""`cv-pipeline doctor` on local AWS: what somebody removes from a real deployment is found there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.run import STACK
from ops import __main__ as cli
from tests.support.infra.profiles import HARDENED
from tests.support.local_aws.deployed import DeployedStack, deployed_stack, write_template

pytestmark = pytest.mark.slow

FUNCTION = f"{STACK}-start-execution"
START_AGAIN = "end local AWS with Ctrl-C and start it again: python -m local up --env-file local.env"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DeployedStack]:
    """A hardened deployment, which has a key and an uploader role."""
    with deployed_stack(tmp_path, interruptions=0, template=write_template(HARDENED, tmp_path)) as started:
        yield started


def remove_notification(running: DeployedStack) -> None:
    bucket = running.outputs["BucketName"]
    running.aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={}
    )


def remove_permission(running: DeployedStack) -> None:
    functions = running.aws.client("lambda")
    for each in json.loads(functions.get_policy(FunctionName=FUNCTION)["Policy"])["Statement"]:
        functions.remove_permission(FunctionName=FUNCTION, StatementId=each["Sid"])


def suspend_versions(running: DeployedStack) -> None:
    running.aws.client("s3").put_bucket_versioning(
        Bucket=running.outputs["BucketName"], VersioningConfiguration={"Status": "Suspended"}
    )


def remove_pipeline_role(running: DeployedStack) -> None:
    iam, name = running.aws.client("iam"), f"{STACK}-pipeline-us-east-1"
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def disable_key(running: DeployedStack) -> None:
    variables = running.aws.client("lambda").get_function_configuration(FunctionName=FUNCTION)["Environment"]
    parameters = json.loads(variables["Variables"]["PIPELINE_PARAMETERS"])
    running.aws.client("kms").disable_key(KeyId=parameters["OutputKmsKeyId"])


def remove_function(running: DeployedStack) -> None:
    running.aws.client("lambda").delete_function(FunctionName=FUNCTION)


REMOVALS: dict[str, tuple[Callable[[DeployedStack], None], str]] = {
    "notification": (remove_notification, START_AGAIN),
    "permission": (remove_permission, "aws lambda add-permission"),
    "bucket": (suspend_versions, "aws s3api put-bucket-versioning"),
    "role": (remove_pipeline_role, START_AGAIN),
    "key": (disable_key, "aws kms enable-key"),
}


def test_each_thing_that_is_removed_is_found(
    running: DeployedStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in running.aws.environment().items():
        monkeypatch.setenv(name, value)

    def doctor() -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        code = cli.run(["doctor", "--json"])
        return code, json.loads(capsys.readouterr().out)["diagnoses"]

    code, found = doctor()
    assert code == 0, found
    assert [each["check"] for each in found if each["outcome"] == "not asked"] == [
        *("bootstrap", "image", "quota"),
    ]
    assert {each["check"] for each in found if each["outcome"] == "ok"} >= {"uploader role", *REMOVALS}
    missing: set[str] = set()
    for check, (remove, mend) in REMOVALS.items():
        remove(running)
        missing.add(check)
        code, found = doctor()
        problems = {each["check"]: each for each in found if each["outcome"] == "problem"}
        assert (code, set(problems)) == (1, missing), found
        assert problems[check]["mend"].startswith(mend)
    remove_function(running)
    code, found = doctor()
    (function,) = [each for each in found if each["outcome"] == "problem"]
    assert (code, function["check"], function["mend"]) == (1, "function", START_AGAIN)
