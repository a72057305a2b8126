"""Custom resources on the laptop: the function is asked, and what it answers is what becomes of the stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAWS
from stacks import (
    STACK,
    Template,
    allow,
    client,
    create,
    describe,
    failures,
    function,
    role,
    template,
    update,
)

SOURCE = """
import json, os, urllib.request

def handler(event, context):
    given = event["ResourceProperties"]
    if given.get("Mood") == "mute" and event["RequestType"] != "Delete":
        return
    if given.get("Mood") == "ill" and event["RequestType"] != "Delete":
        raise RuntimeError("ill")
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "thing-" + given.get("Id", "1")}
    if given.get("Mood") == "cross" and event["RequestType"] != "Delete":
        answer = {"Status": "FAILED", "Reason": "no thing today"}
    print("seen", json.dumps({key: event.get(key) for key in SEEN}))
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT")
    urllib.request.urlopen(request).close()

SEEN = ("RequestType", "PhysicalResourceId", "ResourceProperties", "OldResourceProperties")
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as aws:
        yield aws


def with_thing(**properties: Any) -> Template:
    token = {"Fn::GetAtt": ["Function", "Arn"]}
    return template(
        Role=role(allow("logs:*")),
        Function=function(SOURCE, FunctionName="maker"),
        Thing={
            "Type": "AWS::CloudFormation::CustomResource",
            "Properties": {"ServiceToken": token, "ServiceTimeout": 1, **properties},
        },
    )


def seen(aws: LocalAWS) -> list[dict[str, Any]]:
    pages = client(aws, "logs").filter_log_events(logGroupName="/aws/lambda/maker")["events"]
    lines = [each["message"] for each in sorted(pages, key=lambda each: each["timestamp"])]
    return [json.loads(line.partition("seen ")[2]) for line in lines if line.startswith("seen ")]


def test_the_function_makes_changes_and_removes_it_with_texts_for_numbers(aws: LocalAWS) -> None:
    assert create(aws, with_thing(Count=1, Deep={"Flag": True}))["StackStatus"] == "CREATE_COMPLETE"
    assert update(aws, with_thing(Count=2))["StackStatus"] == "UPDATE_COMPLETE"
    client(aws, "cloudformation").delete_stack(StackName=STACK)
    made, changed, removed = seen(aws)
    assert [each["RequestType"] for each in (made, changed, removed)] == ["Create", "Update", "Delete"]
    assert made["ResourceProperties"]["Count"] == "1"
    assert made["ResourceProperties"]["Deep"] == {"Flag": "true"}
    assert changed["OldResourceProperties"]["Count"] == "1"
    assert {changed["PhysicalResourceId"], removed["PhysicalResourceId"]} == {"thing-1"}


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("cross", "no thing today"),
        ("mute", "did not answer"),
        ("ill", "RuntimeError"),
    ],
)
def test_what_goes_wrong_in_it_fails_the_stack_with_the_reason(aws: LocalAWS, mood: str, reason: str) -> None:
    assert create(aws, with_thing(Mood=mood))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert reason in failures(aws)["Thing"]


def test_another_id_on_an_update_is_refused_and_rolled_back(aws: LocalAWS) -> None:
    create(aws, with_thing())
    assert update(aws, with_thing(Id="2"))["StackStatus"].startswith("UPDATE_ROLLBACK")
    assert "PhysicalResourceId" in failures(aws)["Thing"]
    assert describe(aws)["StackStatus"]
