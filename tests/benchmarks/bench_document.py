"""What the worst uploads that we can think of cost the function: seconds and memory, of each and at most.

    python -m tests.benchmarks.bench_document

Every definition is as large as one may be, and so is every parameters.json. Time is what the handler's event
takes of the processor, the quickest of three, S3 and SageMaker being in this process; memory is the most that
Python had allocated at a time, the upload itself included.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from pipeline_definition.checks.service_model import bundled_model
from tests.benchmarks.measure import machine
from tests.support.definitions.hostile import HOSTILE, HOSTILE_VALUES
from tests.support.delivery.handler_bench import MEMORY, BoundedHandler
from tests.support.delivery.world import inhabited

ROOT = Path(__file__).resolve().parents[2]


REPEATS = 3
SECONDS = 1.0
SHIPPED = ROOT / "pipeline_definition" / "pipeline.json"


def uploads() -> Iterator[tuple[str, bytes, bytes]]:
    """Yield definitions, each with a name and the parameters.json beside it."""
    shipped, nothing = SHIPPED.read_bytes(), b"{}"
    yield "the project's own definition", shipped, nothing
    for name, make in HOSTILE.items():
        yield name, make(), nothing
    for name, make in HOSTILE_VALUES.items():
        yield f"values: {name}", shipped, make()


def handle(body: bytes, values: bytes) -> float:
    """Upload, have the handler give its verdict, and give the seconds that took."""
    bench = BoundedHandler()
    bench.s3.put("pipeline/parameters.json", values)
    begin = time.process_time()
    verdicts = bench.upload(body) or []
    taken = time.process_time() - begin
    if [verdict["verdict"] for verdict in verdicts] not in (["STARTED"], ["REJECTED"]):
        raise SystemExit(f"no verdict: {verdicts}")
    return taken


def measure(body: bytes, values: bytes) -> tuple[float, int]:
    """Return the seconds and the bytes that an upload costs."""
    seconds = min(handle(body, values) for _ in range(REPEATS))
    gc.collect()
    tracemalloc.start()
    handle(body, values)
    peak = tracemalloc.get_traced_memory()[1] + len(body) + len(values)
    tracemalloc.stop()
    return seconds, peak


def main() -> None:
    """Print a line for each upload, the slowest last, and fail if one is over the limits."""
    logging.disable(logging.CRITICAL)
    bundled_model()
    with inhabited():
        handle(SHIPPED.read_bytes(), b"{}")  # whatever is made once
        costs = {name: measure(body, values) for name, body, values in uploads()}
    for name, (seconds, peak) in sorted(costs.items(), key=lambda item: item[1][0]):
        sys.stdout.write(f"{seconds:7.3f} s {peak / 1e6:7.1f} MB  {name}\n")
    slowest = max(seconds for seconds, _ in costs.values())
    largest = max(peak for _, peak in costs.values())
    sys.stdout.write(f"at most {slowest:.3f} s and {largest / 1e6:.1f} MB\n{machine()}\n")
    if slowest > SECONDS or largest > MEMORY:
        sys.exit(f"over the limits of {SECONDS:g} s and {MEMORY / 1e6:g} MB")


if __name__ == "__main__":
    main()
