"""What the patterns of SageMaker's service model cost on texts that are made to cost much.

    python -m tests.benchmarks.bench_patterns

Every pattern of botocore's model is tried on texts of the greatest length that its shape takes (4,096 where
it sets none): repetitions of short texts, after what many patterns begin with, with an end that fits none.
The cost is that of a whole definition of such texts: seconds for 1 MiB of them.
"""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from pipeline_definition.checks.patterns import LONGEST, matches
from pipeline_definition.checks.service_model import bundled_model
from tests.benchmarks.measure import machine

ROOT = Path(__file__).resolve().parents[2]


SECONDS = 1.0
GIVE_UP = 20.0
"""Seconds for all the texts of one pattern."""
BEGINNINGS = (
    "",
    "s3://",
    "https://",
    "s3://a/",
    "arn:aws:sagemaker:us-east-1:111122223333:",
    "d-",
    "mig-1g.1",
)
UNITS = [
    *'aA0-_/ .:,=@\\"\n\u00e9',
    "a-",
    "-a",
    "a.",
    "a/",
    "a:",
    "a0",
    "0.",
    "a ",
    "--",
    "//",
    "arn:aws:",
    "s3://",
]
ENDS = ("", "!", "\n", "\0", "/\n", "-", "/", "a/\n!")
MEBIBYTE = 2**20
AROUND = 8
"""Bytes of JSON around a text, at least: quotes, a colon or comma, the name of its member."""


class _TooSlowError(Exception):
    """One text takes longer than all of them may."""


def patterns() -> dict[str, tuple[str, int]]:
    """Return each pattern, with the name of a shape that has it and the greatest length of its texts."""
    model = bundled_model()
    found: dict[str, tuple[str, int]] = {}
    for name in model.shape_names:
        shape = model.shape_for(name).metadata
        longest = min(shape.get("max", LONGEST), LONGEST)
        if "pattern" in shape and longest > found.get(shape["pattern"], ("", 0))[1]:
            found[shape["pattern"]] = (name, longest)
    return found


def texts(longest: int) -> Iterator[str]:
    """Yield texts of a length that are made to cost much."""
    for begin, unit, end in itertools.product(BEGINNINGS, UNITS, ENDS):
        room = max(longest - len(begin) - len(end), 0)
        yield f"{begin}{(unit * longest)[:room]}{end}"[:longest]


def cost(pattern: str, longest: int) -> tuple[float, str]:
    """Return the most seconds that 1 MiB of texts takes, and the worst text."""
    worst = (0.0, "")
    for text in texts(longest):
        size = len(text.encode()) + AROUND
        if _seconds(pattern, text) * MEBIBYTE / size > worst[0]:
            # Once more: whatever else the machine does makes a single measure worthless.
            taken = min(_seconds(pattern, text) for _ in range(9))
            worst = max(worst, (taken * MEBIBYTE / size, text))
    return worst


def _seconds(pattern: str, text: str) -> float:
    begin = time.perf_counter()
    matches(pattern, text)
    return time.perf_counter() - begin


def _give_up(_: int, __: FrameType | None) -> None:
    raise _TooSlowError


def main() -> None:
    """Print the dearest patterns, the dearest last, and fail if one is over the limit."""
    signal.signal(signal.SIGALRM, _give_up)
    costs = []
    for pattern, (name, longest) in patterns().items():
        signal.setitimer(signal.ITIMER_REAL, GIVE_UP)
        try:
            seconds, text = cost(pattern, longest)
        except _TooSlowError:
            seconds, text = float("inf"), "?"
        signal.setitimer(signal.ITIMER_REAL, 0)
        costs.append((seconds, name, longest, pattern, text))
    costs.sort()
    for seconds, name, longest, pattern, text in costs[-10:]:
        said = f"{name} ({longest:,}): {pattern[:60]}  on  {text[:12]!a} ... {text[-6:]!a}"
        sys.stdout.write(f"{seconds:7.3f} s/MiB  {said}\n")
    sys.stdout.write(f"{len(costs)} patterns, at most {costs[-1][0]:.3f} s for 1 MiB of texts\n{machine()}\n")
    if costs[-1][0] > SECONDS:
        sys.exit(f"over the limit of {SECONDS:g} s")


if __name__ == "__main__":
    main()
