"""A running laptop AWS with the real template deployed, and one way to upload and follow on it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from local.aws.server import LocalAWS
from local.deploy import deploy
from local.run import STACK, TEMPLATE
from ops import upload, watch


class Laptop:
    """The laptop's AWS with the stack on it."""

    def __init__(self, aws: LocalAWS, outputs: Mapping[str, str]) -> None:
        self.aws, self.outputs = aws, outputs
        self.sagemaker = aws.client("sagemaker")
        self.data_url = ""

    def put_object(self, key: str, body: bytes) -> str:
        """Put one object into the project's bucket and return its URL."""
        bucket = self.outputs["BucketName"]
        self.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def upload(self, definition: Path, **parameters: str) -> upload.Upload:
        """Upload `definition`; the S3 event does the rest."""
        given = {"InputDataUrl": self.data_url, **parameters}
        return upload.upload_definition(self.aws.client("s3"), self.outputs["BucketName"], definition, given)

    def start(self, definition: Path, **parameters: str) -> str:
        """Upload `definition` and return the ARN of the execution that the Lambda started."""
        return watch.wait_for_start(
            self.sagemaker,
            self.aws.client("sqs"),
            self.outputs["PipelineName"],
            self.upload(definition, **parameters),
            self.outputs["FailureQueueUrl"],
            30.0,
        )

    def run(self, definition: Path, **parameters: str) -> str:
        """Start an execution, follow it to its end and return its ARN."""
        execution = self.start(definition, **parameters)
        watch.watch(self.sagemaker, self.aws.client("logs"), execution, Console(quiet=True))
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
def laptop(work_dir: Path, interruptions: int = 1) -> Iterator[Laptop]:
    """Bring the laptop's AWS up with the committed template and something to preprocess."""
    with LocalAWS(work_dir=work_dir, interruptions=interruptions) as aws:
        running = Laptop(aws, deploy(aws, TEMPLATE, STACK))
        running.data_url = running.put_object("data/toy/images.txt", b"1 a/a.jpg\n").removesuffix(
            "images.txt"
        )
        yield running
