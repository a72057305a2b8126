"""The CDK's own command deploys to local AWS as it does to the real one: first, again, changed, gone.

Nothing here needs a network: the command was installed by `make test` or `make deploy`, the image is one that
is in ECR already, and a proxy that does not exist would fail any call that leaves the machine.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from ops import __main__ as ops
from tests.support.infra.deployed_template import Stack
from tests.support.infra.node import path_with_node
from tests.support.local_aws.clients import uploader

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "infra" / "cdk-cli" / "package-lock.json"
CDK = Path(sys.prefix) / "cdk" / "node_modules" / ".bin" / "cdk"
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/birds@sha256:{'a' * 64}"
CONTEXT = {"project": "cv-birds", "image": IMAGE}
STACK, BUCKET = "cv-birds", "cv-birds-123456789012-us-east-1"

Cdk = Callable[..., str]
Synthesise = Callable[..., Path]

installed = pytest.mark.skipif(
    not CDK.exists(), reason=f"{CDK} is not there: `make test` installs it when npm's registry can be reached"
)


def test_the_command_is_pinned_by_the_hash_of_its_archive_and_names_no_registry() -> None:
    wanted = json.loads(LOCK.with_name("package.json").read_text())["devDependencies"]
    packages = json.loads(LOCK.read_text())["packages"]
    root = packages.pop("")
    assert root["devDependencies"] == wanted
    assert {f"node_modules/{name}": version for name, version in wanted.items()} == {
        path: package["version"] for path, package in packages.items() if path.count("node_modules") == 1
    }
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture(scope="module")
def cdk(aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Cdk:
    """Run the CDK's command as the administrator of local AWS, and return what it said."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    environment = {
        **kept,
        **aws.environment(),
        "PATH": path_with_node(),
        "HOME": str(home),
        # Where the CDK's library is unpacked already: anew it takes as long as the rest of a synthesis.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
        "HTTPS_PROXY": "http://localhost:1",
        "NO_PROXY": "localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*arguments: str, code: int = 0, cwd: Path = ROOT, **variables: str) -> str:
        done = subprocess.run(
            [str(CDK), *arguments, "--ci", "--no-notices", "--no-color"],
            cwd=cwd,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    return run


@pytest.fixture(scope="module")
def app(synthesis: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    """Synthesise the stack with some context as `python app.py` would, to be deployed with --app."""
    from aws_cdk import App

    from infra import trigger
    from infra.config import read_context
    from infra.stack import build

    @functools.cache
    def synthesise(
        source: Path | None = None, and_then: Callable[[Any], None] = lambda _: None, **context: Any
    ) -> Path:
        outdir = tmp_path_factory.mktemp("cdk.out")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trigger, "SOURCE", source or trigger.SOURCE)
            app = App(outdir=str(outdir))
            and_then(build(app, config=read_context({**CONTEXT, **context})))
            app.synth()
        return outdir

    return synthesise


@pytest.fixture(scope="module")
def bootstrapped(cdk: Cdk, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make what the CDK needs in an account and region."""
    # Elsewhere, because in the repository it would synthesise an app that it does not need.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert "bootstrapped" in cdk("bootstrap", "aws://123456789012/us-east-1", cwd=elsewhere)


@pytest.fixture(scope="module")
def deployed(cdk: Cdk, bootstrapped: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Deploy the repository as it is; what the deployment said."""
    outdir = tmp_path_factory.mktemp("cdk.out")
    return cdk("deploy", "--require-approval=never", f"--output={outdir}", "-c", f"image={IMAGE}")


@pytest.fixture
def unchanged(aws: LocalAWS, cdk: Cdk, app: Synthesise, deployed: str) -> Path:
    """Deploy the repository as it is, unless that is what the test before has left; its assembly."""
    assembly = app()
    if whole_template(aws) != json.loads((assembly / f"{STACK}.template.json").read_text()):
        deploy(cdk, assembly)
    return assembly


def resources(aws: LocalAWS) -> dict[str, str]:
    """Return the types of the stack's resources by their logical ids."""
    return {name: each["ResourceType"] for name, each in listed(aws).items()}


def names(aws: LocalAWS) -> dict[str, str]:
    """Return the physical ids of the stack's resources by their logical ids."""
    return {name: each["PhysicalResourceId"] for name, each in listed(aws).items()}


def listed(aws: LocalAWS) -> dict[str, Any]:
    found = aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    return {each["LogicalResourceId"]: each for each in found}


def template(aws: LocalAWS) -> dict[str, Any]:
    """Return the resources of the template that is deployed."""
    resources = whole_template(aws)["Resources"]
    return {name: each for name, each in resources.items() if each["Type"] != "AWS::CDK::Metadata"}


def whole_template(aws: LocalAWS) -> dict[str, Any]:
    """Return the template that is deployed."""
    body = aws.client("cloudformation").get_template(StackName=STACK)["TemplateBody"]
    document: dict[str, Any] = json.loads(body) if isinstance(body, str) else body
    return document


def wrong(aws: LocalAWS) -> list[str]:
    """Ask each service for each resource of the stack; list where it is not what the template asks for."""
    return Stack(aws, template(aws)).lost()


def state(aws: LocalAWS) -> dict[str, Any]:
    """Return what each service tells of each resource of the stack, as far as the template asks for it."""
    stack = Stack(aws, template(aws))
    found = {}
    for name, each in stack.resources.items():
        held = stack.read(name)
        # The code is not read back; its digest is.
        found[name] = {key: held.get(key) for key in (*each["Properties"], "CodeSha256")}
    return found


def touched(aws: LocalAWS, since: int) -> set[str]:
    """Return the types of the resources that the events after the first `since` are about."""
    kinds = {event["ResourceType"] for event in events(aws)[since:]}
    return kinds - {"AWS::CloudFormation::Stack"}


def events(aws: LocalAWS) -> list[dict[str, Any]]:
    """List the stack's events, the oldest first."""
    found: list[dict[str, Any]] = aws.client("cloudformation").describe_stack_events(StackName=STACK)[
        "StackEvents"
    ]
    return found[::-1]


def deploy(cdk: Cdk, app: Path, *more: str) -> str:
    return cdk("deploy", f"--app={app}", "--require-approval=never", *more)


@installed
@pytest.mark.slow
def test_it_deploys_from_nothing_through_the_roles_of_its_bootstrap_stack(
    aws: LocalAWS, deployed: str
) -> None:
    assert "current credentials could not be used" not in deployed
    (stack,) = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert wrong(aws) == []
    committed = json.loads((ROOT / "infra" / "template.json").read_text())["Resources"]
    assert set(resources(aws).values()) - {"AWS::CDK::Metadata"} == {
        each["Type"] for each in committed.values()
    }
    for output in stack["Outputs"]:
        assert f"cv-birds.{output['OutputKey']} = {output['OutputValue']}" in deployed


@installed
@pytest.mark.slow
def test_what_it_deployed_settles_uploads(aws: LocalAWS, deployed: str) -> None:
    s3, key = uploader(aws), "pipeline/pipeline.json"
    version = s3.put_object(Bucket=BUCKET, Key=key, Body=b'{"Version": 1}')["VersionId"]
    verdict, deadline = f"verdicts/{key}/{version}.json", time.monotonic() + 60
    while not s3.list_objects_v2(Bucket=BUCKET, Prefix=verdict)["KeyCount"]:
        assert time.monotonic() < deadline, "the function left no verdict"
        time.sleep(0.2)


@installed
@pytest.mark.slow
def test_deploying_the_same_again_touches_nothing(aws: LocalAWS, cdk: Cdk, unchanged: Path) -> None:
    # The template of the deployment before has its members in another order, which MiniStack calls a change.
    deploy(cdk, unchanged)
    before = len(events(aws))
    assert "(no changes)" in deploy(cdk, unchanged)
    deploy(cdk, unchanged, "--method=direct")
    assert touched(aws, before) == set()


DOCKER = """#!/bin/sh
echo "$BUILDX_NO_DEFAULT_ATTESTATIONS $*" >> "$CALLS"
[ "$1" != inspect ]
"""


class EmptyECR(BaseHTTPRequestHandler):
    """ECR with an empty repository, of which local AWS's says that every image is there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        answers: dict[str, dict[str, Any]] = {
            "DescribeRepositories": {"repositories": [{"repositoryUri": f"{host}/assets"}]},
            "DescribeImages": {"__type": "ImageNotFoundException", "message": "there is none"},
            "GetAuthorizationToken": {
                "authorizationData": [
                    {
                        "authorizationToken": base64.b64encode(b"AWS:password").decode(),
                        "proxyEndpoint": f"https://{host}",
                    }
                ]
            },
        }
        answer = answers[self.headers["X-Amz-Target"].rpartition(".")[2]]
        self.send_response(400 if "__type" in answer else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    """Serve an empty registry and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyECR) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@installed
@pytest.mark.slow
def test_its_docker_builds_an_image_that_sagemaker_takes(
    cdk: Cdk, app: Synthesise, bootstrapped: None, registry: str, tmp_path: Path
) -> None:
    """CreateModel refuses OCI's media types, and an index, which attestations would make of an image."""
    docker, calls = tmp_path / "docker", tmp_path / "calls"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    cdk(
        *("publish-assets", "--unstable=publish-assets", f"--app={app(image='asset')}"),
        CDK_DOCKER=str(docker),
        CALLS=str(calls),
        AWS_ENDPOINT_URL_ECR=registry,
    )
    (build,) = (call for call in calls.read_text().splitlines() if " build " in call)
    assert build.startswith("1 build ")
    assert "--output=type=docker,oci-mediatypes=false" in build.split()
    assert "--platform linux/amd64" in build
    assert "--build-arg TORCH_VARIANT=cpu --build-arg USER_ID=0" in build


@installed
@pytest.mark.slow
def test_without_docker_it_deploys_nothing_and_says_how_but_removes_what_there_is(
    cdk: Cdk, bootstrapped: None, tmp_path: Path
) -> None:
    said = cdk("deploy", f"--output={tmp_path / 'a'}", code=1, CDK_DOCKER="no-docker-here")
    assert (
        "no-docker-here is not on the PATH: install it, let AWS build the image with -c image=codebu" in said
    )
    assert "Traceback" not in said
    nothing = ("-c", "environment=nowhere", f"--output={tmp_path / 'b'}")
    cdk("destroy", "--force", *nothing, CDK_DOCKER="no-docker-here")


@installed
@pytest.mark.slow
def test_a_change_reaches_what_it_is_about_and_replaces_neither_bucket_nor_group(
    aws: LocalAWS, cdk: Cdk, app: Synthesise, unchanged: Path, tmp_path: Path
) -> None:
    before = names(aws)
    aws.client("s3").put_object(Bucket=BUCKET, Key="data/kept", Body=b"kept")
    source = tmp_path / "lambda"
    shutil.copytree(ROOT / "lambda", source, ignore=shutil.ignore_patterns("__pycache__"))
    handler = source / "upload_trigger" / "handler.py"
    handler.write_text(handler.read_text() + "# changed\n")
    function, role, group = "AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Logs::LogGroup"
    bucket = "AWS::S3::Bucket"

    for kinds, changed, method in (
        ({function}, app(source), "change-set"),
        ({function, role}, app(on_running="stop"), "direct"),
        # The access logs are kept as long as the function's.
        ({function, role, group, bucket}, app(log_retention_days=7), "change-set"),
    ):
        held = state(aws)
        deploy(cdk, changed, f"--method={method}")
        now = state(aws)
        assert {resources(aws)[name] for name in now if now[name] != held[name]} == kinds
        assert wrong(aws) == []
        assert names(aws) == before
    (log_group,) = (each for each in template(aws).values() if each["Type"] == group)
    assert log_group["Properties"]["RetentionInDays"] == 7
    assert aws.client("s3").get_object(Bucket=BUCKET, Key="data/kept")["Body"].read() == b"kept"


@installed
@pytest.mark.slow
def test_the_difference_is_told_by_property_before_anything_is_deployed(
    aws: LocalAWS, cdk: Cdk, app: Synthesise, unchanged: Path
) -> None:
    since = len(events(aws))
    said = cdk("diff", f"--app={app(reserved_concurrency=1)}")
    assert "[~] AWS::Lambda::Function" in said
    assert "ReservedConcurrentExecutions" in said
    assert "AWS::S3::Bucket" not in said
    assert "There were no differences" in cdk("diff", f"--app={unchanged}")
    assert touched(aws, since) == set()


@installed
@pytest.mark.slow
def test_a_change_that_fails_is_rolled_back_and_said(
    aws: LocalAWS, cdk: Cdk, app: Synthesise, unchanged: Path
) -> None:
    before = template(aws)
    taken = "/cdk-bootstrap/hnb659fds/version"

    def claim(stack: Any) -> None:
        from aws_cdk import aws_ssm

        parameter = aws_ssm.CfnParameter(stack, "Claimed", name=taken, type="String", value="ours")
        parameter.node.add_dependency(stack.node.find_child("Trigger"))

    failing = app(and_then=claim, log_retention_days=7)
    said = cdk("deploy", f"--app={failing}", "--require-approval=never", code=1)
    assert "AWS::SSM::Parameter" in said
    assert "already exists" in said
    assert template(aws) == before
    assert wrong(aws) == []


@pytest.mark.parametrize("target", ["deploy", "diff"])
def test_make_looks_at_what_it_synthesised_before_the_cdk_has_it(target: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", target, f"VENV={sys.prefix}", "ARGS=-c a=b --method=direct"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    steps = [
        "rm -rf cdk.out && ",
        "/cdk synth --quiet -c a=b --method=direct && ",
        "/python -m ops preflight cdk.out -c a=b --method=direct",
        f"/cdk {target} --app cdk.out -c a=b --method=direct",
    ]
    places = [done.stdout.find(each) for each in steps]
    assert -1 not in places, done.stdout
    assert places == sorted(places)


@pytest.fixture
def administrator(aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what runs in the test's own process be the administrator of local AWS."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


@installed
@pytest.mark.slow
@pytest.mark.usefixtures("administrator")
def test_a_deployment_that_would_let_the_key_go_is_refused_and_the_hardened_one_passes(
    aws: LocalAWS, cdk: Cdk, app: Synthesise, deployed: str, tmp_path: Path
) -> None:
    def preflight(outdir: Path, *options: str) -> int:
        return ops.run(["preflight", str(outdir), *options])

    hardened = tmp_path / "cdk.out"
    # What is for deploying alone is told to be ignored, and stops nothing.
    options = (
        "-c",
        "security=hardened",
        "-c",
        f"image={IMAGE}",
        "--require-approval=never",
        "--method=direct",
    )
    cdk("synth", "--quiet", f"--output={hardened}", *options)
    assert preflight(hardened, *options) == 0
    deploy(cdk, hardened)
    before = names(aws)
    assert preflight(app()) == 2
    key = f"arn:aws:kms:us-east-1:123456789012:key/{before['EncryptionKey3A692D6E']}"
    moved = app(former_encryption_keys=key)
    assert preflight(moved) == 0
    deploy(cdk, moved)
    assert names(aws).items() <= before.items()
    assert aws.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@installed
@pytest.mark.slow
def test_it_removes_all_that_is_not_data(aws: LocalAWS, cdk: Cdk, unchanged: Path) -> None:
    """The last test here: it ends without a deployment."""
    aws.client("s3").put_object(Bucket=BUCKET, Key="data/kept", Body=b"kept")
    stack = Stack(aws, template(aws))
    cdk("destroy", f"--app={unchanged}", "--force")
    retained = {name for name, each in stack.resources.items() if each.get("DeletionPolicy") == "Retain"}
    for name in stack.resources:
        # A policy that stays on a retained bucket is not the stack's any more.
        assert is_gone(stack, name) == (name not in retained), name
    assert aws.client("s3").get_object(Bucket=BUCKET, Key="data/kept")["Body"].read() == b"kept"


def is_gone(stack: Stack, logical_id: str) -> bool:
    """Return whether its service knows nothing of it any more."""
    try:
        return not stack.read(logical_id)
    except (ClientError, LookupError, ValueError):
        return True
