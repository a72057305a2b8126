"""Local AWS is shut for everybody but its own clients: asked from outside, as a web page would."""

import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from local.aws import LocalAWS
from tests.support.local_aws.clients import client, refusal
from tests.support.local_aws.functions import EVERYTHING, call, eventually, make_function

SECRET = "CV_BIRDS_SECRET_OF_THE_DEVELOPER"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECRET, "hidden")
        with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
            aws.client("s3").create_bucket(Bucket="kept")
            yield aws


def ask(aws: LocalAWS, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    """Send a request that nobody signed; header names take _ for -."""
    port = int(aws.endpoint_url.rpartition(":")[2])
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"Host": f"localhost:{port}", **named})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


SIGNED = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"
)


@pytest.mark.parametrize("authorization", [None, SIGNED], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/sqs/messages"),
        ("GET", "/_ministack/health"),
        ("GET", "/_localstack/health"),
        ("GET", "/_aws/ses"),
        ("POST", "/_aws/lambda/runtimes"),
        ("GET", "/health"),
        ("GET", "/v2/_catalog"),
        ("PUT", "/v2/cv-birds/manifests/evil"),
    ],
)
def test_ministacks_own_routes_do_not_exist(
    method: str, path: str, authorization: str | None, aws: LocalAWS
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    status, body = ask(aws, method, path, **headers)
    assert status == 403
    assert b"not part of AWS" in body
    assert [each["Name"] for each in aws.client("s3").list_buckets()["Buckets"]] == ["kept"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/kept"), ("PUT", "/kept/a"), ("DELETE", "/kept"), ("POST", "/")],
)
def test_what_nobody_signed_is_refused(method: str, path: str, aws: LocalAWS) -> None:
    status, body = ask(aws, method, path)
    assert status == 403
    assert b"Missing Authentication Token" in body.replace(b"missing", b"Missing")


def test_nobody_is_somebody_by_their_access_key_alone(aws: LocalAWS) -> None:
    """A presigned URL shows its key; forms of a signature that nobody would check are refused with it."""
    key = aws.environment()["AWS_ACCESS_KEY_ID"]
    scope = f"{key}/20260101/us-east-1/s3/aws4_request"
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope.replace('/', '%2F')}&X-Amz-Signature=00"
    )
    forms = {"Action": "ListUsers", "Version": "2010-05-08"}
    body = "&".join(f"{name}={value}" for name, value in forms.items())
    for target, authorizations in (
        (f"/?{query}", ["Bearer x"]),
        (f"/?{query}", [SIGNED]),
        ("/", ["AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", f"Credential={scope}"]),
        ("/", [f"Basic Credential={scope}"]),
        (f"/?{query}&X-Amz-Signature=01", []),
    ):
        port = int(aws.endpoint_url.rpartition(":")[2])
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest("POST", target)
        connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        connection.putheader("Content-Length", str(len(body)))
        for each in authorizations:
            connection.putheader("Authorization", each)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        assert (answer.status, b"administrator" in answer.read()) == (403, False), (target, authorizations)
        connection.close()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_web_page_is_answered(method: str, aws: LocalAWS) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        status, body = ask(aws, method, "/kept", Authorization=SIGNED, **headers)
        assert (status, b"no web page" in body) == (403, True)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "localhost.evil.example:{port}", "10.0.0.1:{port}"]
)
def test_a_name_that_somebody_pointed_here_is_refused(host: str, aws: LocalAWS) -> None:
    port = aws.endpoint_url.rpartition(":")[2]
    status, body = ask(aws, "GET", "/", Host=host.format(port=port), Authorization=SIGNED)
    assert (status, b"not this server" in body) == (403, True)


BROWSER = {"Accept": "text/html,*/*"}
SAME = {"Sec_Fetch_Site": "same-origin"}


def of_page(aws: LocalAWS, path: str = "") -> str:
    return aws.page_url.removeprefix(aws.endpoint_url) + path


def origin(aws: LocalAWS) -> str:
    return aws.endpoint_url


@pytest.mark.parametrize("site", [{}, {"Sec_Fetch_Site": "none"}, SAME], ids=["none told", "typed", "same"])
def test_whoever_has_the_token_sees_the_page(site: dict[str, str], aws: LocalAWS) -> None:
    status, body = ask(aws, "GET", of_page(aws), **BROWSER, **site)
    assert (status, b"Registered models" in body) == (200, True)


@pytest.mark.parametrize("path", ["", "page.js", "events", "executions/x/report", "nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_site_or_port_reaches_the_page_although_it_knows_the_token(
    method: str, path: str, aws: LocalAWS
) -> None:
    for headers in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},  # another port of this machine
        {"Origin": "http://localhost:1"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": origin(aws).replace("localhost", "127.0.0.1")},
        {"Origin": origin(aws) + ".evil.example", **SAME},
    ):
        status, body = ask(aws, method, of_page(aws, path), **BROWSER, **headers)
        assert (status, b"Another page sent you here" in body) == (403, True), headers


