"""AWS::Events::Rule: what the laptop's EventBridge does on a schedule, or when it hears of something."""

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
from local.aws.event_patterns import PatternError, check_pattern
from local.aws.event_rules import ScheduleError, seconds_between
from local.aws.event_targets import SERVICES


class Rule(ResourceType):
    """AWS::Events::Rule with a rate or a pattern, functions and topics as targets; no other buses."""

    type = "AWS::Events::Rule"
    name_property = "Name"
    attributes = frozenset({"Arn"})
    defaults: ClassVar[Properties] = {
        "Description": "",
        "EventPattern": None,
        "ScheduleExpression": None,
        "State": "ENABLED",
        "Tags": None,
        "Targets": None,
    }
    shape: ClassVar[Shape] = {
        "Description": ANY,
        "EventPattern": ANY,
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
        """Settle schedule, pattern, state, targets and tags."""
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
        """Read schedule, pattern, state, targets and tags."""
        client = target.aws("events")
        held: Properties = client.describe_rule(Name=target.id)
        tags = client.list_tags_for_resource(ResourceARN=held["Arn"]).get("Tags")
        pattern = json.loads(held.get("EventPattern") or "null")
        more = {"EventPattern": pattern, "Targets": _targets(client, target.id), "Tags": tags}
        return {"Description": "", **held, **more}


def _put_rule(target: Target) -> None:
    expression, pattern = target.properties["ScheduleExpression"], target.properties["EventPattern"]
    if (expression is None) == (pattern is None):
        raise Unsupported("a rule has either a ScheduleExpression or, on the laptop, an EventPattern")
    try:
        when = _schedule(str(expression)) if expression is not None else _pattern(pattern)
    except (PatternError, ScheduleError) as error:
        raise Unsupported(str(error)) from error
    target.aws("events").put_rule(
        Name=target.id,
        **when,
        State=target.properties["State"],
        Description=target.properties["Description"],
    )


def _schedule(expression: str) -> dict[str, str]:
    seconds_between(expression)
    return {"ScheduleExpression": expression}


def _pattern(pattern: Any) -> dict[str, str]:
    check_pattern(pattern)
    return {"EventPattern": json.dumps(pattern)}


def _targets(client: Any, rule: str) -> list[dict[str, Any]]:
    return list(client.list_targets_by_rule(Rule=rule)["Targets"])


def _check_target(target: Properties) -> None:
    if not set(target["Arn"].split(":")[2:3]) & set(SERVICES):
        raise Unsupported(f"the laptop's rules call functions and topics only, not {target['Arn']}")
    try:
        json.loads(target.get("Input", "{}"))
    except ValueError as error:
        raise Unsupported(f"the Input of the target {target['Id']} is not JSON: {error}") from error
