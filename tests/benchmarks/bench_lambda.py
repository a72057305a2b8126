"""Measure what the function costs in a fresh process: imports, the first events, processor time, memory.

    python -m tests.benchmarks.bench_lambda [--rounds 7]

`handler` imports the function from its unpacked zip, without byte code as in Lambda, and hands it an event;
the baseline, `direct`, imports boto3, makes the two clients and the same calls on the same definition, and
checks nothing. Both make their clients while they are imported, and talk to local AWS with the function's
role and environment.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from local.deploy import SOURCE, zip_sources
from tests.benchmarks import starts
from tests.benchmarks.measure import interleaved, median, show
from tests.support.local_aws.deployed import DeployedStack, deployed_stack

COLUMNS = {
    "process start to first execution (s)": 3,
    "  imports (s)": 3,
    "  first event (s)": 3,
    "processor time to first execution (s)": 3,
    "second event (s)": 3,
    "peak memory (MB)": 1,
}
KINDS = ("direct", "handler")


def silence(running: DeployedStack) -> None:
    """Take the bucket's notification away: here nobody but the benchmark hands events over."""
    running.aws.client("s3").put_bucket_notification_configuration(
        Bucket=running.outputs["BucketName"], NotificationConfiguration={}
    )


def measure(
    running: DeployedStack, code: Path, body: bytes, kind: str, found: dict[str, list[float]]
) -> Callable[[], float]:
    """Make the measure of one kind of process; it gives the seconds to the first execution."""

    environment = {**starts.environment(running), "FUNCTION_CODE": str(code), "PYTHONDONTWRITEBYTECODE": "1"}

    def once() -> float:
        event = starts.upload(running, "pipeline/pipeline.json", body)
        began = time.monotonic()
        with starts.Child(kind, environment) as child:
            first = child.start(event)
            whole = time.monotonic() - began
            starts.end(running, first["arn"])
            # Not before: the function would have found this upload while it was at work on the first.
            second = child.start(starts.upload(running, "pipeline/pipeline.json", body))
            starts.end(running, second["arn"])
        spent = (whole, first["imports"], first["seconds"], first["processor"], second["seconds"])
        for name, value in zip(COLUMNS, (*spent, second["megabytes"]), strict=True):
            found.setdefault(name, []).append(value)
        return whole

    return once


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    rounds = parser.parse_args().rounds
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory() as name, deployed_stack(Path(name) / "aws") as running:
        body = starts.definition(running)
        (Path(name) / "first.json").write_bytes(body)
        starts.end(running, running.start(Path(name) / "first.json"))
        silence(running)
        code = Path(name) / "code"
        zipfile.ZipFile(io.BytesIO(zip_sources(SOURCE))).extractall(code)
        interleaved(rounds, {kind: measure(running, code, body, kind, found[kind]) for kind in KINDS})
    rows = []
    for column, digits in COLUMNS.items():
        direct, handler = (median(found[kind][column]) for kind in KINDS)
        rows.append((column, f"{direct:.{digits}f}", f"{handler:.{digits}f}", f"{handler / direct:.2f}"))
    show(
        f"The function in a fresh process, medians of {rounds}",
        ("", "direct", "handler", "ratio"),
        rows,
        (f"the definition: {len(body):,} bytes",),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
