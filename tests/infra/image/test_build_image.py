"""CloudFormation gets the digest of the training image: of one that is there, or of a build that ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.infra.function_source import load

build_image = load("image/function/build_image.py")

TAG, DIGEST = "0a1b2c", f"sha256:{'d' * 64}"
LOG = "https://console.aws.amazon.com/cloudwatch/home#logsV2:log-groups/log-group/a/log-events/b"


class Services:
    """ECR and CodeBuild with what the function uses of them, in memory."""

    class exceptions:  # noqa: N801 - a client's own attribute
        class ImageNotFoundException(Exception):  # noqa: N818 - AWS's name
            """ECR's."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.builds: list[dict[str, Any]] = []
        self.refuses: str | None = None

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803
        assert repositoryName == "birds-training"
        (tag,) = (each["imageTag"] for each in imageIds)
        if tag not in self.images:
            raise self.exceptions.ImageNotFoundException
        return {"imageDetails": [{"imageDigest": self.images[tag]}]}

    def start_build(self, **request: Any) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Code": self.refuses, "Message": "no"}}, "StartBuild")
        if request["idempotencyToken"] not in [each["idempotencyToken"] for each in self.builds]:
            self.builds.append(request)


class CloudFormation:
    """The address that answers are PUT to, and what came there."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        answers = self.answers

        class Receiver(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                assert self.headers["Content-Type"] == ""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert len(body) < 4096
                answers.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Receiver)

    def question(self, kind: str = "Create", **more: Any) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResponseURL": f"http://127.0.0.1:{self.server.server_port}/answer?Signature=s",
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/birds/1",
            "RequestId": "11111111-2222",
            "LogicalResourceId": "Image",
            "ResourceProperties": {"ImageTag": TAG},
            **more,
        }


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    services = Services()
    monkeypatch.setattr(boto3, "client", lambda _: services)
    monkeypatch.setenv("PROJECT_NAME", "birds-image")
    monkeypatch.setenv("REPOSITORY_NAME", "birds-training")
    return services


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    cloudformation = CloudFormation()
    thread = threading.Thread(target=cloudformation.server.serve_forever, args=(0.01,))
    thread.start()
    yield cloudformation
    cloudformation.server.shutdown()
    thread.join()
    cloudformation.server.server_close()


def ended(build: dict[str, Any], status: str, *phases: dict[str, Any]) -> dict[str, Any]:
    """Return EventBridge's event of the end of a build."""
    return {
        "source": "aws.codebuild",
        "detail-type": "CodeBuild Build State Change",
        "detail": {
            "build-status": status,
            "project-name": "birds-image",
            "build-id": "arn:aws:codebuild:eu-west-1:123456789012:build/birds-image:1",
            "additional-information": {
                "environment": {
                    "environment-variables": [
                        {"name": "IMAGE_TAG", "value": TAG, "type": "PLAINTEXT"},
                        *build.get("environmentVariablesOverride", ()),
                    ]
                },
                "logs": {"deep-link": LOG},
                "phases": list(phases),
            },
        },
    }


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_image_that_is_there_is_answered_without_a_build(
    kind: str, services: Services, cloudformation: CloudFormation
) -> None:
    services.images[TAG] = DIGEST
    build_image.handler(cloudformation.question(kind))
    (answer,) = cloudformation.answers
    assert (answer["Status"], answer["Data"]) == ("SUCCESS", {"ImageDigest": DIGEST})
    assert answer["PhysicalResourceId"] == TAG
    assert services.builds == []


def test_the_end_of_the_build_answers_with_the_digest(
    services: Services, cloudformation: CloudFormation
) -> None:
    question = cloudformation.question()
    build_image.handler(question)
    assert cloudformation.answers == []
    (build,) = services.builds
    assert build["projectName"] == "birds-image"

    services.images[TAG] = DIGEST
    build_image.handler(ended(build, "SUCCEEDED"))
    (answer,) = cloudformation.answers
    assert (answer["Status"], answer["Data"]) == ("SUCCESS", {"ImageDigest": DIGEST})
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert answer[name] == question[name]


def test_the_same_question_twice_starts_one_build(services: Services, cloudformation: CloudFormation) -> None:
    for _ in range(2):
        build_image.handler(cloudformation.question())
    assert len(services.builds) == 1


@pytest.mark.parametrize("status", ["FAILED", "FAULT", "STOPPED", "TIMED_OUT"])
def test_a_build_that_made_nothing_fails_the_deployment_and_says_why(
    status: str, services: Services, cloudformation: CloudFormation
) -> None:
    build_image.handler(cloudformation.question())
    phases = (
        {"phase-type": "INSTALL", "phase-status": "SUCCEEDED", "phase-context": []},
        {
            "phase-type": "BUILD",
            "phase-status": status,
            "phase-context": ["COMMAND_EXECUTION_ERROR: exit status 1" + "x" * 9000],
        },
    )
    build_image.handler(ended(services.builds[0], status, *phases))
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith(f"The build birds-image:1 of the training image ended as {status}")
    assert "BUILD: COMMAND_EXECUTION_ERROR: exit status 1" in answer["Reason"]
    assert answer["Reason"].endswith(f"Log: {LOG}")


def test_a_build_that_cannot_start_fails_the_deployment_at_once(
    services: Services, cloudformation: CloudFormation
) -> None:
    services.refuses = "AccountLimitExceededException"
    build_image.handler(cloudformation.question())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert "cannot be started: " in answer["Reason"]
    assert "AccountLimitExceededException" in answer["Reason"]


def test_a_build_that_lost_the_race_for_its_tag_answers_with_the_image_that_won(
    services: Services, cloudformation: CloudFormation
) -> None:
    build_image.handler(cloudformation.question())
    services.images[TAG] = DIGEST
    build_image.handler(ended(services.builds[0], "FAILED"))
    assert [each["Status"] for each in cloudformation.answers] == ["SUCCESS"]


def test_deleting_succeeds_and_leaves_the_images_alone(
    services: Services, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "client", None)  # nobody is asked
    build_image.handler(cloudformation.question("Delete", PhysicalResourceId="another"))
    (answer,) = cloudformation.answers
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "another")


def test_nobody_is_told_of_a_build_that_a_person_started(
    services: Services, cloudformation: CloudFormation
) -> None:
    build_image.handler(ended({}, "SUCCEEDED"))
    assert cloudformation.answers == []
