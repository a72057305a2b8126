"""Jobs whose containers are scripts of a few lines, and what a test does with them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.engine.jobs.session import JobSettings

BUCKET = "birds-bucket"
IMAGE = (
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/cdk-hnb659fds-container-assets-123456789012-us-east-1:abc"
)
ROLE = "arn:aws:iam::123456789012:role/job"
SETTINGS = JobSettings(stop_grace=0.5, close_grace=0.2, checkpoint_interval=0.05, log_interval=0.05)
EVERYTHING: list[dict[str, Any]] = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
"""
Request = dict[str, Any]


@dataclass
class Laptop:
    """What a test works with: local AWS, or the service alone with a host in memory."""

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


def wait(
    look: Callable[[], dict[str, Any]], done: Callable[[dict[str, Any]], bool], seconds: float = 20.0
) -> dict[str, Any]:
    """Look until it is done; return what was seen last."""
    end = time.monotonic() + seconds
    while not done(seen := look()):
        assert time.monotonic() < end, f"not done after {seconds} s: {seen}"
        time.sleep(0.02)
    return seen


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie waits for its new parent and runs no more."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(shown.stdout.strip()) and not shown.stdout.strip().startswith("Z")


def _code(code: str) -> dict[str, str]:
    """Put a script into variables: a variable of a job, like an argument, has at most 256 characters."""
    whole = PRELUDE + code
    return {f"CODE{n // 250:02}": whole[n : n + 250] for n in range(0, len(whole), 250)}


def _script() -> dict[str, Any]:
    run = "import os; exec(''.join(v for k, v in sorted(os.environ.items()) if k.startswith('CODE')))"
    return {"ContainerEntrypoint": ["python", "-c"], "ContainerArguments": [run]}


def training_request(
    name: str, code: str, *, inputs: Mapping[str, str] | None = None, **changes: Any
) -> Request:
    """Write a CreateTrainingJob request whose container runs `code`; `inputs` are channels and their URIs."""
    algorithm = {"TrainingImage": IMAGE, "TrainingInputMode": "File", **_script()}
    request: Request = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {**algorithm, **changes.pop("algorithm", {})},
        "Environment": _code(code),
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            }
            for channel, uri in (inputs or {}).items()
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }
    return {key: value for key, value in request.items() if value not in (None, [])}


def spot(**changes: Any) -> Request:
    """Write the members of a managed spot training job."""
    return {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints"},
        **changes,
    }


def processing_request(
    name: str,
    code: str,
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    instances: int = 1,
    distribution: str = "FullyReplicated",
    upload_mode: str = "EndOfJob",
    **changes: Any,
) -> Request:
    """Write a CreateProcessingJob request whose container runs `code`; inputs and outputs by name."""
    app = {"ImageUri": IMAGE, **_script(), **changes.pop("app", {})}
    return {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": app,
        "Environment": _code(code),
        "ProcessingInputs": [
            {
                "InputName": key,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"/opt/ml/processing/input/{key}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                    "S3DataDistributionType": distribution,
                },
            }
            for key, uri in (inputs or {}).items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": key,
                    "S3Output": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/output/{key}",
                        "S3UploadMode": upload_mode,
                    },
                }
                for key, uri in (outputs or {}).items()
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": instances,
                "InstanceType": "ml.m5.xlarge",
                "VolumeSizeInGB": 10,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }
