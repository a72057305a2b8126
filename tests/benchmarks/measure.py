"""What the benchmarks share: interleaved rounds, medians, one small table, and the machine in one line."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Measure = Callable[[], float]


def interleaved(rounds: int, measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Call every measure once a round, so that whatever else the machine does meets all of them alike."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return values


def median(values: Sequence[float]) -> float:
    """Return the middle of an odd number of values, the mean of the two middle ones else."""
    return statistics.median(values)


def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print the one table of a benchmark: the first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=110, highlight=False, markup=False)
    console.print(table)
    for note in (*notes, machine()):
        console.print(note)


def machine() -> str:
    """Say in one line what the numbers were measured on, and how busy it was."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu = names[0] if names else cpu
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {cpu} ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}; load {load:.2f} at the end"
    )
