"""Change sets: what `cdk deploy` and `cdk bootstrap` do by default, create, look at and execute.

A change set is judged when it is created as a deployment would be: what the laptop refuses is refused then.
Executing it makes exactly its template; what happened to the stack in between makes it obsolete.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow

from local.aws.cloudformation_stack import LocalStack
from local.aws.cloudformation_template import references

IN_REVIEW = "REVIEW_IN_PROGRESS"
"""A stack that has change sets and nothing else yet."""
NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a change set."
)


class ChangeSetNotFoundError(ServiceException):  # type: ignore[misc]
    """There is no such change set."""

    code = "ChangeSetNotFound"


@dataclass
class ChangeSet:
    """One change set of one stack."""

    name: str
    arn: str
    stack: LocalStack
    kind: str
    template: str
    parameters: Mapping[str, str]
    description: str | None
    role_arn: str | None
    tags: Mapping[str, str] | None
    changes: list[dict[str, Any]]
    changes_nothing: bool
    template_before: str
    imports: bool
    creation_time: Any = field(default_factory=utcnow)

    def describe(self) -> dict[str, Any]:
        """Give the answer of DescribeChangeSet."""
        something = not self.changes_nothing
        described = {
            "ChangeSetName": self.name,
            "ChangeSetId": self.arn,
            "StackId": self.stack.stack_id,
            "StackName": self.stack.name,
            "Description": self.description,
            # moto writes these two as lists of the API's members.
            "Parameters": dict(self.parameters),
            "Changes": self.changes,
            "CreationTime": self.creation_time,
            "ExecutionStatus": "AVAILABLE" if something else "UNAVAILABLE",
            "Status": "CREATE_COMPLETE" if something else "FAILED",
            "StatusReason": None if something else NO_CHANGES,
            "NotificationARNs": self.stack.notification_arns,
            "Tags": [{"Key": key, "Value": value} for key, value in (self.tags or {}).items()],
        }
        return {key: value for key, value in described.items() if value is not None}


class ChangeSets:
    """The change sets of one host; `deployer` makes stacks, and applies templates to them."""

    def __init__(self, deployer: Any) -> None:
        self._deployer = deployer
        self._held: dict[tuple[str, str], ChangeSet] = {}
        """By stack id and name."""

    def create(self, response: Any) -> dict[str, str]:
        """Answer CreateChangeSet."""
        ask, backend = response._get_param, response.cloudformation_backend
        if ask("ResourcesToImport", []):
            raise ValidationError(message="The laptop does not implement ResourcesToImport")
        stack, name = (
            self._stack(ask("StackName"), ask("ChangeSetType", "UPDATE"), response),
            ask("ChangeSetName"),
        )
        if (stack.stack_id, name) in self._held:
            raise AlreadyExistsException(
                f"ChangeSet {name} cannot be created due to a mismatch with existing one"
            )
        template = self._template(response, stack)
        parameters = _parameters(ask("Parameters", []), stack)
        with self._deployer.validation(stack.name):
            changes = _changes(stack, template, parameters)
            same = bool(stack.template) and stack.is_unchanged(*stack.check(template, parameters))
        backend.stacks[stack.stack_id] = stack
        place = f"arn:aws:cloudformation:{backend.region_name}:{backend.account_id}"
        arn = f"{place}:changeSet/{name}/{uuid.uuid4()}"
        tags = {tag["Key"]: tag["Value"] for tag in ask("Tags", [])}
        kind = "CREATE" if stack.status == IN_REVIEW else "UPDATE"
        self._held[stack.stack_id, name] = ChangeSet(
            name,
            arn,
            stack,
            kind,
            template,
            parameters,
            ask("Description"),
            ask("RoleARN"),
            tags,
            changes,
            same,
            stack.template,
            bool(response._get_bool_param("ImportExistingResources", False)),
        )
        return {"Id": arn, "StackId": stack.stack_id}

    def describe(self, response: Any) -> dict[str, Any]:
        """Answer DescribeChangeSet."""
        return self._find(response).describe()

    def delete(self, response: Any) -> None:
        """Answer DeleteChangeSet; one that is not there is as good as deleted."""
        try:
            found = self._find(response)
        except ChangeSetNotFoundError:
            return
        del self._held[found.stack.stack_id, found.name]

    def execute(self, response: Any) -> None:
        """Answer ExecuteChangeSet; the stack's other change sets are obsolete afterwards."""
        found, backend = self._find(response), response.cloudformation_backend
        stack = found.stack
        if found.describe()["ExecutionStatus"] != "AVAILABLE":
            raise ValidationError(message=f"ChangeSet [{found.arn}] has nothing to execute: {NO_CHANGES}")
        if stack.template != found.template_before:
            raise ValidationError(message=f"ChangeSet [{found.arn}] is obsolete: the stack changed since")
        for key in [key for key in self._held if key[0] == stack.stack_id]:
            del self._held[key]
        stack.imports = found.imports
        self._deployer.apply(
            backend, stack, found.template, found.parameters, role_arn=found.role_arn, tags=found.tags
        )

    def list(self, response: Any) -> dict[str, Any]:
        """Answer ListChangeSets."""
        name = response._get_param("StackName")
        found = [each for each in self._held.values() if name in (each.stack.name, each.stack.stack_id)]
        keys = (
            "ChangeSetName",
            "ChangeSetId",
            "StackId",
            "StackName",
            "Status",
            "ExecutionStatus",
            "CreationTime",
        )
        return {"Summaries": [{key: each.describe()[key] for key in keys} for each in found]}

    def _find(self, response: Any) -> ChangeSet:
        name, stack = response._get_param("ChangeSetName"), response._get_param("StackName")
        for each in self._held.values():
            if name == each.arn or (name == each.name and stack in (each.stack.name, each.stack.stack_id)):
                return each
        raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")

    def _stack(self, name: str, kind: str, response: Any) -> LocalStack:
        """Give the stack that a change set is for; for a new one, make it without resources."""
        backend = response.cloudformation_backend
        stacks = [each for each in backend.stacks.values() if name in (each.name, each.stack_id)]
        if kind == "CREATE" and stacks and stacks[0].status != IN_REVIEW:
            raise ValidationError(message=f"Stack [{name}] already exists and cannot be created again")
        if kind not in ("CREATE", "UPDATE"):
            raise ValidationError(
                message=f"The laptop's change sets have the types CREATE and UPDATE, not {kind}"
            )
        if stacks:
            found: LocalStack = stacks[0]
            return found
        if kind == "UPDATE":
            raise ValidationError(message=f"Stack [{name}] does not exist")
        made: LocalStack = self._deployer.new_stack(backend, name, role_arn=response._get_param("RoleARN"))
        made.status = IN_REVIEW
        made.record(IN_REVIEW, reason="User Initiated")
        return made

    @staticmethod
    def _template(response: Any, stack: LocalStack) -> str:
        if response._get_bool_param("UsePreviousTemplate", False):
            return stack.template
        url = response._get_param("TemplateURL")
        return str(response._get_stack_from_s3_url(url) if url else response._get_param("TemplateBody"))


