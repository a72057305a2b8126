"""Topics, keys, dashboards and rules with patterns on the laptop: made as asked, and heard of."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from laptop_functions import LOGGING, SENDING, make_function, queue, receive
from local.aws import event_targets, functions
from local.aws import LocalAWS
from stacks import allow, client, create, failures, template, update

TAGS = [{"Key": "project", "Value": "birds"}]
EVENTS = {"Service": "events.amazonaws.com"}
RULE_ALLOWED = {"Effect": "Allow", "Principal": EVENTS, "Action": "sns:Publish", "Resource": "*"}
OWNER = {**allow("kms:*"), "Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}}}
KEY_ALLOWED = {**allow("kms:*"), "Principal": EVENTS}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with (
        LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws,
        closing(functions.install(aws, retry_speed=600)),
    ):
        yield aws


@pytest.fixture(autouse=True)
def _no_stack(aws: LocalAWS) -> Iterator[None]:
    yield
    client(aws, "cloudformation").delete_stack(StackName="stack")


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


def document(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def told(*, policy: Any = RULE_ALLOWED, key: Any = KEY_ALLOWED, **rule: Any) -> dict[str, Any]:
    """A rule whose topic is encrypted, with what its policy and its key's allow."""
    return template(
        Key=resource("AWS::KMS::Key", KeyPolicy=document(OWNER, key), EnableKeyRotation=True, Tags=TAGS),
        Topic=resource(
            "AWS::SNS::Topic",
            TopicName="told",
            DisplayName="Birds",
            KmsMasterKeyId={"Fn::GetAtt": ["Key", "Arn"]},
            Tags=TAGS,
        ),
        Policy=resource("AWS::SNS::TopicPolicy", Topics=[{"Ref": "Topic"}], PolicyDocument=document(policy)),
        Rule=resource(
            "AWS::Events::Rule",
            Name="r",
            EventPattern={"source": ["birds"], "detail": {"state": ["Failed"]}},
            Targets=[{"Id": "T", "Arn": {"Ref": "Topic"}}],
            **rule,
        ),
    )


