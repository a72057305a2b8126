"""`cv-pipeline upload`: what is checked before, what arrives, and the verdict that it waits for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops import __main__ as cli
from ops.commands.uploads import DEFINITION
from tests.support.definitions.policy_cases import DEPLOYED
from tests.support.definitions.small import processing, small, training
from tests.support.ops.deployment import BUCKET, KEY, MotoDeployment, definition, deployment
from tests.support.training.cub_layout import write_cub
from upload_trigger.definition import walk

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]
EPOCHS = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 20}]
BESIDE = "pipeline/parameters.json"


def upload(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Run the command and give its exit code with everything that it said."""
    capsys.readouterr()
    code = cli.run(["upload", *arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def write(path: Path, document: Any) -> str:
    """Write a JSON file and give its name as a person types it."""
    path.write_text(json.dumps(document))
    return str(path)


def body(deployment: MotoDeployment, key: str = KEY) -> Any:
    return json.loads(deployment.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def is_empty(deployment: MotoDeployment) -> bool:
    return "Contents" not in deployment.s3.list_objects_v2(Bucket=BUCKET)


def deny_settings(deployment: MotoDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody read the function's settings."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetFunctionConfiguration")

    monkeypatch.setattr(deployment.function, "get_function_configuration", refuse)


def test_upload_sets_input_data_url_and_parameters(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.delivers = False
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
    data = write_cub(tmp_path / "birds")
    code, said = upload(
        capsys, "--data", str(data), "-p", "Epochs=3", "-p", "ClassSelection=1, 2", "--no-wait"
    )
    defaults = {each["Name"]: each.get("DefaultValue") for each in body(deployment)["Parameters"]}
    assert code == 0
    assert (defaults["Epochs"], defaults["ClassSelection"]) == (3, "1, 2")
    assert defaults["InputDataUrl"].startswith(f"s3://{BUCKET}/data/")
    assert f"Uploaded s3://{BUCKET}/{KEY}, version " in said


def test_upload_prints_the_execution_its_version_and_what_it_may_cost(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    code, said = upload(capsys, write(tmp_path / "d.json", definition()))
    (execution,) = deployment.sagemaker.executions
    (version,) = deployment.uploaded()
    assert code == 0
    assert f"STARTED  s3://{BUCKET}/{KEY} (version {version})\n  execution {execution.arn}\n" in said
    assert "pipeline cv-birds, version 1" in said
    assert f"cv-pipeline watch {execution.arn}" in said


def test_upload_tells_cost_and_warnings_of_the_verdict(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.delivers = False

    def settle(params: dict[str, Any], **_: Any) -> None:
        if "verdicts/" not in params["url_path"]:
            return
        version = deployment.uploaded()[0]
        verdict = {
            "verdict": "STARTED",
            "bucket": BUCKET,
            "key": KEY,
            "versionId": version,
            "pipelineName": "cv-birds",
            "pipelineVersionId": 4,
            "executionArn": "arn:aws:x",
            "worstCaseCostUSD": 1234.5,
            "warnings": [{"pointer": "/Steps/0/Type", "message": "new here"}],
        }
        deployment.s3.meta.events.unregister("before-call.s3.GetObject", settle)
        deployment.put(verdict, f"verdicts/{KEY}/{version}.json")

    deployment.s3.meta.events.register("before-call.s3.GetObject", settle)
    code, said = upload(capsys, write(tmp_path / "d.json", definition()))
    assert code == 0
    assert "\n  costs at most 1,234.50 USD\n  warning: /Steps/0/Type: new here\n" in said


def test_a_rejected_upload_ends_with_1_and_every_reason(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny_settings(deployment, monkeypatch)
    needy = definition(parameters=[{"Name": each, "Type": "String"} for each in ("Bucket", "Folder")])
    code, said = upload(capsys, write(tmp_path / "d.json", needy))
    assert code == 1
    assert "The policy is not asked before the upload: AWS refuses GetFunctionConfiguration to you." in said
    assert "is REJECTED and started nothing:" in said
    assert "\n  /Parameters/0: Bucket needs" in said
    assert "\n  /Parameters/1: Folder needs" in said
    assert not deployment.sagemaker.executions


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"Name": "A", "Type": "Fale", "Arguments": {}}, "CreatePipeline refuses: /Steps/0/Type: "),
        (training(Tags=[{"Key": "a", "Value": ""}] * 2), "the job of step T would be refused: /Steps/0/"),
        (
            {"Name": "A", "Type": "Lambda", "FunctionArn": "f"},
            '/Steps/0/Type: "Lambda" steps may not run here',
        ),
    ],
)
def test_what_aws_or_the_policy_refuses_is_not_uploaded(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured, step: dict[str, Any], said: str
) -> None:
    code, output = upload(capsys, write(tmp_path / "d.json", small(step)))
    assert code == 2
    assert f"\n  {said}" in output
    assert is_empty(deployment)


OUT_OF_RANGE = "AccuracyThreshold is 7 but must be a number from 0 to 1"


def test_a_value_that_an_execution_would_fail_for_is_one_sentence_and_nothing_is_uploaded(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
    beside = write(tmp_path / "parameters.json", {"AccuracyThreshold": 7})
    data = str(write_cub(tmp_path / "birds"))
    of_the_command = ("-p", "AccuracyThreshold=7", "--data", data)
    assert upload(capsys, *of_the_command) == (2, f"Error: {OUT_OF_RANGE}\n")
    assert upload(capsys, "--parameters", beside) == (2, f"Error: {beside}: {OUT_OF_RANGE}\n")
    shipped = json.loads(DEFINITION.read_text())
    walk.parameters(shipped)["AccuracyThreshold"]["DefaultValue"] = 7
    wrong = write(tmp_path / "d.json", shipped)
    code, said = upload(capsys, wrong, "--data", data)
    assert code == 2
    assert said.endswith(f"Error: {wrong}: {OUT_OF_RANGE}\n")
    assert is_empty(deployment)
    deployment.put({"AccuracyThreshold": 7}, BESIDE)
    where = f"s3://{BUCKET}/{BESIDE}"
    assert upload(capsys, "--data", data) == (2, f"Error: {where}: {OUT_OF_RANGE}\n")
    assert not deployment.uploaded()


def test_a_wrong_value_on_the_command_line_is_told_before_aws_is_asked(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("AWS is asked")

    monkeypatch.setattr("ops.aws.session.boto3.Session", refuse)
    said = "Error: Epochs is -1 but must be a whole number from 0 to 10000\n"
    assert upload(capsys, "-p", "Epochs=-1") == (2, said)


def test_what_another_value_replaces_is_not_held_against_an_upload(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.delivers = False
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
    shipped = json.loads(DEFINITION.read_text())
    walk.parameters(shipped)["AccuracyThreshold"]["DefaultValue"] = 7
    wrong, data = write(tmp_path / "d.json", shipped), str(write_cub(tmp_path / "birds"))
    deployment.put({"AccuracyThreshold": 0.9}, BESIDE)
    assert upload(capsys, wrong, "--data", data, "--no-wait")[0] == 0


def test_values_in_the_bucket_count_in_what_is_checked_before_an_upload(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    needy = write(tmp_path / "d.json", definition(parameters=[{"Name": "Folder", "Type": "String"}]))
    deployment.put({"Folder": True}, BESIDE)
    code, said = upload(capsys, needy)
    assert code == 2
    assert f"s3://{BUCKET}/{BESIDE} would be rejected by the deployed function" in said
    assert "\n  /Folder: true is no String" in said
    deployment.put({"Folder": "birds"}, BESIDE)
    assert upload(capsys, needy)[0] == 0


def test_a_failed_upload_ends_with_1_and_names_redrive(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    upload(capsys, write(tmp_path / "d.json", definition("first")))
    deployment.deny()
    code, said = upload(capsys, write(tmp_path / "d.json", definition("second")))
    assert code == 1
    assert "FAILED" in said
    assert "iam:PassRole" in said
    assert "cv-pipeline redrive" in said


def test_an_upload_that_lambda_gave_up_ends_with_1_and_names_redrive(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.throttle()
    code, said = upload(capsys, write(tmp_path / "d.json", definition()))
    assert code == 1
    assert "ThrottlingException" in said
    assert "cv-pipeline redrive" in said


def test_an_upload_nobody_heard_of_ends_with_1_and_names_reconcile(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.delivers = False
    times = iter((0.0, 500.0))
    monkeypatch.setattr("ops.uploads.start.time.monotonic", lambda: next(times))
    code, said = upload(capsys, write(tmp_path / "d.json", definition()))
    assert code == 1
    assert "no verdict" in said
    assert "cv-pipeline reconcile" in said
    assert "/aws/lambda/cv-birds-start-execution" in said


def test_values_go_beside_the_definition_before_it(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    values = write(tmp_path / "values.json", {"Epochs": 3})
    path = write(tmp_path / "d.json", definition(parameters=EPOCHS))
    code, said = upload(capsys, path, "--parameters", values, "--name", "trial")
    (execution,) = deployment.sagemaker.executions
    assert code == 0
    assert body(deployment, "pipeline/trial/parameters.json") == {"Epochs": 3}
    assert execution.parameters == {"Epochs": "3"}
    assert f"Uploaded s3://{BUCKET}/pipeline/trial/parameters.json\n" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"Epoch": 3}, "/Epoch: the definition has no such parameter; did you mean Epochs?"),
        ({"Epochs": "many"}, '/Epochs: "many" is no Integer'),
        ({"ArtifactBucket": "mine"}, "/ArtifactBucket: the deployment itself gives this"),
        ([3], "is not a JSON object of parameters"),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_uploaded(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured, values: Any, said: str
) -> None:
    path = write(tmp_path / "d.json", definition(parameters=EPOCHS))
    code, output = upload(capsys, path, "--parameters", write(tmp_path / "v.json", values))
    assert code == 2
    assert said in output
    assert is_empty(deployment)


def test_a_value_given_twice_is_refused_and_nothing_is_uploaded(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    path = write(tmp_path / "d.json", definition(parameters=EPOCHS))
    values = write(tmp_path / "v.json", {"Epochs": 3})
    code, said = upload(capsys, path, "--parameters", values, "-p", "Epochs=5")
    assert code == 2
    assert "v.json gives Epochs, too, and would win" in said
    assert is_empty(deployment)


def test_a_value_in_the_bucket_that_would_win_is_told_before_anything_is_uploaded(
    deployment: MotoDeployment, tmp_path: Path, capsys: Captured
) -> None:
    deployment.put({"Epochs": 3}, BESIDE)
    path = write(tmp_path / "d.json", definition(parameters=EPOCHS))
    code, said = upload(capsys, path, "-p", "Epochs=5")
    assert code == 2
    assert f"s3://{BUCKET}/{BESIDE} gives Epochs=3, which would win" in said
    assert f"aws s3 rm s3://{BUCKET}/{BESIDE}" in said
    assert not deployment.uploaded()
    assert upload(capsys, path)[0] == 0, "without -p there is no doubt about the value"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "Epoch=3"], "did you mean Epochs?"),
        (["-p", "Epochs"], "write NAME=VALUE"),
        (["-p", "Epochs=1", "-p", "Epochs=2"], "given twice"),
        (["-p", "ArtifactBucket=mine"], "set by the deployment"),
        (["--data", "nowhere"], "there is no such file or folder"),
        (["--data", ".", "-p", "InputDataUrl=s3://b/"], "give one of the two"),
        (["--name", "a_b"], "--name"),
        (["--stack", "cv-brids"], "no stack cv-brids in us-east-1"),
        (["missing.json"], "cannot read the definition missing.json"),
        (["--parameters", "missing.json"], "cannot read the parameters missing.json"),
    ],
)
def test_a_mistake_is_answered_plainly_and_nothing_is_uploaded(
    deployment: MotoDeployment, capsys: Captured, arguments: list[str], said: str
) -> None:
    code, output = upload(capsys, *arguments)
    assert code == 2
    assert said in output
    assert is_empty(deployment)


COMMAND = processing(
    AppSpecification={
        "ImageUri": "scores:1",
        "ContainerArguments": ["--classes", {"Get": "Parameters.Classes"}],
    }
)
NAMED_AS_ITS_INPUT = processing(ProcessingInputs=[{"InputName": "train"}])


@pytest.mark.parametrize(
    ("step", "default", "arguments", "said"),
    [
        (COMMAND, "", [], "CreateProcessingJob takes no empty text here; Classes is empty; give it a value"),
        (COMMAND, "all", ["-p", "Classes="], "Classes= is empty, and SageMaker takes no empty value"),
        (
            COMMAND,
            "all",
            ["--parameters", "v.json"],
            "/Classes: SageMaker takes no empty value",
        ),
        (NAMED_AS_ITS_INPUT, "all", [], '/OutputName: "train" is given more than once; keep one'),
    ],
)
@pytest.mark.parametrize("knows_the_policy", [True, False])
def test_what_is_empty_or_twice_in_a_processing_job_is_refused_and_nothing_is_uploaded(
    deployment: MotoDeployment,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    *,
    step: dict[str, Any],
    default: str,
    arguments: list[str],
    said: str,
    knows_the_policy: bool,
) -> None:
    if not knows_the_policy:
        deny_settings(deployment, monkeypatch)
    write(tmp_path / "v.json", {"Classes": ""})
    declared = [{"Name": "Classes", "Type": "String", "DefaultValue": default}]
    code, output = upload(capsys, write(tmp_path / "d.json", small(step, Parameters=declared)), *arguments)
    assert code == 2
    assert said in output.replace("\n", "")
    assert is_empty(deployment)


# --- what the doctor sees before an upload -------------------------------------------------------------


def no_notification(deployment: MotoDeployment) -> None:
    deployment.notifications.clear()


def failed_function(deployment: MotoDeployment) -> None:
    deployment.function.state = {"State": "Failed", "StateReason": "its role is gone"}


def no_image(deployment: MotoDeployment) -> None:
    deployment.account.images.clear()


def no_quota(deployment: MotoDeployment) -> None:
    deployment.account.quotas["ml.c5.4xlarge for spot training job usage"] = 0.0


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        (no_notification, "notification: "),
        (failed_function, "function: cv-birds-start-execution is Failed"),
        (no_image, "image: "),
        (no_quota, "quota: ml.c5.4xlarge for spot training job usage: 0, and step TrainSpot needs 1"),
    ],
)
def test_what_would_stop_the_execution_is_said_before_anything_is_uploaded(
    deployment: MotoDeployment, capsys: Captured, remove: Callable[[MotoDeployment], None], said: str
) -> None:
    deployment.delivers = False
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
    remove(deployment)
    code, told = upload(capsys, "--no-wait")
    assert code == 2
    assert f"nothing was uploaded (--no-doctor uploads all the same):\n  {said}" in told
    assert "\n    mend it with: " in told
    assert is_empty(deployment)
    assert upload(capsys, "--no-wait", "--no-doctor")[0] == 0
    assert len(deployment.uploaded()) == 1


def test_the_types_that_an_upload_asks_for_are_looked_at_and_advice_stops_nothing(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.delivers = False
    deployment.function.environment["PIPELINE_PARAMETERS"] = json.dumps(DEPLOYED)
    code, told = upload(capsys, "--no-wait", "-p", "TrainingInstanceType=ml.m5.2xlarge")
    assert code == 0
    assert 'quota: Service Quotas of us-east-1 has no "ml.m5.2xlarge for training job usage"' in told
    assert "quota: ml.c5.4xlarge" not in told


def test_what_the_doctor_may_not_ask_stops_no_upload(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.account.denied = {"DescribeImages"}
    code, told = upload(capsys, write(Path("d.json"), definition()))
    assert code == 0
    assert "Not asked before the upload: image: AWS refuses DescribeImages to you" in told
