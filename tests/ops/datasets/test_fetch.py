"""A published archive arrives whole or not at all, over a line that breaks wherever it likes."""

from __future__ import annotations

import datetime
import hashlib
import io
import os
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from local.sample_data import SPECIES
from ops import __main__ as cli
from ops.datasets.fetch import ARCHIVES, Archive, fetch, place
from ops.errors import FetchError
from tests.support.services.archive_server import PATH, ArchiveServer, Behaviour, serving
from tests.support.soak import sized

CONTENT = os.urandom(300_000)
AGAIN = "run the same command again"


def archive_of(content: bytes) -> Archive:
    """Return an archive that is published as `content`."""
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return replace(ARCHIVES["cub"], size=len(content), md5=md5)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with serving(CONTENT) as archive:
        yield archive


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "CUB_200_2011.tgz"


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def run(
    server: ArchiveServer,
    target: Path,
    *,
    archive: Archive | None = None,
    terminal: bool = False,
    **more: Any,
) -> str:
    """Fetch without pauses, and return what was said."""
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal)
    options = {"source": server.url, "pauses": (0, 0), "silence": 10, **more}
    fetch(archive or archive_of(CONTENT), target, console, **options)
    return out.getvalue()


def refused(server: ArchiveServer, target: Path, **more: Any) -> str:
    """Fetch in vain, and return the sentence; nothing is at the target then."""
    with pytest.raises(FetchError) as error:
        run(server, target, **more)
    assert not target.exists()
    assert error.value.exit_code == 2
    assert "\n" not in error.value.message
    return error.value.message


def test_the_archive_arrives_in_one_request_after_its_terms_were_said(
    server: ArchiveServer, target: Path
) -> None:
    said = run(server, target)
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()
    assert server.ranges == [None]
    archive = ARCHIVES["cub"]
    for each in (archive.title, archive.terms, archive.citation, server.url, f"{target} (300,000 bytes, "):
        assert each in said
    assert "non-commercial research" in archive.terms
    assert " 100%  300.0 kB of 300.0 kB" in said
    assert f"Fetched {target}" in said


def test_without_another_source_the_publisher_is_asked(server: ArchiveServer, target: Path) -> None:
    published = replace(archive_of(CONTENT), url=server.url)
    run(server, target, archive=published, source=None)
    assert target.read_bytes() == CONTENT
    assert ARCHIVES["cub"].url.startswith("https://")


def test_every_tenth_is_a_line_where_nobody_watches(server: ArchiveServer, target: Path) -> None:
    for _ in range(20):
        server.will(breaks_after=15_000)
    said = [line.split()[0] for line in run(server, target).splitlines() if "%" in line]
    assert said == [f"{percent}%" for percent in range(10, 101, 10)]


