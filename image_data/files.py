"""The files of a data set, wherever they lie: in a folder, a zip file or a tar archive; nothing is extracted.

A tar archive may be compressed with gzip, bzip2 or xz; its kind is known by its first bytes, because browsers
unpack what is called .tgz and people rename. It is read as a stream, in the order it has. Names that begin
with a dot and what systems leave behind (`__MACOSX`, `Thumbs.db`) are left out everywhere.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from image_data.decoding import MAX_BYTES
from image_data.errors import DataError
from image_data.spelling import some

ARCHIVE_SUFFIXES = (
    ".tar", ".tgz", ".tar.gz", ".tbz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip",
)  # fmt: skip
"""In any case of letters."""
OFFICIAL_NAME, OFFICIAL_BYTES = "CUB_200_2011.tgz", 1_150_585_339
MAX_TEXT_BYTES = 64 << 20
"""Of one list, which is read whole: those of CUB's 11,788 images have under a megabyte each."""
_READ_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp")
_DRAWINGS_AND_OTHERS = (".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".ico", ".psd", ".svg")
_RAW = (".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw")
IMAGE_SUFFIXES = frozenset((*_READ_SUFFIXES, *_DRAWINGS_AND_OTHERS, *_RAW))
"""In small letters. Those that are not read are known so that they are counted."""
LEFT_BEHIND = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"})
"""What macOS, Windows and a network disk put beside somebody's files."""
_CHUNK = 1 << 20

Wanted = Callable[[str], bool]


@dataclass(frozen=True)
class Scan:
    """The names of all files, with `/` between folders, and the texts of those that were asked for."""

    names: tuple[str, ...]
    texts: Mapping[str, bytes]


class Files(Protocol):
    """Files that can be listed and read by name."""

    @property
    def where(self) -> str:
        """Name the folder or archive for people."""

    def scan(self, wanted: Wanted) -> Scan:
        """List the files and read those whose names are `wanted`: texts, cut where they are too long."""

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield every one of these files once, in any order; what is longer than an image may be is cut.

        Raises:
            DataError: A file is not there, or cannot be read.
        """


def is_image(name: str) -> bool:
    """Return whether a file is called as an image is, of a format that is read or not."""
    return suffix_of(name) in IMAGE_SUFFIXES


def suffix_of(name: str) -> str:
    """Return a file's suffix in small letters, with its dot."""
    # Not by pathlib, which keeps every part of every name.
    return posixpath.splitext(name)[1].lower()


def is_archive(name: str) -> bool:
    """Return whether a file is called as an archive is."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def find_files(place: Path) -> Files:
    """Return the files of the data set at `place`: a folder, an archive, or a folder that holds one archive.

    Raises:
        DataError: Nothing is there, or several archives.
    """
    if place.is_file():
        return open_archive(place)
    if not place.is_dir():
        raise DataError(f"{place}: there is no such file or folder")
    folder = FolderFiles(place)
    names = folder.scan(lambda _name: False).names
    if not names:
        raise DataError(f"{place} holds no files")
    archives = [name for name in names if is_archive(name)]
    if not archives or any(is_image(name) for name in names):
        return folder
    if len(archives) > 1:
        raise DataError(f"{place} holds several archives ({some(archives)}): leave one, or name one")
    return open_archive(place / archives[0])


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder; symbolic links are followed."""

    folder: Path

    @property
    def where(self) -> str:
        """Name the folder."""
        return str(self.folder)

    def scan(self, wanted: Wanted) -> Scan:
        """List the files in the order of their names."""
        names = tuple(self._below(self.folder, "", frozenset()))
        return Scan(names, {name: self._text(name) for name in names if wanted(name)})

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the order asked for."""
        for name in names:
            with (self.folder / name).open("rb") as file:
                yield name, _cut(file, os.fstat(file.fileno()).st_size)

    def _text(self, name: str) -> bytes:
        with (self.folder / name).open("rb") as file:
            return file.read(MAX_TEXT_BYTES + 1)

    def _below(self, folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        here = folder.stat()
        if (here.st_dev, here.st_ino) in above:
            raise DataError(f"{folder} is a symbolic link to a folder that holds it; remove the link")
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if is_left_behind(entry.name):
                continue
            if entry.is_dir():
                yield from self._below(
                    Path(entry), f"{prefix}{entry.name}/", above | {(here.st_dev, here.st_ino)}
                )
                continue
            _check_entry(entry)
            yield prefix + entry.name


def _check_entry(entry: os.DirEntry[str]) -> None:
    if entry.is_file():
        return
    if entry.is_symlink():
        target = Path(entry.path).readlink()
        raise DataError(f"{entry.path} is a symbolic link to {target}, which does not exist")
    raise DataError(f"{entry.path} is neither a file nor a folder; remove it")


def is_left_behind(name: str) -> bool:
    """Return whether a file or folder of this name is a system's (or `..`) and not the data set's."""
    return name.startswith(".") or name in LEFT_BEHIND


def _cut(file: IO[bytes], size: int) -> bytes:
    """Read an image of that size; one byte too many is refused by the decoder."""
    return file.read(min(size, MAX_BYTES + 1))  # not more, for the buffer is made before


def _name_within(name: str) -> str:
    """Return the name of an archive's member as lists write it, "" when it leads outside or is a system's."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_own = not name.startswith("/") and not any(map(is_left_behind, parts))
    return "/".join(parts) if is_own else ""


def open_archive(path: Path) -> Files:
    """Return the files of an archive, known by its first bytes.

    Raises:
        DataError: It is empty, unreadable or no archive.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise DataError(f"{path} is empty")
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZipFiles(path)
    openers = (opener for magic, opener in _COMPRESSIONS if start.startswith(magic))
    opener = next(openers, None)
    if opener is None and start[257:262] != b"ustar":
        raise DataError(
            f"{path} is no archive: neither zip nor tar, plain or compressed with gzip, bzip2 or xz"
            + ("; it is a web page, so fetch the file again" if start.lstrip()[:1] == b"<" else "")
        )
    return TarFiles(path, opener or _plain)


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gunzip(path: Path) -> Any:
    return gzip.open(path, "rb")


def _bunzip(path: Path) -> Any:
    return bz2.open(path, "rb")


def _unxz(path: Path) -> Any:
    return lzma.open(path, "rb")


_COMPRESSIONS = ((b"\x1f\x8b", _gunzip), (b"BZh", _bunzip), (b"\xfd7zXZ\0", _unxz))
_UTF8 = 0x800
"""The flag of a zip file's member whose name is said to be UTF-8."""
# What damaged archives raised; zipfile says NotImplementedError and RuntimeError of methods and passwords.
_DAMAGE = (
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    UnicodeDecodeError,
)


@contextmanager
def _told_of_damage(path: Path) -> Iterator[None]:
    """Raise DataError for what a damaged archive makes of its reader."""
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    except OSError as error:
        # Without a number a decompressor's; EINVAL is a seek to before the start. All others are the disk's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, error) from error


@dataclass(frozen=True)
class TarFiles:
    """Files in a tar archive, read as a stream; links in it are not followed."""

    path: Path
    opener: Callable[[Path], IO[bytes]]

    @property
    def where(self) -> str:
        """Name the archive."""
        return str(self.path)

    def scan(self, wanted: Wanted) -> Scan:
        """Read the archive to its end, so that a truncated one is found here."""
        names: list[str] = []
        texts: dict[str, bytes] = {}
        with self._members() as members:
            for name, _, content in members:
                names.append(name)
                if wanted(name):
                    texts[name] = content.read(MAX_TEXT_BYTES + 1)
        return Scan(tuple(names), texts)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the archive's order; reading ends with the last one."""
        missing = set(names)
        with self._members() as members:
            for name, size, content in members:
                if name in missing:
                    missing.remove(name)
                    yield name, _cut(content, size)
                if not missing:
                    return
        raise DataError(f"{self.path} changed while it was read: no {some(sorted(missing))} any more")

    @contextmanager
    def _members(self) -> Iterator[Iterator[tuple[str, int, IO[bytes]]]]:
        """Return the archive's files one after another, and its damage as a plain error."""
        with _told_of_damage(self.path), self.opener(self.path) as file:
            stream = _Stream(file)
            with tarfile.open(  # type: ignore[call-overload]  # it only reads, whatever its stub asks for
                fileobj=stream, mode="r|", bufsize=_CHUNK
            ) as archive:
                yield _files(archive, stream)


class _Stream:
    """A tar archive's bytes; remembers the last ones, because only they tell whether it is whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self.last = (self.last + data[-tarfile.BLOCKSIZE :])[-tarfile.BLOCKSIZE :]
        return data


def _files(archive: tarfile.TarFile, stream: _Stream) -> Iterator[tuple[str, int, IO[bytes]]]:
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
        name = _name_within(member.name)
        content = archive.extractfile(member) if member.isreg() and name else None
        if content:
            yield name, member.size, content
    # tarfile stops at the end marker or where there is nothing more; gzip finds a truncation only at the end.
    while stream.read(_CHUNK):
        pass
    if stream.last.strip(b"\0"):
        raise tarfile.ReadError("the archive's end is missing")


@dataclass(frozen=True)
class ZipFiles:
    """Files in a zip file; symbolic links in it are not followed."""

    path: Path
    _members: dict[str, zipfile.ZipInfo] = field(default_factory=dict, repr=False)

    @property
    def where(self) -> str:
        """Name the archive."""
        return str(self.path)

    def scan(self, wanted: Wanted) -> Scan:
        """List the files in the zip file's order."""
        with _told_of_damage(self.path), zipfile.ZipFile(self.path) as archive:
            self._members.clear()
            for member in archive.infolist():
                written = _name_of(member).replace("\\", "/")
                name = _name_within(written)
                if name and not written.endswith("/") and not _is_link(member):
                    self._members[name] = member
            texts = {name: self._text(archive, name) for name in self._members if wanted(name)}
        return Scan(tuple(self._members), texts)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the files in the zip file's order."""
        if not self._members:
            self.scan(lambda _name: False)
        with _told_of_damage(self.path), zipfile.ZipFile(self.path) as archive:
            for name in sorted(names, key=lambda each: self._members[each].header_offset):
                with archive.open(self._members[name]) as content:
                    yield name, _cut(content, self._members[name].file_size)

    def _text(self, archive: zipfile.ZipFile, name: str) -> bytes:
        with archive.open(self._members[name]) as content:
            return content.read(MAX_TEXT_BYTES + 1)


def _name_of(member: zipfile.ZipInfo) -> str:
    """Return a member's name; macOS writes UTF-8 without saying so, which zipfile takes for DOS's letters."""
    if member.flag_bits & _UTF8 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)


def _damaged(path: Path, error: Exception) -> DataError:
    official = f" (the official {OFFICIAL_NAME} has {OFFICIAL_BYTES:,})"
    return DataError(
        f"{path} is truncated or damaged: {error}. It has {path.stat().st_size:,} bytes"
        f"{official if path.name == OFFICIAL_NAME else ''}; fetch or pack it again"
    )
