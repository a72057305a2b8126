"""Compare local AWS of two checkouts: starting, starting an execution, S3, a job's input, a whole run.

    git worktree add ../before COMMIT       # and an environment for it
    python -m tests.benchmarks.bench_local_aws ../before --python ../before/.venv/bin/python [--rounds 5]

The baseline is the other checkout, with its own Python, in the same run and by turns. Clients are this one's
boto3 for both, and so is the data of the whole run: the drawings of this checkout, or what --data names.

    up          from `python -m local up` to its template deployed and its env file written
    start       from the PUT of pipeline.json to its execution's start, the function's process warm
    puts        1,000 PUTs of 100 KB by one client, one after the other
    job         from CreateTrainingJob to Completed, with an input of 400 MB and a container that does nothing
    run         `python -m local run`, from the command to its end
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.benchmarks.measure import median, show

ROOT = Path(__file__).resolve().parents[2]


STACK = "cv-birds"
IMAGE = (
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/cdk-hnb659fds-container-assets-123456789012-us-east-1:bench"
)
MEASURES = {
    "up": "up, deployed",
    "start": "PUT to start",
    "puts": "1,000 PUTs",
    "job": "400 MB to a job",
    "run": "run",
}


@dataclass(frozen=True)
class Checkout:
    """A checkout of the repository, and the Python that has what it needs."""

    folder: Path
    python: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of its commands: nobody's AWS, and nothing of this process's paths."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}

    @contextmanager
    def up(self, folder: Path) -> Iterator[tuple[float, UpClients]]:
        """Start its local AWS; yield the seconds that took, and clients."""
        env_file = folder / "bench.env"
        began = time.monotonic()
        with subprocess.Popen(
            [str(self.python), "-m", "local", "up", "--env-file", str(env_file), "--interruptions", "0"],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                if "In another terminal" in line:
                    break
            else:
                raise SystemExit(f"local up of {self.folder} ended with {process.wait()}: run it by itself")
            took = time.monotonic() - began
            try:
                yield took, UpClients(env_file)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)

    def run(self, folder: Path, data: Path, parameters: str) -> float:
        """Return the seconds that a whole run takes."""
        command = [str(self.python), "-m", "local", "run", "--data", str(data), "--output", str(folder)]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--parameters", parameters],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"local run of {self.folder} failed:\n{done.stdout}{done.stderr}")
        return time.monotonic() - began


class UpClients:
    """Clients of a local AWS, by its env file."""

    def __init__(self, env_file: Path) -> None:
        lines = (line.split("=", 1) for line in env_file.read_text().splitlines())
        given = {name: value.strip('"') for name, value in lines}
        self._endpoint, self._region = given["AWS_ENDPOINT_URL"], given["AWS_REGION"]
        self._session = boto3.session.Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"])
        self.sagemaker, self.s3 = self._client(self._session, "sagemaker"), self._client(self._session, "s3")
        stack = self._client(self._session, "cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        self.bucket = self.outputs["BucketName"]
        self.uploader = self._client(self._uploader(), "s3")

    def start(self) -> float:
        """Return the seconds from the PUT of a definition to its execution's start, for a warm function."""
        definition = json.loads((ROOT / "pipeline_definition" / "pipeline.json").read_text())
        for parameter in definition["Parameters"]:
            if parameter["Name"] == "InputDataUrl":
                parameter["DefaultValue"] = f"s3://{self.bucket}/data/none/"
        body = json.dumps(definition).encode()
        return [self._start(body) for _ in range(3)][-1]

    def puts(self) -> float:
        """Return the seconds of 1,000 PUTs."""
        self.s3.create_bucket(Bucket="bench-puts")
        body = os.urandom(100_000)
        began = time.monotonic()
        for number in range(1000):
            self.s3.put_object(Bucket="bench-puts", Key=f"{number % 10}/{number}", Body=body)
        return time.monotonic() - began

    def job(self) -> float:
        """Return the seconds from asking for a job with a large input to its end."""
        with tempfile.TemporaryFile() as large:
            large.truncate(400_000_000)
            large.seek(0)
            self.uploader.put_object(Bucket=self.bucket, Key="data/large/blob", Body=large)
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/data/large/"}
        name = "pipelines-bench-large"
        began = time.monotonic()
        self.sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=self.outputs["PipelineExecutionRoleArn"],
            AlgorithmSpecification={
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python", "-c", "pass"],
            },
            InputDataConfig=[{"ChannelName": "large", "DataSource": {"S3DataSource": source}}],
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/executions/bench/"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
            EnableNetworkIsolation=True,
        )
        while True:
            described = self.sagemaker.describe_training_job(TrainingJobName=name)
            if described["TrainingJobStatus"] not in ("InProgress", "Stopping"):
                break
            time.sleep(0.02)
        if described["TrainingJobStatus"] != "Completed":
            raise SystemExit(f"the job {described['TrainingJobStatus']}: {described.get('FailureReason')}")
        return time.monotonic() - began

    def _start(self, body: bytes) -> float:
        began = time.time()
        put = self.uploader.put_object(Bucket=self.bucket, Key="pipeline/pipeline.json", Body=body)
        while not (arn := self._execution_of(put["VersionId"])):
            time.sleep(0.01)
        described = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        while described["PipelineExecutionStatus"] in ("Executing", "Stopping"):
            time.sleep(0.05)
            described = self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return float(described["CreationTime"].timestamp()) - began

    def _execution_of(self, version: str) -> str | None:
        try:
            listed = self.sagemaker.list_pipeline_executions(PipelineName=STACK)["PipelineExecutionSummaries"]
        except self.sagemaker.exceptions.ResourceNotFound:
            return None
        found = (each for each in listed if version in each.get("PipelineExecutionDescription", ""))
        return next((each["PipelineExecutionArn"] for each in found), None)

    def _uploader(self) -> Any:
        assumed = self._client(self._session, "sts").assume_role(
            RoleArn=self.outputs["UploaderRoleArn"], RoleSessionName="bench"
        )["Credentials"]
        return boto3.session.Session(
            assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"]
        )

    def _client(self, session: Any, service: str) -> Any:
        settings = Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=300
        )
        return session.client(service, region_name=self._region, endpoint_url=self._endpoint, config=settings)


