"""What a deployment needs to offer its template to SageMaker Studio, by name."""

from __future__ import annotations

import dataclasses

from infra.names import STUDIO_PREFIX, STUDIO_PROJECTS, Names

PROJECT_ID = "SageMakerProjectId"
PROJECT_NAME = "SageMakerProjectName"
OWN_STACK = "${AWS::StackName}"
STACKS = "S?-*"
"""The names of projects' stacks, for policies: SageMaker's begin with SP-, the Service Catalog's with SC-."""


@dataclasses.dataclass(frozen=True)
class ProjectNames(Names):
    """Names and ARNs of a project, whose stack somebody else names."""

    @property
    def stack(self) -> str:
        """Return the name of the stack as CloudFormation fills it in."""
        return OWN_STACK


PROJECT = ProjectNames(f"{STUDIO_PREFIX}-${{{PROJECT_ID}}}")
"""The id and not the name, which may have capitals and more characters than a bucket's name has room for."""


def role_of_projects(kind: str) -> str:
    """Return the name of one role of every project, for policies."""
    return f"{STUDIO_PROJECTS.project}-{kind}-${{AWS::Region}}"


@dataclasses.dataclass(frozen=True)
class StudioNames(Names):
    """Names and ARNs of what a deployment offers its template to Studio with."""

    @property
    def launch_role(self) -> str:
        """Return the name of the role that CloudFormation makes projects with; it carries the region."""
        return f"{self.project}-studio-launch-${{AWS::Region}}"

    @property
    def launch_role_arn(self) -> str:
        """Return that role's ARN."""
        return self._of_iam(f"role/{self.launch_role}")

    def boundary(self, kind: str) -> str:
        """Return the name of the policy that bounds the role of every project which `kind` names."""
        return f"{self.project}-studio-{kind}-${{AWS::Region}}"

    def boundary_arn(self, kind: str) -> str:
        """Return that policy's ARN."""
        return self._of_iam(f"policy/{self.boundary(kind)}")

    @property
    def templates(self) -> str:
        """Return the name of the bucket of templates and code; with the longest project it has 63 letters."""
        return f"{self.bucket}-tmpl"

    @property
    def templates_arn(self) -> str:
        """Return the ARN of that bucket."""
        return f"{self.bucket_arn}-tmpl"

    @property
    def publisher(self) -> str:
        """Return the name of the function that fills the bucket of templates."""
        return f"{self.project}-studio-publish"

    @property
    def publisher_role(self) -> str:
        """Return the name of that function's role; it carries the region."""
        return f"{self.publisher}-${{AWS::Region}}"

    @property
    def publisher_role_arn(self) -> str:
        """Return that role's ARN, for the bucket's policy."""
        return self._of_iam(f"role/{self.publisher_role}")

    @property
    def publisher_log_group(self) -> str:
        """Return the name of that function's log group."""
        return f"/aws/lambda/{self.publisher}"

    def _of_iam(self, resource: str) -> str:
        return f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:{resource}"
