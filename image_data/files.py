"""Where a CUB-200-2011 data set comes from: a folder, or the official archive, which is streamed.

The folder is found directly under the input, under CUB_200_2011/ or one other sub-folder deep. An archive is
never extracted: its members are read by name, in the order they have, and only the chosen images are kept.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from image_data.decoding import MAX_BYTES
from training.cub import OPTIONAL, REQUIRED, did_you_mean
from training.job import JobError

ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar")
OFFICIAL_NAME, OFFICIAL_BYTES = "CUB_200_2011.tgz", 1_150_585_339
MAX_TEXT_BYTES = 64 << 20
"""Of one table, which is read whole: those of CUB's 11,788 images have under a megabyte each."""


class Source(Protocol):
    """A data set whose text files and images can be read."""

    def texts(self, classes_file: str) -> dict[str, str]:
        """Read the annotation files by name; the optional ones only where they exist."""

    def images(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield every one of these images once, in any order, or raise a JobError for those absent."""


def find_source(folder: Path) -> Source:
    """Find the one data set below a folder, or say what was found instead."""
    if not folder.is_dir():
        raise JobError(
            f"the input data is missing: {folder} is not a folder; does InputDataUrl point to the data?"
        )
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not entries:
        raise JobError(
            f"the input data is empty: {folder} holds no files; does InputDataUrl point to the data?"
        )
    candidates = [folder, *(path for path in entries if path.is_dir())]
    folders = [path for path in candidates if any((path / name).is_file() for name in REQUIRED)]
    archives = [path for place in candidates for path in sorted(place.iterdir()) if _is_archive(path)]
    found: list[Source] = [*map(FolderSource, folders)] or [*map(ArchiveSource, archives)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(path.relative_to(folder)) for path in folders or archives)
        raise JobError(f"{folder} holds several data sets ({names}): let InputDataUrl point to one of them")
    raise JobError(
        f"{folder} is not a CUB-200-2011 data set: no {REQUIRED[0]} here or one folder deeper and no "
        f"{OFFICIAL_NAME}; it holds {', '.join(path.name for path in entries[:5])}"
    )


def _is_archive(path: Path) -> bool:
    return path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES)


@dataclass(frozen=True)
class FolderSource:
    """A data set that lies in a folder as files."""

    folder: Path

    def texts(self, classes_file: str) -> dict[str, str]:
        """Read the annotation files of the folder."""
        present = sorted(path.name for path in self.folder.iterdir() if path.suffix == ".txt")
        _require(classes_file, present, str(self.folder))
        wanted = [name for name in (classes_file, *REQUIRED, *OPTIONAL) if name in present]
        return {name: _text((self.folder / name).read_bytes(), name) for name in wanted}

    def images(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order asked for."""
        wanted = list(names)
        images = self.folder / "images"
        absent = [name for name in wanted if not (images / name).is_file()]
        if absent:
            raise _absent(absent, str(images))
        for name in wanted:
            with (images / name).open("rb") as file:
                yield name, file.read(MAX_BYTES + 1)  # one byte too many is refused by the decoder


@dataclass(frozen=True)
class ArchiveSource:
    """A data set in a tar archive, gzipped or not, read as a stream."""

    path: Path

    def texts(self, classes_file: str) -> dict[str, str]:
        """Read the annotation files, which may be anywhere: the archive is read until all are found."""
        wanted = {classes_file, *REQUIRED, *OPTIONAL}
        present: set[str] = set()
        texts: dict[str, str] = {}
        with self._members() as members:
            for member, content in members:
                path = PurePosixPath(member.name)
                if path.suffix != ".txt" or len(path.parts) > 3:
                    continue
                present.add(path.name)
                if path.name in wanted:
                    texts[path.name] = _text(content.read(MAX_TEXT_BYTES), path.name)
                if texts.keys() == wanted:
                    break
        _require(classes_file, sorted(present), str(self.path))
        return texts

    def images(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the images in the archive's order; reading ends with the last one that is wanted."""
        missing = set(names)
        with self._members() as members:
            for member, content in members:
                name = f"/{member.name}".partition("/images/")[2]
                if name in missing:
                    missing.remove(name)
                    yield name, content.read(MAX_BYTES + 1)
                if not missing:
                    return
        raise _absent(sorted(missing), str(self.path))

    @contextmanager
    def _members(self) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes]]]]:
        """Return the archive's files one after another, and its damage as a plain error."""
        try:
            with self._open() as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
                yield _files(archive, stream)
        except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
            raise self._damaged(error) from error

    def _open(self) -> IO[bytes]:
        if self.path.suffix == ".tar":
            return self.path.open("rb")
        return cast(IO[bytes], gzip.open(self.path, "rb"))

    def _damaged(self, error: Exception) -> JobError:
        official = f" (the official {OFFICIAL_NAME} has {OFFICIAL_BYTES:,})"
        return JobError(
            f"{self.path} is truncated or damaged: {error}. It has {self.path.stat().st_size:,} bytes"
            f"{official if self.path.name == OFFICIAL_NAME else ''}; upload it again"
        )


def _files(archive: tarfile.TarFile, stream: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content:
            yield member, content
    while stream.read(1 << 20):  # tarfile stops at the end marker; gzip finds a truncation only at the end
        pass


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(f"{name} is not UTF-8 text: {error}; save it as UTF-8") from error


def _require(classes_file: str, present: list[str], where: str) -> None:
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        raise JobError(f"{where} is not a CUB-200-2011 data set: {' and '.join(missing)} missing")
    if classes_file not in present:
        hint = did_you_mean(classes_file, present)
        raise JobError(
            f"AnnotationFileName {classes_file!r} is not in {where}, which has {', '.join(present)}{hint}"
        )


def _absent(names: list[str], where: str) -> JobError:
    shown = ", ".join(repr(name) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return JobError(f"{len(names)} images are listed but absent from {where}: {shown}{more}")
