"""What SageMaker and its jobs need of the AWS around them, so that neither knows which AWS that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class AccessDeniedError(Exception):
    """What IAM refused: "User: <arn> is not authorized to perform: <action> on resource: <resource> ..."."""


class Host(Protocol):
    """The AWS that serves everything but SageMaker."""

    endpoint_url: str
    region: str
    account: str
    work_dir: Path
    """Where jobs keep their folders."""

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """Return a boto3 client that calls as the role, or as the administrator when None."""

    def role_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        """Return the AWS_* variables of a process that has temporary keys of the role."""

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str | list[str]] | None = None
    ) -> None:
        """Raise AccessDenied unless the role may do this; nothing is asked when IAM is off.

        For what a service does with a role without a request that IAM would see, such as pulling an image.
        """

    def check_trust(self, role_arn: str, service: str, source_arn: str) -> None:
        """Raise AccessDenied unless the role exists and trusts the service (sagemaker) for that source."""

    def role_of(self, access_key_id: str) -> str | None:
        """Return the role whose session signed with this key, None for a user."""

    def put_event(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
    ) -> None:
        """Put an event on EventBridge's default bus, as only a service can."""
