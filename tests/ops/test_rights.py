"""The rights that docs/operations.md lists are all that a person needs: each command with its row alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deploy import deploy
from local.run import STACK, TEMPLATE
from ops import __main__ as cli
from tests.support.infra.profiles import HARDENED, write_template_without_second_factor
from tests.support.local_aws.deployed import DeployedStack, write_template
from tests.support.training.cub_layout import picture
from tests.support.training.models import description, pack
from training.artifact import write_artifact
from training.model import Classifier

pytestmark = pytest.mark.slow

TABLE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text().split("## Rights")[1]
ROWS = dict(re.findall(r"^\| (`.*`) \| (.*) \|$", TABLE, re.MULTILINE))
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Message", "Type": "String", "DefaultValue": "enough"}],
    "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Message"}}}],
}

Person = Callable[..., tuple[int, str]]


def rights(command: str) -> set[str]:
    """Return the actions of a command's row, and of the rows that it refers to."""
    (row,) = [text for commands, text in ROWS.items() if f"`{command}`" in commands.split(", ")]
    actions = set(re.findall(r"`([a-z0-9]+:[A-Za-z*]+)`", row))
    for other in re.findall(r"`([a-z]+)`", row):
        actions |= rights(other)
    return actions


@pytest.fixture
def person(
    deployed: DeployedStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Person]:
    """Run a command as somebody who has the rights of one row of the table."""
    iam = deployed.aws.client("iam")
    iam.create_user(UserName="person")
    for name, value in deployed.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(row: str, *arguments: str) -> tuple[int, str]:
        statement = {
            "Effect": "Allow",
            "Action": sorted({"cloudformation:DescribeStacks"} | rights(row)),
            "Resource": "*",
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_user_policy(UserName="person", PolicyName="row", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName="person")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", "")
        capsys.readouterr()
        code = cli.run(list(arguments))
        said = capsys.readouterr()
        iam.delete_access_key(UserName="person", AccessKeyId=key["AccessKeyId"])
        return code, said.out + said.err

    yield run
    iam.delete_user_policy(UserName="person", PolicyName="row")
    iam.delete_user(UserName="person")


def allowed(answer: tuple[int, str]) -> bool:
    """Return True; fail with what was said where the command did not go well."""
    code, said = answer
    assert code == 0, said
    return True


def test_every_command_has_a_row() -> None:
    named = {each.split("`")[1].split()[0] for row in ROWS for each in row.split(", ")}
    assert named == set(cli.main.commands)


def test_each_command_needs_no_more_than_its_row(
    person: Person, deployed: DeployedStack, tmp_path: Path
) -> None:
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(DEFINITION))
    assert allowed(person("validate", "validate", str(path), "--stack", "cv-birds"))
    code, said = person("doctor", "doctor", str(path))
    assert (code, "AWS refuses" in said) == (0, False), said
    code, said = person("upload", "upload", str(path))
    assert (code, "AWS refuses" in said) == (0, False), said
    assert allowed(person("upload", "upload", str(path), "-p", "Message=changed"))
    assert allowed(person("history", "history"))
    body = json.dumps({"requestPayload": {"Records": []}, "responsePayload": {}})
    queue = deployed.outputs["FailureQueueUrl"]
    deployed.aws.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
    assert "an event of no upload" in person("failures", "failures")[1]
    assert "1 event replayed, 0 left" in person("redrive", "redrive")[1]
    assert allowed(person("reconcile", "reconcile"))
    assert allowed(person("rollback", "rollback", "1"))
    assert allowed(person("rollback --start-only", "rollback", "1", "--start-only"))
    assert person("rollback", "rollback", "77")[0] == 2
    registered, image = model_package(deployed, tmp_path), tmp_path / "bird.jpg"
    image.write_bytes(picture(0, 0))
    for model in ("1", registered):
        answer = person("predict", "predict", str(image), "--model", model)
        assert allowed(answer)
        assert "bird.jpg  Bobolink  1.0000" in answer[1].replace(f"{tmp_path}/", "")
    for row, *arguments in (
        ("models", "models"),
        ("models", "models", "cv-birds/1"),
        ("download", "download", "1", "--output", "mine"),
        ("approve", "approve", "1"),
        ("reject", "reject", "1", "--reason", "too few birds"),
    ):
        assert allowed(person(row, *arguments))
    assert "too few birds" in person("models", "models")[1]
    code, said = person("models", "approve", "1")
    assert (code, "AWS refused UpdateModelPackage" in said) == (2, True), said
    for model in ("7", f"{registered}7"):
        code, said = person("predict", "predict", str(image), "--model", model)
        assert (code, "AWS refused" in said) == (2, False), said
    assert "has no version 7 (it has: 1)" in person("predict", "predict", str(image), "--model", "7")[1]
    for command in ("watch", "report"):
        code, said = person("watch", command)
        assert (code == 2, "AWS refused" in said) == (False, False), said
    started = deployed.sagemaker.list_pipeline_executions(PipelineName="cv-birds")
    arns = [each["PipelineExecutionArn"] for each in started["PipelineExecutionSummaries"][:2]]
    code, said = person("compare", "compare", *arns, "1")
    assert (code, "cv-birds/1" in said, "AWS refused" in said) == (0, True, False), said
    assert allowed(person("estimate", "estimate"))
    code, said = person("costs", "costs")
    assert (code, "Billed 0.00 USD by AWS's list prices of us-east-1 (2025)." in said) == (0, True), said


