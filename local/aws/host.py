"""What the parts of the laptop's AWS may ask of the whole, so that none of them needs to know the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Host(Protocol):
    """The laptop's AWS as its own services see it."""

    endpoint_url: str
    region: str
    account: str
    work_dir: Path
    """Where jobs, functions and other processes keep their folders."""

    def client(
        self,
        service: str,
        role_arn: str | None = None,
        *,
        trusted: str | None = None,
        source_arn: str | None = None,
    ) -> Any:
        """Make a boto3 client of `service` that calls as `role_arn`, or as the administrator when None.

        `trusted` names the service that assumes the role (such as sagemaker), for `source_arn`: the role's
        trust policy must let it, else AccessDenied is raised.
        """

    def role_environment(
        self, role_arn: str, session_name: str, *, trusted: str | None = None, source_arn: str | None = None
    ) -> dict[str, str]:
        """Give the AWS_* environment of a process that runs with temporary credentials of `role_arn`.

        Raises AccessDenied as `client` does.
        """

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str | list[str]] | None = None
    ) -> None:
        """Raise `AccessDenied` (local.aws.iam) unless `role_arn` may do `action` on `resource`.

        For what a service does with a role without a request that the server could judge, such as
        pulling a job's image from ECR. Does nothing when IAM is switched off.
        """
