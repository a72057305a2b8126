"""Removing a deployment: what is listed, asked, stopped, deleted, kept; twice, interrupted, uploaded to."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from local.run import STACK, TEMPLATE
from ops import __main__ as cli
from ops.destroy import inventory, removal
from ops.errors import DestroyError
from tests.support.infra.profiles import HARDENED, write_template_without_second_factor
from tests.support.local_aws.clients import client as client_of
from tests.support.local_aws.deployed import DeployedStack, write_template
from tests.support.local_aws.toy_pipeline import SHIPPED

BUCKET = f"{STACK}-123456789012-us-east-1"
FAIL = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
DEFINITION = json.dumps({"Version": "2020-12-01", "Steps": [FAIL]})
DATA_TYPES = (inventory.BUCKET_TYPE, inventory.GROUP_TYPE, "AWS::KMS::Key")

SLOW_TO_STOP = """
import signal, sys, time

def end(*_):
    time.sleep(1)
    sys.exit(143)

signal.signal(signal.SIGTERM, end)
time.sleep(600)
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """Local AWS with an image whose first step takes until it is stopped."""
    folder = tmp_path_factory.mktemp("aws")
    image = folder / "image" / "training"
    image.mkdir(parents=True)
    (image / "__init__.py").touch()
    (image / "preprocess.py").write_text(SLOW_TO_STOP)
    with LocalAWS(work_dir=folder / "work", jobs=JobSettings(source=str(image.parent))) as aws:
        yield aws


