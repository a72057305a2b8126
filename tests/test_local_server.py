"""The laptop's AWS serves AWS clients on loopback and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from local.aws.http_server import PortTakenError
from local.aws import LocalAWS
from local_clients import ask, client, port_of

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


def test_a_connection_serves_many_requests(aws: LocalAWS) -> None:
    connection = HTTPConnection("127.0.0.1", port_of(aws), timeout=10)
    opened = []
    for _ in range(3):
        connection.request("PUT", "/birds/x", body=b"x" * 1000)
        connection.getresponse().read()
        opened.append(connection.sock)
    connection.close()
    assert opened[0] is not None
    assert len(set(opened)) == 1


def test_a_client_that_waits_for_it_is_told_to_continue(aws: LocalAWS) -> None:
    with socket.create_connection(("127.0.0.1", port_of(aws)), timeout=5) as sock:
        head = f"PUT /birds/x HTTP/1.1\r\nHost: localhost:{port_of(aws)}\r\nContent-Length: 3\r\n"
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"abc")
        assert sock.recv(1000).startswith(b"HTTP/1.1 403 ")


def test_many_clients_at_once_all_get_their_answers(aws: LocalAWS) -> None:
    s3 = aws.client("s3")

    def store(number: int) -> bytes:
        s3.put_object(Bucket="birds", Key=f"many/{number}", Body=b"%d" % number)
        return bytes(s3.get_object(Bucket="birds", Key=f"many/{number}")["Body"].read())

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(store, range(100))) == [b"%d" % number for number in range(100)]


def test_a_presigned_url_works_until_it_is_changed(aws: LocalAWS) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="birds", Key="signed", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "birds", "Key": "signed"})
    path = url.removeprefix(aws.endpoint_url)
    host = aws.endpoint_url.removeprefix("http://")
    assert ask(aws, "GET", path, Host=host).body == b"x"  # type: ignore[attr-defined]
    assert ask(aws, "GET", path.replace("signed?", "other?"), Host=host).status == 403


@pytest.mark.slow
def test_aws_cli_works_with_nothing_but_the_env_file(aws: LocalAWS, tmp_path: Path) -> None:
    env_file, source, back = tmp_path / "with space" / "aws.env", tmp_path / "source", tmp_path / "back"
    aws.write_env_file(env_file)
    source.write_bytes(os.urandom(9_000_000))
    script = f"""
        set -eu; set -a; . '{env_file}'; set +a
        '{AWS_CLI}' sts get-caller-identity --query Arn --output text
        '{AWS_CLI}' s3 cp --only-show-errors '{source}' s3://birds/cli/source
        '{AWS_CLI}' s3 ls s3://birds/cli/
        '{AWS_CLI}' s3 cp --only-show-errors s3://birds/cli/source '{back}'
        '{AWS_CLI}' iam get-user --query User.UserName --output text
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_SESSION_TOKEN": "left over"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    arn, listed, user = done.stdout.splitlines()
    assert arn == "arn:aws:iam::123456789012:user/administrator"
    assert listed.split()[2:] == ["9000000", "source"]
    assert user == "administrator"
    assert back.read_bytes() == source.read_bytes()


def test_the_env_file_is_private_and_plain(aws: LocalAWS, tmp_path: Path) -> None:
    path = tmp_path / "aws.env"
    path.write_text("old")
    path.chmod(0o644)
    aws.write_env_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert {name: value.strip('"') for name, value in read.items()} == aws.environment()
    assert aws.environment()["AWS_EC2_METADATA_DISABLED"] == "true"


# --- life -----------------------------------------------------------------------------------------------


SCRIPT = """
import socket, sys, threading, time
from pathlib import Path
from botocore.exceptions import ConnectionClosedError
from local.aws.http_server import PortTakenError
from local.aws import LocalAWS

def receive(sqs, queue):
    try:
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    except ConnectionClosedError:
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
    assert time.monotonic() - started < 4, "a client that waited for a message held the end up"
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    assert not left, left
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
assert len(keys) == 2
with LocalAWS(work_dir=work, iam=False) as aws:
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("s3", "arn:aws:iam::123456789012:role/nobody").list_buckets()["Buckets"] == []
    aws.authorize("arn:aws:iam::123456789012:role/nobody", "s3:GetObject", "*")
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
        cwd=Path(__file__).parent.parent,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    complaint, again = done.stdout.splitlines()
    port, _, message = complaint.partition(" ")
    assert message.startswith(f"port {port} of 127.0.0.1 cannot be used")
    assert "stop the program that listens there, or choose another port" in message
    assert again == "again"


def test_only_one_is_open_at_a_time(aws: LocalAWS, tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="another LocalAWS is open"), LocalAWS(work_dir=tmp_path):
        pass
    assert threading.active_count() == before
    assert aws.client("s3").list_buckets()["Buckets"]
    assert issubclass(PortTakenError, Exception)
