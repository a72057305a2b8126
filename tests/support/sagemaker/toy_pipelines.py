"""Definitions of a few steps, and pipelines made of them, for tests against SageMaker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.toy_jobs import BUCKET, ROLE, processing_request, training_request


def definition(*steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> str:
    """Write a definition of these steps."""
    document = {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters or [], "Steps": list(steps)}
    return json.dumps(document)


def fail(name: str = "Stop", message: Any = "no birds") -> dict[str, Any]:
    """Write a Fail step."""
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def process(name: str, code: str = "pass", **more: Any) -> dict[str, Any]:
    """Write a Processing step whose container runs `code`."""
    arguments = processing_request("x", code, outputs={"out": f"s3://{BUCKET}/{name}"})
    del arguments["ProcessingJobName"]
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def train(name: str, code: str = "pass", **more: Any) -> dict[str, Any]:
    """Write a Training step whose container runs `code`."""
    arguments = training_request("x", code)
    del arguments["TrainingJobName"]
    return {"Name": name, "Type": "Training", "Arguments": arguments, **more}


def create(account: ToyAccount, name: str, text: str, **more: Any) -> str:
    """Create a pipeline; return its ARN."""
    answer = account.sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=text,
        RoleArn=ROLE,
        ClientRequestToken=f"create-{name}".ljust(32, "-"),
        **more,
    )
    return str(answer["PipelineArn"])


def run(account: ToyAccount, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """Start an execution and wait for its end; return its ARN and its description."""
    arn = account.sagemaker.start_pipeline_execution(PipelineName=name, **more)["PipelineExecutionArn"]
    return arn, account.wait_execution(arn)


def steps(account: ToyAccount, arn: str, **more: Any) -> dict[str, dict[str, Any]]:
    """Return the steps of an execution by name, in the order of the answer."""
    answer = account.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn, **more)
    return {step["StepName"]: step for step in answer["PipelineExecutionSteps"]}


def error_of(account: ToyAccount, operation: str, **request: Any) -> tuple[str, str]:
    """Return code and message of the error that a call ends with."""
    with pytest.raises(account.sagemaker.exceptions.ClientError) as caught:
        getattr(account.sagemaker, operation)(**request)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def pipeline_names(account: ToyAccount) -> list[str]:
    """Return the names of all pipelines."""
    return [p["PipelineName"] for p in account.sagemaker.list_pipelines()["PipelineSummaries"]]