@pytest.fixture
def run(aws: LocalAWS, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command of ops on it; whatever a test leaves is removed at its end."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            code = cli.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    yield run
    for stack in (STACK, f"{STACK}-two"):
        removal.remove(aws, inventory.read(aws, stack), data=True, tell=lambda _: None)


def template(folder: Path, *, stack: str = STACK, retain: bool = True) -> Path:
    """Write the hardened template for another name, or as `retain_data=false` makes it.

    The break-glass role asks for no second factor there: local AWS knows none.
    """
    document = json.loads(write_template_without_second_factor(folder).read_text().replace(STACK, stack))
    if not retain:
        for resource in document["Resources"].values():
            if resource["Type"] in DATA_TYPES:
                resource |= {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
    path = folder / f"{stack}.json"
    path.write_text(json.dumps(document))
    return path


def fill(aws: LocalAWS, stack: str = STACK) -> None:
    """Return a deployment object versions, a delete marker, a model package and a second pipeline."""
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    bucket = f"{stack}-123456789012-us-east-1"
    for body in (b"one", b"three"):
        s3.put_object(Bucket=bucket, Key="data/birds/a.jpg", Body=body)
    s3.delete_object(Bucket=bucket, Key="data/birds/a.jpg")
    s3.put_object(Bucket=bucket, Key="executions/x/model.tar.gz", Body=b"m" * 2500)
    sagemaker.create_model_package(ModelPackageGroupName=stack, ModelApprovalStatus="Approved")
    sagemaker.create_pipeline(
        PipelineName=f"{stack}-other",
        PipelineDefinition=DEFINITION,
        RoleArn=f"arn:aws:iam::123456789012:role/{stack}-pipeline-us-east-1",
    )


def left(aws: LocalAWS) -> dict[str, list[str]]:
    """Name what is there, of whatever deployment."""
    sagemaker = aws.client("sagemaker")
    return {
        "stacks": [each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]],
        "buckets": sorted(
            each["Name"] for each in aws.client("s3").list_buckets()["Buckets"] if STACK in each["Name"]
        ),
        "groups": [
            each["ModelPackageGroupName"]
            for each in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        ],
        "pipelines": sorted(each["PipelineName"] for each in sagemaker.list_pipelines()["PipelineSummaries"]),
        "roles": [each["RoleName"] for each in aws.client("iam").list_roles()["Roles"]],
    }


def key_of_the_bucket(aws: LocalAWS) -> str:
    answer = aws.client("s3").get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    return str(answer["Rules"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"])


def state(aws: LocalAWS, key: str) -> str:
    return str(aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


NOTHING: dict[str, list[str]] = {"stacks": [], "buckets": [], "groups": [], "pipelines": [], "roles": []}


@pytest.mark.slow
def test_a_retaining_deployment_keeps_its_data_and_says_how_to_remove_it(
    aws: LocalAWS, run: Run, tmp_path: Path
) -> None:
    outputs = deploy(aws, write_template(HARDENED, tmp_path), STACK)
    deployed = DeployedStack(aws, outputs)
    deployed.data_url = deployed.put_object("data/toy/images.txt", b"1 a/a.jpg\n").removesuffix("images.txt")
    fill(aws)
    execution = deployed.start(SHIPPED)

    code, said = run("destroy", YES="1")
    assert code == 0, said
    assert f"running execution {execution}, which is stopped first" in said
    stays = said.partition("What stays:")[2]
    key = key_of_the_bucket(aws)
    assert f"bucket {BUCKET}: " in stays
    assert f"encrypted with {key}" in stays
    assert f"key {key}, without which nothing in the bucket can be read" in stays
    command = f'`make deploy ARGS="--import-existing-resources -c encryption_key={key}"`'
    assert f"{command} takes it over, with every other -c that it had, project and" in said.replace("\n", " ")
    assert "    data/  4 versions, 18 bytes" in stays
    assert "    executions/  1 version, 2.5 KB" in stays
    assert f"model package group {STACK}: 1 model package (1 Approved)" in stays
    assert f"cv-pipeline destroy --stack {STACK} --delete-data" in said
    assert deployed.describe(execution)["PipelineExecutionStatus"] == "Stopped"
    assert left(aws) == {
        "stacks": [],
        "buckets": [BUCKET, f"{BUCKET}-logs"],
        "groups": [STACK],
        "pipelines": [STACK, f"{STACK}-other"],
        "roles": [],
    }

    again = run("destroy")  # asks nothing: nothing would go
    assert again[0] == 0
    assert "This stays of cv-birds" in again[1]
    assert run("destroy", "--delete-data")[0] == 2
    assert state(aws, key) == "Enabled"
    code, said = run("destroy", "--delete-data", YES="1")
    assert code == 0
    assert f"Key {key} is deleted in 30 days" in said
    assert left(aws) == NOTHING
    assert state(aws, key) == "PendingDeletion"
    assert run("destroy") == (
        0,
        "Nothing of cv-birds is here: no stack, bucket, model package group, image or pipeline\n",
    )


def test_a_deployment_that_retains_nothing_goes_whole(aws: LocalAWS, run: Run, tmp_path: Path) -> None:
    deploy(aws, template(tmp_path, retain=False), STACK)
    fill(aws)
    code, said = run("destroy", "--yes")
    assert code == 0, said
    assert "What stays" not in said
    assert "Deleted 4 object versions" in said
    assert left(aws) == NOTHING


def test_the_images_that_a_stack_built_stay_with_the_models_that_name_them(aws: LocalAWS, run: Run) -> None:
    deploy(aws, TEMPLATE, STACK)
    repositories(aws, STACK, {"environment": "cv", "project": "birds"})
    assert "image repository cv-birds-training: 1 image" in run("destroy", "--yes")[1]
    status, said = run("destroy", "--yes", "--delete-data")
    assert status == 0
    assert "Deleted image repository cv-birds-training" in said
    assert aws.client("ecr").describe_repositories()["repositories"] == []


def test_a_repository_of_somebody_else_is_left_alone_whatever_its_name(aws: LocalAWS, run: Run) -> None:
    deploy(aws, TEMPLATE, STACK)
    repositories(aws, STACK, {"project": "another"})
    assert run("destroy", "--yes", "--delete-data")[0] == 0
    assert "image repository" not in run("destroy", "--yes")[1]
    assert len(aws.client("ecr").describe_repositories()["repositories"]) == 1
    aws.client("ecr").delete_repository(repositoryName=f"{STACK}-training", force=True)


def repositories(aws: LocalAWS, stack: str, tags: dict[str, str]) -> None:
    """Make what a stack with image=codebuild keeps."""
    ecr, name = aws.client("ecr"), f"{stack}-training"
    ecr.create_repository(repositoryName=name, tags=[{"Key": key, "Value": tags[key]} for key in tags])
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    ecr.put_image(repositoryName=name, imageManifest=json.dumps(manifest), imageTag="one")


def test_a_key_of_somebody_else_is_named_and_left_alone(aws: LocalAWS, run: Run) -> None:
    deploy(aws, TEMPLATE, STACK)
    # As the stack describes its own key, and with the project's tag.
    theirs = aws.client("kms").create_key(
        Description=f"Encrypts data, models, messages and the log of {STACK}",
        Tags=[{"TagKey": "project", "TagValue": STACK}],
    )["KeyMetadata"]["Arn"]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": theirs}}
    aws.client("s3").put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    code, said = run("destroy", "--delete-data", YES="1")
    assert code == 0, said
    assert f"encrypted with {theirs}" in said
    assert "Key arn" not in said
    assert state(aws, theirs) == "Enabled"


def test_without_a_terminal_and_without_yes_all_is_listed_and_nothing_is_removed(
    aws: LocalAWS, run: Run
) -> None:
    deploy(aws, TEMPLATE, STACK)
    before = left(aws)
    code, said = run("destroy", "--delete-data")
    assert code == 2
    assert "2 IAM::Role" in said
    assert "Say YES=1" in said
    assert left(aws) == before


@pytest.mark.parametrize(("typed", "code"), [("no\n", 2), ("y\n", 2), (f"{STACK}\n", 0)])
def test_on_a_terminal_only_the_name_of_the_stack_removes_it(
    aws: LocalAWS, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    deploy(aws, TEMPLATE, STACK)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as person, os.fdopen(theirs) as terminal:
        person.write(typed.encode())
        monkeypatch.setattr("sys.stdin", terminal)
        ended, said = run("destroy")
    assert ended == code
    asked = f"To remove what goes, type {STACK}"
    # The question is about the list just above it.
    assert said.index("What stays:") < said.index(f"What goes with {STACK}:") < said.index(asked)
    assert (left(aws)["stacks"] == []) == (code == 0)


def test_by_default_definitions_and_verdicts_are_deleted_as_whoever_destroys(aws: LocalAWS, run: Run) -> None:
    deployed = DeployedStack(aws, deploy(aws, TEMPLATE, STACK))
    deployed.put_object("pipeline/one/parameters.json", b"{}")
    code, said = run("destroy", "--delete-data", YES="1")
    assert (code, "Deleting definitions and verdicts as" in said) == (0, False), said
    assert left(aws) == NOTHING


def test_a_stack_that_is_gone_needs_no_role_for_what_it_left(
    aws: LocalAWS, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deployed = DeployedStack(aws, deploy(aws, write_template(HARDENED, tmp_path), STACK))
    deployed.put_object("pipeline/one/parameters.json", b"{}")
    assert run("destroy", YES="1")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr("ops.aws.roles.assume", None)
        code, said = run("destroy", "--delete-data", YES="1")
    assert code == 0, said
    assert left(aws) == NOTHING


def test_without_the_break_glass_role_nothing_at_all_is_removed(
    aws: LocalAWS, run: Run, tmp_path: Path
) -> None:
    deployed = DeployedStack(aws, deploy(aws, template(tmp_path), STACK))
    deployed.put_object("pipeline/one/parameters.json", b"{}")
    iam, role = aws.client("iam"), deployed.outputs["BreakGlassRoleArn"].rpartition("/")[2]
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    nobody = json.dumps(trust).replace(":root", ":user/nobody")
    iam.create_user(UserName="nobody")
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=nobody)
    before = left(aws)
    code, said = run("destroy", "--delete-data", YES="1")
    assert code == 2
    assert f"may not work as {deployed.outputs['BreakGlassRoleArn']}" in said
    assert left(aws) == before
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    iam.delete_user(UserName="nobody")
    assert run("destroy", "--delete-data", YES="1")[0] == 0
    assert left(aws) == NOTHING


def test_a_stack_of_another_product_is_refused(aws: LocalAWS, run: Run) -> None:
    body = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "theirs"}}}}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="theirs", TemplateBody=json.dumps(body))
    code, said = run("destroy", "--stack", "theirs", "--delete-data", YES="1")
    assert code == 2
    assert "not a deployment of this pipeline" in said
    assert left(aws)["stacks"] == ["theirs"]
    cloudformation.delete_stack(StackName="theirs")


