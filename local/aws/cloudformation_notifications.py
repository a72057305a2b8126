"""What people are told with: topics, their policies and subscriptions, dashboards."""

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
    Unsupported,
    tag_changes,
    tag_list,
)

_PROTOCOLS = ("email", "email-json", "sqs")
"""Of these, mail is written down and not sent."""


class Topic(ResourceType):
    """AWS::SNS::Topic; a subscription is a resource of its own."""

    type = "AWS::SNS::Topic"
    name_property = "TopicName"
    attributes = frozenset({"TopicArn", "TopicName"})
    defaults: ClassVar[Properties] = {"DisplayName": "", "KmsMasterKeyId": "", "Tags": None}
    shape: ClassVar[Shape] = {"DisplayName": ANY, "KmsMasterKeyId": ANY, "TopicName": ANY, "Tags": TAGS}

    def create(self, target: Target) -> str:
        """Make the topic; its ARN is the physical id."""
        return str(target.aws("sns").create_topic(Name=target.id)["TopicArn"])

    def apply(self, target: Target) -> None:
        """Settle display name, key and tags."""
        sns = target.aws("sns")
        for name in ("DisplayName", "KmsMasterKeyId"):
            sns.set_topic_attributes(
                TopicArn=target.id, AttributeName=name, AttributeValue=target.properties[name]
            )
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        if gone:
            sns.untag_resource(ResourceArn=target.id, TagKeys=gone)
        if new:
            sns.tag_resource(ResourceArn=target.id, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the topic, and its subscriptions with it."""
        target.aws("sns").delete_topic(TopicArn=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give ARN and name."""
        return {"TopicArn": target.id, "TopicName": target.id.rpartition(":")[2]}

    def read(self, target: Target) -> Properties:
        """Read name, display name, key and tags."""
        held = _topic(target.aws, target.id)
        return {
            "TopicName": target.id.rpartition(":")[2],
            "DisplayName": held.get("DisplayName", ""),
            "KmsMasterKeyId": held.get("KmsMasterKeyId", ""),
            "Tags": target.aws("sns").list_tags_for_resource(ResourceArn=target.id)["Tags"],
        }


def _topic(aws: Clients, arn: str) -> dict[str, str]:
    return dict(aws("sns").get_topic_attributes(TopicArn=arn)["Attributes"])


class TopicPolicy(ResourceType):
    """AWS::SNS::TopicPolicy on one topic."""

    type = "AWS::SNS::TopicPolicy"
    required = frozenset({"PolicyDocument", "Topics"})
    create_only = frozenset({"Topics"})
    shape: ClassVar[Shape] = {"PolicyDocument": ANY, "Topics": ANY}

    def create(self, target: Target) -> str:
        """Name the policy; `apply` puts it."""
        if len(target.properties["Topics"]) != 1:
            raise Unsupported("Topics: the laptop puts a policy on one topic; give each its own")
        return target.id

    def apply(self, target: Target) -> None:
        """Put the policy."""
        self._put(target, target.properties["PolicyDocument"])

    def delete(self, target: Target) -> None:
        """Let the topic's owner alone publish, as the policy does that a topic is made with."""
        (arn,) = target.properties["Topics"]
        account = arn.split(":")[4]
        owner = {"AWS": f"arn:aws:iam::{account}:root"}
        allowed = {"Effect": "Allow", "Principal": owner, "Action": "sns:Publish", "Resource": arn}
        self._put(target, {"Version": "2012-10-17", "Statement": [allowed]})

    def read(self, target: Target) -> Properties:
        """Read the policy back as a document."""
        (arn,) = target.properties["Topics"]
        return {"PolicyDocument": json.loads(_topic(target.aws, arn)["Policy"]), "Topics": [arn]}

    @staticmethod
    def _put(target: Target, document: Any) -> None:
        (arn,) = target.properties["Topics"]
        target.aws("sns").set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(document)
        )


class Subscription(ResourceType):
    """AWS::SNS::Subscription by mail, or of a queue."""

    type = "AWS::SNS::Subscription"
    required = frozenset({"Endpoint", "Protocol", "TopicArn"})
    create_only = required
    shape: ClassVar[Shape] = {"Endpoint": ANY, "Protocol": ANY, "TopicArn": ANY}

    def create(self, target: Target) -> str:
        """Subscribe; on AWS a mail asks whether that is wanted."""
        wanted = {name: target.properties[name] for name in ("Endpoint", "Protocol", "TopicArn")}
        if wanted["Protocol"] not in _PROTOCOLS:
            raise Unsupported(
                f"Protocol: the laptop implements {', '.join(_PROTOCOLS)}, not {wanted['Protocol']}"
            )
        answer = target.aws("sns").subscribe(**wanted, ReturnSubscriptionArn=True)
        return str(answer["SubscriptionArn"])

    def delete(self, target: Target) -> None:
        """Take the subscription back."""
        target.aws("sns").unsubscribe(SubscriptionArn=target.id)

    def read(self, target: Target) -> Properties:
        """Read whom it tells of what."""
        return dict(target.aws("sns").get_subscription_attributes(SubscriptionArn=target.id)["Attributes"])


class Dashboard(ResourceType):
    """AWS::CloudWatch::Dashboard."""

    type = "AWS::CloudWatch::Dashboard"
    name_property = "DashboardName"
    required = frozenset({"DashboardBody"})
    defaults: ClassVar[Properties] = {"Tags": None}
    shape: ClassVar[Shape] = {"DashboardBody": ANY, "DashboardName": ANY, "Tags": TAGS}

    def create(self, target: Target) -> str:
        """Name the dashboard; `apply` puts it."""
        return target.id

    def apply(self, target: Target) -> None:
        """Put the dashboard whole, and settle its tags."""
        cloudwatch = target.aws("cloudwatch")
        cloudwatch.put_dashboard(DashboardName=target.id, DashboardBody=target.properties["DashboardBody"])
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        arn = self._held(target)["DashboardArn"]
        if gone:
            cloudwatch.untag_resource(ResourceARN=arn, TagKeys=gone)
        if new:
            cloudwatch.tag_resource(ResourceARN=arn, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the dashboard."""
        target.aws("cloudwatch").delete_dashboards(DashboardNames=[target.id])

    def read(self, target: Target) -> Properties:
        """Read body and tags."""
        held = self._held(target)
        tags = target.aws("cloudwatch").list_tags_for_resource(ResourceARN=held["DashboardArn"])["Tags"]
        return {"DashboardBody": held["DashboardBody"], "DashboardName": target.id, "Tags": tags}

    @staticmethod
    def _held(target: Target) -> Any:
        return target.aws("cloudwatch").get_dashboard(DashboardName=target.id)
