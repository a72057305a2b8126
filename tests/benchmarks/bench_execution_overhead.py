"""Measure what an execution on local AWS takes beyond its jobs: S3, IAM, the engine, processes.

    python -m tests.benchmarks.bench_execution_overhead [--scale 1.0] [--rounds 3]

The shipped pipeline with a fourth job at its end: four jobs in a chain, two beside them, conditions and
registrations. Each job sleeps for a known time and leaves files of the real sizes. The baseline is the
critical path: the commands of the chain run directly, one after the other, in the same run. The promise is at
most 5 % plus 2 seconds over the baseline.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import interleaved, median, show
from tests.support.local_aws.deployed import DeployedStack, deployed_stack, write_template_without
from tests.support.local_aws.toy_pipeline import SHIPPED, steps

CONTAINER = Path(__file__).with_name("sleeping_container.py")
SECONDS = {
    "Preprocess": 2.0,
    "TrainSpot": 5.0,
    "TrainOnDemand": 4.0,
    "EvaluateSpot": 2.0,
    "EvaluateOnDemand": 1.0,
    "EvaluateAgain": 1.0,
}
CHAIN = ("Preprocess", "TrainSpot", "EvaluateSpot", "EvaluateAgain")
DIRECT, EXECUTION = "critical path, direct", "execution"


def role(step: str) -> str:
    """Return what the container of a step is told to be."""
    return next(word for word in ("preprocess", "train", "evaluate") if step.lower().startswith(word))


def write_definition(path: Path, scale: float) -> None:
    """Write the shipped definition with a fourth job in its chain and sleeping containers."""
    definition = json.loads(SHIPPED.read_text())
    again = copy.deepcopy(next(step for step in definition["Steps"] if step["Name"] == "EvaluateSpot"))
    again |= {"Name": "EvaluateAgain", "DisplayName": "EvaluateAgain", "DependsOn": ["EvaluateOnDemand"]}
    again["DependsOn"].append("EvaluateSpot")
    del again["PropertyFiles"]
    output = again["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]
    output["S3Uri"]["Std:Join"]["Values"][-1] = "again"
    definition["Steps"].append(again)
    for step in steps(definition):
        arguments = step["Arguments"]
        container = arguments.get("AppSpecification") or arguments.get("AlgorithmSpecification")
        if container and step["Name"] in SECONDS:
            container["ContainerEntrypoint"] = command(step["Name"], scale)
    path.write_text(json.dumps(definition))


def command(step: str, scale: float) -> list[str]:
    """Return the command of a job, as the definition and the baseline start it."""
    return ["python", str(CONTAINER), str(SECONDS[step] * scale), role(step)]


@contextmanager
def sleeping_stack(directory: Path) -> Iterator[DeployedStack]:
    """Bring up a local AWS whose policy lets containers start that prove nothing of a model."""
    template = write_template_without(("entry_points", "registration"), directory)
    with deployed_stack(directory / "aws", template=template) as running:
        yield running


@dataclass
class OverheadBench:
    """Both measures and, step by step, what they found."""

    deployed: DeployedStack
    definition: Path
    scale: float
    jobs: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, list[float]] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    rounds: int = 0

    def direct(self) -> float:
        """Run the chain's commands one after the other; seconds of all of them."""
        started = time.monotonic()
        for step in CHAIN:
            with tempfile.TemporaryDirectory() as base:
                began = time.monotonic()
                subprocess.run(
                    [sys.executable, *command(step, self.scale)[1:]],
                    env={"PATH": os.environ.get("PATH", os.defpath), "SAGEMAKER_BASE_DIR": base},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                self.jobs.setdefault(step, []).append(time.monotonic() - began)
        return time.monotonic() - started

    def execution(self) -> float:
        """Upload the definition; the seconds from the execution's start to its end, as described."""
        self.rounds += 1
        uploaded = time.time()
        # A seed of its own for every round, so that the step cache is asked and has no answer.
        arn = self.deployed.run(self.definition, Seed=str(self.rounds))
        described = self.deployed.describe(arn)
        if described["PipelineExecutionStatus"] != "Succeeded":
            raise SystemExit(f"the execution ended {described['PipelineExecutionStatus']}: {self._why(arn)}")
        created, ended = described["CreationTime"], described["LastModifiedTime"]
        self.starts.append(created.timestamp() - uploaded)
        for name, step in self.deployed.steps(arn).items():
            took = step["EndTime"] - step["StartTime"]
            self.steps.setdefault(name, []).append(took.total_seconds())
        seconds: float = (ended - created).total_seconds()
        return seconds

    def _why(self, arn: str) -> str:
        return "; ".join(
            f"{name}: {step['FailureReason']}"
            for name, step in self.deployed.steps(arn).items()
            if "FailureReason" in step
        )


def rows(bench: OverheadBench, values: dict[str, list[float]]) -> list[tuple[str, ...]]:
    """Return the table: the chain job by job, what is left between the steps, and the whole."""
    table: list[tuple[str, ...]] = []
    for step in CHAIN:
        job, whole = median(bench.jobs[step]), median(bench.steps[step])
        table.append((f"  {step}", f"{job:.3f}", f"{whole:.3f}", f"{whole - job:+.3f}", ""))
    path, whole = median(values[DIRECT]), median(values[EXECUTION])
    between = whole - sum(median(bench.steps[step]) for step in CHAIN)
    table.append(("  before, between and after the steps", "", f"{between:.3f}", f"{between:+.3f}", ""))
    table.append(
        ("the execution", f"{path:.3f}", f"{whole:.3f}", f"{whole - path:+.3f}", f"{whole / path:.3f}")
    )
    return table


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="make every job this much longer")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sleeping_stack(Path(name)) as running:
        bench = OverheadBench(running, Path(name) / "pipeline.json", options.scale)
        write_definition(bench.definition, options.scale)
        measures: dict[str, Any] = {DIRECT: bench.direct, EXECUTION: bench.execution}
        values = interleaved(options.rounds, measures)
    path, whole = median(values[DIRECT]), median(values[EXECUTION])
    allowed = path * 1.05 + 2
    show(
        f"An execution against its critical path run directly, medians of {options.rounds} (seconds)",
        ("", "direct", "execution", "more", "ratio"),
        rows(bench, values),
        (
            f"promise: at most 1.05 x + 2 s = {allowed:.3f} s; {'kept' if whole <= allowed else 'BROKEN'}",
            f"PUT to the execution's start, besides: {median(bench.starts):.3f} s",
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
