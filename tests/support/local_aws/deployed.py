"""A running local AWS with the real template deployed, and one way to upload and follow on it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from local.run import STACK, TEMPLATE
from ops.aws import roles
from ops.aws.stack import StackOutputs
from ops.output.watch import follow
from ops.uploads import upload
from ops.uploads.start import wait_for_start
from tests.support.local_aws.toy_pipeline import IMAGE


def write_template(template: Mapping[str, Any], directory: Path) -> Path:
    """Write a template to be deployed, and return where."""
    path = directory / "template.json"
    path.write_text(json.dumps(template), encoding="utf-8")
    return path


def write_template_without(rules: Sequence[str], directory: Path) -> Path:
    """Write the committed template with some rules of the deployment policy switched off."""
    template = json.loads(TEMPLATE.read_text())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"]["Environment"]["Variables"]
            policy = json.loads(variables["DEPLOYMENT_POLICY"])
            policy["policy_off"] = dict.fromkeys(rules, "its containers are toys")
            variables["DEPLOYMENT_POLICY"] = json.dumps(policy)
    return write_template(template, directory)


class DeployedStack:
    """Local AWS with the stack on it."""

    def __init__(self, aws: LocalAWS, outputs: Mapping[str, str]) -> None:
        self.aws, self.outputs = aws, outputs
        self.sagemaker = aws.client("sagemaker")
        self.data_url = ""
        self.uploader = roles.uploader(aws, StackOutputs(STACK, outputs))
        """Clients of whoever uploads: the administrator, or the role that they assumed for it."""

    def put_object(self, key: str, body: bytes) -> str:
        """Put one object into the project's bucket as an uploader and return its URL."""
        bucket = self.outputs["BucketName"]
        self.uploader.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def upload(self, definition: Path, **parameters: str) -> upload.DefinitionUpload:
        """Upload `definition`; the S3 event does the rest."""
        given = {"InputDataUrl": self.data_url, **parameters}
        s3 = self.uploader.client("s3")
        return upload.upload_definition(s3, self.outputs["BucketName"], definition, given)

    def start(self, definition: Path, **parameters: str) -> str:
        """Upload `definition` and return the ARN of the execution that the Lambda started."""
        return wait_for_start(
            self.uploader.client("s3"),
            self.uploader.client("sqs"),
            self.upload(definition, **parameters),
            self.outputs["FailureQueueUrl"],
            30.0,
        )

    def run(self, definition: Path, **parameters: str) -> str:
        """Start an execution, follow it to its end and return its ARN."""
        return self.follow(self.start(definition, **parameters))

    def follow(self, execution: str) -> str:
        """Follow an execution to its end and return its ARN."""
        follow(self.sagemaker, self.aws.client("logs"), execution, Console(quiet=True))
        return execution

    def describe(self, execution: str) -> Any:
        """DescribePipelineExecution."""
        return self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)

    def steps(self, execution: str) -> dict[str, Any]:
        """ListPipelineExecutionSteps by step name."""
        pages = self.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=execution
        )
        return {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}

    def training_job(self, execution: str, step: str) -> Any:
        """DescribeTrainingJob of a training step."""
        arn = self.steps(execution)[step]["Metadata"]["TrainingJob"]["Arn"]
        return self.sagemaker.describe_training_job(TrainingJobName=arn.rsplit("/", 1)[-1])


@contextmanager
def deployed_stack(
    work_dir: Path, interruptions: int = 1, template: Path = TEMPLATE, image: Path = IMAGE
) -> Iterator[DeployedStack]:
    """Bring local AWS up with a template, the toy image and something to preprocess."""
    jobs = JobSettings(interruptions=interruptions, source=str(image))
    with LocalAWS(work_dir=work_dir, jobs=jobs) as aws:
        running = DeployedStack(aws, deploy(aws, template, STACK))
        running.data_url = running.put_object("data/toy/images.txt", b"1 a/a.jpg\n").removesuffix(
            "images.txt"
        )
        yield running
