"""Pack files as model.tar.gz so that the same files give the same bytes."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping
from pathlib import Path

COMPRESSION_LEVEL = 0
"""Stored as it is: weights hardly compress, and compressing them took 0.4 s of a core for each model."""


def write_archive(files: Mapping[str, Path], target: Path) -> None:
    """Write files under their names as a gzipped tar: sorted, owner 0, time 0."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
