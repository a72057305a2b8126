"""The two roles that people assume: the one that may upload, and the one that may delete for good.

The hardened profile has them. Its bucket policy (storage/bucket_policy.py) lets nobody else do either, so
whoever may assume them decides what runs with the deployment's roles, and what is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, aws_iam
from constructs import Construct

from infra.deployment import Deployment
from infra.iam.grants import role_with
from infra.iam.people_grants import break_glass_grants, uploader_grants
from infra.names import Names, filled

SESSION = Duration.hours(1)
"""The least that IAM takes, and all that a session of another role gets; clients renew it by themselves."""


class People(Construct):
    """The uploader role and the break-glass role; their ARNs are in infra/names.py."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        config, names = deployment.config, deployment.names
        self.uploader = role_with(
            self,
            "Uploader",
            name=names.uploader_role,
            description=f"Uploads data and definitions of {names.project} and reads what came of them",
            assumed_by=_of_this_account(names, config.uploader_arns),
            grants=uploader_grants(deployment),
            max_session_duration=SESSION,
        )
        self.break_glass = role_with(
            self,
            "BreakGlass",
            name=names.break_glass_role,
            description=f"Deletes versions of definitions and verdicts of {names.project} for good",
            assumed_by=_of_this_account(names, config.break_glass_arns, mfa=config.break_glass_requires_mfa),
            grants=break_glass_grants(names),
            max_session_duration=SESSION,
        )

    @property
    def outputs(self) -> Mapping[str, str]:
        """Return the stack's outputs by which clients find the roles."""
        return {"UploaderRoleArn": self.uploader.role_arn, "BreakGlassRoleArn": self.break_glass.role_arn}


def _of_this_account(names: Names, arns: Sequence[str], *, mfa: bool = False) -> aws_iam.IPrincipal:
    """Let those of this account assume the role whom IAM lets do so, or of them only whom `arns` match.

    Never a job or the function, whatever somebody allows their roles.
    """
    own = [filled(arn) for arn in (names.function_role_arn, names.pipeline_role_arn)]
    conditions: dict[str, Mapping[str, object]] = {"ArnNotEquals": {"aws:PrincipalArn": own}}
    if arns:
        conditions["ArnLike"] = {"aws:PrincipalArn": list(arns)}
    if mfa:
        # Absent for access keys and for sessions of an identity provider: no Bool...IfExists here.
        conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
    return aws_iam.PrincipalWithConditions(aws_iam.AccountRootPrincipal(), conditions)
