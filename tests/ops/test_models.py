"""The registry from the command line: list, show, approve, reject, download; each mistake is one sentence."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from ops import __main__ as cli
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.services.fake_execution import BUCKET, PREFIX, client_of
from tests.support.services.fake_execution_scenarios import archive, evaluation

GROUP = "cv-birds"
EXECUTION = f"{PREFIX}:pipeline/cv-birds/execution/q3fz81mkd2ax"
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds@sha256:{'5e' * 32}"
WEIGHTS = b"weights" * 1000
STACK = {
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}}},
    "Outputs": {"ModelPackageGroupName": {"Value": GROUP}, "BucketName": {"Value": BUCKET}},
}


class ScriptedRegistry:
    """A deployed stack with a model package group, and what the commands talk to."""

    def __init__(self, sagemaker: Any, s3: Any) -> None:
        self.sagemaker, self.s3 = sagemaker, s3
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)

    def register(self, training_type: str = "Spot", **changes: Any) -> str:
        """Register a model as the pipeline does; return the package's ARN."""
        url = f"s3://{BUCKET}/evaluation/{training_type}/evaluation.json"
        body = json.dumps(evaluation(training_type, {(0, 2): 1, (2, 4): 2}))
        self.s3.put_object(Bucket=BUCKET, Key=f"evaluation/{training_type}/evaluation.json", Body=body)
        self.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=packed())
        request = {
            "ModelPackageGroupName": GROUP,
            "InferenceSpecification": {
                "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": url}}
            },
            "CustomerMetadataProperties": {
                "TrainingType": training_type,
                "PipelineExecutionArn": EXECUTION,
            },
        }
        answer = self.sagemaker.create_model_package(**request | changes)
        return str(answer["ModelPackageArn"])

    def status(self, arn: str) -> tuple[str, str | None]:
        described = self.sagemaker.describe_model_package(ModelPackageName=arn)
        return described["ModelApprovalStatus"], described.get("ApprovalDescription")


def packed() -> bytes:
    return archive(model_json=b"{}", model_safetensors=WEIGHTS)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedRegistry]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    with mock_aws(), open_memory_account(tmp_path / "sagemaker") as account:
        client_of("cloudformation").create_stack(StackName="cv-birds", TemplateBody=json.dumps(STACK))
        made = ScriptedRegistry(account.sagemaker, client_of("s3"))
        clients = {"sagemaker": made.sagemaker, "s3": made.s3}
        monkeypatch.setattr(
            cli.Session, "client", lambda self, service: clients.get(service) or client_of(service)
        )
        yield made


Said = pytest.CaptureFixture[str]


def run(capsys: Said, *arguments: str) -> str:
    """Run a command that goes well and return what it said."""
    code = cli.run(list(arguments))
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def refused(capsys: Said, *arguments: str) -> str:
    """Run a command that ends with 2 and return its sentence."""
    capsys.readouterr()
    assert cli.run(list(arguments)) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.err


def rows(said: str) -> list[str]:
    return said.splitlines()[1:]


def test_every_model_has_a_row_and_the_newest_is_first(registry: ScriptedRegistry, capsys: Said) -> None:
    registry.register("OnDemand")
    registry.register("Spot")
    run(capsys, "reject", "2", "--reason", "blurred birds")
    newest, first = rows(run(capsys, "models"))
    assert newest.split("  ")[0] == "2"
    for part in ("Spot", "0.963 (0.888 to 1.000)", "Rejected", "q3fz81mkd2ax", "blurred birds"):
        assert part in newest
    assert first.startswith("1 ")
    assert "OnDemand" in first
    assert "PendingManualApproval" in first
    assert len(rows(run(capsys, "models", "--limit", "1"))) == 1


def test_models_of_one_status_are_asked_for_by_it(registry: ScriptedRegistry, capsys: Said) -> None:
    assert "No model is registered yet: `cv-pipeline upload`" in run(capsys, "models")
    registry.register()
    registry.register(ModelApprovalStatus="Approved")
    assert [row.split()[0] for row in rows(run(capsys, "models", "--status", "Approved"))] == ["2"]
    assert run(capsys, "models", "--status", "Rejected") == "No model has the status Rejected\n"


