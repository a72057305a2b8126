"""Measure the time from SIGTERM to the end of a training job, by when it comes and by how many processes.

    python -m tests.benchmarks.bench_sigterm [--images 240] [--rounds 3]

The jobs are `python -m training.train` with all of EfficientNet-Lite0 at 224 pixels. SIGTERM comes while
Python imports, while features are computed, and in the steps of the whole network, where the job writes a
checkpoint first. Several processes are instances of one job that meet on this machine; all of them get
SIGTERM, and the last one's end counts. The processor's seconds are those of all of them from SIGTERM on,
which a busy machine hardly changes. Each must end as a stopped job does, with what is worth keeping written.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.bench_training_step import write_channels
from tests.benchmarks.measure import interleaved, median, show
from tests.support.training.hosts import TrainingHosts
from training.job import STOPPED
from training.paths import Paths

ALLOWED = {1: 2.0, 2: 10.0}
"""Seconds from SIGTERM to the end, by the number of processes."""
WHOLE_NETWORK = {"image_size": "224", "batch_size": "16", "fine_tune_layers": "all", "fine_tune_epochs": "99"}


@dataclass(frozen=True)
class Moment:
    """When SIGTERM comes: so many seconds after the first process's log has a text, or after the start."""

    name: str
    given: dict[str, str]
    text: str
    seconds: float
    keeps: str
    """Which files the job must have written, none for an empty text."""


MOMENTS = (
    Moment("while importing", {}, "", 1.0, ""),
    Moment("while computing features", {}, "backbone=", 1.5, "features-train.pt"),
    Moment(
        "while the whole network learns",
        {"epochs": "0", "checkpoint_seconds": "1"},
        "checkpoint step=",
        0.5,
        "checkpoint-?.pt",
    ),
)


def used_by_ended() -> float:
    """Return the processor's seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def used_by_sessions(leaders: Iterable[int]) -> float:
    """Return the processor's seconds so far of these processes and of those that they have started."""
    sessions, ticks = set(leaders), 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if int(fields[3]) in sessions:
            ticks += sum(map(int, fields[11:15]))  # its own, and of its children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


class RunningTrainings:
    """Training jobs that are stopped, and how big the checkpoints were that they left."""

    def __init__(self, folder: Path, images: int) -> None:
        self._folder, self._numbers = folder, itertools.count()
        write_channels(folder / "data", images)
        self._outputs = Paths(folder / "data").channel("train").parent
        self.checkpoint_bytes = 0
        self.processor_seconds: dict[tuple[str, int], list[float]] = {}

    def seconds_to_stop(self, moment: Moment, processes: int) -> float:
        """Start a job, stop it, and return how long that took."""
        base = self._folder / f"job-{next(self._numbers)}"
        given = WHOLE_NETWORK | moment.given
        with TrainingHosts.laid_out(base, self._outputs, processes, **given) as hosts:
            hosts.start()
            if moment.text:
                hosts.wait_for(moment.text)
            time.sleep(moment.seconds)
            running = list(hosts.processes)
            assert [each.poll() for each in running] == [None] * processes, "a job ended before SIGTERM"
            started, used = (
                time.perf_counter(),
                used_by_ended() + used_by_sessions(each.pid for each in running),
            )
            for each in running:
                each.terminate()
            # Their logs are too short to fill a pipe, so that none waits for a reader.
            codes = [each.wait(timeout=120) for each in running]
            seconds = time.perf_counter() - started
            self.processor_seconds.setdefault((moment.name, processes), []).append(used_by_ended() - used)
            assert codes == [STOPPED] * processes, f"{moment.name}: {codes}"
            kept = list(hosts.folders[0].checkpoints.glob(f"*/{moment.keeps}")) if moment.keeps else []
            assert bool(kept) == bool(moment.keeps), f"{moment.name}: nothing is kept"
        if moment.keeps.startswith("checkpoint"):
            self.checkpoint_bytes = max(path.stat().st_size for path in kept)
        return seconds


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=240, help="of the training channel")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        jobs = RunningTrainings(Path(name), options.images)
        measures: dict[str, Callable[[], float]] = {
            f"{moment.name}, {count} {'process' if count == 1 else 'processes'}": partial(
                jobs.seconds_to_stop, moment, count
            )
            for count in ALLOWED
            for moment in MOMENTS
        }
        values = interleaved(options.rounds, measures)
    rows = []
    for what, (count, moment) in zip(values, itertools.product(ALLOWED, MOMENTS), strict=True):
        took, allowed = median(values[what]), ALLOWED[count]
        processor = median(jobs.processor_seconds[moment.name, count])
        seconds = [f"{each:.2f} s" for each in (took, max(values[what]), processor)]
        rows.append((what, f"{allowed:.0f} s", *seconds, f"{took / allowed:.2f}"))
    show(
        f"From SIGTERM to the end of a training, medians of {options.rounds}",
        ("when", "allowed", "ours", "slowest", "processor", "ratio"),
        rows,
        (f"a checkpoint of the whole network has {jobs.checkpoint_bytes / 1e6:.0f} MB",),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