def measure(checkout: Checkout, wanted: Sequence[str], data: Path, parameters: str) -> dict[str, float]:
    """Return every measure of a checkout, once."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(wanted) - {"run"}:
            with checkout.up(folder) as (found["up"], clients):
                for each in ("start", "puts", "job"):
                    if each in wanted:
                        found[each] = getattr(clients, each)()
        if "run" in wanted:
            found["run"] = checkout.run(folder / "runs", data, parameters)
    return found


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("baseline", type=Path, help="another checkout of this repository")
    parser.add_argument("--python", type=Path, required=True, help="the Python of its environment")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--data", type=Path, help="a folder in CUB layout or an archive for the whole run")
    parser.add_argument("--parameters", default="", help="pipeline parameters of the whole run")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    given = parser.parse_args()
    baseline = Checkout(given.baseline.resolve(), given.python.absolute())
    ours = Checkout(ROOT, Path(sys.executable))
    values: dict[str, list[dict[str, float]]] = {"baseline": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        data = given.data.resolve() if given.data else _drawings(Path(name))
        for _ in range(given.rounds):
            for who, checkout in (("baseline", baseline), ("ours", ours)):
                values[who].append(measure(checkout, given.only, data, given.parameters))
    rows = []
    for each in given.only:
        theirs, own = (median([found[each] for found in values[who]]) for who in ("baseline", "ours"))
        worst = max(found[each] for found in values["ours"])
        rows.append((MEASURES[each], f"{theirs:.3f}", f"{own:.3f}", f"{own / theirs:.2f}", f"{worst:.3f}"))
    show(
        f"Local AWS of two checkouts, medians of {given.rounds} rounds by turns (seconds)",
        ("what", "baseline", "ours", "ratio", "ours, worst"),
        rows,
    )
    return 0


def _drawings(folder: Path) -> Path:
    """Draw the sample data of this checkout, which both then run on."""
    subprocess.run([sys.executable, "-m", "local.sample_data", str(folder)], cwd=ROOT, check=True)
    return folder / "drawn-birds.tgz"


if __name__ == "__main__":
    sys.exit(main())