def test_a_model_that_cannot_be_read_says_so_in_its_row_alone(
    registry: ScriptedRegistry, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _, _ = registry.register(), registry.register(ModelMetrics={}), registry.register("OnDemand")
    registry.s3.delete_object(Bucket=BUCKET, Key="evaluation/OnDemand/evaluation.json")
    describe = registry.sagemaker.describe_model_package

    def denied(ModelPackageName: str) -> Any:  # noqa: N803 - boto3's
        if ModelPackageName == gone:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeModelPackage")
        return describe(ModelPackageName=ModelPackageName)

    monkeypatch.setattr(registry.sagemaker, "describe_model_package", denied, raising=False)
    third, second, first = rows(run(capsys, "models"))
    assert "not known: NoSuchKey" in third
    assert "OnDemand" in third
    assert "not known: it has no ModelMetrics" in second
    assert "unknown: it was deleted, or you may not read it" in first
    documents = [json.loads(line) for line in run(capsys, "models", "--json").splitlines()]
    assert [each["name"] for each in documents] == [f"{GROUP}/{number}" for number in (3, 2, 1)]
    assert documents[0]["evaluation_problem"].startswith("NoSuchKey")


@pytest.mark.parametrize("body", [b"text", b"[]", b'{"multiclass_classification_metrics": 7}', b"[" * 99999])
def test_an_evaluation_that_is_none_says_so(registry: ScriptedRegistry, capsys: Said, body: bytes) -> None:
    registry.register()
    registry.s3.put_object(Bucket=BUCKET, Key="evaluation/Spot/evaluation.json", Body=body)
    (row,) = rows(run(capsys, "models"))
    assert "not known: " in row or "Spot      -  " in row


def test_one_model_is_shown_with_metrics_and_lineage(registry: ScriptedRegistry, capsys: Said) -> None:
    properties = {"TrainingType": "Spot", "PipelineExecutionArn": EXECUTION, "Colour": "blue"}
    arn = registry.register(CustomerMetadataProperties=properties)
    shown = run(capsys, "models", "1")
    assert shown.startswith(f"{GROUP}/1\n")
    for line in (
        "status            PendingManualApproval",
        "accuracy          0.963 (0.888 to 1.000), 80 test images",
        "macro_f1          0.962 (0.850 to 0.970)",
        f"execution         {EXECUTION}",
        f"image             {IMAGE}",
        f"model data        s3://{BUCKET}/model.tar.gz",
        f"evaluation        s3://{BUCKET}/evaluation/Spot/evaluation.json",
        "Colour            blue",
    ):
        assert f"\n  {line}\n" in shown
    (document,) = [json.loads(line) for line in run(capsys, "models", arn, "--json").splitlines()]
    assert document["metrics"]["accuracy"] == {
        "value": 0.9625,
        "interval": pytest.approx([0.8875, 1.0]),
    }
    assert document["execution_arn"] == EXECUTION
    assert document["properties"] == properties


def test_a_decision_says_what_was_before_and_keeps_its_reason(
    registry: ScriptedRegistry, capsys: Said
) -> None:
    arn = registry.register()
    said = run(capsys, "approve", "1")
    assert said == f"{GROUP}/1 (Spot): PendingManualApproval -> Approved\n"
    said = run(capsys, "reject", f"{GROUP}/1", "--reason", " worse on\nowls ")
    assert said == f"{GROUP}/1 (Spot): Approved -> Rejected: worse on owls\n"
    assert registry.status(arn) == ("Rejected", "worse on owls")
    run(capsys, "approve", arn)
    assert registry.status(arn) == ("Approved", "")


def test_a_decision_that_is_made_already_changes_nothing(registry: ScriptedRegistry, capsys: Said) -> None:
    arn = registry.register()
    run(capsys, "approve", "1", "--reason", "looked at")
    registry.sagemaker.update_model_package = None
    for again in (["approve", "1"], ["approve", arn, "--reason", "looked at"]):
        assert run(capsys, *again) == f"{GROUP}/1 is Approved already: looked at\n"
    del registry.sagemaker.update_model_package
    assert run(capsys, "approve", "1", "--reason", "twice") == f"{GROUP}/1 (Spot): a new reason: twice\n"
    assert registry.status(arn) == ("Approved", "twice")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approve", "7"], "model package group cv-birds has no version 7 (it has: 1)"),
        (["approve", "other/7"], "no model package group other"),
        (["approve", f"{PREFIX}:model-package/cv-birds/9"], "no model package arn:aws"),
        (["approve", "v1"], "'v1' is no version of a model: write its number (3)"),
        (["approve", "0"], "'0' is no version of a model"),
        (["approve", "arn:aws:s3:::birds"], "is no version of a model"),
        (["approve"], "Missing argument 'VERSION'"),
        (["approve", "1", "--stack", "none"], "no stack none in us-east-1"),
        (["approve", "1", "--reason", "x" * 1025], "--reason has 1025 characters; SageMaker keeps at most"),
        (["reject", "1"], "Missing option '--reason'"),
        (["reject", "1", "--reason", " "], "--reason must say why the model is rejected"),
        (["models", "1", "--status", "Approved"], "--status chooses among all models"),
        (["models", "--status", "approved"], "is not one of 'Approved'"),
        (["models", "2"], "has no version 2 (it has: 1)"),
        (["download", "2"], "has no version 2 (it has: 1)"),
        (["download", "1", "--output", "taken.tar.gz"], "taken.tar.gz is there already: give --force"),
        (["download", "1", "--output", "file"], "cannot write file/cv-birds-1.tar.gz: "),
        (["download", "1", "--output", "/proc/x"], "cannot write /proc/x/cv-birds-1.tar.gz: "),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_changed(
    registry: ScriptedRegistry, capsys: Said, arguments: list[str], said: str
) -> None:
    arn = registry.register()
    Path("taken.tar.gz").write_bytes(b"mine")
    Path("file").write_bytes(b"mine")
    assert said in refused(capsys, *arguments)
    assert registry.status(arn) == ("PendingManualApproval", None)
    assert Path("taken.tar.gz").read_bytes() == b"mine"


def test_a_model_is_downloaded_with_the_digest_of_its_weights(
    registry: ScriptedRegistry, capsys: Said
) -> None:
    registry.register()
    said = run(capsys, "download", "1", "--output", "models")
    assert Path("models/cv-birds-1.tar.gz").read_bytes() == packed_in(registry)
    assert f"sha256 of the weights {hashlib.sha256(WEIGHTS).hexdigest()}" in said
    assert "cv-pipeline predict IMAGE --model models/cv-birds-1.tar.gz" in said
    assert [each.name for each in Path("models").iterdir()] == ["cv-birds-1.tar.gz"]
    Path("models/cv-birds-1.tar.gz").write_bytes(b"an older one")
    run(capsys, "download", "1", "--output", "models/cv-birds-1.tar.gz", "--force")
    assert Path("models/cv-birds-1.tar.gz").read_bytes() == packed_in(registry)


def packed_in(registry: ScriptedRegistry) -> bytes:
    body: bytes = registry.s3.get_object(Bucket=BUCKET, Key="model.tar.gz")["Body"].read()
    return body


def test_what_does_not_arrive_leaves_nothing_and_replaces_nothing(
    registry: ScriptedRegistry, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register()
    target = Path("models/cv-birds-1.tar.gz")
    target.parent.mkdir()
    target.write_bytes(b"an older one")
    command = ("download", "1", "--output", "models", "--force")

    def left() -> list[bytes]:
        return [each.read_bytes() for each in target.parent.iterdir()]

    registry.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=gzip.compress(b"no model"))
    assert "model.tar.gz is not a model: damaged archive" in refused(capsys, *command)
    registry.s3.delete_object(Bucket=BUCKET, Key="model.tar.gz")
    assert "model.tar.gz: there is no such object" in refused(capsys, *command)
    for error, code, said in (
        (OSError(28, "No space left on device"), 2, "cannot write models/cv-birds-1.tar.gz: No space left"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ):

        def fail(bucket: str, key: str, path: str, error: BaseException = error) -> None:
            Path(path).write_bytes(b"the first half")
            raise error

        registry.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=packed())
        with monkeypatch.context() as patch:
            patch.setattr(registry.s3, "download_file", fail)
            assert cli.run(list(command)) == code
        assert said in capsys.readouterr().err
        assert left() == [b"an older one"]
    run(capsys, *command)
    assert left() == [packed_in(registry)]


def test_a_package_without_a_model_of_ours_is_told(registry: ScriptedRegistry, capsys: Said) -> None:
    specification = {"SupportedContentTypes": ["image/jpeg"], "SupportedResponseMIMETypes": ["text/csv"]}
    registry.register(InferenceSpecification={"Containers": [{"Image": IMAGE}], **specification})
    assert "model package cv-birds/1 has no ModelDataUrl" in refused(capsys, "download", "1")
    elsewhere = {"Image": IMAGE, "ModelDataUrl": "https://models.example.com/model.tar.gz"}
    registry.register(InferenceSpecification={"Containers": [elsewhere], **specification})
    assert "model.tar.gz: it is no s3:// URL" in refused(capsys, "download", "2")


def test_a_model_to_ask_is_downloaded_only_if_it_can_be_one(
    registry: ScriptedRegistry, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.executions.serving.check_installed", lambda: None)
    registry.register()
    registry.s3.put_object(Bucket=BUCKET, Key="model.tar.gz", Body=b"eleven byte")
    Path("bird.jpg").write_bytes(b"a bird")
    for version in ("1", f"{GROUP}/1"):
        said = refused(capsys, "predict", "bird.jpg", "--model", version)
        assert f"{version} is not a model: damaged archive" in said
    monkeypatch.setattr("ops.commands.models.UNPACKED_LIMIT", 10)
    said = refused(capsys, "predict", "bird.jpg", "--model", "1")
    assert f"s3://{BUCKET}/model.tar.gz has 11 bytes, more than" in said


def test_a_path_that_looks_like_a_version_of_a_group_is_the_path(
    registry: ScriptedRegistry, capsys: Said
) -> None:
    Path("bird.jpg").write_bytes(b"a bird")
    Path("cv-birds/1").mkdir(parents=True)
    said = refused(capsys, "predict", "bird.jpg", "--model", "cv-birds/1")
    assert "cv-birds/1 is not a model's folder: it has no model.json" in said
