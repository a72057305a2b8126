"""Fetch a published archive over HTTP, and leave it only when its size and MD5 are as published.

What has arrived is in `<name>.part` beside the target and is hashed as it arrives. When a connection breaks,
the next one goes on from there, and so does the next run. A part that turns out to be of something else is
deleted, so that the next run begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import FTPHandler, HTTPErrorProcessor, OpenerDirector, Request, build_opener

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ops.errors import FetchError
from ops.output.terminal import is_live, say

WEB = ("http", "https")
SUFFIXES = (".tgz", ".tar.gz")
CHUNK = 1 << 18
SILENCE = 30.0  # seconds without a byte until a connection counts as broken
PAUSES = (1.0, 5.0, 15.0)  # seconds before each new try
OK, PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 200, 206, 416
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers of a server that is busy or restarts
PERCENT = 10  # between two lines where no bar is drawn
AGAIN = "run the same command again to go on"
ELSEWHERE = "take another source with --from URL"

_md5 = partial(hashlib.md5, usedforsecurity=False)  # so that it is there under FIPS, too


@dataclass(frozen=True)
class Archive:
    """A published file: what it is, where, how it is recognised, and what its publisher asks for."""

    title: str
    name: str
    url: str
    size: int  # bytes
    md5: str  # hexadecimal
    terms: str
    citation: str


ARCHIVES = {
    "cub": Archive(
        title="CUB-200-2011: 11,788 photographs of 200 species of birds, with labels, boxes and a split",
        name="CUB_200_2011.tgz",
        # The publisher's record, https://doi.org/10.22002/D1.20098, which has the MD5, too.
        url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
        size=1_150_585_339,
        md5="97eceeb196236b17998738112f37df78",
        terms="the photographs are from Flickr; the publisher, Caltech, does not own them and restricts "
        "their use to non-commercial research and education",
        citation="Wah, Branson, Welinder, Perona, Belongie: The Caltech-UCSD Birds-200-2011 Dataset. "
        "Technical report CNS-TR-2011-001, California Institute of Technology, 2011",
    )
}
"""What can be fetched, by the name that a person types."""


def place(archive: Archive, output: Path | None) -> Path:
    """Return the file that `output` means: itself where its name is an archive's, else one in that folder."""
    if output is None:
        return Path(archive.name)
    with _files(output):
        if output.name.lower().endswith(SUFFIXES) and not output.is_dir():
            return output
    return output / archive.name