@pytest.mark.parametrize("path", ["/-/", "/-/x/", "/-//", "/-/{token}x/", "/-/{short}/", "/-/%C3%A9/"])
def test_no_page_without_the_token_of_this_run(path: str, aws: LocalAWS) -> None:
    token = of_page(aws).split("/")[2]
    assert len(token) > 40
    filled = path.format(token=token, short=token[:-1])
    status, body = ask(aws, "GET", filled, **BROWSER, **SAME)
    assert (status, b"has no token" in body, token.encode() in body) == (403, True, False)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost", "kept.localhost:{port}"]
)
def test_no_name_that_somebody_pointed_here_shows_the_page(host: str, aws: LocalAWS) -> None:
    """Below <bucket>.localhost the same path is an object's."""
    port = aws.endpoint_url.rpartition(":")[2]
    status, body = ask(aws, "GET", of_page(aws), Host=host.format(port=port), **BROWSER)
    assert (status, b"<Error>" in body) == (403, True)


def test_a_form_is_taken_from_the_page_alone(aws: LocalAWS) -> None:
    """A browser says where a form comes from; whoever leaves that out is no browser, or hides it."""
    status, body = ask(aws, "POST", of_page(aws, "approve"))
    assert (status, b"did not say which page" in body) == (403, True)
    for headers in ({"Origin": origin(aws)}, SAME, {"Origin": origin(aws), **SAME}):
        status, body = ask(aws, "POST", of_page(aws, "approve"), **headers)
        assert (status, b"Only the forms of this page" in body) == (415, True), headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_page_takes_no_other_method(method: str, aws: LocalAWS) -> None:
    assert ask(aws, method, of_page(aws), **SAME)[0] == 405


@pytest.mark.parametrize("path", ["", "nothing", "executions/x", "page.js"])
def test_what_the_page_answers_stays_with_it(path: str, aws: LocalAWS) -> None:
    port = int(aws.endpoint_url.rpartition(":")[2])
    connection = HTTPConnection("localhost", port, timeout=10)
    connection.request("GET", of_page(aws, path))
    headers = connection.getresponse().headers
    connection.close()
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Set-Cookie"] is None
    policy = dict(each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"


def test_a_browser_at_the_address_for_clients_is_told_where_the_page_is(aws: LocalAWS) -> None:
    status, body = ask(aws, "GET", "/", **BROWSER, Sec_Fetch_Site="none")
    assert (status, b"In a browser" in body, b"<Error>" in body) == (403, True, False)
    assert of_page(aws).encode() not in body


@pytest.mark.parametrize(
    "keys",
    [
        {"AWS_SECRET_ACCESS_KEY": "x" * 40},
        {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        {"AWS_ACCESS_KEY_ID": "123456789012"},
        {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"},
        {"AWS_SESSION_TOKEN": "x"},
    ],
    ids=["another secret", "test", "the account", "unknown", "a token"],
)
@pytest.mark.parametrize("service", ["s3", "sqs", "iam", "sagemaker", "sts"])
def test_only_the_right_keys_open_it(service: str, keys: dict[str, str], aws: LocalAWS) -> None:
    operation = {
        "s3": "list_buckets",
        "sqs": "list_queues",
        "iam": "list_roles",
        "sagemaker": "list_pipelines",
        "sts": "get_caller_identity",
    }[service]
    code, status, _ = refusal(getattr(client(aws, service, **keys), operation))
    assert status in (400, 403)
    assert re.search("Signature|InvalidAccessKeyId|Token|UnrecognizedClient|InvalidClientTokenId", code), code


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens on what")
def test_it_listens_on_one_port_of_loopback_and_nowhere_else(aws: LocalAWS) -> None:
    process = f"/proc/{aws.process_id}"
    sockets = {str(each.readlink()) for each in Path(process, "fd").iterdir() if each.is_symlink()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(process, "net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.append(fields[1])
    port = int(aws.endpoint_url.rpartition(":")[2])
    assert listening == [f"0100007F:{port:04X}"]


def test_a_function_sees_nothing_of_the_developers_environment(aws: LocalAWS) -> None:
    source = "import os\n\n\ndef handler(event, context):\n    return dict(os.environ)\n"
    make_function(aws, "looks", source, EVERYTHING, environment={"GIVEN": "yes"})
    seen = call(aws, "looks")
    assert seen["GIVEN"] == "yes"
    assert SECRET not in seen
    assert "hidden" not in seen.values()
    secrets = {aws.environment()["AWS_ACCESS_KEY_ID"], aws.environment()["AWS_SECRET_ACCESS_KEY"]}
    assert not secrets & set(seen.values())


def test_a_function_with_no_rights_can_do_nothing(aws: LocalAWS) -> None:
    source = """
import boto3


def handler(event, context):
    try:
        boto3.client("s3").list_buckets()
    except Exception as error:
        return str(error)
"""
    make_function(aws, "powerless", source)
    said = call(aws, "powerless")
    assert "assumed-role/powerless/powerless is not authorized to perform: s3:ListAllMyBuckets" in said


def test_the_server_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from local.aws import LocalAWS\n"
        "with LocalAWS(work_dir=pathlib.Path(sys.argv[1])) as aws:\n"
        "    print(aws.process_id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[3]
    made = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert made.returncode == -9
    assert eventually(lambda: not Path(f"/proc/{int(made.stdout)}").exists())