def model_package(deployed: DeployedStack, folder: Path) -> str:
    """Register a model of one class, as the pipeline does, and return the package's ARN."""
    write_artifact(folder / "model", Classifier("efficientnet_lite0", 1, 0.2), description(["Bobolink"]))
    packed = pack(folder / "model", folder / "model.tar.gz")
    url = deployed.put_object("executions/one/training/spot/model.tar.gz", packed.read_bytes())
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/birds:1", "ModelDataUrl": url}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["application/x-image"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    package = deployed.sagemaker.create_model_package(
        ModelPackageGroupName=deployed.outputs["ModelPackageGroupName"], InferenceSpecification=specification
    )
    return str(package["ModelPackageArn"])


@pytest.mark.parametrize("missing", ["lambda:InvokeFunction", "sqs:DeleteMessage"])
def test_a_right_that_is_missing_is_named(
    person: Person, monkeypatch: pytest.MonkeyPatch, deployed: DeployedStack, missing: str
) -> None:
    body = json.dumps({"requestPayload": {"Records": []}, "responsePayload": {}})
    queue = deployed.outputs["FailureQueueUrl"]
    deployed.aws.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
    row = "`redrive`"
    monkeypatch.setitem(ROWS, row, ROWS[row].replace(missing, "s3:GetObject"))
    code, said = person("redrive", "redrive")
    assert code == 2
    assert missing in said


def test_uploading_to_a_hardened_deployment_needs_its_role_alone(
    person: Person, deployed: DeployedStack, tmp_path: Path
) -> None:
    deploy(deployed.aws, write_template(HARDENED, tmp_path), STACK)
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(DEFINITION))
    for message in ("one", "another"):
        assert allowed(person("upload (hardened)", "upload", str(path), "-p", f"Message={message}"))
    assert allowed(person("rollback (hardened)", "rollback", "1"))
    # Whatever somebody's own rights are, it is said how to upload.
    code, said = person("upload", "upload", str(path), "--as-role", "none")
    assert code == 2
    assert "statement OnlyTheUploaderWritesDefinitions lets only" in said
    assert "leave --as-role out" in said
    deploy(deployed.aws, TEMPLATE, STACK)


def test_destroying_needs_no_more_than_its_rows(
    person: Person, deployed: DeployedStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last test here: the deployment is gone afterwards."""
    hardened = "destroy --delete-data (hardened)"
    deployed.put_object("pipeline/one/parameters.json", b"{}")
    deploy(deployed.aws, write_template(HARDENED, tmp_path), STACK)
    code, said = person(hardened, "destroy", "--yes", "--delete-data")
    assert code == 2
    assert "--mfa-serial" in said
    bucket = deployed.outputs["BucketName"]
    assert deployed.aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="pipeline/one/")["KeyCount"] == 1
    deployed.sagemaker.create_model_package(ModelPackageGroupName="cv-birds")
    started = deployed.sagemaker.list_pipelines()["PipelineSummaries"]
    deploy(deployed.aws, write_template_without_second_factor(tmp_path), STACK)
    asked: list[str] = []

    def answer(text: str, **_: Any) -> str:
        asked.append(text)
        return "123456"

    monkeypatch.setattr("click.prompt", answer)
    serial = "arn:aws:iam::123456789012:mfa/person"
    code, said = person(hardened, "destroy", "--yes", "--delete-data", "--mfa-serial", serial)
    assert asked == [f"The code that {serial} shows"]
    assert "Deleting definitions and verdicts as arn:aws:iam::123456789012:role/cv-birds-break-glass" in said
    assert (code, "AWS refused" in said) == (0, False), said
    assert bucket not in [each["Name"] for each in deployed.aws.client("s3").list_buckets()["Buckets"]]
    assert started
    assert not deployed.sagemaker.list_pipelines()["PipelineSummaries"]
    deploy(deployed.aws, TEMPLATE, STACK)
    deployed.put_object("pipeline/one/parameters.json", b"{}")
    code, said = person("destroy --delete-data", "destroy", "--yes", "--delete-data")
    assert (code, "AWS refused" in said) == (0, False), said
    assert bucket not in [each["Name"] for each in deployed.aws.client("s3").list_buckets()["Buckets"]]
