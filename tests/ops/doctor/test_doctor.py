"""`cv-pipeline doctor`: all is well, or one thing is missing, and the command that mends it is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from ops import __main__ as cli
from tests.support.definitions.policy_cases import DEPLOYED, IMAGE
from tests.support.ops.deployment import (
    BUCKET,
    FUNCTION,
    NOTIFICATION,
    PERMISSION,
    MotoDeployment,
    deployment,
)
from tests.support.services.fake_account import DOCKER
from tests.support.services.fake_execution import client_of

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, dict[str, Any]]]
REVERT = "make deploy ARGS=--revert-drift"
SPOT = "ml.c5.4xlarge for spot training job usage"
ROLES = {"cv-birds-pipeline": "sagemaker.amazonaws.com", FUNCTION: "lambda.amazonaws.com"}


def trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def healthy(deployment: MotoDeployment) -> MotoDeployment:
    """A deployment of which nothing is missing, with a key."""
    client_of("cloudformation").create_stack(StackName="CDKToolkit", TemplateBody='{"Resources": {}}')
    key_id = client_of("kms").create_key()["KeyMetadata"]["Arn"]
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(
        {**DEPLOYED, "ArtifactBucket": BUCKET, "OutputKmsKeyId": key_id}
    )
    for name, service in ROLES.items():
        client_of("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))
    return deployment


@pytest.fixture
def run(capsys: Captured) -> Run:
    """Run the command with --json; return its exit code and what it wrote."""

    def ask(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = cli.run(["doctor", "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return ask


def by_outcome(document: dict[str, Any], outcome: str) -> list[dict[str, str]]:
    return [each for each in document["diagnoses"] if each["outcome"] == outcome]


def test_nothing_stops_an_upload_to_a_whole_deployment(healthy: MotoDeployment, run: Run) -> None:
    code, document = run()
    assert (code, document["problems"]) == (0, 0)
    assert {each["outcome"] for each in document["diagnoses"]} == {"ok"}
    checks = [each["check"] for each in document["diagnoses"]]
    assert list(dict.fromkeys(checks)) == [
        *("credentials", "region", "stack", "bootstrap", "function", "runtime", "bucket", "notification"),
        *("permission", "role", "key", "image", "quota"),
    ]
    assert (checks.count("role"), checks.count("quota")) == (2, 3)
    assert healthy.function.events == [{"Service": "Amazon S3", "Event": "s3:TestEvent"}]
    assert not healthy.uploaded()


def test_a_person_reads_one_line_for_each_and_the_mend_below(
    healthy: MotoDeployment, capsys: Captured
) -> None:
    healthy.account.quotas[SPOT] = 0.0
    assert cli.run(["doctor"]) == 1
    said = capsys.readouterr().out.splitlines()
    at = said.index(f"problem    quota: {SPOT}: 0, and step TrainSpot needs 1")
    assert said[at + 1].startswith("             mend it with: aws service-quotas request-service-quota")
    assert said[-1] == "1 problem: mend the first one first."
    healthy.account.quotas[SPOT] = 1.0
    assert cli.run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing that is known stops an upload."


def no_role(deployment: MotoDeployment) -> None:
    client_of("iam").delete_role(RoleName="cv-birds-pipeline")


def no_function_role(deployment: MotoDeployment) -> None:
    client_of("iam").delete_role(RoleName=FUNCTION)


def no_trust(deployment: MotoDeployment) -> None:
    client_of("iam").update_assume_role_policy(RoleName=FUNCTION, PolicyDocument=trust("ec2.amazonaws.com"))


def no_versions(deployment: MotoDeployment) -> None:
    deployment.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})


def no_bucket(deployment: MotoDeployment) -> None:
    deployment.s3.delete_bucket(Bucket=BUCKET)


def no_notification(deployment: MotoDeployment) -> None:
    deployment.notifications.clear()


def another_function(deployment: MotoDeployment) -> None:
    deployment.notifications[0] = {
        **NOTIFICATION,
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:1:function:b",
    }


def another_prefix(deployment: MotoDeployment) -> None:
    rules = [{"Name": "Prefix", "Value": "data/"}, {"Name": "Suffix", "Value": "pipeline.json"}]
    deployment.notifications[0] = {**NOTIFICATION, "Filter": {"Key": {"FilterRules": rules}}}


def another_event(deployment: MotoDeployment) -> None:
    deployment.notifications[0] = {**NOTIFICATION, "Events": ["s3:ObjectRemoved:*"]}


def no_permission(deployment: MotoDeployment) -> None:
    deployment.function.statements.clear()


def permission_of_another_bucket(deployment: MotoDeployment) -> None:
    condition = {"ArnLike": {"AWS:SourceArn": f"arn:aws:s3:::{BUCKET}-logs"}}
    deployment.function.statements = [{**PERMISSION, "Condition": condition}]


def failed_function(deployment: MotoDeployment) -> None:
    deployment.function.state = {"State": "Failed", "StateReason": "its role is gone"}


def failed_update(deployment: MotoDeployment) -> None:
    deployment.function.state = {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no memory"}


def no_settings(deployment: MotoDeployment) -> None:
    del deployment.function.environment["ON_RUNNING"]


def broken_function(deployment: MotoDeployment) -> None:
    deployment.function.timeouts = 1


def key_of(deployment: MotoDeployment) -> str:
    parameters = json.loads(deployment.function.environment["PIPELINE_PARAMETERS"])
    return str(parameters["OutputKmsKeyId"])


def disabled_key(deployment: MotoDeployment) -> None:
    client_of("kms").disable_key(KeyId=key_of(deployment).rpartition("/")[2])


def doomed_key(deployment: MotoDeployment) -> None:
    client_of("kms").schedule_key_deletion(KeyId=key_of(deployment).rpartition("/")[2])


def no_key(deployment: MotoDeployment) -> None:
    environment = deployment.function.environment
    environment["PIPELINE_PARAMETERS"] = environment["PIPELINE_PARAMETERS"].replace(
        key_of(deployment), DEPLOYED["OutputKmsKeyId"]
    )


def no_image(deployment: MotoDeployment) -> None:
    deployment.account.images.clear()


def oci_image(deployment: MotoDeployment) -> None:
    deployment.account.images[IMAGE] = "application/vnd.oci.image.index.v1+json"


def tagged_image(deployment: MotoDeployment, media_type: str | None) -> None:
    """Let the image be one that the CDK pushed, with a tag."""
    tagged = IMAGE.partition("@")[0] + ":0123"
    environment = deployment.function.environment
    environment["PIPELINE_PARAMETERS"] = environment["PIPELINE_PARAMETERS"].replace(IMAGE, tagged)
    deployment.account.images = {tagged: media_type} if media_type else {}


@pytest.mark.parametrize(
    ("remove", "check", "said", "mend"),
    [
        (no_role, "role", "no role cv-birds-pipeline", REVERT),
        (no_function_role, "role", f"no role {FUNCTION}", REVERT),
        (no_trust, "role", "does not trust lambda.amazonaws.com", REVERT),
        (no_versions, "bucket", "keeps no versions", "aws s3api put-bucket-versioning"),
        (no_bucket, "bucket", f"no bucket {BUCKET}", REVERT),
        (no_notification, "notification", "would start nothing", REVERT),
        (another_function, "notification", "would start nothing", REVERT),
        (another_prefix, "notification", "would start nothing", REVERT),
        (another_event, "notification", "would start nothing", REVERT),
        (no_permission, "permission", "does not let S3 invoke it", "aws lambda add-permission"),
        (permission_of_another_bucket, "permission", "does not let S3 invoke it", f"arn:aws:s3:::{BUCKET}"),
        (failed_function, "function", "is Failed: its role is gone", REVERT),
        (failed_update, "function", "failed: no memory", REVERT),
        (no_settings, "function", "lacks ON_RUNNING", REVERT),
        (broken_function, "runtime", "UnfinishedError", f"aws logs tail /aws/lambda/{FUNCTION}"),
        (disabled_key, "key", "is Disabled", "aws kms enable-key"),
        (doomed_key, "key", "is PendingDeletion", "aws kms cancel-key-deletion"),
        (no_key, "key", "there is no key", "encryption_key=s3"),
        (no_image, "image", "is not in ECR", "docker push"),
        (oci_image, "image", "oci.image.index", "--provenance=false --output type=docker"),
    ],
)
def test_what_is_missing_is_said_with_what_mends_it(
    healthy: MotoDeployment, run: Run, *, remove: Callable[..., None], check: str, said: str, mend: str
) -> None:
    remove(healthy)
    code, document = run()
    problems = by_outcome(document, "problem")
    assert (code, document["problems"]) == (1, len(problems))
    found = [each for each in problems if each["check"] == check]
    assert found, document
    assert said in found[0]["message"]
    assert mend in found[0]["mend"]
    # One thing is missing: nothing else is blamed, but what a missing bucket takes along.
    assert {each["check"] for each in problems} <= {check, *(["notification"] if remove is no_bucket else [])}


def test_an_image_that_the_cdk_pushes_comes_back_with_a_deployment(healthy: MotoDeployment, run: Run) -> None:
    tagged_image(healthy, None)
    (absent,) = by_outcome(run()[1], "problem")
    assert absent["mend"] == "make deploy"
    tagged_image(healthy, "application/vnd.oci.image.manifest.v1+json")
    (wrong,) = by_outcome(run()[1], "problem")
    assert re.fullmatch(
        r"aws ecr batch-delete-image .* --image-ids imageTag=0123 && make deploy", wrong["mend"]
    )
    tagged_image(healthy, DOCKER)
    assert run()[0] == 0


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ghcr.io/birds/training:1", "is not in ECR"),
        (IMAGE.replace("us-east-1", "eu-west-1"), "is in ECR of eu-west-1, and you are in another region"),
        (IMAGE, "does not tell the media type"),
    ],
)
def test_an_image_that_cannot_be_judged_is_said(
    healthy: MotoDeployment, run: Run, uri: str, said: str
) -> None:
    environment = healthy.function.environment
    environment["PIPELINE_PARAMETERS"] = environment["PIPELINE_PARAMETERS"].replace(IMAGE, uri)
    healthy.account.images = {IMAGE: None}
    code, document = run()
    (found,) = by_outcome(document, "not asked")
    assert (code, found["check"], said in found["message"]) == (0, "image", True)


def test_an_old_sdk_in_the_runtime_is_said(
    healthy: MotoDeployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invoke(**_: Any) -> Any:
        body = {"errorMessage": "this runtime has botocore 1.39.0, whose StartPipelineExecution has no ..."}
        return {"FunctionError": "Unhandled", "Payload": _Body(json.dumps(body).encode())}

    monkeypatch.setattr(healthy.function, "invoke", invoke)
    (found,) = by_outcome(run()[1], "problem")
    assert "does not start: this runtime has botocore 1.39.0" in found["message"]
    assert found["mend"].startswith("aws lambda put-runtime-management-config")


def test_a_function_that_is_switched_off_is_said(
    healthy: MotoDeployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invoke(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")

    monkeypatch.setattr(healthy.function, "invoke", invoke)
    (found,) = by_outcome(run()[1], "problem")
    assert found["mend"] == f"aws lambda delete-function-concurrency --function-name {FUNCTION}"


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self) -> bytes:
        return self._body


# --- the account and the stack -------------------------------------------------------------------------


def test_no_bootstrap_is_advice(healthy: MotoDeployment, run: Run) -> None:
    client_of("cloudformation").delete_stack(StackName="CDKToolkit")
    code, document = run()
    assert code == 0
    (found,) = by_outcome(document, "advice")
    assert (found["check"], found["mend"]) == ("bootstrap", "make bootstrap")


def test_a_function_that_is_being_made_is_waited_for(healthy: MotoDeployment, run: Run) -> None:
    healthy.function.state = {"State": "Pending"}
    code, document = run()
    assert code == 0
    (found,) = by_outcome(document, "advice")
    assert found["mend"] == f"aws lambda wait function-active-v2 --function-name {FUNCTION}"


def test_without_a_stack_nothing_of_it_is_asked(healthy: MotoDeployment, run: Run) -> None:
    code, document = run("--stack", "nothing")
    assert code == 1
    assert [each["check"] for each in document["diagnoses"]] == [
        *("credentials", "region", "stack", "bootstrap"),
    ]
    (found,) = by_outcome(document, "problem")
    assert "no stack nothing in us-east-1" in found["message"]
    assert found["mend"] == "make deploy"


@pytest.mark.parametrize(
    ("status", "outcome", "mend"),
    [
        ("ROLLBACK_COMPLETE", "problem", "make destroy ARGS='--stack cv-birds' && make deploy"),
        ("CREATE_IN_PROGRESS", "problem", "aws cloudformation wait stack-create-complete"),
        ("DELETE_IN_PROGRESS", "problem", "aws cloudformation wait stack-delete-complete"),
        ("UPDATE_IN_PROGRESS", "advice", "aws cloudformation wait stack-update-complete"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "advice", "aws cloudformation wait stack-update-complete"),
        ("UPDATE_ROLLBACK_FAILED", "advice", "aws cloudformation continue-update-rollback"),
        ("UPDATE_ROLLBACK_COMPLETE", "ok", ""),
    ],
)
def test_the_state_of_the_stack_is_told(
    healthy: MotoDeployment, run: Run, *, status: str, outcome: str, mend: str
) -> None:
    from moto.cloudformation.models import cloudformation_backends

    (stack,) = [
        each
        for each in cloudformation_backends["123456789012"]["us-east-1"].stacks.values()
        if each.name == "cv-birds"
    ]
    stack.status = status
    code, document = run()
    assert code == (1 if outcome == "problem" else 0)
    (found,) = [each for each in document["diagnoses"] if each["check"] == "stack"]
    assert found["outcome"] == outcome
    assert (found["mend"] or "").startswith(mend)


@pytest.mark.parametrize(
    ("error", "said", "mend"),
    [
        (NoCredentialsError(), "no AWS credentials found", "aws configure"),
        (
            ClientError({"Error": {"Code": "ExpiredToken"}}, "GetCallerIdentity"),
            "the AWS credentials have expired",
            "aws sso login",
        ),
        (
            ClientError({"Error": {"Code": "InvalidClientTokenId"}}, "GetCallerIdentity"),
            "AWS does not accept these credentials",
            "aws configure",
        ),
        (EndpointConnectionError(endpoint_url="http://localhost:1"), "Is it running?", "python -m local up"),
    ],
)
def test_without_credentials_nothing_more_is_asked(
    deployment: MotoDeployment,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    *,
    error: Exception,
    said: str,
    mend: str,
) -> None:
    class Nobody:
        def get_caller_identity(self) -> None:
            raise error

    monkeypatch.setattr(cli.Session, "client", lambda self, service: Nobody())
    code, document = run()
    assert code == 1
    (found,) = document["diagnoses"]
    assert (found["check"], found["outcome"]) == ("credentials", "problem")
    assert said in found["message"]
    assert found["mend"].startswith(mend)


def test_without_a_region_that_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    code, document = run()
    assert code == 1
    (found,) = document["diagnoses"]
    assert (found["check"], found["mend"]) == ("region", "export AWS_REGION=us-east-1")


# --- what cannot be asked ------------------------------------------------------------------------------


def test_what_aws_refuses_to_tell_is_said_and_the_rest_looked_at(healthy: MotoDeployment, run: Run) -> None:
    healthy.account.denied = {"DescribeImages", "ListServiceQuotas"}
    code, document = run()
    assert code == 0
    refused = [(each["check"], each["message"]) for each in by_outcome(document, "not asked")]
    assert refused == [
        ("image", "AWS refuses DescribeImages to you"),
        ("quota", "AWS refuses ListServiceQuotas to you"),
    ]


def test_who_may_not_read_the_function_hears_of_the_quotas(
    healthy: MotoDeployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetFunctionConfiguration")

    monkeypatch.setattr(healthy.function, "get_function_configuration", refuse)
    healthy.account.quotas[SPOT] = 0.0
    code, document = run()
    assert code == 1
    assert [each["check"] for each in by_outcome(document, "not asked")] == ["function", "image"]
    assert [each["check"] for each in by_outcome(document, "problem")] == ["quota"]


# --- the values that choose the instances --------------------------------------------------------------


def test_the_parameters_decide_which_quotas_are_asked(
    healthy: MotoDeployment, run: Run, tmp_path: Path
) -> None:
    healthy.put({"TrainingInstanceType": "ml.m5.xlarge"}, "pipeline/parameters.json")
    asked = [each["message"] for each in run()[1]["diagnoses"] if each["check"] == "quota"]
    assert sum("ml.m5.xlarge for spot training job usage" in each for each in asked) == 1
    other = tmp_path / "other.json"
    other.write_text('{"TrainingInstanceType": "ml.c5.xlarge"}')
    document = run("--parameters", str(other), "-p", "ProcessingInstanceType=ml.m5.large")[1]
    asked = [each["message"] for each in document["diagnoses"] if each["check"] == "quota"]
    assert sum("ml.c5.xlarge for " in each for each in asked) == 2
    assert sum("ml.m5.large for processing job usage" in each for each in asked) == 1


def test_a_definition_that_would_not_run_is_refused_before_anything_is_asked(
    healthy: MotoDeployment, capsys: Captured, tmp_path: Path
) -> None:
    path = tmp_path / "d.json"
    path.write_text("{}")
    assert cli.run(["doctor", str(path)]) == 2
    said = capsys.readouterr()
    assert (said.out, "would not run" in said.err) == ("", True)
