"""Measure the time from the PUT of pipeline.json to the start of its execution, on local AWS.

    python -m tests.benchmarks.bench_upload_to_start [--rounds 7]

The committed template: event, function in a process of its own, IAM, SageMaker. The baseline is a process
that makes the same calls with bare boto3 after the same PUT, as the administrator: get object, describe,
update and start. `cold` starts the process of either, `warm` finds it waiting. Both ends are wall clock: when
the PUT is sent, and the execution's CreationTime.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import starts
from tests.benchmarks.measure import interleaved, median, show
from tests.support.local_aws.deployed import DeployedStack, deployed_stack


@dataclass
class UploadBench:
    """The four measures; each gives the seconds from the PUT to the execution's start."""

    deployed: DeployedStack
    body: bytes
    environment: Mapping[str, str]
    """Of the processes that make the calls directly."""
    waiting: starts.Child
    cold_starts: int = 0

    def function_cold(self) -> float:
        """Change the function, as a deployment would: its next event meets no warm process."""
        self.cold_starts += 1
        configuration = starts.function(self.deployed)
        self.deployed.aws.client("lambda").update_function_configuration(
            FunctionName=configuration["FunctionName"],
            MemorySize=configuration["MemorySize"] + (1 if self.cold_starts % 2 else -1),
        )
        return self.function_warm()

    def function_warm(self) -> float:
        """Upload, and wait for the execution that comes of it."""
        began = time.time()
        version = starts.version_id(starts.upload(self.deployed, "pipeline/pipeline.json", self.body))
        while not (arn := self._execution_of(version)):
            time.sleep(0.02)
        return starts.end(self.deployed, arn) - began

    def direct_cold(self) -> float:
        """Upload where nobody is notified, then start a process that makes the calls."""
        began = time.time()
        event = starts.upload(self.deployed, "data/pipeline.json", self.body)
        with starts.Child("direct", self.environment) as child:
            arn = child.start(event)["arn"]
        return starts.end(self.deployed, arn) - began

    def direct_warm(self) -> float:
        """The same in a process that has made its clients and a first execution."""
        began = time.time()
        event = starts.upload(self.deployed, "data/pipeline.json", self.body)
        return starts.end(self.deployed, self.waiting.start(event)["arn"]) - began

    def _execution_of(self, version: str) -> str | None:
        found = self.deployed.sagemaker.list_pipeline_executions(
            PipelineName=self.deployed.outputs["PipelineName"], SortOrder="Descending", MaxResults=3
        )["PipelineExecutionSummaries"]
        arns = [
            e["PipelineExecutionArn"] for e in found if version in e.get("PipelineExecutionDescription", "")
        ]
        return arns[0] if arns else None


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, deployed_stack(Path(name) / "aws") as running:
        # The first execution also makes the pipeline, which would be measured once and never again.
        body = starts.definition(running)
        (Path(name) / "first.json").write_bytes(body)
        starts.end(running, running.start(Path(name) / "first.json"))
        environment = starts.environment(running, administrator=True)
        with starts.Child("direct", environment) as waiting:
            bench = UploadBench(running, body, environment, waiting)
            bench.direct_warm()
            values = interleaved(
                rounds,
                {
                    "warm": bench.function_warm,
                    "warm, direct": bench.direct_warm,
                    "cold": bench.function_cold,
                    "cold, direct": bench.direct_cold,
                },
            )
    rows = []
    for kind in ("warm", "cold"):
        direct, whole = median(values[f"{kind}, direct"]), median(values[kind])
        more = f"{whole - direct:+.3f}"
        rows.append(
            (kind, f"{direct:.3f}", f"{whole:.3f}", more, f"{whole / direct:.2f}", f"{max(values[kind]):.3f}")
        )
    show(
        f"PUT of pipeline.json to the execution's start, medians of {rounds} (seconds)",
        ("function's process", "direct", "function", "more", "ratio", "function, worst"),
        rows,
        (f"the definition has {len(body):,} bytes",),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
