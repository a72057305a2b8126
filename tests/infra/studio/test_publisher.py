"""The function that fills the bucket of templates: what it asks of S3 and SageMaker, and what it answers."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.infra.function_source import load

DOMAIN = "arn:aws:sagemaker:us-east-1:123456789012:domain/d-1"
TEMPLATE = {"Key": "templates/a.yaml", "FromBucket": "assets", "FromKey": "1.json", "Tagging": "visible=true"}
CODE = {"Key": "2.zip", "FromBucket": "assets", "FromKey": "2.zip"}
GIVEN = {"Bucket": "tmpl", "Objects": [TEMPLATE, CODE]}
IN_STUDIO = {**GIVEN, "DomainArn": DOMAIN, "Location": "s3://tmpl/templates/"}


class RecordedService:
    """Writes down every call; what is in `refused` fails."""

    def __init__(self, calls: list[tuple[str, dict[str, Any]]], refused: set[str]) -> None:
        self._calls, self._refused = calls, refused

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Any:
            self._calls.append((name, given))
            if name in self._refused:
                raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, name)

        return call

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, **given: Any) -> Iterator[dict[str, Any]]:
        yield {"Versions": [{"Key": "2.zip", "VersionId": "v1"}]}
        yield {"DeleteMarkers": [{"Key": "2.zip", "VersionId": "v2"}]}


@pytest.fixture(scope="module")
def publish() -> ModuleType:
    return load("studio/publisher/publish.py")


@pytest.fixture
def answers() -> Iterator[tuple[str, list[Any]]]:
    """An address to answer to, and what came there."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            came.append((self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/?signature", came
        server.shutdown()
        thread.join()


class Run:
    """Calls the handler and keeps what it asked for."""

    def __init__(self, module: ModuleType, url: str, came: list[Any], patch: pytest.MonkeyPatch) -> None:
        self._module, self._url, self._came = module, url, came
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refused: set[str] = set()
        patch.setattr(boto3, "client", lambda _: RecordedService(self.calls, self.refused))

    def __call__(self, request: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        names = {"StackId": "stack", "RequestId": "1", "LogicalResourceId": "Published"}
        event = {
            "RequestType": request,
            "ResponseURL": self._url,
            "ResourceProperties": given,
            **names,
            **more,
        }
        self._module.handler(event, None)
        (content_type, body) = self._came.pop()
        # The address is signed for none.
        assert not content_type
        answer: dict[str, Any] = json.loads(body)
        assert {key: answer[key] for key in names} == names
        return answer

    def called(self, name: str) -> list[dict[str, Any]]:
        return [given for each, given in self.calls if each == name]


@pytest.fixture
def run(publish: ModuleType, answers: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(publish, *answers, monkeypatch)


def test_it_copies_each_object_with_its_tags_and_no_other(run: Run) -> None:
    assert run("Create", GIVEN)["Status"] == "SUCCESS"
    copies = run.called("copy_object")
    assert [(each["Key"], each["CopySource"]["Key"], each["Tagging"]) for each in copies] == [
        ("templates/a.yaml", "1.json", "visible=true"),
        ("2.zip", "2.zip", ""),
    ]
    assert {each["TaggingDirective"] for each in copies} == {"REPLACE"}
    assert not run.called("add_tags")


def test_it_keeps_one_id_so_that_an_update_replaces_nothing(run: Run) -> None:
    ids = {run(request, GIVEN)["PhysicalResourceId"] for request in ("Create", "Update", "Delete")}
    assert ids == {"tmpl"}


def test_a_domain_is_told_where_to_look_and_another_one_told_no_more(run: Run) -> None:
    run("Create", IN_STUDIO)
    (told,) = run.called("add_tags")
    assert told["ResourceArn"] == DOMAIN
    assert told["Tags"] == [{"Key": "sagemaker:projectS3TemplatesLocation", "Value": "s3://tmpl/templates/"}]
    run("Update", {**IN_STUDIO, "DomainArn": f"{DOMAIN}2"}, OldResourceProperties=IN_STUDIO)
    assert [each["ResourceArn"] for each in run.called("delete_tags")] == [DOMAIN]


def test_when_the_stack_goes_so_does_every_version_and_the_tag(run: Run) -> None:
    run("Delete", IN_STUDIO)
    assert [each["VersionId"] for each in run.called("delete_object")] == ["v1", "v2"]
    assert run.called("delete_tags")
    assert not run.called("copy_object")


def test_a_refused_call_fails_the_deployment_with_its_reason(run: Run) -> None:
    run.refused.add("copy_object")
    answer = run("Create", GIVEN)
    assert answer["Status"] == "FAILED"
    assert "not you" in answer["Reason"]
