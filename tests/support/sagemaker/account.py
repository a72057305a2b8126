"""An account with a bucket and SageMaker in it, and what a test does there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.support.sagemaker.toy_jobs import BUCKET, processing_request, training_request, wait

EVERYTHING: list[dict[str, Any]] = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]


@dataclass
class ToyAccount:
    """A bucket, SageMaker and what is around it: all of local AWS, or the service with a host in memory."""

    aws: Any
    s3: Any
    sagemaker: Any

    def put(self, key: str, body: bytes | str) -> str:
        """Store an object; return its URI."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """Return an object."""
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the bucket."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [o["Key"] for o in found.get("Contents", [])]

    def allow(self, statements: list[dict[str, Any]], role: str = "job") -> None:
        """Replace what the role may do."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.aws.client("iam").put_role_policy(RoleName=role, PolicyName="rights", PolicyDocument=policy)

    def make_role(self, name: str, service: str = "sagemaker.amazonaws.com") -> str:
        """Make a role that the service may assume and that may do everything."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
        made = self.aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        self.allow(EVERYTHING, name)
        return str(made["Role"]["Arn"])

    def train(self, name: str, code: str, **changes: Any) -> dict[str, Any]:
        """Create a training job and wait for its end."""
        self.sagemaker.create_training_job(**training_request(name, code, **changes))
        return self.wait_training(name)

    def wait_training(self, name: str) -> dict[str, Any]:
        """Wait for the end of a training job; return its description."""
        return wait(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda d: d["TrainingJobStatus"] not in ("InProgress", "Stopping"),
        )

    def process(self, name: str, code: str, **changes: Any) -> dict[str, Any]:
        """Create a processing job and wait for its end."""
        self.sagemaker.create_processing_job(**processing_request(name, code, **changes))
        return self.wait_processing(name)

    def wait_processing(self, name: str) -> dict[str, Any]:
        """Wait for the end of a processing job; return its description."""
        return wait(
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda d: d["ProcessingJobStatus"] not in ("InProgress", "Stopping"),
        )

    def wait_execution(self, arn: str) -> dict[str, Any]:
        """Wait for the end of an execution; return its description."""
        return wait(
            lambda: self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
            lambda d: d["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
        )

    def log(self, group: str, stream: str) -> list[str]:
        """Return the lines of the streams of one job, in the order of the streams."""
        logs = self.aws.client("logs")
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]
        pages = [
            logs.get_log_events(logGroupName=group, logStreamName=found["logStreamName"], startFromHead=True)[
                "events"
            ]
            for found in streams
        ]
        return [event["message"] for events in pages for event in events]

    def maybe_log(self, group: str, stream: str) -> list[str]:
        """Return the lines of the streams of one job, none while there is no stream."""
        try:
            return self.log(group, stream)
        except self.aws.client("logs").exceptions.ResourceNotFoundException:
            return []
