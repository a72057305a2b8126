"""Clients that are not ours work against `python -m local up`: boto3, the AWS CLI, the SageMaker SDK."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.infra.profiles import HARDENED
from tests.support.local_aws.deployed import write_template
from tests.support.local_aws.local_commands import read_env, up
from tests.support.local_aws.toy_pipeline import SHIPPED

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of somebody who sourced the env file of a running `python -m local up`."""
    folder = tmp_path_factory.mktemp("a person's folder")
    env_file = folder / "local.env"
    with up(env_file) as server:
        assert env_file.stat().st_mode & 0o777 == 0o600
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        yield {**kept, **read_env(env_file), **own_settings(folder)}
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
    assert not env_file.exists()


def own_settings(folder: Path) -> dict[str, str]:
    """Return what the CLI of this machine's user is not to be asked: the pager and the configuration."""
    config = folder / "config"
    config.write_text(PROFILE)
    # The CLI keeps the credentials of roles there, and would take those of an earlier one.
    return {"AWS_PAGER": "", "AWS_CONFIG_FILE": str(config), "HOME": str(folder)}


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("definition") / "pipeline.json"
    document = json.loads(SHIPPED.read_text())
    for parameter in document["Parameters"]:
        if parameter["Name"] == "InputDataUrl":
            parameter["DefaultValue"] = f"s3://{BUCKET}/data/toy/"
    path.write_text(json.dumps(document))
    return path


BUCKET = "cv-birds-123456789012-us-east-1"
UPLOADER = "arn:aws:iam::123456789012:role/cv-birds-uploader-us-east-1"
PROFILE = f"""
[profile cv-birds-uploader]
role_arn = {UPLOADER}
credential_source = Environment
"""
AS_UPLOADER = ("--profile", "cv-birds-uploader")


