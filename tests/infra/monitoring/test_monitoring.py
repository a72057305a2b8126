"""Who is told of what: alarms, rules, the topic, the dashboard, as the template has them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.aws import LocalAWS
from local.deploy import deploy
from local.run import STACK
from tests.support.delivery.world import DeliveryWorld, inhabited
from tests.support.iam.judge import decide
from tests.support.infra.profiles import DEFAULT as TEMPLATE
from tests.support.infra.resources import resolve, resources, the_only

ACCOUNT, REGION = "123456789012", "us-east-1"
PIPELINE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/cv-birds"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:cv-birds-notifications"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:cv-birds-failed-uploads"
EMAIL, OWN_TOPIC = "team@example.com", f"arn:aws:sns:eu-west-1:{ACCOUNT}:ours"


@pytest.fixture(scope="module")
def with_email(synthesis: ModuleType) -> dict[str, Any]:
    template: dict[str, Any] = synthesis.synthesise({"notify_email": EMAIL})
    return template


@pytest.fixture(scope="module")
def with_own_topic(synthesis: ModuleType) -> dict[str, Any]:
    template: dict[str, Any] = synthesis.synthesise({"alarm_topic_arn": OWN_TOPIC, "notify_email": EMAIL})
    return template


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as aws:
        yield aws


# Alarms


def alarms(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = [each["Properties"] for each in resources(template, "AWS::CloudWatch::Alarm")]
    return {each["AlarmName"]: each for each in found}


def test_what_must_not_go_unnoticed_has_an_alarm() -> None:
    assert {name: each["MetricName"] for name, each in alarms(TEMPLATE).items()} == {
        "cv-birds-failed-uploads": "ApproximateNumberOfMessagesVisible",
        "cv-birds-forgotten-uploads": "ApproximateAgeOfOldestMessage",
        "cv-birds-start-execution-errors": "Errors",
        "cv-birds-failed-verdicts": "FailedVerdicts",
        "cv-birds-start-execution-throttles": "Throttles",
        "cv-birds-start-execution-lost-failures": "DestinationDeliveryFailures",
        "cv-birds-reconcile-undelivered": "FailedInvocations",
        "cv-birds-executions-undelivered": "FailedInvocations",
        "cv-birds-training-jobs-undelivered": "FailedInvocations",
        "cv-birds-model-packages-undelivered": "FailedInvocations",
    }


def test_what_the_function_logs_of_a_failed_upload_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (found,) = resources(TEMPLATE, "AWS::Logs::MetricFilter")
    given = found["Properties"]
    assert given["FilterPattern"] == '{ $.message = "FAILED: *" }'
    (counted,) = given["MetricTransformations"]
    alarm = alarms(TEMPLATE)["cv-birds-failed-verdicts"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])

    with inhabited():
        world = DeliveryWorld()
        invocation = world.deliver(world.upload("first"))
        while not any(call.operation == "GetObject" for call in invocation.calls):
            world.step(invocation, 0)
        world.step(invocation, 0)
        world.fault(invocation, "denied")
        world.run(invocation)
    assert any(record.getMessage().startswith("FAILED: ") for record in caplog.records)


def test_every_alarm_tells_the_topic_at_the_first_case_and_stays_quiet_without_any() -> None:
    (topic,) = [name for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::SNS::Topic"]
    for alarm in alarms(TEMPLATE).values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert (alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (1, "notBreaching")
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Threshold"] == (86400 if "forgotten" in alarm["AlarmName"] else 1)


def test_an_alarm_on_a_rule_is_on_a_rule_that_there_is() -> None:
    names = {each["Properties"]["Name"] for each in resources(TEMPLATE, "AWS::Events::Rule")}
    watched = {
        each["Dimensions"][0]["Value"]
        for each in alarms(TEMPLATE).values()
        if each["MetricName"] == "FailedInvocations"
    }
    assert watched == names


# Rules


def pattern(name: str) -> str:
    (found,) = [
        each["Properties"]
        for each in resources(TEMPLATE, "AWS::Events::Rule")
        if each["Properties"]["Name"] == name
    ]
    return json.dumps(resolve(found["EventPattern"]))


def event(detail_type: str, **detail: str) -> dict[str, Any]:
    of_every_event = {"id": "1", "account": ACCOUNT, "region": REGION, "time": "2026-01-01T00:00:00Z"}
    own = {"source": "aws.sagemaker", "resources": [], "detail-type": detail_type, "detail": detail}
    return {**of_every_event, **own}


def execution(status: str = "Succeeded", pipeline: str = PIPELINE) -> dict[str, Any]:
    kind = "SageMaker Model Building Pipeline Execution Status Change"
    return event(kind, pipelineArn=pipeline, currentPipelineExecutionStatus=status)


def training_job(status: str = "Failed", role: str = f"cv-birds-pipeline-{REGION}") -> dict[str, Any]:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return event("SageMaker Training Job State Change", RoleArn=arn, TrainingJobStatus=status)


def package(group: str, status: str) -> dict[str, Any]:
    kind = "SageMaker Model Package State Change"
    return event(kind, ModelPackageGroupName=group, ModelApprovalStatus=status)


@pytest.mark.parametrize(
    ("rule", "told", "untold"),
    [
        (
            "cv-birds-executions",
            [
                *(execution(status) for status in ("Failed", "Stopped", "Succeeded")),
                execution(pipeline=f"{PIPELINE}-small"),
            ],
            [
                *(execution(status) for status in ("Executing", "Stopping")),
                execution(pipeline=f"{PIPELINE}s"),
                execution(pipeline=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/other"),
                {**execution(), "source": "somebody"},
                training_job(),
            ],
        ),
        (
            "cv-birds-training-jobs",
            [training_job("Failed"), training_job("Stopped")],
            [training_job("Completed"), training_job("InProgress"), training_job(role="other"), execution()],
        ),
        (
            "cv-birds-model-packages",
            [package("cv-birds", status) for status in ("PendingManualApproval", "Approved", "Rejected")],
            [package("cv-birds-2", "Approved"), package("other", "Approved"), execution()],
        ),
    ],
)
def test_a_rule_tells_of_the_projects_own_and_of_what_matters(
    aws: LocalAWS, rule: str, told: list[dict[str, Any]], untold: list[dict[str, Any]]
) -> None:
    events = aws.client("events")

    def matches(each: dict[str, Any]) -> bool:
        answer = events.test_event_pattern(EventPattern=pattern(rule), Event=json.dumps(each))
        return bool(answer["Result"])

    assert [each for each in told if not matches(each)] == []
    assert [each for each in untold if matches(each)] == []


def test_the_rules_tell_the_topic_the_event_as_it_is() -> None:
    (topic,) = [name for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::SNS::Topic"]
    told = [
        each["Properties"]["Targets"]
        for each in resources(TEMPLATE, "AWS::Events::Rule")
        if "EventPattern" in each["Properties"]
    ]
    assert told == [[{"Id": "Topic", "Arn": {"Ref": topic}}]] * 3


# The topic


def may(service: str, action: str = "sns:Publish", **context: str) -> bool:
    secure = {"aws:SecureTransport": "true"}
    given = {**secure, **{key.replace("__", ":"): value for key, value in context.items()}}
    properties = the_only(TEMPLATE, "AWS::SNS::TopicPolicy")["Properties"]
    policy = _with_topic(properties["PolicyDocument"])
    return decide(f"{service}.amazonaws.com", action, TOPIC, given, resource_policy=policy).allowed


def _with_topic(document: Any) -> Any:
    text = re.sub(r'\{"Ref": "NotificationsTopic\w+"\}', json.dumps(TOPIC), json.dumps(document))
    return resolve(json.loads(text))


def test_alarms_of_the_project_and_rules_publish() -> None:
    assert may("cloudwatch", aws__SourceAccount=ACCOUNT, aws__SourceArn=ALARM)
    # EventBridge is documented to know no conditions; should it ever tell, it is still let.
    assert may("events")
    assert may("events", aws__SourceAccount=ACCOUNT)


@pytest.mark.parametrize(
    ("service", "context"),
    [
        ("cloudwatch", {}),
        ("cloudwatch", {"aws__SourceAccount": ACCOUNT, "aws__SourceArn": ALARM.replace("cv-birds", "other")}),
        ("cloudwatch", {"aws__SourceAccount": "210987654321", "aws__SourceArn": ALARM}),
        ("events", {"aws__SourceAccount": "210987654321"}),
        ("events", {"aws__SecureTransport": "false"}),
        ("s3", {"aws__SourceAccount": ACCOUNT}),
    ],
)
def test_nobody_else_publishes(service: str, context: dict[str, str]) -> None:
    assert not may(service, **context)


def test_without_an_address_nobody_is_subscribed() -> None:
    assert resources(TEMPLATE, "AWS::SNS::Subscription") == []


def test_an_address_is_subscribed_to_the_topic(with_email: dict[str, Any]) -> None:
    subscription = the_only(with_email, "AWS::SNS::Subscription")["Properties"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", EMAIL)
    assert with_email["Resources"][subscription["TopicArn"]["Ref"]]["Type"] == "AWS::SNS::Topic"


def test_a_topic_of_ones_own_is_told_of_everything_and_none_is_made(with_own_topic: dict[str, Any]) -> None:
    for kind in ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"):
        assert resources(with_own_topic, kind) == []
    assert the_only(with_own_topic, "AWS::SNS::Subscription")["Properties"]["TopicArn"] == OWN_TOPIC
    assert {tuple(each["AlarmActions"]) for each in alarms(with_own_topic).values()} == {(OWN_TOPIC,)}
    told = [
        each["Properties"]["Targets"][0]["Arn"] for each in resources(with_own_topic, "AWS::Events::Rule")
    ]
    assert told.count(OWN_TOPIC) == 3
    assert with_own_topic["Outputs"]["NotificationTopicArn"]["Value"] == OWN_TOPIC


def test_local_aws_changes_from_one_option_to_another(
    aws: LocalAWS, with_email: dict[str, Any], with_own_topic: dict[str, Any], tmp_path: Path
) -> None:
    sns, events, path = aws.client("sns"), aws.client("events"), tmp_path / "template.json"
    path.write_text(json.dumps(with_email))
    assert deploy(aws, path, STACK)["NotificationTopicArn"] == TOPIC
    (subscription,) = sns.list_subscriptions()["Subscriptions"]
    assert (subscription["TopicArn"], subscription["Endpoint"]) == (TOPIC, EMAIL)
    path.write_text(json.dumps(with_own_topic))
    assert deploy(aws, path, STACK)["NotificationTopicArn"] == OWN_TOPIC
    assert sns.list_topics()["Topics"] == []
    (target,) = events.list_targets_by_rule(Rule="cv-birds-executions")["Targets"]
    assert target["Arn"] == OWN_TOPIC


# The dashboard


def dashboard(template: dict[str, Any]) -> dict[str, Any]:
    parts = the_only(template, "AWS::CloudWatch::Dashboard")["Properties"]["DashboardBody"]["Fn::Join"][1]
    body: dict[str, Any] = json.loads(
        "".join(part if isinstance(part, str) else next(iter(_names(part))) for part in parts)
    )
    return body


def _names(part: dict[str, Any]) -> Iterator[str]:
    for value in part.values():
        yield value if isinstance(value, str) else value[0]


def test_the_dashboard_shows_every_alarm_and_the_way_from_upload_to_model() -> None:
    first, *graphs = (widget["properties"] for widget in dashboard(TEMPLATE)["widgets"])
    kinds = {name: each["Type"] for name, each in TEMPLATE["Resources"].items()}
    shown = [kinds[name] for name in first["alarms"]]
    assert shown == ["AWS::CloudWatch::Alarm"] * len(alarms(TEMPLATE))
    metrics = {
        metric[1] if isinstance(metric[0], str) else metric[0]["expression"].partition("(")[0]
        for graph in graphs
        for metric in graph["metrics"]
    }
    assert metrics >= {
        *("Invocations", "Errors", "Duration", "Throttles"),
        *("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"),
        *("ExecutionStarted", "ExecutionSucceeded", "ExecutionFailed", "ExecutionStopped", "SEARCH"),
    }


# What bills


UNTAGGABLE = {
    "AWS::KMS::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def test_everything_that_can_have_tags_names_the_project(with_email: dict[str, Any]) -> None:
    for name, resource in with_email["Resources"].items():
        if resource["Type"] not in UNTAGGABLE:
            assert {"Key": "project", "Value": "cv-birds"} in resource["Properties"]["Tags"], name


# The record of who did what


def test_access_to_the_bucket_is_logged_into_one_that_only_s3_writes() -> None:
    buckets = {
        name: each for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::S3::Bucket"
    }
    (logged,) = [each for each in buckets.values() if "LoggingConfiguration" in each["Properties"]]
    logs = logged["Properties"]["LoggingConfiguration"]["DestinationBucketName"]["Ref"]
    assert "NotificationConfiguration" in logged["Properties"]
    (policy,) = [
        each["Properties"]["PolicyDocument"]
        for each in resources(TEMPLATE, "AWS::S3::BucketPolicy")
        if each["Properties"]["Bucket"] == {"Ref": logs}
    ]
    (allowed,) = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
    assert (allowed["Principal"], allowed["Action"]) == (
        {"Service": "logging.s3.amazonaws.com"},
        "s3:PutObject",
    )
    assert set(allowed["Condition"]) == {"StringEquals", "ArnEquals"}
