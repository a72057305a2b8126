"""The laptop's CloudFormation: moto's API with an engine of our own behind it.

moto's engine says CREATE_COMPLETE for types it drops and properties it ignores. This one applies a template
through the services' own APIs, under the identity that deploys, refuses what it does not implement before
anything is made, reads every resource back, and rolls back what failed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse

from local.aws import (
    cloudformation_custom,
    cloudformation_events,
    cloudformation_functions,
    cloudformation_identity,
    cloudformation_keys,
    cloudformation_logs,
    cloudformation_network,
    cloudformation_notifications,
    cloudformation_registries,
    cloudformation_security_groups,
    cloudformation_services,
    cloudformation_storage,
)
from local.aws.cloudformation_change_sets import IN_REVIEW, MOTOS, ChangeSets, answers
from local.aws.cloudformation_resource import Clients, ResourceType
from local.aws.cloudformation_stack import LocalStack
from local.aws.cloudformation_template import TemplateError
from local.aws.host import Host

_MODULES = (
    cloudformation_custom,
    cloudformation_events,
    cloudformation_functions,
    cloudformation_identity,
    cloudformation_keys,
    cloudformation_notifications,
    cloudformation_registries,
    cloudformation_logs,
    cloudformation_network,
    cloudformation_security_groups,
    cloudformation_services,
    cloudformation_storage,
)
RESOURCE_TYPES: Mapping[str, ResourceType] = {
    kind.type: kind()
    for module in _MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, ResourceType) and kind is not ResourceType
}
"""Every resource type that the laptop implements, by its CloudFormation name."""


class CloudFormation:
    """The operations of one host's CloudFormation, in the place of those of moto's backend."""

    current: CloudFormation | None = None

    def __init__(self, host: Host, types: Mapping[str, ResourceType]) -> None:
        self._host, self._types = host, types

    def create_stack(
        self, backend: Any, name: str, template: str, parameters: Mapping[str, str], **options: Any
    ) -> LocalStack:
        """Create a stack, or raise ValidationError before anything is made; a later failure is its status."""
        if any(stack.name == name for stack in backend.stacks.values()):
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        stack = self.new_stack(
            backend,
            name,
            role_arn=options.get("role_arn"),
            notification_arns=options.get("notification_arns"),
        )
        stack.tags = dict(options.get("tags") or {})
        stack.enable_termination_protection = bool(options.get("enable_termination_protection"))
        with self.validation(name):
            stack.check(template, parameters)
        backend.stacks[stack.stack_id] = stack
        stack.build(template, parameters)
        _publish_exports(backend, stack)
        return stack

    def new_stack(
        self, backend: Any, name: str, *, role_arn: str | None, notification_arns: list[str] | None = None
    ) -> LocalStack:
        """Make a stack without resources, which nobody knows of yet."""
        stack = LocalStack(
            name=name,
            region=backend.region_name,
            account=backend.account_id,
            types=self._types,
            aws=self._clients(role_arn),
            role_arn=role_arn,
            tags=None,
            exports=backend.exports,
        )
        stack.notification_arns = notification_arns or []
        return stack

    def apply(
        self,
        backend: Any,
        stack: LocalStack,
        template: str,
        parameters: Mapping[str, str],
        *,
        role_arn: str | None,
        tags: Mapping[str, str] | None,
    ) -> bool:
        """Bring a stack to a template, the first one or another; False when there is nothing to do."""
        if role_arn:
            stack.role_arn, stack.aws = role_arn, self._clients(role_arn)
        if tags is not None:
            stack.tags = dict(tags)
        changed = True
        with self.validation(stack.name):
            if stack.status == IN_REVIEW:
                stack.status = "CREATE_IN_PROGRESS"
                stack.build(template, parameters)
            else:
                changed = stack.update(template, parameters)
        _publish_exports(backend, stack)
        return changed

    def update_stack(  # noqa: PLR0917 - moto's signature
        self, backend: Any, name: str, template: str, role_arn: str | None, parameters: Any, tags: Any
    ) -> LocalStack:
        """Update a stack; raise ValidationError when there is nothing to do or the template is refused."""
        stack: LocalStack = backend.get_stack(name)
        if stack.status.endswith("_IN_PROGRESS"):
            message = f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated."
            raise ValidationError(name, message=message)
        given = backend._resolve_update_parameters(instance=stack, incoming_params=parameters)
        if not self.apply(backend, stack, template, given, role_arn=role_arn, tags=tags):
            raise ValidationError(name, message="No updates are to be performed.")
        return stack

    def delete_stack(self, backend: Any, name_or_stack_id: str) -> None:
        """Delete a stack; one that cannot be deleted whole stays, as DELETE_FAILED."""
        for stack in list(backend.stacks.values()):
            if name_or_stack_id not in (stack.name, stack.stack_id):
                continue
            if stack.enable_termination_protection:
                message = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
                raise ValidationError(stack.name, message=message)
            if stack.delete():
                backend.deleted_stacks[stack.stack_id] = backend.stacks.pop(stack.stack_id)
                _publish_exports(backend, stack, gone=True)

    @staticmethod
    @contextmanager
    def validation(name: str) -> Iterator[None]:
        """Answer a template that is refused as AWS answers an invalid one: ValidationError, nothing made."""
        try:
            yield
        except TemplateError as error:
            raise ValidationError(name, message=str(error)) from error

    def close(self) -> None:
        """Stop serving: moto's own CloudFormation is back, as other users of moto in this process expect."""
        if CloudFormation.current is self:
            CloudFormation.current = None
            for name, original in _MOTOS.items():
                setattr(CloudFormationBackend, name, original)
            for name, original in MOTOS.items():
                setattr(CloudFormationResponse, name, original)

    def _clients(self, role_arn: str | None) -> Clients:
        return functools.cache(lambda service: self._host.client(service, role_arn))


def install(host: Host, *, types: Mapping[str, ResourceType] = RESOURCE_TYPES) -> CloudFormation:
    """Put the engine behind moto's CloudFormation API; `types` replaces the resource types (tests)."""
    service = CloudFormation(host, types)
    CloudFormation.current = service
    for name in _MOTOS:
        setattr(CloudFormationBackend, name, _operation(name))
    for name, answer in answers(ChangeSets(service)).items():
        setattr(CloudFormationResponse, name, answer)
    return service


_MOTOS = {
    name: getattr(CloudFormationBackend, name) for name in ("create_stack", "update_stack", "delete_stack")
}


def _operation(name: str) -> Callable[..., Any]:
    def operation(backend: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(CloudFormation.current, name)(backend, *args, **kwargs)

    return operation


def _publish_exports(backend: Any, stack: LocalStack, *, gone: bool = False) -> None:
    for name in [
        key for key, export in backend.exports.items() if export.exporting_stack_id == stack.stack_id
    ]:
        del backend.exports[name]
    for export in [] if gone else stack.exports:
        backend.exports[export.name] = export
