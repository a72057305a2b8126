"""Pack a folder as model.tar.gz so that the same files give the same bytes."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

from local.engine.jobs.transfer import regular_files

COMPRESSION_LEVEL = 0
"""Stored as it is: weights hardly compress, and compressing them took 0.4 s of a core for each model."""


def write_archive(folder: Path, target: Path) -> None:
    """Write the regular files of `folder` as a gzipped tar: sorted, owner 0, time 0, links left out."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", COMPRESSION_LEVEL, raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, path in sorted(regular_files(folder)):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)
