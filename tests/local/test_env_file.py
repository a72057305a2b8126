"""Whoever sources the env file asks local AWS and nobody else, whatever the shell and ~/.aws/config say."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws.local_aws import at_home, client_environment
from local.stay import env_file
from tests.support.services.intercepting_proxy import InterceptingProxy, intercepting_proxy

ROOT = Path(__file__).resolve().parents[2]
HOME = "http://localhost:59999"
KEY = "AKIALOCAL"
VARIABLES = client_environment(HOME, "us-east-1", KEY, "secret") | at_home()
AWS_CLI = str(Path(sys.executable).with_name("aws"))
SHELL = {
    "AWS_PROFILE": "company",
    "AWS_DEFAULT_PROFILE": "company",
    "AWS_ACCESS_KEY_ID": "AKIACOMPANY",
    "AWS_SESSION_TOKEN": "of the company",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_ENDPOINT_URL_S3": "https://s3.company.example",
    "AWS_ENDPOINT_URL_SAGEMAKER": "https://sagemaker.company.example",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "NO_PROXY": "intern.example",
    "no_proxy": "other.example",
}
"""What the person's shell has set for the company's account."""
CONFIG = """
[default]
endpoint_url = https://company.example
ignore_configured_endpoint_urls = true
use_fips_endpoint = true
use_dualstack_endpoint = true
services = company
ca_bundle = {authority}
[services company]
sts =
  endpoint_url = https://sts.company.example
[profile company]
region = eu-west-1
endpoint_url = https://company.example
"""
SDK = """
import boto3
from sagemaker.core.helper.session_helper import Session
Session(boto_session=boto3.Session(), default_bucket="birds").account_id()
"""
ASKING_AWS = {
    "queue.amazonaws.com": (AWS_CLI, "sqs", "list-queues"),
    "health.us-east-1.amazonaws.com": (AWS_CLI, "health", "describe-events"),
    "sts.us-east-1.amazonaws.com": (sys.executable, "-c", SDK),
}
"""What asks AWS itself in spite of AWS_ENDPOINT_URL, by the host that it asks."""
LEAVE = {"signin"}
"""The services that docs/local.md names: botocore asks AWS itself, over TLS, whatever the endpoint."""
IN_THE_HOST = {"s3control"}
"""Those that put the account before the endpoint's host: 123456789012.localhost."""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InterceptingProxy, Path]]:
    with intercepting_proxy(tmp_path_factory.mktemp("proxy"), list(ASKING_AWS)) as running:
        yield running


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory, company: tuple[InterceptingProxy, Path]) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("person")
    (folder / ".aws").mkdir()
    (folder / ".aws" / "config").write_text(CONFIG.format(authority=company[1]))
    with env_file(folder / "local.env", VARIABLES):
        yield folder / "local.env"


def sourced(env: Path, shell: str = "bash", script: str = ":", **variables: str) -> dict[str, str]:
    """Return the environment of somebody who sourced the file, in a shell with the company's variables."""
    before = {"PATH": os.environ["PATH"], "HOME": str(env.parent), **SHELL, **variables}
    command = [shell, "-euc", f'set -a; . "$0"; set +a; {script}; exec env -0', str(env)]
    done = subprocess.run(command, env=before, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_nothing_of_aws_in_the_shell_outlives_the_file(env: Path, shell: str) -> None:
    person = sourced(env, shell)
    assert {name: value for name, value in person.items() if name.startswith("AWS_")} == VARIABLES


def test_a_reader_that_is_no_shell_has_the_same_variables(env: Path) -> None:
    lines = env.read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines[1:])
    assert {name: value.strip('"') for name, value in pairs.items() if name.startswith("AWS_")} == VARIABLES


def test_a_value_reaches_the_shell_as_it_is(tmp_path: Path) -> None:
    odd = {"AWS_ODD": 'a "quoted" $HOME `date` back\\slash'}
    with env_file(tmp_path / "odd.env", odd):
        assert sourced(tmp_path / "odd.env")["AWS_ODD"] == odd["AWS_ODD"]


@pytest.mark.slow
@pytest.mark.parametrize("package", ["botocore", "awscli.botocore"])
def test_the_requests_of_every_service_stay_on_this_machine(env: Path, package: str) -> None:
    script = ROOT / "tests/support/local_aws/where_requests_go.py"
    done = run(sourced(env), sys.executable, str(script), package)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    assert len(found) > 400
    assert {"s3", "sagemaker", "sqs", "sts", "iam", "cloudformation"} <= found.keys()
    away = {
        service: sorted(urls)
        for service, operations in found.items()
        if (urls := {url for url in operations.values() if not url.startswith((f"{HOME}/", f"{HOME}?"))})
    }
    for service in LEAVE:
        assert all(url.startswith(f"https://{service}.") for url in away.pop(service))
    for service in IN_THE_HOST:
        assert all(url.startswith("http://xxx.localhost:59999/") for url in away.pop(service))
    # It is asked about a store by the store's ARN alone, and refuses any other request itself.
    assert away.pop("cloudfront-keyvaluestore") == ["EndpointResolutionError"]
    assert away == {}


@pytest.mark.slow
def test_what_the_cli_signs_for_somebody_else_names_this_machine(env: Path) -> None:
    person = sourced(env)
    url = run(person, AWS_CLI, "s3", "presign", "s3://birds/a.jpg").stdout
    assert url.startswith(f"{HOME}/birds/a.jpg?")
    assert KEY in url
    answer = json.loads(run(person, AWS_CLI, "eks", "get-token", "--cluster-name", "birds").stdout)
    token = answer["status"]["token"].removeprefix("k8s-aws-v1.")
    assert base64.urlsafe_b64decode(token + "==").decode().startswith(f"{HOME}/?Action=GetCallerIdentity")


def test_a_proxy_has_no_request_to_this_machine(env: Path) -> None:
    code = (
        "import sys; from botocore.utils import get_environ_proxies as proxies;"
        "print([proxies(url).get('http') for url in sys.argv[1:]])"
    )
    person = sourced(env, HTTP_PROXY="http://proxy.example:3128")
    del person["no_proxy"]
    urls = (
        f"{HOME}/bucket",
        "http://127.0.0.1:59999/",
        "http://intern.example/",
        "http://elsewhere.example/",
    )
    done = run(person, sys.executable, "-c", code, *urls)
    assert done.stdout.strip() == "[None, None, None, 'http://proxy.example:3128']"
    assert "other.example" in sourced(env)["no_proxy"].split(",")
    assert "localhost" in sourced(env)["no_proxy"].split(",")


@pytest.mark.slow
@pytest.mark.parametrize("host", ASKING_AWS)
def test_what_asks_aws_itself_fails_before_it_has_sent_a_request(
    env: Path, company: tuple[InterceptingProxy, Path], host: str
) -> None:
    proxy, _ = company
    proxy.asked.clear()
    proxy.requests.clear()
    once = "export AWS_MAX_ATTEMPTS=1"
    done = run(sourced(env, script=once, HTTPS_PROXY=proxy.url), *ASKING_AWS[host])
    assert done.returncode != 0
    assert "certificate verify failed" in done.stderr
    assert set(proxy.asked) == {host}
    assert proxy.requests == []
    # Without the file's AWS_CA_BUNDLE the same command would send it, with the local key.
    unguarded = sourced(env, script=f"{once}; unset AWS_CA_BUNDLE", HTTPS_PROXY=proxy.url)
    run(unguarded, *ASKING_AWS[host])
    assert proxy.requests
    assert all(KEY.encode() in request for request in proxy.requests)
