"""One stack: creates, updates, rolls back and deletes its resources, and reads each one back.

A resource that does not hold what the template asked for fails the deployment by name. Nothing is swallowed:
every failure is a stack event with its reason, and the stack's status says how it ended, as on AWS.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from moto.cloudformation.models import Event, Export, Stack
from moto.cloudformation.utils import generate_stack_id
from moto.core.utils import utcnow

from local.aws.cloudformation_change import Change, ResourceFailure
from local.aws.cloudformation_resource import Clients, Resource, ResourceType, refusals
from local.aws.cloudformation_template import (
    Scope,
    TemplateError,
    creation_order,
    parse,
    references,
    resolve_parameters,
)

logger = logging.getLogger(__name__)


class LocalStack(Stack):  # type: ignore[misc]
    """A CloudFormation stack whose resources are made through the services' own APIs."""

    def __init__(
        self,
        *,
        name: str,
        region: str,
        account: str,
        types: Mapping[str, ResourceType],
        aws: Clients,
        role_arn: str | None,
        tags: Mapping[str, str] | None,
        exports: dict[str, Export],
    ) -> None:
        """Make an empty stack; `aws` gives the clients that deploy, `exports` are the region's."""
        self.stack_id: str = generate_stack_id(name, region, account)
        self.name, self.region_name, self.account_id = name, region, account
        self.role_arn, self.tags = role_arn, dict(tags or {})
        self.notification_arns: list[str] = []
        self.events: list[Event] = []
        self.creation_time, self.last_updated_time = utcnow(), None
        self.timeout_in_minutes, self.policy = None, ""
        self.enable_termination_protection = self.disable_rollback = False
        self.imports = False
        """Whether a retained resource that is there already is taken over, in place of a failure."""
        self.status = "CREATE_IN_PROGRESS"
        self.stack_status_reason: str | None = None
        self.template = ""
        self.template_dict: dict[str, Any] = {}
        self.description: str | None = None
        self.parameters: dict[str, str] = {}
        self.resources: dict[str, Resource] = {}
        self.types, self.aws, self._exports_of_region = types, aws, exports
        self.values: dict[str, Any] = {}
        self._outputs: list[dict[str, Any]] = []

    # What moto's answers ask of a stack

    @property
    def parameter_list(self) -> list[dict[str, Any]]:
        """The parameters as DescribeStacks gives them; a NoEcho parameter is masked."""
        declared = self.template_dict.get("Parameters", {})
        return [
            {"ParameterKey": name, "ParameterValue": "****" if declared[name].get("NoEcho") else str(value)}
            for name, value in self.stack_parameters.items()
        ]

    @property
    def stack_parameters(self) -> dict[str, Any]:
        """The parameters' resolved values."""
        return {name: self.values[name] for name in self.template_dict.get("Parameters", {})}

    @property
    def stack_resources(self) -> list[Resource]:
        """The resources that exist now."""
        return list(self.resources.values())

    @property
    def outputs(self) -> list[dict[str, Any]] | None:
        """The outputs as DescribeStacks gives them."""
        return self._outputs or None

    @property
    def exports(self) -> list[Export]:
        """The outputs that are exported."""
        return [
            Export(self.stack_id, output["ExportName"], output["OutputValue"])
            for output in self._outputs
            if output["ExportName"]
        ]

    # The operations

    def check(self, text: str, parameters: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parse a template and its values; raise `TemplateError` with all that is not implemented."""
        template = parse(text)
        given = {name: value for name, value in parameters.items() if name in template.get("Parameters", {})}
        unknown = set(parameters) - set(given)
        if unknown:
            raise TemplateError(f"Parameters: [{', '.join(sorted(unknown))}] do not exist in the template")
        values = resolve_parameters(template, given, self._ssm_parameter)
        scope = Scope(template, values | self._pseudo_parameters(), {})
        if refused := refusals(template, self.types, scope.active):
            raise TemplateError("\n".join(refused))
        creation_order(template["Resources"])
        outputs = template.get("Outputs", {})
        legal = {*template["Resources"], *values}
        for name, output in outputs.items():
            for reference in references(output.get("Value")):
                if reference not in legal and not reference.startswith("AWS::"):
                    raise TemplateError(f"Output {name} refers to {reference}, which does not exist")
        return template, values | self._pseudo_parameters()

    def build(self, text: str, parameters: Mapping[str, str]) -> None:
        """Create everything, or roll back and say why in the events."""
        template, values = self.check(text, parameters)
        self._adopt(text, template, values, parameters)
        self.record("CREATE_IN_PROGRESS", reason="User Initiated")
        change = Change(self, {})
        try:
            change.apply()
        except ResourceFailure as failure:
            self._finish("ROLLBACK_IN_PROGRESS", str(failure))
            clean = change.remove(list(reversed(self.resources.values())))
            self._finish("ROLLBACK_COMPLETE" if clean else "ROLLBACK_FAILED", str(failure))
            return
        self._finish("CREATE_COMPLETE")

    def update(self, text: str, parameters: Mapping[str, str]) -> bool:
        """Bring the stack to a new template; False when there is nothing to do. Rolls back when it fails."""
        template, values = self.check(text, parameters)
        if self.is_unchanged(template, values):
            return False
        earlier = (self.template, self.template_dict, self.values, self.parameters)
        change = Change(self, self.resources)
        self._adopt(text, template, values, parameters)
        self._finish("UPDATE_IN_PROGRESS", "User Initiated")
        try:
            change.apply()
        except ResourceFailure as failure:
            self._finish("UPDATE_ROLLBACK_IN_PROGRESS", str(failure))
            self.template, self.template_dict, self.values, self.parameters = earlier
            clean = change.undo()
            self._finish("UPDATE_ROLLBACK_COMPLETE" if clean else "UPDATE_ROLLBACK_FAILED", str(failure))
            return True
        self._finish("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        change.clean_up()
        self.last_updated_time = utcnow()
        self._finish("UPDATE_COMPLETE")
        return True

    def delete(self) -> bool:
        """Remove every resource that is not retained; tell whether all went."""
        self._finish("DELETE_IN_PROGRESS", "User Initiated")
        clean = Change(self, {}).remove(list(reversed(self.resources.values())))
        reason = None if clean else "The following resource(s) failed to delete: " + ", ".join(self.resources)
        self._finish("DELETE_COMPLETE" if clean else "DELETE_FAILED", reason)
        return clean

    def _adopt(
        self, text: str, template: dict[str, Any], values: dict[str, Any], parameters: Mapping[str, str]
    ) -> None:
        self.template, self.template_dict, self.values = text, template, values
        self.parameters, self.description = dict(parameters), template.get("Description")

    def is_unchanged(self, template: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
        """Tell whether the stack holds just this: an update would do nothing."""
        same = all(
            self.template_dict.get(part) == template.get(part)
            for part in ("Resources", "Outputs", "Conditions", "Mappings")
        )
        return same and self.values == values

    def publish(self, scope: Scope) -> None:
        """Resolve the outputs; raise `ResourceFailure` for an export that another stack has."""
        outputs: list[dict[str, Any]] = []
        for name, output in self.template_dict.get("Outputs", {}).items():
            if not scope.active(output):
                continue
            export = scope.resolve(output.get("Export", {}).get("Name"))
            owner = self._exports_of_region.get(export)
            if owner is not None and owner.exporting_stack_id != self.stack_id:
                raise ResourceFailure(f"Export with name {export} is already exported by another stack")
            value = scope.resolve(output["Value"])
            outputs.append(
                {
                    "OutputKey": name,
                    "OutputValue": value,
                    "Description": output.get("Description"),
                    "ExportName": export,
                }
            )
        self._outputs = outputs

    def _pseudo_parameters(self) -> dict[str, str | list[str]]:
        return {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region_name,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::Partition": "aws",
            "AWS::NotificationARNs": self.notification_arns,
        }

    def _ssm_parameter(self, name: str) -> str:
        try:
            answer = self.aws("ssm").get_parameter(Name=name)
        except ClientError as error:
            raise TemplateError(
                f"Unable to fetch parameters [{name}] from parameter store: {error}"
            ) from error
        return str(answer["Parameter"]["Value"])

    def generated_name(self, logical_id: str, kind: ResourceType) -> str:
        """Name a resource that the template leaves unnamed."""
        name = f"{self.name[:24]}-{logical_id[:24]}-{secrets.token_hex(6)}"
        return name.lower() if kind.type in ("AWS::S3::Bucket", "AWS::ECR::Repository") else name

    def _finish(self, status: str, reason: str | None = None) -> None:
        self.status, self.stack_status_reason = status, reason
        if status.endswith("FAILED") or "ROLLBACK" in status:
            logger.error("stack %s: %s: %s", self.name, status, reason)
        self.record(status, reason=reason)

    def record(
        self,
        status: str,
        logical_id: str = "",
        kind: str = "AWS::CloudFormation::Stack",
        physical_id: str = "",
        reason: str | None = None,
    ) -> None:
        """Add a stack event; without `logical_id` it is the stack's own."""
        self.events.append(
            Event(
                stack_id=self.stack_id,
                stack_name=self.name,
                logical_resource_id=logical_id or self.name,
                physical_resource_id=physical_id if logical_id else self.stack_id,
                resource_type=kind,
                resource_status=status,
                resource_status_reason=reason,
                resource_properties=None,
            )
        )
