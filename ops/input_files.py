"""Files that a person names: read whole where they are files, and no larger than they may be."""

from __future__ import annotations

import stat
from pathlib import Path

from ops.errors import OpsError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: Path, what: str, most: int | None = None) -> None:
    """Raise OpsError unless `path` is a file of at most `most` bytes; nothing of it is read.

    A pipe is let through, for `<(jq ...)` is one: whoever reads it stops at so many bytes.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _refusal(path, what, error) from error
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise OpsError(f"cannot read {what} {path}: it is {kind}; give a file")
    if most is not None and status.st_size > most:
        raise _too_large(path, what, f"{status.st_size:,}", most)


def read_file(path: Path, what: str, most: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        OpsError: It cannot be read, is no file or has more than `most` bytes.
    """
    check_file(path, what, most)
    try:
        with path.open("rb") as file:
            body = file.read(most + 1)
    except OSError as error:
        raise _refusal(path, what, error) from error
    if len(body) > most:  # of files of the kernel, such as those of /proc, the size is not known before
        raise _too_large(path, what, f"more than {most:,}", most)
    return body


def _refusal(path: Path, what: str, error: OSError) -> OpsError:
    return OpsError(f"cannot read {what} {path}: {error.strerror or error}")


def _too_large(path: Path, what: str, size: str, most: int) -> OpsError:
    return OpsError(f"{what} {path} has {size} bytes; at most {most:,} are taken")
