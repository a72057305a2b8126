"""AWS::Events::Rule: what the laptop's EventBridge does on a schedule (`event_rules.py` keeps the time)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from local.aws.cloudformation_resource import (
    ANY,
    TAGS,
    Properties,
    ResourceType,
    Shape,
    Target,
    Unsupported,
    tag_changes,
    tag_list,
)
from local.aws.event_rules import ScheduleError, seconds_between


class Rule(ResourceType):
    """AWS::Events::Rule with a rate and functions as targets; no patterns, other buses or other targets."""

    type = "AWS::Events::Rule"
    name_property = "Name"
    required = frozenset({"ScheduleExpression"})
    attributes = frozenset({"Arn"})
    defaults: ClassVar[Properties] = {"Description": "", "State": "ENABLED", "Tags": None, "Targets": None}
    shape: ClassVar[Shape] = {
        "Description": ANY,
        "Name": ANY,
        "ScheduleExpression": ANY,
        "State": ANY,
        "Tags": TAGS,
        "Targets": [{"Arn": ANY, "Id": ANY, "Input": ANY}],
    }

    def create(self, target: Target) -> str:
        """Make the rule, without targets."""
        _put_rule(target)
        return target.id

    def apply(self, target: Target) -> None:
        """Settle schedule, state, targets and tags."""
        client, wanted = target.aws("events"), target.properties["Targets"] or []
        for each in wanted:
            _check_target(each)
        _put_rule(target)
        kept = {each["Id"] for each in wanted}
        gone = [each["Id"] for each in _targets(client, target.id) if each["Id"] not in kept]
        if gone:
            client.remove_targets(Rule=target.id, Ids=gone)
        if wanted:
            client.put_targets(Rule=target.id, Targets=wanted)
        self._settle_tags(target)

    def _settle_tags(self, target: Target) -> None:
        client, arn = target.aws("events"), self.describe(target)["Arn"]
        gone, new = tag_changes(target.before.get("Tags"), target.properties["Tags"])
        if gone:
            client.untag_resource(ResourceARN=arn, TagKeys=gone)
        if new:
            client.tag_resource(ResourceARN=arn, Tags=tag_list(new))

    def delete(self, target: Target) -> None:
        """Remove the rule; EventBridge wants its targets gone first."""
        client = target.aws("events")
        if identifiers := [each["Id"] for each in _targets(client, target.id)]:
            client.remove_targets(Rule=target.id, Ids=identifiers)
        client.delete_rule(Name=target.id)

    def describe(self, target: Target) -> dict[str, str]:
        """Give the rule's ARN."""
        return {"Arn": target.aws("events").describe_rule(Name=target.id)["Arn"]}

    def read(self, target: Target) -> Properties:
        """Read schedule, state, targets and tags."""
        client = target.aws("events")
        held: Properties = client.describe_rule(Name=target.id)
        tags = client.list_tags_for_resource(ResourceARN=held["Arn"]).get("Tags")
        return {"Description": "", **held, "Targets": _targets(client, target.id), "Tags": tags}


def _put_rule(target: Target) -> None:
    expression = str(target.properties["ScheduleExpression"])
    try:
        seconds_between(expression)
    except ScheduleError as error:
        raise Unsupported(f"ScheduleExpression: {error}") from error
    target.aws("events").put_rule(
        Name=target.id,
        ScheduleExpression=expression,
        State=target.properties["State"],
        Description=target.properties["Description"],
    )


def _targets(client: Any, rule: str) -> list[dict[str, Any]]:
    return list(client.list_targets_by_rule(Rule=rule)["Targets"])


def _check_target(target: Properties) -> None:
    if target["Arn"].split(":")[2:3] != ["lambda"]:
        raise Unsupported(f"the laptop's rules call functions only, not {target['Arn']}")
    try:
        json.loads(target.get("Input", "{}"))
    except ValueError as error:
        raise Unsupported(f"the Input of the target {target['Id']} is not JSON: {error}") from error