def answers(change_sets: ChangeSets) -> dict[str, Callable[[Any], Any]]:
    """Give the methods of moto's response class that answer the operations, by name."""

    def answer(operation: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def respond(response: Any) -> Any:
            result = operation(response)
            return EmptyResult() if result is None else ActionResult(result)

        return respond

    return {
        "create_change_set": answer(change_sets.create),
        "describe_change_set": answer(change_sets.describe),
        "delete_change_set": answer(change_sets.delete),
        "execute_change_set": answer(change_sets.execute),
        "list_change_sets": answer(change_sets.list),
    }


MOTOS = {name: getattr(CloudFormationResponse, name) for name in answers(ChangeSets(None))}
"""moto's own methods, which are put back at the end."""


def _parameters(asked: list[Mapping[str, Any]], stack: LocalStack) -> dict[str, str]:
    """Give the values asked for; the previous one where that is what was asked for."""
    values = {}
    for each in asked:
        key = each["ParameterKey"]
        if str(each.get("UsePreviousValue", "false")).lower() != "true":
            values[key] = each["ParameterValue"]
        elif key in stack.parameters:
            values[key] = stack.parameters[key]
    return values


def _changes(stack: LocalStack, template: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """List what executing would do to each resource, and to which of its properties."""
    wanted, values = stack.check(template, parameters)
    before, after = stack.template_dict.get("Resources", {}), wanted["Resources"]
    listed = [_change("Remove", name, old, stack) for name, old in before.items() if name not in after]
    moved = {name for name in {*values, *stack.values} if values.get(name) != stack.values.get(name)}
    for name, new in after.items():
        if name not in before:
            listed.append(_change("Add", name, new, stack))
        elif changed := _changed_properties(before[name], new, moved):
            create_only = stack.types[new["Type"]].create_only | {stack.types[new["Type"]].name_property}
            modified = _change("Modify", name, new, stack) | {
                "Replacement": "True" if create_only & changed else "False",
                "Scope": ["Properties"],
                "Details": [_detail(each, replaces=each in create_only) for each in sorted(changed)],
            }
            listed.append(modified)
        elif before[name] != new:
            listed.append(
                _change("Modify", name, new, stack) | {"Replacement": "False", "Scope": ["Metadata"]}
            )
    return listed


def _change(action: str, name: str, declaration: Mapping[str, Any], stack: LocalStack) -> dict[str, Any]:
    change = {"Action": action, "LogicalResourceId": name, "ResourceType": declaration["Type"]}
    if name in stack.resources:
        change["PhysicalResourceId"] = stack.resources[name].physical_id
    return change


def _changed_properties(old: Mapping[str, Any], new: Mapping[str, Any], moved: set[str]) -> set[str]:
    """Name the properties that are written differently, or that refer to a value that is another now."""
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return {
        name
        for name in {*before, *after}
        if before.get(name) != after.get(name) or moved & set(references(after.get(name)))
    }


def _detail(name: str, *, replaces: bool) -> dict[str, Any]:
    target = {
        "Attribute": "Properties",
        "Name": name,
        "RequiresRecreation": "Always" if replaces else "Never",
    }
    return {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}
