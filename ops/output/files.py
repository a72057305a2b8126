"""Files that a command leaves: tried before AWS is asked, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ops.errors import OpsError


def check_writable(path: Path) -> None:
    """Raise OpsError where a file cannot be written, now and not after AWS was asked."""
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(0, "Permission denied")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _refusal(path, error) from error


def write_file(path: Path, text: str) -> None:
    """Write a text to a file, in whose place an earlier one stays where the disk is full.

    Raises:
        OpsError: It cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
            new = Path(beside) / path.name
            new.write_text(text, encoding="utf-8", errors="replace")
            new.replace(path)
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> OpsError:
    return OpsError(f"cannot write {path}: {error.strerror or error}; give another file")
