"""Remove a deployment: end what runs, empty what goes, delete the stack.

    remove(session, inventory.read(session, "cv-birds"), data=False, tell=print)

The versions of definitions and verdicts go as the break-glass role, everything else as whoever runs it.
Everything is looked up afresh each round, so a run that was interrupted is finished by the next one, and what
an upload starts meanwhile is caught by the round after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from ops.aws import roles
from ops.aws.session import ClientFactory, poll_seconds
from ops.destroy import inventory
from ops.destroy.inventory import Inventory, PackageGroup, StoredBucket
from ops.errors import DestroyError, error_code
from ops.executions.execution import RUNNING

Tell = Callable[[str], None]
Become = Callable[[str], ClientFactory]
"""Return the clients of a role, by its ARN."""

ROUNDS = 4
STOP_SECONDS = 30 * 60
"""A job has two minutes after it was asked to stop, and then uploads what it has."""
STACK_SECONDS = 30 * 60
KEY_DAYS = 30
"""The longest that KMS lets one think again: what a key encrypted, elsewhere as well, goes with it."""
_BATCH = 1000  # what one DeleteObjects takes


def remove(
    session: ClientFactory, held: Inventory, *, data: bool, tell: Tell, become: Become | None = None
) -> Inventory:
    """Remove what `held` says, with `data` also what the stack would keep; return what is left.

    `become` returns the clients of the break-glass role, by default those of whoever may simply assume it.

    Raises:
        DestroyError: Something does not end or cannot be deleted; running it again goes on from there.
        RoleRefusedError: The break-glass role is needed and refused; nothing was removed then.
    """
    data, become = data or not held.keeps, become or partial(roles.assume, session)
    for _ in range(ROUNDS):
        to_delete = held.to_delete(data=data)
        if to_delete.nothing:
            return held
        failures = _remove(session, to_delete, tell, _break_glass(to_delete, become, tell))
        held = inventory.read(session, held.stack)
        if failures and not held.to_delete(data=data).refilled:
            raise DestroyError("\n  ".join([f"stack {held.stack} was not deleted:", *failures]))
    raise DestroyError(
        f"{held.stack} is still there after {ROUNDS} rounds: somebody keeps uploading to it. "
        "Let them stop, and run it again."
    )


def _break_glass(to_delete: Inventory, become: Become, tell: Tell) -> ClientFactory | None:
    """Become the break-glass role before anything goes, if it is needed."""
    if not to_delete.break_glass or not to_delete.guarded:
        return None
    glass = become(to_delete.break_glass)
    tell(f"Deleting definitions and verdicts as {to_delete.break_glass}")
    return glass


def _remove(
    session: ClientFactory, to_delete: Inventory, tell: Tell, glass: ClientFactory | None
) -> list[str]:
    """Remove all of it once; return why the stack was not deleted, if it was not."""
    sagemaker = session.client("sagemaker")
    _stop(sagemaker, to_delete, tell)
    for name in to_delete.pipelines:
        _tolerant(sagemaker.delete_pipeline, PipelineName=name)
        tell(f"Deleted pipeline {name} and the record of its executions")
    for group in to_delete.groups:
        _delete_packages(sagemaker, group, tell)
    for bucket in to_delete.buckets:
        if glass and bucket.guarded:
            for prefix in inventory.GUARDED:
                _empty(glass.client("s3"), bucket, tell, prefix)
        _empty(session.client("s3"), bucket, tell)
    if to_delete.stack_id:
        return _delete_stack(session.client("cloudformation"), to_delete, tell)
    for group in to_delete.groups:
        sagemaker.delete_model_package_group(ModelPackageGroupName=group.name)
        tell(f"Deleted model package group {group.name}")
    for each in to_delete.repositories:
        _tolerant(session.client("ecr").delete_repository, repositoryName=each.name, force=True)
        tell(f"Deleted image repository {each.name}")
    # Before the bucket, which is what the key is known by; it is empty by now.
    for arn in to_delete.keys:
        session.client("kms").schedule_key_deletion(KeyId=arn, PendingWindowInDays=KEY_DAYS)
        tell(f"Key {arn} is deleted in {KEY_DAYS} days; aws kms cancel-key-deletion takes it back till then")
    for bucket in to_delete.buckets:
        _tolerant(session.client("s3").delete_bucket, Bucket=bucket.name)
        tell(f"Deleted bucket {bucket.name}")
    return []


def _stop(sagemaker: Any, to_delete: Inventory, tell: Tell) -> None:
    """Stop what runs and wait for its end: until then jobs write to the bucket, as the stack's role."""
    for arn in to_delete.running:
        # One that is stopping, or has ended since we looked, cannot be stopped.
        _tolerant(sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn)
        tell(f"Stopping {arn}")
    left, deadline = list(to_delete.running), time.monotonic() + STOP_SECONDS
    while left := [arn for arn in left if _runs(sagemaker, arn)]:
        if time.monotonic() > deadline:
            raise DestroyError(f"still stopping after {STOP_SECONDS // 60} minutes: {', '.join(left)}")
        time.sleep(poll_seconds(sagemaker))