def test_a_deployment_whose_name_goes_on_another_s_is_left_alone(
    aws: LocalAWS, run: Run, tmp_path: Path
) -> None:
    two = f"{STACK}-two"
    deploy(aws, TEMPLATE, STACK)
    deploy(aws, template(tmp_path, stack=two), two)
    fill(aws)
    fill(aws, two)
    assert run("destroy", "--delete-data", YES="1")[0] == 0
    rest = left(aws)
    assert rest["stacks"] == rest["groups"] == [two]
    assert rest["pipelines"] == [f"{two}-other"]
    assert run("destroy", "--stack", two, "--delete-data", YES="1")[0] == 0
    assert left(aws) == NOTHING


class Watched:
    """Clients of local AWS that tell of every call that changes something, before it is made and after."""

    def __init__(self, aws: LocalAWS, moment: Callable[[str], None]) -> None:
        self._aws, self._moment = aws, moment

    def client(self, service: str, /) -> Any:
        client = client_of(self._aws, service)
        for event in ("before-call", "after-call"):
            client.meta.events.register(event, lambda model, event=event, **_: self._tell(event, model.name))
        return client

    def _tell(self, event: str, operation: str) -> None:
        if not operation.startswith(("Describe", "Get", "List")):
            self._moment(f"{event} {operation}")