def test_on_a_terminal_a_bar_takes_the_place_of_the_lines(
    server: ArchiveServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CI", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    said = run(server, target, terminal=True)
    assert target.read_bytes() == CONTENT
    assert "Fetching" in said
    assert "100%  " not in said


def test_a_broken_connection_is_made_again_and_goes_on_where_it_broke(
    server: ArchiveServer, target: Path
) -> None:
    server.will(breaks_after=1000)
    server.will(breaks_after=200_000)
    said = run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", "bytes=201000-"]
    assert [each.get("if-range") for each in server.requests] == [None, '"one"', '"one"']
    assert server.sent == len(CONTENT)
    assert "Broken off at 201.0 kB of 300.0 kB (the connection ended): trying again in 0 s" in said


def test_what_brings_something_new_begins_the_pauses_over(server: ArchiveServer, target: Path) -> None:
    for _ in range(20):
        server.will(breaks_after=100)
    run(server, target)
    assert target.read_bytes() == CONTENT


def test_when_tries_bring_nothing_new_a_sentence_says_how_to_go_on_and_the_next_run_does(
    server: ArchiveServer, target: Path
) -> None:
    server.will(breaks_after=1000)
    for _ in range(2):
        server.will(breaks_after=0)
    said = refused(server, target)
    assert "broke off at 1.0 kB of 300.0 kB (the connection ended), and 2 more tries" in said
    assert AGAIN in said
    assert part_of(target).read_bytes() == CONTENT[:1000]
    assert f"Going on from {part_of(target)}, which has 1.0 kB of 300.0 kB" in run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=1000-"
    assert server.sent == len(CONTENT)


def test_a_server_that_breaks_off_at_the_same_place_for_ever_is_given_up(
    server: ArchiveServer, target: Path
) -> None:
    server.then = Behaviour(ranges=False, breaks_after=5000)
    assert AGAIN in refused(server, target)
    assert len(server.requests) == 3


def test_a_server_that_ignores_ranges_begins_anew(server: ArchiveServer, target: Path) -> None:
    server.then = Behaviour(ranges=False)
    server.will(breaks_after=1000)
    assert "does not go on from there: beginning anew" in run(server, target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_server_that_refuses_a_range_is_asked_for_all(server: ArchiveServer, target: Path) -> None:
    part_of(target).write_bytes(CONTENT[:1000])
    server.will(refuses_ranges=True)
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_a_range_that_begins_elsewhere_is_not_taken(server: ArchiveServer, target: Path) -> None:
    part_of(target).write_bytes(CONTENT[:1000])
    server.will(starts_at=500)
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]
    target.unlink()
    server.then = Behaviour(starts_at=500)
    assert f"{server.url} answers 206 without the archive: take another source" in refused(server, target)


@pytest.mark.parametrize("if_range", [True, False])
def test_another_etag_begins_anew_so_that_two_files_are_not_mixed(
    server: ArchiveServer, target: Path, if_range: bool
) -> None:
    def replace_file() -> None:
        server.content = CONTENT

    server.content = bytes(len(CONTENT))
    server.then = Behaviour(etag='"two"', if_range=if_range)
    server.will(etag='"one"', hangs_after=1000)
    server.when_hanging = replace_file
    run(server, target, silence=0.2)
    assert target.read_bytes() == CONTENT


def test_a_weak_etag_is_not_sent_but_compared(server: ArchiveServer, target: Path) -> None:
    server.then = Behaviour(etag='W/"two"')
    server.will(etag='W/"one"', breaks_after=1000)
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]
    assert not any("if-range" in each for each in server.requests)


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"], ids=["fewer", "more"])
@pytest.mark.parametrize("start", [0, 1000])
def test_a_file_of_another_size_is_refused_before_a_byte_of_it_is_written(
    server: ArchiveServer, target: Path, content: bytes, start: int
) -> None:
    server.content = content
    if start:
        part_of(target).write_bytes(CONTENT[:start])
    said = refused(server, target)
    assert f"{len(content):,} bytes of application/gzip, and the archive has 300,000 bytes" in said
    assert "--from URL" in said
    assert part_of(target).exists() == bool(start)
    server.content = CONTENT
    run(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [-1, None])
def test_a_page_is_not_taken_for_the_archive(server: ArchiveServer, target: Path, length: int | None) -> None:
    server.content = b"<html>please log in</html>"
    server.then = Behaviour(kind="text/html; charset=utf-8", length=length)
    said = refused(server, target)
    assert "is not CUB_200_2011.tgz: " in said
    assert "text/html" in said
    assert not part_of(target).exists()


def test_without_a_length_too_few_bytes_are_a_broken_connection(server: ArchiveServer, target: Path) -> None:
    server.then = Behaviour(length=None, ranges=False)
    server.content = CONTENT[:-1]
    assert "broke off at 300.0 kB" in refused(server, target)
    server.content = CONTENT
    run(server, target)
    assert target.read_bytes() == CONTENT


def test_an_absent_file_is_said_at_once(server: ArchiveServer, target: Path) -> None:
    server.then = Behaviour(status=404)
    said = refused(server, target)
    assert f"{server.url} answers 404 Not Found: check the URL" in said
    assert len(server.requests) == 1
    assert not part_of(target).exists()


