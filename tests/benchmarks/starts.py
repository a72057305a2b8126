"""What the two benchmarks of starting executions share: a definition, uploads, processes that start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.uploads.parameters import with_defaults
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import SHIPPED

CHILD = Path(__file__).with_name("start_child.py")


def definition(deployed: DeployedStack) -> bytes:
    """Return the shipped definition, in its full size, with containers that can be stopped at once."""
    document = json.loads(SHIPPED.read_text())
    return json.dumps(with_defaults(document, {"InputDataUrl": deployed.data_url}), indent=2).encode()


def upload(deployed: DeployedStack, key: str, body: bytes) -> dict[str, Any]:
    """Put the definition; give the S3 event that stands for it."""
    bucket = deployed.outputs["BucketName"]
    version = deployed.uploader.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    entry = {"key": key, "versionId": version, "sequencer": f"{time.time_ns():018X}"}
    s3 = {"bucket": {"name": bucket}, "object": entry}
    return {"Records": [{"eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": s3}]}


def version_id(event: dict[str, Any]) -> str:
    """Return the version that an event is about."""
    return str(event["Records"][0]["s3"]["object"]["versionId"])


def end(deployed: DeployedStack, arn: str) -> float:
    """Stop an execution and wait for its end, so that it disturbs nothing; give when it was started."""
    deployed.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn)
    while (described := deployed.describe(arn))["PipelineExecutionStatus"] in ("Executing", "Stopping"):
        time.sleep(0.05)
    created: float = described["CreationTime"].timestamp()
    return created


def function(deployed: DeployedStack) -> dict[str, Any]:
    """Return the configuration of the deployed function that starts executions."""
    functions = deployed.aws.client("lambda").list_functions()["Functions"]
    return next(each for each in functions if each["Handler"].startswith("upload_trigger."))


def environment(deployed: DeployedStack, *, administrator: bool = False) -> dict[str, str]:
    """Return the environment of the deployed function, with its role's credentials or the administrator's."""
    configuration, aws = function(deployed), deployed.aws
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        **configuration["Environment"]["Variables"],
        **(aws.environment() if administrator else aws.role_environment(configuration["Role"], "benchmark")),
    }


class Child:
    """A process of start_child.py."""

    def __init__(self, kind: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), kind],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, event: dict[str, Any]) -> dict[str, Any]:
        """Have it turn the event into an execution; what it says about that."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(event), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"start_child.py ended with {self._process.wait()}: run it by itself")
        answer: dict[str, Any] = json.loads(line)
        return answer
