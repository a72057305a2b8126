"""Managed spot training on local AWS: every job is interrupted, so that resuming is always tried.

By default a spot job gets SIGTERM as soon as its first checkpoint is there, and SIGKILL after the grace; then
it starts anew, in an empty folder, from what was synced to S3. A job that writes no checkpoint is let alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from local.engine.jobs.transfer import regular_files

SPOT_PRICE_SHARE = 0.3
"""The assumed price of spot capacity as a share of On-Demand's: so much of the time is billable."""

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", "~")
"""How the names of files end that are being written: a checkpoint counts when it has its own name."""


class CheckpointWatch:
    """Looks for the first checkpoint that a container writes, beside those it started with."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._before = self._snapshot()

    def has_new(self) -> bool:
        """Whether a checkpoint was written or replaced; files without bytes or with a temporary name wait."""
        return bool(self._snapshot() - self._before)

    def _snapshot(self) -> set[tuple[Path, int, int]]:
        found = set()
        for path in itertools.chain.from_iterable(map(_walk, self._folders)):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # replaced or removed between the listing and now
            if status.st_size:
                found.add((path, status.st_mtime_ns, status.st_size))
        return found


class SpotCapacity:
    """How often one job still loses its instance."""

    def __init__(self, interruptions: int) -> None:
        self._left = interruptions

    def watch(self, checkpoints: Sequence[Path]) -> CheckpointWatch | None:
        """Watch the hosts' checkpoints of an attempt, None when it is not going to be interrupted."""
        return CheckpointWatch(*checkpoints) if checkpoints and self._left > 0 else None

    def take(self) -> None:
        """Count one interruption."""
        self._left -= 1


def _walk(folder: Path) -> list[Path]:
    try:
        files = list(regular_files(folder))
    except FileNotFoundError:
        return []  # a folder of checkpoints that was renamed while it was read
    return [p for n, p in files if not n.endswith(_UNFINISHED) and not p.name.startswith(".")]