def aws(person: dict[str, str], *arguments: str) -> Any:
    """Run the AWS CLI and read its JSON."""
    done = subprocess.run(
        [str(BIN / "aws"), *arguments, "--output", "json"],
        env=person,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@pytest.fixture(scope="module")
def execution(person: dict[str, str], definition: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An execution started and followed with the AWS CLI alone."""
    data = tmp_path_factory.mktemp("data") / "images.txt"
    data.write_text("1 a/a.jpg\n")
    aws(person, "s3", "cp", str(data), f"s3://{BUCKET}/data/toy/images.txt")
    aws(person, "s3", "cp", str(definition), f"s3://{BUCKET}/pipeline/pipeline.json")
    subprocess.run(
        ["bash", "-c", WAIT, "bash", str(BIN / "aws")],
        env=person,
        check=True,
        timeout=90,
        stdout=subprocess.DEVNULL,
    )
    listed = aws(person, "sagemaker", "list-pipeline-executions", "--pipeline-name", "cv-birds")
    (summary,) = listed["PipelineExecutionSummaries"]
    assert summary["PipelineExecutionStatus"] == "Succeeded"
    return str(summary["PipelineExecutionArn"])


WAIT = """
newest='PipelineExecutionSummaries[0].PipelineExecutionStatus'
list=(sagemaker list-pipeline-executions --pipeline-name cv-birds --output text --query "$newest")
until [ "$("$1" "${list[@]}" 2>/dev/null)" = Succeeded ]; do sleep 1; done
"""


@pytest.mark.slow
def test_the_cli_lists_the_steps(person: dict[str, str], execution: str) -> None:
    answer = aws(person, "sagemaker", "list-pipeline-execution-steps", "--pipeline-execution-arn", execution)
    statuses = {step["StepName"]: step["StepStatus"] for step in answer["PipelineExecutionSteps"]}
    assert {"Preprocess", "TrainSpot", "TrainOnDemand", "RegisterSpot", "RegisterOnDemand"} <= statuses.keys()
    assert set(statuses.values()) == {"Succeeded"}


@pytest.mark.slow
def test_a_hardened_deployment_refuses_a_plain_copy_and_says_who_may(
    definition: Path, tmp_path: Path
) -> None:
    env_file, template = tmp_path / "local.env", write_template(HARDENED, tmp_path)
    copy = ["s3", "cp", str(definition), f"s3://{BUCKET}/pipeline/another/pipeline.json"]
    with up(env_file, "--template", str(template)) as server:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        somebody = {**kept, **read_env(env_file), **own_settings(tmp_path)}
        done = subprocess.run(
            [str(BIN / "aws"), *copy], env=somebody, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        only = f"statement OnlyTheUploaderWritesDefinitions lets only {UPLOADER} do it"
        assert f"with an explicit deny in a resource-based policy: {only}; use cv-pipeline" in done.stderr
        assert "upload:" in aws(somebody, *AS_UPLOADER, *copy)
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0


@pytest.mark.slow
def test_the_cli_describes_the_spot_job(person: dict[str, str], execution: str) -> None:
    jobs = aws(person, "sagemaker", "list-training-jobs", "--name-contains", "TrainSpot")
    (job,) = jobs["TrainingJobSummaries"]
    answer = aws(person, "sagemaker", "describe-training-job", "--training-job-name", job["TrainingJobName"])
    assert answer["TrainingJobStatus"] == "Completed"
    assert answer["EnableManagedSpotTraining"] is True
    assert 1 <= answer["BillableTimeInSeconds"] <= answer["TrainingTimeInSeconds"]
    metrics = {metric["MetricName"] for metric in answer["FinalMetricDataList"]}
    assert metrics >= METRICS
    aws(person, "s3", "cp", answer["ModelArtifacts"]["S3ModelArtifacts"], os.devnull)


@pytest.mark.slow
def test_the_cli_lists_the_metrics_of_both_trainings(person: dict[str, str], execution: str) -> None:
    found = aws(person, "cloudwatch", "list-metrics", "--namespace", "/aws/sagemaker/TrainingJobs")["Metrics"]
    by_job: dict[str, set[str]] = {}
    for metric in found:
        (dimension,) = metric["Dimensions"]
        assert dimension["Name"] == "TrainingJobName"
        by_job.setdefault(dimension["Value"], set()).add(metric["MetricName"])
    jobs = aws(person, "sagemaker", "list-training-jobs")["TrainingJobSummaries"]
    assert by_job.keys() == {job["TrainingJobName"] for job in jobs}
    assert all(names >= METRICS for names in by_job.values())


@pytest.mark.slow
def test_the_cli_approves_a_model_package(person: dict[str, str], execution: str) -> None:
    packages = aws(person, "sagemaker", "list-model-packages", "--model-package-group-name", "cv-birds")
    arns = [package["ModelPackageArn"] for package in packages["ModelPackageSummaryList"]]
    assert len(arns) == 2
    aws(
        person,
        *("sagemaker", "update-model-package", "--model-package-arn", arns[0]),
        *("--model-approval-status", "Approved"),
    )
    described = aws(person, "sagemaker", "describe-model-package", "--model-package-name", arns[0])
    assert described["ModelApprovalStatus"] == "Approved"


@pytest.mark.slow
def test_boto3_needs_nothing_but_the_environment(
    person: dict[str, str], execution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in person.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    sagemaker = boto3.session.Session().client("sagemaker")
    stored = sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)
    names = {step["Name"] for step in json.loads(stored["PipelineDefinition"])["Steps"]}
    assert names == {step["Name"] for step in json.loads(SHIPPED.read_text())["Steps"]}


@pytest.mark.slow
def test_the_sagemaker_sdk_waits_lists_and_reads_the_metrics(person: dict[str, str], execution: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SDK, execution],
        env={**person, "SAGEMAKER_VALIDATE_ROLE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["status"] == "Succeeded"
    assert {"TrainSpot", "RegisterOnDemand"} <= set(said["steps"])
    assert set(said["metrics"]) >= METRICS
    assert said["metrics"]["validation:accuracy"] == pytest.approx(0.9)


METRICS = {"train:loss", "validation:accuracy"}
SDK = """
import json, sys
from sagemaker.core.analytics import TrainingJobAnalytics
from sagemaker.core.helper.session_helper import Session
from sagemaker.mlops.workflow.pipeline import PipelineExecution
execution = PipelineExecution(arn=sys.argv[1], sagemaker_session=Session())
execution.wait(delay=1, max_attempts=5)
steps = {step["StepName"]: step for step in execution.list_steps()}
in_arn = steps["TrainSpot"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]  # in lower case
job = Session().sagemaker_client.describe_training_job(TrainingJobName=in_arn)
frame = TrainingJobAnalytics(job["TrainingJobName"], sagemaker_session=Session()).dataframe()
print(json.dumps({
    "status": execution.describe()["PipelineExecutionStatus"],
    "steps": list(steps),
    "metrics": frame.groupby("metric_name")["value"].mean().to_dict(),
}))
"""
