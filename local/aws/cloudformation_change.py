"""One change of a stack: makes, changes and removes its resources one by one, and can undo what it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.cloudformation_resource import (
    Properties,
    Resource,
    ResourceType,
    Target,
    Unsupported,
    differences,
)
from local.aws.cloudformation_template import Scope, TemplateError, creation_order, needed_by

if TYPE_CHECKING:
    from local.aws.cloudformation_stack import LocalStack

_CALL_ERRORS = (BotoCoreError, ClientError, Unsupported)


class ResourceFailure(Exception):  # noqa: N818 - the template's or the service's, not the program's
    """A resource could not be made, changed or read back as the template asks."""


class Change:
    """Brings a stack's resources to its template."""

    def __init__(self, stack: LocalStack, before: dict[str, Resource]) -> None:
        """Start from the resources `before`; the stack's own are replaced by what is made."""
        self._stack, self._before = stack, before
        self._touched: list[str] = []
        self._replaced: list[Resource] = []

    def apply(self) -> None:
        """Bring every resource, then the outputs; raise `ResourceFailure` at the first that fails."""
        stack = self._stack
        stack.resources = {}
        scope = Scope(stack.template_dict, stack.values, stack.resources)
        resources = stack.template_dict["Resources"]
        for name in creation_order(resources):
            if scope.active(resources[name]):
                self._step(name, lambda name=name: self._bring(name, scope))  # type: ignore[misc]
        self._step("Outputs", lambda: stack.publish(scope))

    def undo(self) -> bool:
        """Bring back what was there before; tell whether all of it worked."""
        stack, clean = self._stack, True
        made = [stack.resources[name] for name in reversed(self._touched) if self._is_new(name)]
        for name in self._touched:
            if not self._is_new(name):
                clean = self._restore(self._before[name], stack.resources[name].properties) and clean
        stack.resources = {**{item.logical_resource_id: item for item in made}, **self._before}
        return self.remove(made) and clean

    def clean_up(self) -> None:
        """Remove what is no longer in the template; a failure stays an event, as on AWS."""
        gone = [item for name, item in self._before.items() if name not in self._stack.resources]
        self.remove([*reversed(gone), *self._replaced])

    def remove(self, resources: list[Resource]) -> bool:
        """Remove resources unless their policy retains them; tell whether all went.

        What one that could not be removed refers to stays as well: a bucket that is not empty has its key.
        """
        declared, needed, clean = self._stack.template_dict.get("Resources", {}), set[str](), True
        for resource in resources:
            name = resource.logical_resource_id
            if name in needed or not self._remove_one(resource):
                clean = False
                needed |= needed_by(declared.get(name, {}))
        return clean

    def _is_new(self, name: str) -> bool:
        old = self._before.get(name)
        return old is None or self._stack.resources[name].physical_id != old.physical_id

    def _step(self, name: str, action: Callable[[], None]) -> None:
        """Run one step; what goes wrong in it becomes an event and a `ResourceFailure`."""
        try:
            action()
        except (*_CALL_ERRORS, TemplateError, ResourceFailure) as error:
            kind = (
                self._stack.template_dict["Resources"].get(name, {}).get("Type", "AWS::CloudFormation::Stack")
            )
            status = "UPDATE_FAILED" if name in self._before else "CREATE_FAILED"
            self._stack.record(status, name, kind, reason=str(error))
            raise ResourceFailure(f"The following resource(s) failed: [{name}]. {error}") from error

    def _bring(self, name: str, scope: Scope) -> None:
        declaration = self._stack.template_dict["Resources"][name]
        kind = self._stack.types[declaration["Type"]]
        wanted = kind.complete(scope.resolve(declaration.get("Properties", {})))
        before = self._before.get(name)
        if before is None or _needs_new(kind, before, wanted):
            self._make(name, kind, wanted)
            if before is not None:
                self._replaced.append(before)
        elif before.properties == wanted:
            self._stack.resources[name] = before
        else:
            self._change(name, kind, before, wanted)

    def _make(self, name: str, kind: ResourceType, wanted: Properties) -> None:
        stack = self._stack
        physical_name = wanted.get(kind.name_property) or stack.generated_name(name, kind)
        if stack.imports and self._import(name, kind, physical_name, wanted):
            return
        stack.record("CREATE_IN_PROGRESS", name, kind.type)
        made = self._resource(name, kind.create(Target(stack.aws, physical_name, wanted)), wanted)
        stack.resources[name] = made
        self._touched.append(name)
        self._settle(kind, made, {})
        stack.record("CREATE_COMPLETE", name, kind.type, made.physical_id)

    def _import(self, name: str, kind: ResourceType, physical_name: str, wanted: Properties) -> bool:
        """Take a resource over that has the name already; tell whether there was one.

        Only one that the template retains: a rollback must never remove what was there before.
        """
        stack = self._stack
        found = kind.find(Target(stack.aws, physical_name, wanted))
        retained = stack.template_dict["Resources"][name].get("DeletionPolicy") == "Retain"
        if found is None or not retained:
            return False
        stack.record("IMPORT_IN_PROGRESS", name, kind.type, found)
        imported = stack.resources[name] = self._resource(name, found, wanted)
        self._touched.append(name)
        self._settle(kind, imported, kind.read(Target(stack.aws, found, wanted)))
        stack.record("IMPORT_COMPLETE", name, kind.type, found)
        return True

    def _change(self, name: str, kind: ResourceType, before: Resource, wanted: Properties) -> None:
        stack, physical_id = self._stack, before.physical_id
        stack.record("UPDATE_IN_PROGRESS", name, kind.type, physical_id)
        self._touched.append(name)
        stack.resources[name] = self._resource(name, physical_id, wanted)
        self._settle(kind, stack.resources[name], before.properties)
        stack.record("UPDATE_COMPLETE", name, kind.type, physical_id)

    def _resource(self, name: str, physical_id: str, wanted: Properties) -> Resource:
        declaration: dict[str, Any] = self._stack.template_dict["Resources"][name]
        return Resource(
            physical_id,
            {},
            logical_resource_id=name,
            cf_resource_type=declaration["Type"],
            properties=wanted,
            deletion_policy=declaration.get("DeletionPolicy", "Delete"),
            replace_policy=declaration.get("UpdateReplacePolicy", "Delete"),
        )

    def _settle(self, kind: ResourceType, resource: Resource, before: Properties) -> None:
        """Apply the properties, then read the resource back and compare."""
        target = Target(self._stack.aws, resource.physical_id, resource.properties, before)
        kind.apply(target)
        resource.attributes = kind.describe(target)
        if wrong := differences(resource.properties, kind.read(target)):
            raise ResourceFailure(
                f"{resource.physical_id} was made, but read back it is not what the template asks for: "
                + "; ".join(wrong)
            )

    def _restore(self, old: Resource, current: Properties) -> bool:
        kind, name = self._stack.types[old.cf_resource_type], old.logical_resource_id
        try:
            kind.apply(Target(self._stack.aws, old.physical_id, old.properties, current))
        except _CALL_ERRORS as error:
            self._stack.record("UPDATE_FAILED", name, kind.type, old.physical_id, str(error))
            return False
        self._stack.record("UPDATE_COMPLETE", name, kind.type, old.physical_id)
        return True

    def _remove_one(self, resource: Resource) -> bool:
        stack, name = self._stack, resource.logical_resource_id
        kind, physical_id = stack.types[resource.cf_resource_type], resource.physical_id
        replaced = stack.resources.get(name, resource) is not resource
        policy = resource.replace_policy if replaced else resource.deletion_policy
        created_now = "ROLLBACK" in stack.status
        if policy == "Retain" or (policy == "RetainExceptOnCreate" and not created_now):
            stack.record("DELETE_SKIPPED", name, kind.type, physical_id)
        else:
            stack.record("DELETE_IN_PROGRESS", name, kind.type, physical_id)
            try:
                kind.delete(Target(stack.aws, physical_id, resource.properties))
            except _CALL_ERRORS as error:
                if not _is_gone(error):
                    stack.record("DELETE_FAILED", name, kind.type, physical_id, str(error))
                    return False
            stack.record("DELETE_COMPLETE", name, kind.type, physical_id)
        if not replaced:
            stack.resources.pop(name, None)
        return True


def _is_gone(error: Exception) -> bool:
    """Tell whether a service says that there is nothing to remove, which is what was wanted."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return any(word in code for word in ("NoSuch", "NotFound", "NonExistent", "DoesNotExist"))


def _needs_new(kind: ResourceType, before: Resource, wanted: Properties) -> bool:
    """Tell whether the change needs another resource; refuse it where the two would have the same name."""
    if before.cf_resource_type != kind.type:
        return True
    old = before.properties
    changed = {key for key in {*wanted, *old} if wanted.get(key) != old.get(key)}
    keys = changed & (kind.create_only | {kind.name_property})
    name = wanted.get(kind.name_property)
    if keys and name and kind.name_property not in keys:
        raise ResourceFailure(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
            f"Rename {name} and update the stack again. (changed: {', '.join(sorted(keys))})"
        )
    return bool(keys)