@pytest.mark.slow
def test_interrupted_before_or_after_any_call_the_next_run_removes_the_rest(
    aws: LocalAWS, run: Run, tmp_path: Path
) -> None:
    path, places = template(tmp_path, retain=False), list[str]()
    for place in range(100):
        deploy(aws, path, STACK)
        fill(aws)
        moments: list[str] = []

        def interrupt(moment: str, place: int = place, moments: list[str] = moments) -> None:
            moments.append(moment)
            if len(moments) > place:
                raise KeyboardInterrupt

        clients = Watched(aws, interrupt)
        try:
            removal.remove(clients, inventory.read(clients, STACK), data=False, tell=lambda _: None)
        except KeyboardInterrupt:
            places.append(moments[-1])
            assert run("destroy", "--yes")[0] == 0
            assert left(aws) == NOTHING, places
        else:
            break
    calls = ("DeletePipeline", "DeleteModelPackage", "DeleteObjects", "DeleteStack")
    assert places == [f"{when} {call}" for call in calls for when in ("before-call", "after-call")]


def test_nothing_is_removed_before_what_runs_has_ended(aws: LocalAWS, run: Run, tmp_path: Path) -> None:
    deployed = DeployedStack(aws, deploy(aws, template(tmp_path, retain=False), STACK))
    deployed.data_url = deployed.put_object("data/toy/images.txt", b"1 a/a.jpg\n").removesuffix("images.txt")
    execution = deployed.start(SHIPPED)
    statuses: list[str] = []

    def look(moment: str) -> None:
        # The pipeline goes first, and its executions with it.
        if moment.startswith("before-call Delete") and not statuses:
            statuses.append(deployed.describe(execution)["PipelineExecutionStatus"])

    clients = Watched(aws, look)
    removal.remove(clients, inventory.read(clients, STACK), data=False, tell=lambda _: None)
    assert statuses == ["Stopped"]
    assert left(aws) == NOTHING


@pytest.mark.parametrize("times", [1, 100])
def test_what_is_uploaded_meanwhile_goes_as_well_or_is_said(
    aws: LocalAWS, run: Run, tmp_path: Path, times: int
) -> None:
    deploy(aws, template(tmp_path, retain=False), STACK)
    s3, uploads = aws.client("s3"), [b"late"] * times

    def upload(moment: str) -> None:
        if moment == "before-call DeleteStack" and uploads:
            s3.put_object(Bucket=BUCKET, Key="data/late", Body=uploads.pop())

    clients, said = Watched(aws, upload), list[str]()
    if times == 1:
        removal.remove(clients, inventory.read(clients, STACK), data=False, tell=said.append)
        assert said.count(f"Deleting stack {STACK}") == 2
        assert left(aws) == NOTHING
    else:
        with pytest.raises(DestroyError, match="somebody keeps uploading"):
            removal.remove(clients, inventory.read(clients, STACK), data=False, tell=said.append)


def test_a_stack_that_cannot_be_deleted_is_said_with_the_resource_and_the_reason(
    aws: LocalAWS, run: Run
) -> None:
    deploy(aws, TEMPLATE, STACK)
    iam, role = aws.client("iam"), f"{STACK}-pipeline-us-east-1"
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = iam.create_policy(PolicyName="by-hand", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=role, PolicyArn=policy)
    code, said = run("destroy", YES="1")
    assert code == 1
    assert "stack cv-birds was not deleted" in said
    assert "AWS::IAM::Role" in said
    assert "must detach all policies first" in said
    iam.detach_role_policy(RoleName=role, PolicyArn=policy)
    iam.delete_policy(PolicyArn=policy)
    assert run("destroy", YES="1")[0] == 0
    assert left(aws)["stacks"] == []
