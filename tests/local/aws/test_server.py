"""Local AWS serves AWS clients, keeps what the delivery counts on, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from local.aws import LocalAWS, ServerEndedError
from local.stay import env_file
from tests.support.local_aws.clients import ask, client, port_of, refusal

AWS_CLI = Path(sys.executable).parent / "aws"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as running:
        running.client("s3").create_bucket(Bucket="birds")
        yield running


# --- clients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["plain.txt", "a b/ü+c~'(1)*&$@=;:,?.txt", "dots/../x", "//double", "%2F"])
def test_objects_come_back_whatever_their_key(aws: LocalAWS, key: str) -> None:
    s3 = client(aws, "s3")
    s3.put_object(Bucket="birds", Key=key, Body=key.encode(), Metadata={"a_b": "1"})
    found = s3.get_object(Bucket="birds", Key=key)
    assert (found["Body"].read(), found["Metadata"]) == (key.encode(), {"a_b": "1"})
    assert key in [item["Key"] for item in s3.list_objects_v2(Bucket="birds")["Contents"]]


def test_a_page_in_a_bucket_is_an_object_like_any_other(aws: LocalAWS) -> None:
    s3 = client(aws, "s3")
    s3.put_object(Bucket="birds", Key="report.html", Body=b"<!doctype html><p>", ContentType="text/html")
    assert s3.get_object(Bucket="birds", Key="report.html")["Body"].read() == b"<!doctype html><p>"


def presigned(aws: LocalAWS, operation: str, key: str) -> str:
    """Return what of a presigned URL comes after the host."""
    url = aws.client("s3").generate_presigned_url(operation, Params={"Bucket": "birds", "Key": key})
    return str(url).removeprefix(aws.endpoint_url)


@pytest.mark.parametrize("signed", [True, False])
def test_a_connection_serves_many_requests(signed: bool, aws: LocalAWS) -> None:
    path = presigned(aws, "put_object", "x") if signed else "/birds/x"
    connection = HTTPConnection("localhost", port_of(aws), timeout=10)
    opened = []
    for _ in range(3):
        connection.request("PUT", path, body=b"x" * 1000)
        response = connection.getresponse()
        assert response.status == (200 if signed else 403)
        response.read()
        opened.append(connection.sock)
    connection.close()
    assert opened[0] is not None
    assert len(set(opened)) == 1


def test_a_client_that_waits_for_it_is_told_to_continue(aws: LocalAWS) -> None:
    path = presigned(aws, "put_object", "waited")
    with socket.create_connection(("127.0.0.1", port_of(aws)), timeout=5) as sock:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost:{port_of(aws)}\r\nContent-Length: 3\r\n"
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"abc")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_many_clients_at_once_all_get_their_answers(aws: LocalAWS) -> None:
    s3 = aws.client("s3")

    def store(number: int) -> bytes:
        s3.put_object(Bucket="birds", Key=f"many/{number}", Body=b"%d" % number)
        return bytes(s3.get_object(Bucket="birds", Key=f"many/{number}")["Body"].read())

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(store, range(100))) == [b"%d" % number for number in range(100)]


def test_a_presigned_url_works_until_it_is_changed(aws: LocalAWS) -> None:
    aws.client("s3").put_object(Bucket="birds", Key="signed", Body=b"x")
    path, host = presigned(aws, "get_object", "signed"), aws.endpoint_url.removeprefix("http://")
    assert ask(aws, "GET", path, Host=host).body == b"x"  # type: ignore[attr-defined]
    assert ask(aws, "GET", path.replace("signed?", "other?"), Host=host).status == 403


def test_a_body_is_kept_whatever_it_calls_itself(aws: LocalAWS) -> None:
    path, host = presigned(aws, "put_object", "form é"), aws.endpoint_url.removeprefix("http://")
    form = {"Host": host, "Content_Type": "application/x-www-form-urlencoded"}
    assert ask(aws, "PUT", path, b"key=1&b=2", **form).status == 200
    assert aws.client("s3").get_object(Bucket="birds", Key="form é")["Body"].read() == b"key=1&b=2"


@pytest.mark.slow
def test_aws_cli_works_with_nothing_but_the_env_file(aws: LocalAWS, tmp_path: Path) -> None:
    path, source, back = tmp_path / "with space" / "aws.env", tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(9_000_000))
    script = f"""
        set -eu; set -a; . '{path}'; set +a
        '{AWS_CLI}' sts get-caller-identity --query Arn --output text
        '{AWS_CLI}' s3 cp --only-show-errors '{source}' s3://birds/cli/source
        '{AWS_CLI}' s3 ls s3://birds/cli/
        '{AWS_CLI}' s3 cp --only-show-errors s3://birds/cli/source '{back}'
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_SESSION_TOKEN": "left over"}
    with env_file(path, aws.environment()):
        done = subprocess.run(
            ["sh", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    arn, listed = done.stdout.splitlines()
    assert arn == "arn:aws:iam::123456789012:user/administrator"
    assert listed.split()[2:] == ["9000000", "source"]
    assert back.read_bytes() == source.read_bytes()


def test_the_env_file_is_private_and_plain(aws: LocalAWS, tmp_path: Path) -> None:
    path = tmp_path / "aws.env"
    path.write_text("old")
    path.chmod(0o644)
    with env_file(path, aws.environment()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        read = path.read_text()
    assert not path.exists()
    assert all(f'{name}="{value}"\n' in read for name, value in aws.environment().items())
    assert aws.environment()["AWS_EC2_METADATA_DISABLED"] == "true"


# --- what the delivery counts on -----------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["IfNoneMatch", "IfMatch"])
def test_of_many_writes_with_one_condition_exactly_one_is_made(condition: str, aws: LocalAWS) -> None:
    s3, writers = aws.client("s3"), 16
    for number in range(5):
        key = f"conditional/{condition}/{number}"
        given = {"IfNoneMatch": "*"}
        if condition == "IfMatch":
            given = {"IfMatch": s3.put_object(Bucket="birds", Key=key, Body=b"first")["ETag"]}

        def write(number: int, key: str = key, given: dict[str, str] = given) -> int:
            try:
                s3.put_object(Bucket="birds", Key=key, Body=b"%d" % number, **given)
            except s3.exceptions.ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        with ThreadPoolExecutor(writers) as pool:
            statuses = list(pool.map(write, range(writers)))
        assert sorted(statuses) == [200] + [412] * (writers - 1)
        body = s3.get_object(Bucket="birds", Key=key)["Body"].read()
        assert int(body) == statuses.index(200)


def test_versions_come_newest_first_even_within_a_millisecond(aws: LocalAWS) -> None:
    s3, key = aws.client("s3"), "pipeline/pipeline.json"
    s3.create_bucket(Bucket="versions")
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    made = [s3.put_object(Bucket="versions", Key=key, Body=b"x")["VersionId"] for _ in range(3)]
    # Each of them makes a marker, and only a request for many of them is fast enough.
    same = {"Objects": [{"Key": key}] * 100}
    made += [
        each["DeleteMarkerVersionId"] for each in s3.delete_objects(Bucket="versions", Delete=same)["Deleted"]
    ]
    made.append(s3.put_object(Bucket="versions", Key=key, Body=b"newest")["VersionId"])
    for size in (7, 1000):
        pages = list(
            s3.get_paginator("list_object_versions").paginate(
                Bucket="versions", PaginationConfig={"PageSize": size}
            )
        )
        # A page has versions and markers in two lists; within each of them the order tells.
        versions, markers = (
            [each for page in pages for each in page.get(kind, [])] for kind in ("Versions", "DeleteMarkers")
        )
        assert [each["VersionId"] for each in versions] == [made[-1], *made[2::-1]]
        assert [each["VersionId"] for each in markers] == made[-2:2:-1]
        assert [each["IsLatest"] for each in versions] == [True, False, False, False]
        assert not any(each["IsLatest"] for each in markers)
        assert len({each["LastModified"] for each in markers}) < len(markers)
    assert s3.get_object(Bucket="versions", Key=key)["Body"].read() == b"newest"


# --- life -----------------------------------------------------------------------------------------------


SCRIPT = """
import socket, sys, threading, time
from pathlib import Path
from botocore.exceptions import ClientError, ConnectionClosedError
from local.aws import LocalAWS, PortTakenError

def receive(sqs, queue):
    try:
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    except (ClientError, ConnectionClosedError):
        pass

work = Path(sys.argv[1])
aws = LocalAWS(work_dir=work)
keys = set()
for _ in range(2):
    with aws:
        aws.client("s3").create_bucket(Bucket="birds")
        queue = aws.client("sqs").create_queue(QueueName="q")["QueueUrl"]
        waiting = threading.Thread(target=receive, args=(aws.client("sqs"), queue))
        waiting.start()
        time.sleep(0.5)
        keys.add(aws.environment()["AWS_SECRET_ACCESS_KEY"])
        port = int(aws.endpoint_url.rpartition(":")[2])
        started = time.monotonic()
    aws.close()
    waiting.join()
    assert time.monotonic() - started < 10, "a client that waited for a message held the end up"
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    assert not left, left
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
assert len(keys) == 2
with LocalAWS(work_dir=work, iam=False) as aws:
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("s3", "arn:aws:iam::123456789012:role/nobody").list_buckets()["Buckets"] == []
    try:
        wrong = __import__("boto3").client("s3", endpoint_url=aws.endpoint_url, region_name="us-east-1",
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x")
        wrong.list_buckets()
    except wrong.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidAccessKeyId"
    else:
        raise AssertionError("signatures count without IAM, too")
with socket.socket() as other:
    other.bind(("127.0.0.1", 0))
    other.listen()
    taken = other.getsockname()[1]
    try:
        LocalAWS(work_dir=work, port=taken).__enter__()
    except PortTakenError as error:
        print(taken, error)
with LocalAWS(work_dir=work):
    print("again")
"""


@pytest.mark.slow
def test_it_comes_and_goes_without_a_trace_and_names_a_taken_port(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    complaint, again = done.stdout.splitlines()
    port, _, message = complaint.partition(" ")
    assert message.startswith(f"port {port} of 127.0.0.1 cannot be used")
    assert "stop the program that listens there, or choose another port" in message
    assert again == "again"


def test_two_in_one_process_share_nothing(aws: LocalAWS, tmp_path: Path) -> None:
    with LocalAWS(work_dir=tmp_path, region="eu-central-1", account="210987654321") as other:
        assert other.client("s3").list_buckets()["Buckets"] == []
        assert other.client("sts").get_caller_identity()["Account"] == "210987654321"
        assert refusal(client(other, "s3", AWS_ENDPOINT_URL=aws.endpoint_url).list_buckets)[0] == (
            "InvalidAccessKeyId"
        )
    assert "birds" in [each["Name"] for each in aws.client("s3").list_buckets()["Buckets"]]


def test_one_that_was_killed_says_so(tmp_path: Path) -> None:
    with LocalAWS(work_dir=tmp_path) as aws:
        assert aws.process_id
        os.kill(aws.process_id, signal.SIGKILL)
        with pytest.raises(ServerEndedError, match="ended by itself with exit code -9"):
            aws.wait()
        with pytest.raises(ServerEndedError, match="ended by itself with exit code -9"):
            aws.role_environment("arn:aws:iam::123456789012:role/any", "name")
