"""Tags of everything that SageMaker holds: AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from local.sagemaker.errors import ResourceNotFoundError, ValidationError
from local.sagemaker.listing import page
from local.sagemaker.requests import Call

_MOST_TAGS = 50
"""As AWS has it for one resource."""


class Tags:
    """The tags of all resources that `resources` returns; each has an `arn` and a list `tags`."""

    def __init__(self, resources: Callable[[], Iterable[Any]]) -> None:
        self._resources = resources

    def add(self, call: Call) -> dict[str, Any]:
        """Answer AddTags: a tag with a key that is there already replaces it."""
        resource = self._find(call["ResourceArn"])
        tags = {tag["Key"]: tag["Value"] for tag in [*(resource.tags or []), *call["Tags"]]}
        if len(tags) > _MOST_TAGS:
            raise ValidationError(f"{resource.arn} would have {len(tags)} tags; {_MOST_TAGS} is the most.")
        resource.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {"Tags": resource.tags}

    def list(self, call: Call) -> dict[str, Any]:
        """Answer ListTags."""
        return page(call, self._find(call["ResourceArn"]).tags or [], "Tags")

    def delete(self, call: Call) -> dict[str, Any]:
        """Answer DeleteTags."""
        resource = self._find(call["ResourceArn"])
        resource.tags = [tag for tag in resource.tags or [] if tag["Key"] not in call["TagKeys"]]
        return {}

    def _find(self, arn: str) -> Any:
        for resource in self._resources():
            if resource.arn.lower() == arn.lower():
                return resource
        raise ResourceNotFoundError(f"Resource {arn} does not exist.")
