"""The AWS CLI and the SageMaker SDK work against local AWS unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.toy_jobs import BUCKET, IMAGE, ROLE, training_request

pytestmark = pytest.mark.slow

DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [],
    "Steps": [
        {
            "Name": "Train",
            "Type": "Training",
            "Arguments": {
                name: value
                for name, value in training_request(
                    "x",
                    "print('loss=0.5')",
                    algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
                ).items()
                if name != "TrainingJobName"
            },
        }
    ],
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        opened.sagemaker.create_pipeline(
            PipelineName="birds",
            PipelineDefinition=json.dumps(DEFINITION),
            RoleArn=ROLE,
            ClientRequestToken="t" * 32,
        )
        yield opened


def environment(account: ToyAccount) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(account.aws.work_dir), **account.aws.environment()}


def cli(account: ToyAccount, *arguments: str) -> Any:
    command = [str(Path(sys.executable).with_name("aws")), "--output", "json", *arguments]
    done = subprocess.run(command, env=environment(account), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def test_the_cli_starts_follows_and_approves(account: ToyAccount, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("data")
    cli(account, "s3", "cp", str(tmp_path / "data.txt"), f"s3://{BUCKET}/data.txt", "--quiet")
    started = cli(account, "sagemaker", "start-pipeline-execution", "--pipeline-name", "birds")
    arn = started["PipelineExecutionArn"]
    assert account.wait_execution(arn)["PipelineExecutionStatus"] == "Succeeded"
    listed = cli(account, "sagemaker", "list-pipeline-execution-steps", "--pipeline-execution-arn", arn)
    (step,) = listed["PipelineExecutionSteps"]
    assert step["StepStatus"] == "Succeeded"
    name = next(
        job["TrainingJobName"]
        for job in cli(account, "sagemaker", "list-training-jobs")["TrainingJobSummaries"]
        if job["TrainingJobArn"] == step["Metadata"]["TrainingJob"]["Arn"]
    )
    job = cli(account, "sagemaker", "describe-training-job", "--training-job-name", name)
    assert [m["Value"] for m in job["FinalMetricDataList"]] == [0.5]
    account.sagemaker.create_model_package_group(ModelPackageGroupName="birds")
    package = account.sagemaker.create_model_package(
        ModelPackageGroupName="birds",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}],
            "SupportedContentTypes": ["application/x-image"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    approval = ("--model-package-arn", package, "--model-approval-status", "Approved")
    cli(account, "sagemaker", "update-model-package", *approval)
    packages = cli(account, "sagemaker", "list-model-packages", "--model-package-group-name", "birds")
    assert [p["ModelApprovalStatus"] for p in packages["ModelPackageSummaryList"]] == ["Approved"]


SDK = """
import sys, boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.mlops.workflow.pipeline import PipelineExecution
session = Session(boto_session=boto3.Session(), default_bucket=sys.argv[2])
execution = PipelineExecution(arn=sys.argv[1], sagemaker_session=session)
execution.wait(delay=1, max_attempts=30)
print("STATUS", execution.describe()["PipelineExecutionStatus"])
print("STEPS", [step["StepName"] for step in execution.list_steps()])
print("PARAMETERS", execution.list_parameters())
"""


def test_the_sdks_execution_object_waits_and_lists_steps(account: ToyAccount) -> None:
    arn = account.sagemaker.start_pipeline_execution(PipelineName="birds")["PipelineExecutionArn"]
    done = subprocess.run(
        [sys.executable, "-c", SDK, arn, BUCKET],
        env=environment(account),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "STATUS Succeeded" in done.stdout
    assert "STEPS ['Train']" in done.stdout


SDK_FAILS = """
import json
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import ParameterInteger
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.core.workflow.conditions import ConditionEquals
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
import boto3, sys
silent = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
session = Session(boto_session=boto3.Session(), default_bucket="birds", sagemaker_config=silent)
count = ParameterInteger(name="Count", default_value=2)
fail = FailStep(name="Fails", error_message=Join(on=" ", values=["failed with", count]))
is_two = ConditionEquals(left=count, right=2)
check = ConditionStep(name="Check", conditions=[is_two], if_steps=[fail], else_steps=[])
pipeline = Pipeline(name="sdk-fails", parameters=[count], steps=[check], sagemaker_session=session)
pipeline.create(sys.argv[1])
execution = pipeline.start()
try:
    execution.wait(delay=1, max_attempts=30)
except Exception as error:
    print(type(error).__name__, file=sys.stderr)
steps = {each["StepName"]: each for each in execution.list_steps()}
described = execution.describe()
stop = None
try:
    execution.stop()
except Exception as error:
    stop = str(error)
print(json.dumps([
    described["FailureReason"],
    described["PipelineExecutionStatus"],
    steps["Fails"]["FailureReason"],
    steps["Fails"]["Metadata"]["Fail"]["ErrorMessage"],
    steps["Check"]["Metadata"]["Condition"]["Outcome"],
    stop,
]))
pipeline.delete()
"""


def test_the_sdk_s_pipeline_with_a_fail_step_ends_as_on_aws(account: ToyAccount) -> None:
    """What the SDK's own integration test of Fail steps expects, and Airflow's hook of a second stop."""
    done = subprocess.run(
        [sys.executable, "-c", SDK_FAILS, ROLE],
        env=environment(account),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reason, status, step, told, outcome, stop = json.loads(done.stdout.splitlines()[-1])
    assert "Step failure: One or multiple steps failed" in reason
    assert (status, step, told, outcome) == ("Failed", "failed with 2", "failed with 2", "True")
    assert "Only pipelines with 'Executing' status can be stopped" in stop


ANALYTICS = """
import sys, boto3
from sagemaker.core.analytics import TrainingJobAnalytics
from sagemaker.core.helper.session_helper import Session
session = Session(boto_session=boto3.Session(), default_bucket=sys.argv[2])
frame = TrainingJobAnalytics(sys.argv[1], sagemaker_session=session).dataframe()
print("FRAME", [(row.metric_name, row.value) for row in frame.itertuples()])
"""


def test_a_training_jobs_metrics_are_found_in_cloudwatch(account: ToyAccount) -> None:
    definitions = [{"Name": "loss", "Regex": "loss=(.*)"}]
    account.train("curve", "print('loss=0.5')", algorithm={"MetricDefinitions": definitions})
    namespace = ("--namespace", "/aws/sagemaker/TrainingJobs")
    metrics = cli(account, "cloudwatch", "list-metrics", *namespace)["Metrics"]
    curve = {"Name": "TrainingJobName", "Value": "curve"}
    assert [m["MetricName"] for m in metrics if m["Dimensions"] == [curve]] == ["loss"]
    done = subprocess.run(
        [sys.executable, "-c", ANALYTICS, "curve", BUCKET],
        env=environment(account),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "FRAME [('loss', 0.5)]" in done.stdout