def fetch(
    archive: Archive,
    target: Path,
    console: Console,
    *,
    source: str | None = None,
    silence: float = SILENCE,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Leave `archive` at `target`, from its publisher or from `source`, unless it is there already.

    A connection that says nothing for `silence` seconds counts as broken. Each of `pauses` comes before one
    new try, and they begin again when a try brought something new.

    Raises:
        FetchError: Something else is at `target`, or the archive did not arrive whole.
        KeyboardInterrupt: Ctrl-C; what has arrived stays.
    """
    url = source or archive.url
    _check_url(url)
    with _files(target):
        is_there = target.exists()
    if is_there:
        _check_file(archive, target)
        say(console, f"{target} is there already, with the published size and MD5")
        return
    for line in (
        archive.title,
        f"  from   {_shown(url)}",
        f"  to     {target} ({archive.size:,} bytes, {decimal(archive.size)})",
        f"  terms  {archive.terms}",
        f"  cite   {archive.citation}",
    ):
        say(console, line)
    path = target.with_name(f"{target.name}.part")
    with _files(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_space(archive, path)
    with _Part(path) as part:
        if part.size > archive.size:
            part.clear()
            say(console, f"{path} had more bytes than the archive has, and is emptied")
        elif part.size:
            say(console, f"Going on from {path}, which has {_amount(part, archive)}")
        try:
            _download(_Source(archive, url, part, console, silence), pauses)
        except KeyboardInterrupt:
            if part.size:
                say(console, f"\n{path} has {_amount(part, archive)}: {AGAIN}")
            raise
        if part.md5 != archive.md5:
            found = part.md5
            part.clear()
            raise FetchError(
                f"what arrived from {_shown(url)} is not {archive.name}: its MD5 is {found}, not "
                f"{archive.md5}. {path} is deleted: run the same command again to begin anew, or {ELSEWHERE}"
            )
        part.become(target)
    say(console, f"Fetched {target}, with the published size and MD5")


def _check_url(url: str) -> None:
    """Raise FetchError unless `url` is one that can be fetched."""
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in WEB and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        is_sound = False
    if not is_sound or not re.fullmatch(r"[!-~]+", url):
        raise FetchError(
            f"--from {url!r}: write a URL such as https://mirror.example.com/CUB_200_2011.tgz, what is not "
            "ASCII in percent encoding; a file that you have already is checked by --output FILE"
        )
    if "@" in parts.netloc:
        raise FetchError("--from: write the URL without a user name and password; none are sent")


def _check_file(archive: Archive, path: Path) -> None:
    """Raise FetchError unless the file at `path` is `archive`."""
    with _files(path):
        size, md5 = path.stat().st_size, ""
        if size == archive.size:
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, _md5).hexdigest()
    if md5 != archive.md5:
        differs = f"its MD5 is {md5}, not {archive.md5}" if md5 else f"{size:,} bytes, not {archive.size:,}"
        raise FetchError(
            f"{path} is there already, and not as {archive.name} was published: {differs}. Move it away, or "
            "give another place with --output"
        )


def _check_space(archive: Archive, path: Path) -> None:
    """Raise FetchError unless what is missing of the archive fits where its part is."""
    needed = archive.size - (path.stat().st_size if path.exists() else 0)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise FetchError(
            f"{path.parent.absolute()} has {decimal(free)} free, and {decimal(needed)} more are needed: make "
            "room, or give another place with --output"
        )


def _download(source: _Source, pauses: Sequence[float]) -> None:
    """Connect until all is there, or until as many tries as there are pauses have brought nothing new."""
    part, archive, console = source.part, source.archive, source.console
    furthest, left = part.size, list(pauses)
    with _progress(console, archive, part) as show:
        while part.size < archive.size:
            try:
                for _ in source.read():
                    show()
            except _BrokenOffError as error:
                if not source.has_answered:
                    raise FetchError(
                        f"cannot reach {_shown(source.url)} ({error}): {AGAIN} when the network is there, or "
                        f"{ELSEWHERE}"
                    ) from error
                if part.size > furthest:
                    furthest, left = part.size, list(pauses)
                at = _amount(part, archive)
                if not left:
                    raise FetchError(
                        f"{_shown(source.url)} broke off at {at} ({error}), and {len(pauses)} more tries "
                        f"brought nothing new: {AGAIN}, or {ELSEWHERE}"
                    ) from error
                say(console, f"Broken off at {at} ({error}): trying again in {left[0]:g} s")
                time.sleep(left.pop(0))


class _BrokenOffError(Exception):
    """A connection ended, or was refused for now; the next one may go further."""


class _Part:
    """The file of what has arrived, and its MD5."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._md5 = _md5()
        with _files(path):
            self._file = path.open("a+b", buffering=0)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._file.close()
                raise FetchError(f"another run writes {path}: wait for its end, or stop it") from error
            self._file.seek(0)
            while chunk := self._file.read(CHUNK):
                self._count(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and leave none that is empty."""
        self._file.close()
        if not self.size:
            self.path.unlink()

    @property
    def md5(self) -> str:
        """Return the MD5 of what has arrived."""
        return self._md5.hexdigest()

    def append(self, chunk: bytes) -> None:
        """Write what arrived next."""
        rest = memoryview(chunk)
        with _files(self.path):
            while rest:
                written = self._file.write(rest)
                self._count(rest[:written])
                rest = rest[written:]

    def clear(self) -> None:
        """Delete what has arrived."""
        with _files(self.path):
            self._file.truncate(0)
        self._md5, self.size = _md5(), 0

    def become(self, target: Path) -> None:
        """Get the name of `target` in one step."""
        with _files(target):
            self.path.replace(target)

    def _count(self, chunk: bytes | memoryview) -> None:
        self._md5.update(chunk)
        self.size += len(chunk)


class _NoFtp(FTPHandler):
    """Refuses ftp, to which urllib would follow a redirect."""

    handler_order = 0  # before a proxy for ftp takes it

    def ftp_open(self, req: Request) -> NoReturn:
        """Raise FetchError."""
        raise FetchError(f"the source leads to {_shown(req.full_url)}, which is not http(s): {ELSEWHERE}")


class _Errors(HTTPErrorProcessor):
    """Leaves `416 Range Not Satisfiable` to whoever sent the range."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        """Return the response, or raise HTTPError."""
        if response.status == RANGE_NOT_SATISFIABLE:
            return response
        checked: HTTPResponse = super().http_response(request, response)
        return checked

    https_response = http_response


def _opener() -> OpenerDirector:
    """Return what opens URLs: with the proxies of the environment, and certificates verified."""
    return build_opener(_NoFtp, _Errors)


@dataclass
class _Source:
    """The server that has the archive, and what was learned of it in this run."""

    archive: Archive
    url: str
    part: _Part
    console: Console
    silence: float
    etag: str = ""  # of the file that the part is of; of an earlier run's part it is not known
    has_answered: bool = False
    opener: OpenerDirector = field(default_factory=_opener)

    def read(self) -> Iterator[None]:
        """Append what one connection brings to the part, and yield after each piece.

        Raises:
            _BrokenOffError: The connection ended before the part had the archive's size.
            FetchError: What the server has is not the archive.
        """
        with self._connect() as answer:
            while self.part.size < self.archive.size:
                with self._network():
                    chunk = answer.read1(min(CHUNK, self.archive.size - self.part.size))
                if not chunk:
                    raise _BrokenOffError("the connection ended")
                self.part.append(chunk)
                yield

    def _connect(self) -> HTTPResponse:
        """Ask for what is missing, or for everything where the server cannot go on from the part."""
        answer = self._ask(self.part.size)
        if self.part.size and answer.status != OK and not self._goes_on(answer):
            answer.close()
            answer = self._ask(0)
        if answer.status == OK and self.part.size:
            say(self.console, f"{_shown(self.url)} does not go on from there: beginning anew")
            self.part.clear()
        elif answer.status != OK and not self._goes_on(answer):
            answer.close()
            raise FetchError(f"{_shown(self.url)} answers {answer.status} without the archive: {ELSEWHERE}")
        self.etag = answer.headers.get("ETag", "")
        return answer

    def _ask(self, start: int) -> HTTPResponse:
        """Return the server's answer to a request for the bytes from `start` on."""
        request = Request(self.url, headers={"User-Agent": "cv-pipeline"})  # noqa: S310 - _check_url
        if start:
            request.add_header("Range", f"bytes={start}-")
            if self.etag.startswith('"'):  # HTTP allows no weak one here
                request.add_header("If-Range", self.etag)
        with self._network():
            answer: HTTPResponse = self.opener.open(request, timeout=self.silence)
        self.has_answered = True
        if answer.status != RANGE_NOT_SATISFIABLE:
            self._check(answer)
        return answer

    def _check(self, answer: HTTPResponse) -> None:
        """Raise FetchError when the headers say that this is another file, before anything is written."""
        size, kind = _extent(answer)[1], answer.headers.get_content_type()
        # Without a length, a page is a login or an error.
        if size == self.archive.size or (size is None and kind != "text/html"):
            return
        answer.close()
        what = kind if size is None else f"{size:,} bytes of {kind}"
        raise FetchError(
            f"{_shown(answer.url)} is not {self.archive.name}: {what}, and the archive has "
            f"{self.archive.size:,} bytes; {ELSEWHERE}"
        )

    def _goes_on(self, answer: HTTPResponse) -> bool:
        """Return whether the answer begins where the part ends, and is of the same file."""
        is_same = not self.etag or answer.headers.get("ETag", self.etag) == self.etag
        return answer.status == PARTIAL_CONTENT and _extent(answer)[0] == self.part.size and is_same

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Raise _BrokenOffError for what may pass, and FetchError for what will not."""
        try:
            yield
        except HTTPError as error:
            error.close()
            self.has_answered = True
            said = f"{error.code} {str(error.reason).partition(chr(10))[0]}".strip()
            if error.code in PASSING:
                raise _BrokenOffError(f"it answers {said}") from error
            raise FetchError(f"{_shown(error.url)} answers {said}: check the URL, or {ELSEWHERE}") from error
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a redirect to no URL
            reason: Any = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise FetchError(
                    f"the certificate of {_shown(self.url)} is not trusted: {reason.verify_message}. "
                    f"SSL_CERT_FILE names the certificates that are; or {ELSEWHERE}"
                ) from error
            raise _BrokenOffError(self._reason(reason)) from error

    def _reason(self, error: Any) -> str:
        """Say why a connection ended."""
        if isinstance(error, TimeoutError):
            return f"nothing came for {self.silence:g} seconds"
        if isinstance(error, IncompleteRead):
            return "the connection ended"
        return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _extent(answer: HTTPResponse) -> tuple[int | None, int | None]:
    """Return at which byte of its file an answer begins and how large the file is, None where not said."""
    if answer.status != PARTIAL_CONTENT:
        return 0, answer.length
    said = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if not said:
        return None, None
    return int(said[1]), None if said[2] == "*" else int(said[2])


@contextmanager
def _progress(console: Console, archive: Archive, part: _Part) -> Iterator[Callable[[], None]]:
    """Yield what shows how far the part is: a bar on a terminal, a line for every tenth elsewhere."""
    if not is_live(console):
        yield _Lines(console, archive, part).show
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("Fetching"), *columns, console=console, transient=True) as progress:
        task = progress.add_task("archive", total=archive.size, completed=part.size)
        yield lambda: progress.update(task, completed=part.size)


class _Lines:
    """Progress where nothing can be redrawn."""

    def __init__(self, console: Console, archive: Archive, part: _Part) -> None:
        self._console, self._archive, self._part = console, archive, part
        self._said = self._percent()

    def show(self) -> None:
        """Print a line when another tenth is there."""
        percent = self._percent()
        if percent > self._said:
            say(self._console, f"{percent:>4}%  {_amount(self._part, self._archive)}")
        self._said = percent

    def _percent(self) -> int:
        return self._part.size * 100 // self._archive.size // PERCENT * PERCENT


def _amount(part: _Part, archive: Archive) -> str:
    return f"{decimal(part.size)} of {decimal(archive.size)}"


def _shown(url: str) -> str:
    """Return the URL without its query, where a signed URL has its secret."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


@contextmanager
def _files(path: Path) -> Iterator[None]:
    """Raise FetchError for what the file system refuses."""
    try:
        yield
    except OSError as error:
        raise FetchError(
            f"{path} cannot be read or written: {error.strerror or error}; change that and {AGAIN}, or give "
            "another place with --output"
        ) from error
