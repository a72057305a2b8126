"""Measure what the engine adds to the critical path of its jobs, with fake jobs of known length.

    python -m tests.benchmarks.bench_engine_overhead [--scale 1.0]

The pipeline has the product's shape. The last line is the ratio of the whole to
the critical path; the product's promise is at most 1.05 plus 2 seconds.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.support.engine.fakes import birds_world
from tests.support.engine.pipelines import birds

SECONDS = {
    "Preprocess": 4.0,
    "TrainSpot": 10.0,
    "TrainOnDemand": 8.0,
    "EvaluateSpot": 3.0,
    "EvaluateOnDemand": 3.0,
}
CRITICAL_PATH = ("Preprocess", "TrainSpot", "EvaluateSpot")


def main() -> int:
    """Run the pipeline once and print the overhead; exit 1 when it breaks the promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="make every job this much longer (default 1.0)"
    )
    scale = parser.parse_args().scale
    world = birds_world()
    for step, seconds in SECONDS.items():
        script = world.sagemaker.scripts.setdefault(step, type(world.sagemaker.scripts["EvaluateSpot"])())
        script.seconds = seconds * scale
    executor = world.executor(birds(), {"InputDataUrl": "s3://bucket/data/"}, retry_scale=1)
    cpu, started = time.process_time(), time.monotonic()
    outcome = executor.run()
    whole, cpu = time.monotonic() - started, time.process_time() - cpu
    path = sum(SECONDS[step] for step in CRITICAL_PATH) * scale
    print(f"status          {outcome.status}")
    print(f"critical path   {path:7.3f} s")
    print(f"execution       {whole:7.3f} s  ({whole - path:+.3f} s, engine CPU {cpu:.3f} s)")
    print(f"ratio           {whole / path:7.4f}")
    return 0 if outcome.status == "Succeeded" and whole <= path * 1.05 + 2 else 1


if __name__ == "__main__":
    sys.exit(main())
