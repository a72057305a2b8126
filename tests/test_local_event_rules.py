"""EventBridge on the laptop: rules as the template has them, and the functions that they call in time."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from laptop_functions import LOGGING, SENDING, make_function, queue, receive
from local.aws import event_rules, functions
from local.aws.event_rules import ScheduleError, seconds_between
from local.aws import LocalAWS
from stacks import allow, client, create, failures, function, role, template, update

SPEED = 600
"""A rule of one minute calls ten times in a second."""
ANSWER = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with (
        LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws,
        closing(functions.install(aws, retry_speed=SPEED)),
        closing(event_rules.install(aws, speed=SPEED)),
    ):
        yield aws


@pytest.fixture(autouse=True)
def _no_stack_and_no_rule(aws: LocalAWS) -> Iterator[None]:
    yield
    client(aws, "cloudformation").delete_stack(StackName="stack")
    events = client(aws, "events")
    for name in [each["Name"] for each in events.list_rules()["Rules"]]:
        targets = [each["Id"] for each in events.list_targets_by_rule(Rule=name)["Targets"]]
        events.remove_targets(Rule=name, Ids=targets)
        events.delete_rule(Name=name)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(1 hour)", 3600),
        ("rate(60 minutes)", 3600),
        ("rate(7 days)", 604800),
    ],
)
def test_a_rate_says_how_many_seconds_lie_between_two_calls(expression: str, seconds: int) -> None:
    assert seconds_between(expression) == seconds


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "rate(5 seconds)",
        "rate(5 minutes) ",
        "5 minutes",
    ],
)
def test_what_eventbridge_takes_for_no_rate_is_none(expression: str) -> None:
    with pytest.raises(ScheduleError, match="is no rate"):
        seconds_between(expression)


# The rule in a template


def rule(**properties: Any) -> dict[str, Any]:
    schedule = {"Name": "r", "ScheduleExpression": "rate(1 day)"}
    return {"Type": "AWS::Events::Rule", "Properties": {**schedule, **properties}}


def target(**properties: Any) -> dict[str, Any]:
    return {"Id": "F", "Arn": {"Fn::GetAtt": ["Function", "Arn"]}, **properties}


def stack(**resources: Any) -> dict[str, Any]:
    logging_role = role(allow("logs:*"))
    return template(Role=logging_role, Function=function(ANSWER, FunctionName="called"), **resources)


def held(aws: LocalAWS) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, str]]]:
    events = client(aws, "events")
    described = events.describe_rule(Name="r")
    tags = events.list_tags_for_resource(ResourceARN=described["Arn"])["Tags"]
    return described, events.list_targets_by_rule(Rule="r")["Targets"], tags


def test_a_rule_is_made_changed_and_removed_as_the_template_says(aws: LocalAWS) -> None:
    made = rule(
        Description="d", Targets=[target(Input='{"a": 1}')], Tags=[{"Key": "project", "Value": "birds"}]
    )
    body = stack(Rule=made)
    body["Outputs"] = {"Arn": {"Value": {"Fn::GetAtt": ["Rule", "Arn"]}}, "Name": {"Value": {"Ref": "Rule"}}}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in create(aws, body)["Outputs"]}
    described, targets, tags = held(aws)
    arn = f"arn:aws:lambda:us-east-1:{aws.account}:function:called"
    assert outputs == {"Arn": described["Arn"], "Name": "r"}
    assert (described["ScheduleExpression"], described["State"]) == ("rate(1 day)", "ENABLED")
    assert described["Description"] == "d"
    assert targets == [{"Id": "F", "Arn": arn, "Input": '{"a": 1}'}]
    assert tags == [{"Key": "project", "Value": "birds"}]

    changed = rule(ScheduleExpression="rate(2 days)", State="DISABLED", Targets=[target(Id="G")])
    assert update(aws, stack(Rule=changed))["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    described, targets, tags = held(aws)
    assert (described["ScheduleExpression"], described["State"]) == ("rate(2 days)", "DISABLED")
    assert (targets, tags) == ([{"Id": "G", "Arn": arn}], [])

    update(aws, stack())
    with pytest.raises(ClientError, match="does not exist"):
        held(aws)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"EventBusName": "mine"}, "does not implement the property EventBusName"),
        ({"Targets": [target(RoleArn="r")]}, "does not implement the property Targets[0].RoleArn"),
        ({"ScheduleExpression": {"Ref": "Nothing"}}, "unresolved reference to Nothing"),
    ],
)
def test_what_the_laptops_rules_lack_is_refused_before_anything_is_made(
    aws: LocalAWS, properties: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError) as refused:
        create(aws, stack(Rule=rule(**properties)))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"ScheduleExpression": "cron(0 12 * * ? *)"}, "the laptop keeps no calendar"),
        ({"ScheduleExpression": "rate(1 minutes)"}, "is no rate"),
        ({"EventPattern": {"source": ["aws.s3"]}}, "either a ScheduleExpression or"),
        (
            {"ScheduleExpression": {"Ref": "AWS::NoValue"}, "EventPattern": {"a": [{"suffix": "x"}]}},
            "the laptop implements {'prefix': 'text'} alone",
        ),
        ({"Targets": [target(Arn="arn:aws:sqs:us-east-1:1:q")]}, "rules call functions and topics only"),
        ({"Targets": [target(Input="{")]}, "the Input of the target F is not JSON"),
    ],
)
def test_a_rule_that_would_never_call_fails_the_deployment(
    aws: LocalAWS, properties: dict[str, Any], words: str
) -> None:
    assert create(aws, stack(Rule=rule(**properties)))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert words in failures(aws)["Rule"]


# The calls


def called(
    aws: LocalAWS, name: str, source: str = ANSWER, *, permitted: bool = True, **given: Any
) -> tuple[str, str]:
    """Make a function that a rule calls, and whose results end in a queue; gives function and queue URL."""
    url, queue_arn = queue(aws, name)
    made = make_function(aws, source, statements=(LOGGING, SENDING))
    destination = {"Destination": queue_arn}
    lambda_ = client(aws, "lambda")
    lambda_.put_function_event_invoke_config(
        FunctionName=made, DestinationConfig={"OnSuccess": destination, "OnFailure": destination}
    )
    rule_arn = client(aws, "events").put_rule(Name=name, ScheduleExpression="rate(1 minute)")["RuleArn"]
    if permitted:
        lambda_.add_permission(
            FunctionName=made,
            StatementId="rule",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=rule_arn,
        )
    arn = f"arn:aws:lambda:us-east-1:{aws.account}:function:{made}"
    client(aws, "events").put_targets(Rule=name, Targets=[{"Id": "F", "Arn": arn, **given}])
    return made, url


def received(aws: LocalAWS, url: str, seconds: float) -> int:
    """Count what arrives in a queue for some seconds."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += len(
            client(aws, "sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        )
        time.sleep(0.05)
    return count


def test_a_rule_calls_its_function_again_and_again_with_its_input_and_durations_as_fast(
    aws: LocalAWS,
) -> None:
    given = {"reconcile": {"minimumAgeSeconds": 900, "failed": False}, "seconds": 900}
    _, url = called(aws, "input", Input=json.dumps(given))
    expected = {"reconcile": {"minimumAgeSeconds": 1, "failed": False}, "seconds": 900}
    for _ in range(3):
        record = receive(aws, url)
        assert record["requestContext"]["condition"] == "Success"
        assert record["requestPayload"] == expected


def test_a_rule_without_an_input_sends_the_event_of_the_schedule(aws: LocalAWS) -> None:
    _, url = called(aws, "bare")
    event = receive(aws, url)["requestPayload"]
    assert (event["source"], event["detail-type"]) == ("aws.events", "Scheduled Event")
    assert event["resources"] == [f"arn:aws:events:us-east-1:{aws.account}:rule/bare"]


def test_a_call_that_fails_is_retried_and_reported_like_every_asynchronous_one(aws: LocalAWS) -> None:
    _, url = called(aws, "failing", "def handler(event, context):\n    raise ValueError('no')\n", Input="{}")
    context = receive(aws, url)["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)


def test_a_disabled_rule_calls_nothing_until_it_is_enabled(aws: LocalAWS) -> None:
    _, url = called(aws, "switched", Input="{}")
    receive(aws, url)
    client(aws, "events").disable_rule(Name="switched")
    received(aws, url, 1)  # what was on its way
    assert received(aws, url, 1) == 0
    client(aws, "events").enable_rule(Name="switched")
    receive(aws, url)


def test_a_function_that_the_rule_may_not_invoke_is_not_called_and_the_laptop_says_why_once(
    aws: LocalAWS, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger=event_rules.__name__):
        name, url = called(aws, "forbidden", permitted=False, Input="{}")
        # One for another rule does not count.
        client(aws, "lambda").add_permission(
            FunctionName=name,
            StatementId="other",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=f"arn:aws:events:us-east-1:{aws.account}:rule/other",
        )
        assert received(aws, url, 1.5) == 0
    told = [each.getMessage() for each in caplog.records if name in each.getMessage()]
    assert len(told) == 1
    assert "give it an AWS::Lambda::Permission with the principal events.amazonaws.com" in told[0]


def test_a_target_that_the_laptop_cannot_call_is_told(
    aws: LocalAWS, caplog: pytest.LogCaptureFixture
) -> None:
    events = client(aws, "events")
    events.put_rule(Name="strange", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="strange", Targets=[{"Id": "Q", "Arn": "arn:aws:sqs:us-east-1:1:q"}])
    with caplog.at_level(logging.ERROR, logger=event_rules.__name__):
        end = time.monotonic() + 20
        while "the target of a rule is a function or a topic" not in caplog.text and time.monotonic() < end:
            time.sleep(0.05)
    assert "the target of a rule is a function or a topic" in caplog.text


def test_closing_ends_the_schedule(aws: LocalAWS) -> None:
    before = set(threading.enumerate())
    service = event_rules.install(aws)
    (thread,) = set(threading.enumerate()) - before
    service.close()
    assert not thread.is_alive()