def test_a_server_in_trouble_is_asked_again(server: ArchiveServer, target: Path) -> None:
    server.will(status=500)
    server.will(status=503)
    assert "(it answers 503 Service Unavailable): trying again" in run(server, target)
    assert target.read_bytes() == CONTENT
    server.then = Behaviour(status=503)
    target.unlink()
    assert "it answers 503" in refused(server, target)


def test_silence_counts_as_a_broken_connection(server: ArchiveServer, target: Path) -> None:
    server.will(hangs_after=1000)
    said = run(server, target, silence=0.2)
    assert "(nothing came for 0.2 seconds)" in said
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_a_source_that_cannot_be_reached_is_said_at_once(target: Path) -> None:
    with serving(CONTENT) as gone:
        pass
    part_of(target).write_bytes(CONTENT[:1000])
    said = refused(gone, target)
    assert f"cannot reach {gone.url} (Connection refused)" in said
    assert part_of(target).read_bytes() == CONTENT[:1000]


def test_a_wrong_sum_deletes_the_part_and_says_so_and_the_next_run_begins_anew(
    server: ArchiveServer, target: Path
) -> None:
    part_of(target).write_bytes(bytes(1000))
    said = refused(server, target)
    wrong = hashlib.md5(bytes(1000) + CONTENT[1000:], usedforsecurity=False).hexdigest()
    assert f"its MD5 is {wrong}, not {archive_of(CONTENT).md5}" in said
    assert f"{part_of(target)} is deleted: {AGAIN}" in said
    assert not part_of(target).exists()
    run(server, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_has_all_is_checked_without_a_request(server: ArchiveServer, target: Path) -> None:
    part_of(target).write_bytes(CONTENT)
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert not server.requests


def test_a_part_that_has_too_much_is_emptied(server: ArchiveServer, target: Path) -> None:
    part_of(target).write_bytes(CONTENT + b"x")
    assert "had more bytes than the archive has" in run(server, target)
    assert target.read_bytes() == CONTENT


def test_an_archive_that_is_there_is_checked_and_nothing_is_asked_for(
    server: ArchiveServer, target: Path
) -> None:
    target.write_bytes(CONTENT)
    assert run(server, target) == f"{target} is there already, with the published size and MD5\n"
    for other, differs in (
        (CONTENT[1:], "299,999 bytes, not 300,000"),
        (bytes(300_000), f"not {archive_of(CONTENT).md5}"),
    ):
        target.write_bytes(other)
        with pytest.raises(FetchError, match=differs):
            run(server, target)
        assert target.read_bytes() == other
    assert not server.requests


@pytest.mark.parametrize(
    "source",
    [
        "mirror/CUB_200_2011.tgz",
        "file:///CUB_200_2011.tgz",
        "ftp://127.0.0.1/CUB_200_2011.tgz",
        "http:///CUB_200_2011.tgz",
        "http://127.0.0.1:port/CUB_200_2011.tgz",
        "http://[::1/CUB_200_2011.tgz",
        "http://127.0.0.1/CUB 200.tgz",
        "http://127.0.0.1/vögel.tgz",
        "http://me:secret@127.0.0.1/CUB_200_2011.tgz",
    ],
)
def test_a_source_that_is_no_plain_url_is_refused_before_anything(
    server: ArchiveServer, tmp_path: Path, source: str
) -> None:
    said = refused(server, tmp_path / "data" / "CUB_200_2011.tgz", source=source)
    assert said.startswith("--from")
    assert not (tmp_path / "data").exists()


def test_a_redirect_is_followed_with_its_range_on_the_web_alone(server: ArchiveServer, target: Path) -> None:
    part_of(target).write_bytes(CONTENT[:1000])
    server.will(location=f"{PATH}?elsewhere")
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", "bytes=1000-"]
    target.unlink()
    for location in ("ftp://127.0.0.1/x", "file:///etc/hostname"):
        server.will(location=location)
        assert location in refused(server, target)
    server.then = Behaviour(location=PATH)
    assert "answers 302 " in refused(server, target)


def test_the_proxy_of_the_environment_is_used(
    server: ArchiveServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix(PATH))
    source = "http://archives.invalid/CUB_200_2011.tgz"
    run(server, target, source=source)
    assert target.read_bytes() == CONTENT
    assert [each["path"] for each in server.requests] == [source]


def test_a_certificate_is_trusted_only_when_the_environment_names_it(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(CONTENT, tls=tls) as server:
        assert "is not trusted: self" in refused(server, target)
        assert not server.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        run(server, target)
    assert target.read_bytes() == CONTENT


def self_signed(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1, and its key, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path


def test_a_signed_url_s_query_is_sent_and_not_shown(server: ArchiveServer, target: Path) -> None:
    server.will(breaks_after=10)
    said = run(server, target, source=f"{server.url}?signature=secret")
    said += refused(
        server, target.with_name("b.tgz"), source=f"{server.url}?secret", archive=archive_of(b"b")
    )
    assert server.requests[0]["path"] == f"{PATH}?signature=secret"
    assert "secret" not in said


def test_too_little_room_is_said_before_a_request(
    server: ArchiveServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_of(target).write_bytes(CONTENT[:200_000])
    usage = shutil.disk_usage(target.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=99_999))
    said = refused(server, target)
    assert f"{target.parent} has 100.0 kB free, and 100.0 kB more are needed: make room" in said
    assert not server.requests
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    run(server, target)
    assert target.read_bytes() == CONTENT


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_keeps_what_there_is_and_the_next_run_goes_on(
    server: ArchiveServer, target: Path
) -> None:
    with files_up_to(100_000):
        said = refused(server, target)
    assert f"{part_of(target)} cannot be read or written: File too large" in said
    assert part_of(target).read_bytes() == CONTENT[:100_000]
    run(server, target)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=100000-"


def test_a_place_that_cannot_be_written_is_one_sentence(server: ArchiveServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "give another place with --output" in refused(server, tmp_path / "file" / "CUB_200_2011.tgz")
    part_of(tmp_path / "a.tgz").mkdir()
    assert "Is a directory" in refused(server, tmp_path / "a.tgz")
    with pytest.raises(FetchError, match="File name too long"):
        run(server, tmp_path / f"{'a' * 300}.tgz")
    assert not server.requests


def test_two_runs_do_not_write_the_same_part(server: ArchiveServer, target: Path) -> None:
    said = []

    def fetch_once_more() -> None:
        said.append(refused(server, target))

    server.will(hangs_after=1000)
    server.when_hanging = fetch_once_more
    run(server, target, silence=0.5)
    assert target.read_bytes() == CONTENT
    assert f"another run writes {part_of(target)}" in said[0]


@st.composite
def lines(draw: st.DrawFn) -> list[Behaviour]:
    """Draw how a line and a server behave, request by request, before all is well."""
    broken = st.builds(Behaviour, breaks_after=st.integers(0, 400))
    anything = st.builds(
        Behaviour,
        breaks_after=st.none() | st.integers(0, 400),
        status=st.sampled_from([0, 0, 0, 0, 500]),
        ranges=st.booleans(),
        refuses_ranges=st.sampled_from([False, False, True]),
        if_range=st.booleans(),
        etag=st.sampled_from(["", '"one"', '"two"', 'W/"one"']),
        length=st.sampled_from([-1, None]),
    )
    return draw(st.lists(broken, max_size=12) | st.lists(anything, max_size=12))


@pytest.mark.soak
@given(
    content=st.binary(min_size=1, max_size=400),
    behaviours=lines(),
    part=st.binary(max_size=300) | st.none(),
    tries=st.integers(0, 2),
)
@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=sized(60, 2000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the server is made new below
)
def test_wherever_the_line_breaks_a_run_ends_whole_or_with_a_sentence_and_a_later_one_is_whole(
    server: ArchiveServer, content: bytes, behaviours: list[Behaviour], part: bytes | None, tries: int
) -> None:
    """A part of None is the first half of the right file; others are of anything."""
    server.content, server.behaviours, server.sent = content, list(behaviours), 0
    half = content[: len(content) // 2]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "CUB_200_2011.tgz"
        part_of(target).write_bytes(half if part is None else part)
        for _ in range(len(behaviours) + 2):
            said = sentence_of(server, target, archive=archive_of(content), pauses=[0] * tries)
            assert target.exists() == (not said)
            if not said:
                break
            assert AGAIN in said
        assert target.read_bytes() == content
        assert not part_of(target).exists()
    if part is None and all(replace(each, breaks_after=None) == Behaviour() for each in behaviours):
        assert server.sent == len(content) - len(half), "it fetched something twice"


def sentence_of(server: ArchiveServer, target: Path, **more: Any) -> str:
    """Fetch, and return the sentence with which it ended; empty when it went well."""
    try:
        run(server, target, **more)
    except FetchError as error:
        return error.message
    return ""


def command(*arguments: str) -> int:
    return cli.run(["dataset", "fetch", "cub", *arguments])


def test_the_command_fetches_into_a_folder_and_says_what_to_do_next(
    server: ArchiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(ARCHIVES, "cub", archive_of(CONTENT))
    target = tmp_path / "my data" / "CUB_200_2011.tgz"
    assert command("--output", str(target.parent), "--from", server.url) == 0
    assert target.read_bytes() == CONTENT
    said = capsys.readouterr().out
    classes = ",".join(str(each.class_id) for each in SPECIES)
    assert f"\n  make run DATA='{target}' PARAMS=\"ClassSelection={classes}\"\n" in said
    assert f"\n  cv-pipeline upload --data '{target}' -p ClassSelection={classes}\n" in said
    assert command("--output", str(target), "--from", server.url) == 0
    assert "is there already" in capsys.readouterr().out
    assert len(server.requests) == 1
    target.write_bytes(b"something else")
    assert command("--output", str(target), "--from", server.url) == 2
    assert "is there already, and not as CUB_200_2011.tgz was published" in capsys.readouterr().err


def test_output_is_a_folder_unless_it_has_an_archive_s_name(tmp_path: Path) -> None:
    archive = ARCHIVES["cub"]
    assert place(archive, None) == Path("CUB_200_2011.tgz")
    assert place(archive, Path("birds.TGZ")) == Path("birds.TGZ")
    assert place(archive, Path("data")) == Path("data/CUB_200_2011.tgz")
    (tmp_path / "folder.tgz").mkdir()
    assert place(archive, tmp_path / "folder.tgz") == tmp_path / "folder.tgz" / "CUB_200_2011.tgz"


def test_only_what_is_published_can_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["dataset", "fetch", "dogs"]) == 2
    assert "'dogs' is not 'cub'" in capsys.readouterr().err


# Where SIGINT is ignored, as in the background of a shell, Python leaves it ignored.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from ops.__main__ import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_keeps_what_has_arrived_and_the_same_command_goes_on(
    server: ArchiveServer, target: Path
) -> None:
    size = ARCHIVES["cub"].size
    server.then = Behaviour(hangs_after=1000, length=size)
    arguments = ["dataset", "fetch", "cub", "--output", str(target), "--from", server.url]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )

    def press_ctrl_c() -> None:
        while not (part_of(target).exists() and part_of(target).stat().st_size == 1000):
            pass
        process.send_signal(signal.SIGINT)

    server.when_hanging = press_ctrl_c
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"{part_of(target)} has 1.0 kB of 1.2 GB: {AGAIN} to go on" in out
    assert err.strip() == "Interrupted."
    assert part_of(target).read_bytes() == CONTENT[:1000]
    server.then = Behaviour(status=404)
    assert command(*arguments[3:]) == 2
    assert server.ranges == [None, "bytes=1000-"]
    assert part_of(target).read_bytes() == CONTENT[:1000]