def listen(aws: LocalAWS, name: str) -> str:
    """Subscribe a new queue to the topic; gives its URL."""
    url, arn = queue(aws, name)
    client(aws, "sns").subscribe(
        TopicArn=f"arn:aws:sns:us-east-1:{aws.account}:told",
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


def put(aws: LocalAWS, **detail: Any) -> None:
    entry = {"Source": "birds", "DetailType": "Bird", "Detail": json.dumps(detail)}
    assert client(aws, "events").put_events(Entries=[entry])["FailedEntryCount"] == 0


def waiting(aws: LocalAWS, url: str) -> int:
    """Count what is in a queue; an event is published before PutEvents answers."""
    answer = client(aws, "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(answer["ApproximateNumberOfMessages"])


# Made as asked


def test_topic_policy_key_and_rule_are_made_changed_and_removed_as_the_template_says(aws: LocalAWS) -> None:
    assert create(aws, told())["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    sns, kms, events = client(aws, "sns"), client(aws, "kms"), client(aws, "events")
    arn = f"arn:aws:sns:us-east-1:{aws.account}:told"
    held = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    key = held["KmsMasterKeyId"]
    assert held["DisplayName"] == "Birds"
    assert json.loads(held["Policy"])["Statement"] == [RULE_ALLOWED]
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == TAGS
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    assert (
        KEY_ALLOWED in json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"]
    )
    assert json.loads(events.describe_rule(Name="r")["EventPattern"])["source"] == ["birds"]

    changed = told(policy={**RULE_ALLOWED, "Action": "sns:*"}, key={**KEY_ALLOWED, "Action": "kms:Decrypt"})
    changed["Resources"]["Key"]["Properties"] |= {"EnableKeyRotation": False, "PendingWindowInDays": 7}
    changed["Resources"]["Rule"]["Properties"]["EventPattern"] = {"source": ["cats"]}
    assert update(aws, changed)["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    held = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert json.loads(held["Policy"])["Statement"][0]["Action"] == "sns:*"
    assert held["KmsMasterKeyId"] == key
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    assert json.loads(events.describe_rule(Name="r")["EventPattern"]) == {"source": ["cats"]}

    client(aws, "cloudformation").delete_stack(StackName="stack")
    assert arn not in [each["TopicArn"] for each in sns.list_topics()["Topics"]]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_mail_subscription_is_written_down_and_another_address_is_another(aws: LocalAWS) -> None:
    def body(address: str) -> dict[str, Any]:
        mail = resource(
            "AWS::SNS::Subscription", TopicArn={"Ref": "Topic"}, Protocol="email", Endpoint=address
        )
        return template(Topic=resource("AWS::SNS::Topic", TopicName="told"), Mail=mail)

    def addresses() -> list[str]:
        found = client(aws, "sns").list_subscriptions()["Subscriptions"]
        return [each["Endpoint"] for each in found if each["Protocol"] == "email"]

    assert create(aws, body("a@example.com"))["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    assert addresses() == ["a@example.com"]
    assert update(aws, body("b@example.com"))["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    assert addresses() == ["b@example.com"]


def test_a_dashboard_is_made_changed_and_removed_with_its_tags(aws: LocalAWS) -> None:
    def body(**properties: Any) -> dict[str, Any]:
        return template(Board=resource("AWS::CloudWatch::Dashboard", DashboardName="board", **properties))

    cloudwatch = client(aws, "cloudwatch")
    made = create(aws, body(DashboardBody='{"widgets": []}', Tags=TAGS))
    assert made["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    arn = cloudwatch.get_dashboard(DashboardName="board")["DashboardArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == TAGS
    assert update(aws, body(DashboardBody='{"start": "-P1D"}'))["StackStatus"] == "UPDATE_COMPLETE"
    assert cloudwatch.get_dashboard(DashboardName="board")["DashboardBody"] == '{"start": "-P1D"}'
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == []
    update(aws, body(DashboardBody="{}", Tags=TAGS))
    client(aws, "cloudformation").delete_stack(StackName="stack")
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


@pytest.mark.parametrize(
    ("name", "broken", "words"),
    [
        (
            "Sub",
            resource("AWS::SNS::Subscription", TopicArn="t", Protocol="https", Endpoint="https://a.example"),
            "the laptop implements email",
        ),
        (
            "Policy",
            resource("AWS::SNS::TopicPolicy", Topics=["a", "b"], PolicyDocument=document(RULE_ALLOWED)),
            "on one topic",
        ),
    ],
)
def test_what_the_laptop_cannot_do_fails_the_deployment(
    aws: LocalAWS, name: str, broken: dict[str, Any], words: str
) -> None:
    assert create(aws, template(**{name: broken}))["StackStatus"] == "ROLLBACK_COMPLETE"
    assert words in failures(aws)[name]


@pytest.mark.parametrize(
    ("kind", "properties", "words"),
    [
        ("AWS::SNS::Topic", {"FifoTopic": True}, "the property FifoTopic"),
        ("AWS::KMS::Key", {"KeyPolicy": {}, "MultiRegion": True}, "the property MultiRegion"),
        ("AWS::KMS::Key", {}, "Property KeyPolicy is required"),
        ("AWS::SNS::Subscription", {"FilterPolicy": {}}, "the property FilterPolicy"),
        ("AWS::CloudWatch::Dashboard", {}, "Property DashboardBody is required"),
    ],
)
def test_what_is_not_implemented_is_refused_before_anything_is_made(
    aws: LocalAWS, kind: str, properties: dict[str, Any], words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        create(aws, template(It=resource(kind, **properties)))


# Heard of


def test_a_rule_publishes_the_whole_event_that_it_takes_and_no_other(aws: LocalAWS) -> None:
    create(aws, told())
    url = listen(aws, "taken")
    put(aws, state="Succeeded", bird="robin")
    put(aws, state="Failed", bird="wren")
    event = receive(aws, url)
    assert (event["source"], event["detail-type"]) == ("birds", "Bird")
    assert event["detail"] == {"state": "Failed", "bird": "wren"}
    assert event["account"] == aws.account
    assert event["time"].endswith("Z")
    assert waiting(aws, url) == 0


def test_a_disabled_rule_publishes_nothing(aws: LocalAWS) -> None:
    create(aws, told(State="DISABLED"))
    url = listen(aws, "disabled")
    put(aws, state="Failed")
    assert waiting(aws, url) == 0


def test_a_target_with_an_input_of_its_own_gets_that(aws: LocalAWS) -> None:
    body = told()
    body["Resources"]["Rule"]["Properties"]["Targets"][0]["Input"] = '{"hello": "birds"}'
    create(aws, body)
    url = listen(aws, "input")
    put(aws, state="Failed")
    assert receive(aws, url) == {"hello": "birds"}


def test_a_rule_with_a_pattern_calls_a_function_that_lets_it(aws: LocalAWS) -> None:
    url, queue_arn = queue(aws, "called")
    source = "def handler(event, context):\n    return event\n"
    name = make_function(aws, source, statements=(LOGGING, SENDING))
    destination = {"OnSuccess": {"Destination": queue_arn}}
    client(aws, "lambda").put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination)
    events = client(aws, "events")
    rule = events.put_rule(Name="calls", EventPattern='{"source": ["birds"]}')["RuleArn"]
    client(aws, "lambda").add_permission(
        FunctionName=name,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    arn = f"arn:aws:lambda:us-east-1:{aws.account}:function:{name}"
    events.put_targets(Rule="calls", Targets=[{"Id": "F", "Arn": arn}])
    put(aws, bird="wren")
    assert receive(aws, url)["requestPayload"]["detail"] == {"bird": "wren"}
    events.remove_targets(Rule="calls", Ids=["F"])
    events.delete_rule(Name="calls")


OTHERS = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ({"policy": {**RULE_ALLOWED, "Principal": {"Service": "s3.amazonaws.com"}}}, "do sns:Publish"),
        # As on AWS, where EventBridge names no source: the allowance never holds.
        ({"policy": {**RULE_ALLOWED, "Condition": OTHERS}}, "do sns:Publish, without any condition"),
        ({"key": {**KEY_ALLOWED, "Action": "kms:Decrypt"}}, "do kms:GenerateDataKey"),
        ({"key": {**KEY_ALLOWED, "Condition": OTHERS}}, "do kms:GenerateDataKey, without any condition"),
    ],
)
def test_what_topic_or_key_do_not_allow_is_not_published_and_told(
    aws: LocalAWS, caplog: pytest.LogCaptureFixture, policies: dict[str, Any], words: str
) -> None:
    body = told(**policies)
    # The same is told once only.
    body["Resources"]["Rule"]["Properties"]["Name"] = f"r-{time.monotonic_ns()}"
    assert create(aws, body)["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    url = listen(aws, "forbidden")
    with caplog.at_level(logging.ERROR, logger=event_targets.__name__):
        put(aws, state="Failed")
    assert words in caplog.text
    assert waiting(aws, url) == 0


def test_the_topics_policy_counts_for_people_too(aws: LocalAWS) -> None:
    create(aws, told(policy={**RULE_ALLOWED, "Effect": "Deny", "Principal": "*"}))
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        client(aws, "sns").publish(TopicArn=f"arn:aws:sns:us-east-1:{aws.account}:told", Message="m")