def _runs(sagemaker: Any, arn: str) -> bool:
    answer = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return answer["PipelineExecutionStatus"] in RUNNING


def _delete_packages(sagemaker: Any, group: PackageGroup, tell: Tell) -> None:
    for arn in group.arns:
        sagemaker.delete_model_package(ModelPackageName=arn)
    if group.arns:
        tell(f"Deleted {len(group.arns)} model packages of {group.name}")


def _empty(s3: Any, bucket: StoredBucket, tell: Tell, prefix: str = "") -> None:
    deleted = 0
    for page in inventory.versions(s3, bucket.name, prefix):
        keys = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in page]
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            answer = s3.delete_objects(Bucket=bucket.name, Delete={"Objects": batch, "Quiet": True})
            for refused in answer.get("Errors", [])[:1]:
                raise DestroyError(
                    f"s3://{bucket.name}/{refused['Key']} was not deleted: {refused['Code']} "
                    f"({refused.get('Message', 'no reason given')})"
                )
            deleted += len(batch)
    if deleted:
        tell(f"Deleted {deleted} object versions of {bucket.name}{'/' if prefix else ''}{prefix}")


def _delete_stack(cloudformation: Any, to_delete: Inventory, tell: Tell) -> list[str]:
    """Delete the stack and wait; return what failed, such as a bucket that was written to meanwhile."""
    tell(f"Deleting stack {to_delete.stack}")
    cloudformation.delete_stack(StackName=to_delete.stack_id)
    deadline = time.monotonic() + STACK_SECONDS
    while True:
        status = cloudformation.describe_stacks(StackName=to_delete.stack_id)["Stacks"][0]["StackStatus"]
        if status == "DELETE_COMPLETE":
            tell(f"Deleted stack {to_delete.stack}")
            return []
        if status == "DELETE_FAILED":
            return _failures(cloudformation, str(to_delete.stack_id))
        if time.monotonic() > deadline:
            raise DestroyError(f"stack {to_delete.stack} is {status} after {STACK_SECONDS // 60} minutes")
        time.sleep(poll_seconds(cloudformation))


def _failures(cloudformation: Any, stack_id: str) -> list[str]:
    """Say what failed in the last deletion; the events come newest first."""
    failures: list[str] = []
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:
            if event.get("ResourceStatusReason") == "User Initiated":
                return failures
            if event["ResourceStatus"] == "DELETE_FAILED" and event.get("PhysicalResourceId") != stack_id:
                reason = event.get("ResourceStatusReason", "no reason given")
                failures.append(f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}")
    return failures


def _tolerant(operation: Callable[..., Any], **request: Any) -> None:
    """Call it; what the next look settles (gone meanwhile, in use again) is no failure of ours."""
    try:
        operation(**request)
    except ClientError as error:
        if error_code(error) not in {
            "ConflictException",
            "BucketNotEmpty",
            "NoSuchBucket",
            "RepositoryNotFoundException",
            "ResourceNotFound",
        }:
            raise
