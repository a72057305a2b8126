"""The data set of an upload: a folder in the layout of CUB-200-2011, or an archive of one.

Looked at before anything is uploaded. Of a folder, the text files at its top and everything below images/
are taken; symbolic links are followed, names that start with a dot are left out.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ops.errors import CannotUploadError

LIST, IMAGES = "images.txt", "images"
OFFICIAL_FOLDER = "CUB_200_2011"
ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar")
DIGEST_LENGTH = 12  # hexadecimal digits in data/<digest>/
KEY_LIMIT = 1024 - len(f"data/{'0' * DIGEST_LENGTH}/")  # bytes of UTF-8 that S3 leaves for a name
CHUNK = 1 << 20
LAYOUT = f"a data set is a folder with {LIST} and {IMAGES}/ (the layout of CUB-200-2011), or a .tgz of one"


@dataclass(frozen=True)
class DataFile:
    """One file to upload: its name below the prefix and where it is now."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class DataSet:
    """The files of one data set, in the order of their names."""

    source: Path
    files: tuple[DataFile, ...]

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(file.size for file in self.files)

    def digest(self) -> str:
        """Hash every name and content (12 hexadecimal digits): changed data gets another prefix."""
        whole = hashlib.sha256()
        for file in self.files:
            with opened(file.path).open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.name}\0{content}\n".encode())
        return whole.hexdigest()[:DIGEST_LENGTH]


def find(source: Path) -> DataSet:
    """List the data set at `source`.

    Raises:
        CannotUploadError: Nothing is there, it is empty, or it does not have the layout of CUB-200-2011.
    """
    if not source.exists():
        raise CannotUploadError(f"--data {source}: there is no such file or folder; {LAYOUT}")
    if source.is_file():
        return _archive(source)
    folder = _root(source)
    files = tuple(sorted(_files(folder), key=lambda file: file.name))
    if not any(file.name.startswith(f"{IMAGES}/") for file in files):
        raise CannotUploadError(f"--data {source}: {folder / IMAGES} holds no files; {LAYOUT}")
    return DataSet(source, files)


def opened(path: Path) -> Path:
    """Return `path` back when it can be read, else say so in one sentence."""
    if not os.access(path, os.R_OK):
        raise CannotUploadError(f"{path} cannot be read: check its permissions (chmod u+r)")
    return path


def _root(source: Path) -> Path:
    """Find the folder that holds images.txt and images/: `source`, or CUB_200_2011 directly below it."""
    for folder in (source, source / OFFICIAL_FOLDER):
        if (folder / LIST).is_file() and (folder / IMAGES).is_dir():
            return folder
    found = sorted(path.name for path in opened(source).iterdir() if not path.name.startswith("."))
    if not found:
        raise CannotUploadError(f"--data {source}: the folder is empty; {LAYOUT}")
    missing = [name for name in (LIST, IMAGES) if not (source / name).exists()]
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    raise CannotUploadError(
        f"--data {source}: no {' and no '.join(missing) or LIST} there or in {OFFICIAL_FOLDER}/; "
        f"it holds {shown}; {LAYOUT}"
    )


def _files(root: Path) -> Iterator[DataFile]:
    for path in sorted(root.iterdir()):
        if path.suffix == ".txt" and not path.name.startswith(".") and path.is_file():
            yield _file(root, path)
    yield from _below(root, root / IMAGES, frozenset())


def _below(root: Path, folder: Path, above: frozenset[Path]) -> Iterator[DataFile]:
    real = folder.resolve()
    if real in above:
        raise CannotUploadError(f"{folder} is a symbolic link to a folder that holds it; remove the link")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(root, path, above | {real})
        else:
            yield _file(root, path)


def _file(root: Path, path: Path) -> DataFile:
    name = path.relative_to(root).as_posix()
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise CannotUploadError(
            f"{path!a} has a name that is not UTF-8; rename it (and its line in {LIST})"
        ) from error
    if length > KEY_LIMIT:
        raise CannotUploadError(f"{path} has a name of {length} bytes; S3 takes at most {KEY_LIMIT} here")
    if path.is_symlink() and not path.exists():
        raise CannotUploadError(f"{path} is a symbolic link to {path.readlink()}, which does not exist")
    if not path.is_file():
        raise CannotUploadError(f"{path} is neither a file nor a folder; remove it")
    return DataFile(name, path, path.stat().st_size)


def _archive(source: Path) -> DataSet:
    if not source.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise CannotUploadError(f"--data {source}: not one of {', '.join(ARCHIVE_SUFFIXES)}; {LAYOUT}")
    if not source.stat().st_size:
        raise CannotUploadError(f"--data {source}: the file is empty; {LAYOUT}")
    missing = _missing_members(opened(source))
    if missing:
        raise CannotUploadError(f"--data {source}: no {' and no '.join(missing)} in the archive; {LAYOUT}")
    return DataSet(source, (_file(source.parent.absolute(), source.absolute()),))


def _missing_members(source: Path) -> list[str]:
    """Read the archive's names up to the first proof of each part of the layout; nothing is extracted."""
    wanted = {LIST, f"{IMAGES}/"}
    try:
        with tarfile.open(source, "r|*", bufsize=CHUNK) as archive:
            for member in archive:
                wanted -= _proven(member)
                if not wanted:
                    break
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise CannotUploadError(
            f"--data {source}: not a readable archive ({error}); fetch or pack it again"
        ) from error
    return sorted(wanted)


def _proven(member: tarfile.TarInfo) -> set[str]:
    path = PurePosixPath(member.name)
    if not member.isfile():
        return set()
    return {LIST} if path.name == LIST else {f"{IMAGES}/"} if IMAGES in path.parts[:-1] else set()
