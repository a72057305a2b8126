"""What the bucket keeps people and jobs from, whatever other policies of the account allow.

Denials, because every administrator and every role with `s3:*` is allowed the same by a policy of its own.
In the hardened profile one role writes definitions and one deletes versions; in the default profile both are
up to the rights of whoever asks. They hold for objects: changing the bucket, its policy among it, stays with
whoever deploys, so a deployment never locks itself out. Anonymous requests and services have no
aws:PrincipalArn and are denied too, where one role alone is not; a session of a role has the role's.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam

from infra.names import DEFINITIONS, VERDICTS, Names, filled

READING = ["s3:Get*", "s3:List*"]
_FOR_GOOD = "s3:DeleteObjectVersion"


def denials(names: Names, *, hardened: bool) -> list[aws_iam.PolicyStatement]:
    """Return the statements for the bucket's policy."""
    return [
        # The role has no such right; this holds also for a role that somebody gave more.
        _denial(
            "NoJobTouchesDefinitionsOrVerdicts",
            "ArnEquals",
            names.pipeline_role_arn,
            objects=[f"{names.bucket_arn}/{prefix}*" for prefix in (DEFINITIONS, VERDICTS)],
            actions=["s3:*"],
        ),
        # A verdict says what ran; a forged or hidden one would have it run again, or deny that it did.
        everybody_but(
            names.function_role_arn,
            "OnlyTheFunctionWritesVerdicts",
            objects=[f"{names.bucket_arn}/{VERDICTS}*"],
            not_actions=[*READING, _FOR_GOOD],
        ),
        *(_hardened(names) if hardened else []),
    ]


def _hardened(names: Names) -> list[aws_iam.PolicyStatement]:
    return [
        # However it is made, changed, tagged, restored, replicated or hidden: all but reading. Deleting a
        # parameters.json, which leaves a marker and every version, changes what the next upload runs with.
        everybody_but(
            names.uploader_role_arn,
            "OnlyTheUploaderWritesDefinitions",
            objects=[f"{names.bucket_arn}/{DEFINITIONS}*"],
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
    return _denial(sid, "ArnNotEquals", role_arn, objects=objects, actions=actions, not_actions=not_actions)


def _denial(
    sid: str,
    operator: str,
    role_arn: str,
    *,
    objects: Sequence[str],
    actions: Sequence[str] | None = None,
    not_actions: Sequence[str] | None = None,
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.StarPrincipal()],
        actions=actions,
        not_actions=not_actions,
        resources=[filled(each) for each in objects],
        conditions={operator: {"aws:PrincipalArn": filled(role_arn)}},
    )
