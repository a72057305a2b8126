"""Log groups and what is counted in them."""

from __future__ import annotations

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


class LogGroup(ResourceType):
    """AWS::Logs::LogGroup."""

    type = "AWS::Logs::LogGroup"
    name_property = "LogGroupName"
    attributes = frozenset({"Arn"})
    defaults: ClassVar[Properties] = {"KmsKeyId": None, "RetentionInDays": None, "Tags": None}
    shape: ClassVar[Shape] = {"KmsKeyId": ANY, "LogGroupName": ANY, "RetentionInDays": ANY, "Tags": TAGS}

    def create(self, target: Target) -> str:
        """Make the log group."""
        target.aws("logs").create_log_group(logGroupName=target.id)
        return target.id

    def apply(self, target: Target) -> None:
        """Settle key, retention and tags."""
        logs = target.aws("logs")
        if target.properties["KmsKeyId"]:
            logs.associate_kms_key(logGroupName=target.id, kmsKeyId=target.properties["KmsKeyId"])
        elif target.before.get("KmsKeyId"):
            logs.disassociate_kms_key(logGroupName=target.id)
        if target.properties["RetentionInDays"] is not None:
            days = int(target.properties["RetentionInDays"])
            logs.put_retention_policy(logGroupName=target.id, retentionInDays=days)
        elif target.before.get("RetentionInDays") is not None:
            logs.delete_retention_policy(logGroupName=target.id)
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        arn = self._group(target.aws, target.id)["arn"].removesuffix(":*")
        if gone:
            logs.untag_resource(resourceArn=arn, tagKeys=gone)
        if new:
            logs.tag_resource(resourceArn=arn, tags=new)

    def delete(self, target: Target) -> None:
        """Remove the log group and what was logged."""
        target.aws("logs").delete_log_group(logGroupName=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the log group's ARN, with the :* that CloudFormation gives it."""
        return {"Arn": self._group(target.aws, target.id)["arn"].removesuffix(":*") + ":*"}

    def read(self, target: Target) -> Properties:
        """Read key, retention and tags."""
        group = self._group(target.aws, target.id)
        tags = (
            target.aws("logs").list_tags_for_resource(resourceArn=group["arn"].removesuffix(":*")).get("tags")
        )
        return {
            "KmsKeyId": group.get("kmsKeyId"),
            "LogGroupName": group["logGroupName"],
            "RetentionInDays": group.get("retentionInDays"),
            "Tags": tag_list(tags),
        }

    @staticmethod
    def _group(aws: Clients, name: str) -> Any:
        groups = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next(group for group in groups if group["logGroupName"] == name)


class MetricFilter(ResourceType):
    """AWS::Logs::MetricFilter; the laptop keeps it and counts nothing."""

    type = "AWS::Logs::MetricFilter"
    name_property = "FilterName"
    required = frozenset({"FilterPattern", "LogGroupName", "MetricTransformations"})
    create_only = frozenset({"LogGroupName"})
    shape: ClassVar[Shape] = {
        "FilterName": ANY,
        "FilterPattern": ANY,
        "LogGroupName": ANY,
        "MetricTransformations": [
            {"DefaultValue": ANY, "MetricName": ANY, "MetricNamespace": ANY, "MetricValue": ANY}
        ],
    }

    def create(self, target: Target) -> str:
        """Name the filter; `apply` puts it."""
        return target.id

    def apply(self, target: Target) -> None:
        """Put the filter."""
        target.aws("logs").put_metric_filter(
            logGroupName=target.properties["LogGroupName"],
            filterName=target.id,
            filterPattern=target.properties["FilterPattern"],
            metricTransformations=[
                {f"{name[0].lower()}{name[1:]}": value for name, value in each.items()}
                for each in target.properties["MetricTransformations"]
            ],
        )

    def delete(self, target: Target) -> None:
        """Remove the filter."""
        group = target.properties["LogGroupName"]
        target.aws("logs").delete_metric_filter(logGroupName=group, filterName=target.id)

    def read(self, target: Target) -> Properties:
        """Read the filter."""
        group = target.properties["LogGroupName"]
        answer = target.aws("logs").describe_metric_filters(logGroupName=group, filterNamePrefix=target.id)
        found = next(each for each in answer["metricFilters"] if each["filterName"] == target.id)
        return {
            "FilterName": target.id,
            "FilterPattern": found["filterPattern"],
            "LogGroupName": found["logGroupName"],
            "MetricTransformations": [
                {f"{name[0].upper()}{name[1:]}": value for name, value in each.items()}
                for each in found["metricTransformations"]
            ],
        }
