"""What the bucket lets nobody do but one role each, whatever other policies of the account allow.

Denials, because every administrator and every role with `s3:*` is allowed the same by a policy of its own.
They hold for objects: changing the bucket, its policy among it, stays with whoever deploys, so a deployment
never locks itself out. Anonymous requests and services have no aws:PrincipalArn and are denied too; a session
of a role has the role's.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam

from infra.names import DEFINITIONS, VERDICTS, Names, filled

READING = ["s3:Get*", "s3:List*"]
_FOR_GOOD = "s3:DeleteObjectVersion"


def denials(names: Names) -> list[aws_iam.PolicyStatement]:
    """Give the statements for the bucket's policy."""
    return [
        # However it is made, changed, tagged, restored, replicated or hidden: all but reading. Deleting a
        # parameters.json, which leaves a marker and every version, changes what the next upload runs with.
        everybody_but(
            names.uploader_role_arn,
            "OnlyTheUploaderWritesDefinitions",
            objects=[f"{names.bucket_arn}/{DEFINITIONS}*"],
            not_actions=[*READING, _FOR_GOOD],
        ),
        # A verdict says what ran; a forged or hidden one would have it run again, or deny that it did.
        everybody_but(
            names.function_role_arn,
            "OnlyTheFunctionWritesVerdicts",
            objects=[f"{names.bucket_arn}/{VERDICTS}*"],
            not_actions=[*READING, _FOR_GOOD],
        ),
        # Versions are the record of who uploaded what. The life cycle of the bucket is not held by this.
        everybody_but(
            names.break_glass_role_arn,
            "OnlyBreakGlassDeletesVersions",
            objects=[f"{names.bucket_arn}/{prefix}*" for prefix in (DEFINITIONS, VERDICTS)],
            actions=[_FOR_GOOD],
        ),
    ]


def everybody_but(
    role_arn: str,
    sid: str,
    *,
    objects: Sequence[str],
    actions: Sequence[str] | None = None,
    not_actions: Sequence[str] | None = None,
) -> aws_iam.PolicyStatement:
    """Deny actions, or all but some, on objects to whoever has another role than this, or none."""
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.StarPrincipal()],
        actions=actions,
        not_actions=not_actions,
        resources=[filled(each) for each in objects],
        conditions={"ArnNotEquals": {"aws:PrincipalArn": filled(role_arn)}},
    )
