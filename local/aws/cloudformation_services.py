"""Queues and alarms: what the function's failures are kept and watched with."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Clients,
    Properties,
    ResourceType,
    Shape,
    Target,
    tag_changes,
    tag_list,
)

_QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)
_JSON_ATTRIBUTES = ("RedriveAllowPolicy", "RedrivePolicy")


class Queue(ResourceType):
    """AWS::SQS::Queue, standard queues only."""

    type = "AWS::SQS::Queue"
    name_property = "QueueName"
    attributes = frozenset({"Arn", "QueueName", "QueueUrl"})
    shape: ClassVar[Shape] = {"QueueName": ANY, "Tags": TAGS, **dict.fromkeys(_QUEUE_ATTRIBUTES)}
    defaults: ClassVar[Properties] = {
        "DelaySeconds": 0,
        "MessageRetentionPeriod": 345600,
        "ReceiveMessageWaitTimeSeconds": 0,
        "RedrivePolicy": None,
        "Tags": None,
        "VisibilityTimeout": 30,
    }

    def create(self, target: Target) -> str:
        """Make the queue; its URL is the physical id."""
        return str(target.aws("sqs").create_queue(QueueName=target.id)["QueueUrl"])

    def apply(self, target: Target) -> None:
        """Settle attributes and tags."""
        sqs = target.aws("sqs")
        wanted = {
            key: _attribute(target.properties[key])
            for key in _QUEUE_ATTRIBUTES
            if target.properties.get(key) is not None
        }
        wanted |= {
            key: ""
            for key in (*_JSON_ATTRIBUTES, "KmsMasterKeyId")
            if target.before.get(key) and not target.properties.get(key)
        }
        if wanted.get("KmsMasterKeyId"):
            # As SQS does: a queue has one encryption, the last that was asked for.
            wanted["SqsManagedSseEnabled"] = "false"
        sqs.set_queue_attributes(QueueUrl=target.id, Attributes=wanted)
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        if gone:
            sqs.untag_queue(QueueUrl=target.id, TagKeys=gone)
        if new:
            sqs.tag_queue(QueueUrl=target.id, Tags=new)

    def delete(self, target: Target) -> None:
        """Remove the queue and its messages."""
        target.aws("sqs").delete_queue(QueueUrl=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the queue's ARN, name and URL."""
        answer = target.aws("sqs").get_queue_attributes(QueueUrl=target.id, AttributeNames=["QueueArn"])
        arn = answer["Attributes"]["QueueArn"]
        return {"Arn": arn, "QueueName": arn.rpartition(":")[2], "QueueUrl": target.id}

    def read(self, target: Target) -> Properties:
        """Read attributes and tags."""
        answer = target.aws("sqs").get_queue_attributes(QueueUrl=target.id, AttributeNames=["All"])[
            "Attributes"
        ]
        held = {key: json.loads(value) if key in _JSON_ATTRIBUTES else value for key, value in answer.items()}
        tags = tag_list(target.aws("sqs").list_queue_tags(QueueUrl=target.id).get("Tags"))
        return held | {"QueueName": answer["QueueArn"].rpartition(":")[2], "Tags": tags}


def _attribute(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else str(value)


class QueuePolicy(ResourceType):
    """AWS::SQS::QueuePolicy."""

    type = "AWS::SQS::QueuePolicy"
    required = frozenset({"PolicyDocument", "Queues"})
    shape: ClassVar[Shape] = {"PolicyDocument": ANY, "Queues": ANY}
    create_only = frozenset({"Queues"})

    def create(self, target: Target) -> str:
        """Name the policy; `apply` puts it."""
        return target.id

    def apply(self, target: Target) -> None:
        """Put the policy on each queue."""
        policy = json.dumps(target.properties["PolicyDocument"])
        for url in target.properties["Queues"]:
            target.aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    def delete(self, target: Target) -> None:
        """Take the policy off each queue."""
        for url in target.properties["Queues"]:
            target.aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})

    def read(self, target: Target) -> Properties:
        """Read the policy of every queue; one that differs shows."""
        documents = [self._document(target.aws, url) for url in target.properties["Queues"]]
        other = next(
            (item for item in documents if item != target.properties["PolicyDocument"]), documents[0]
        )
        return {"PolicyDocument": other, "Queues": target.properties["Queues"]}

    @staticmethod
    def _document(aws: Clients, url: str) -> Any:
        answer = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        return json.loads(answer.get("Attributes", {}).get("Policy") or "null")


class Alarm(ResourceType):
    """AWS::CloudWatch::Alarm on one metric."""

    type = "AWS::CloudWatch::Alarm"
    name_property = "AlarmName"
    required = frozenset({"ComparisonOperator", "EvaluationPeriods"})
    attributes = frozenset({"Arn"})
    defaults: ClassVar[Properties] = {
        "AlarmActions": None,
        "Dimensions": None,
        "OKActions": None,
        "Tags": None,
    }
    shape: ClassVar[Shape] = {
        "Dimensions": [{"Name": ANY, "Value": ANY}],
        "Tags": TAGS,
        **dict.fromkeys(
            [
                "ActionsEnabled",
                "AlarmActions",
                "AlarmDescription",
                "AlarmName",
                "ComparisonOperator",
                "DatapointsToAlarm",
                "EvaluationPeriods",
                "MetricName",
                "Namespace",
                "OKActions",
                "Period",
                "Statistic",
                "Threshold",
                "TreatMissingData",
                "Unit",
            ]
        ),
    }

    def create(self, target: Target) -> str:
        """Name the alarm; `apply` puts it."""
        return target.id

    def apply(self, target: Target) -> None:
        """Put the alarm whole."""
        wanted = {key: value for key, value in target.properties.items() if value is not None}
        for key in ("EvaluationPeriods", "Period", "DatapointsToAlarm"):
            if key in wanted:
                wanted[key] = int(wanted[key])
        wanted["Threshold"] = float(wanted.get("Threshold", 0))
        tags = wanted.pop("Tags", None)
        target.aws("cloudwatch").put_metric_alarm(**{**wanted, "AlarmName": target.id})
        gone, new = tag_changes(target.before.get("Tags"), tags)
        arn = self._alarm(target.aws, target.id)["AlarmArn"]
        if gone:
            target.aws("cloudwatch").untag_resource(ResourceARN=arn, TagKeys=gone)
        if new:
            target.aws("cloudwatch").tag_resource(ResourceARN=arn, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the alarm."""
        target.aws("cloudwatch").delete_alarms(AlarmNames=[target.id])

    def describe(self, target: Target) -> dict[str, str]:
        """Give the alarm's ARN."""
        return {"Arn": self._alarm(target.aws, target.id)["AlarmArn"]}

    def read(self, target: Target) -> Properties:
        """Read the alarm back."""
        alarm = self._alarm(target.aws, target.id)
        tags = target.aws("cloudwatch").list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        return {**alarm, "Tags": tags}

    @staticmethod
    def _alarm(aws: Clients, name: str) -> Any:
        alarms = aws("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return alarms[0] if alarms else {"AlarmArn": ""}
