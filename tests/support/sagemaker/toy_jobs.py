"""Jobs whose containers are scripts of a few lines."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.engine.jobs.session import JobSettings

BUCKET = "birds-bucket"
IMAGE = (
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/cdk-hnb659fds-container-assets-123456789012-us-east-1:abc"
)
ROLE = "arn:aws:iam::123456789012:role/job"
SETTINGS = JobSettings(stop_grace=0.5, close_grace=0.2, checkpoint_interval=0.05, log_interval=0.05)
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
"""
Request = dict[str, Any]


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
    name: str,
    code: str,
    *,
    inputs: Mapping[str, str] | None = None,
    instances: int = 1,
    distribution: str = "FullyReplicated",
    **changes: Any,
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
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": uri,
                        "S3DataDistributionType": distribution,
                    }
                },
            }
            for channel, uri in (inputs or {}).items()
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": instances,
            "VolumeSizeInGB": 10,
        },
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
