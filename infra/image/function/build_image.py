"""Tell CloudFormation the digest of the training image: of the one that is there already, or of a new build.

Two events come here. CloudFormation asks for the image of a tag, which is a hash of its source; when it is
not in the repository, a build is started with the question in its environment. When the build has ended,
however it did, EventBridge says so, and the question is answered. So nothing waits: a build may take longer
than a function may run, and one that was stopped, timed out or never got a machine is answered for as well.

Images are never deleted here: model packages and an earlier version of the stack point at them.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

QUESTION = "CLOUDFORMATION_REQUEST"
"""The environment variable of a build that holds CloudFormation's question."""
_KEPT = ("ResponseURL", "StackId", "RequestId", "LogicalResourceId", "ResourceProperties")
MAX_REASON = 1500
"""CloudFormation takes answers of 4096 bytes."""


def handler(event: Mapping[str, Any], _: object = None) -> None:
    """Answer CloudFormation, or start the build whose end will be the answer."""
    if event.get("source") == "aws.codebuild":
        _build_ended(event["detail"])
    elif event["RequestType"] == "Delete":
        _succeed(event, event["PhysicalResourceId"], {})
    else:
        _find_or_build(event)


def _find_or_build(question: Mapping[str, Any]) -> None:
    try:
        if digest := _digest(_tag(question)):
            _succeed(question, _tag(question), {"ImageDigest": digest})
        else:
            _start(question)
    except (BotoCoreError, ClientError) as error:
        # Without an answer CloudFormation would wait for an hour.
        _fail(question, f"The build of the training image cannot be started: {str(error)[:MAX_REASON]}")


def _start(question: Mapping[str, Any]) -> None:
    kept = {name: question[name] for name in _KEPT}
    boto3.client("codebuild").start_build(
        projectName=os.environ["PROJECT_NAME"],
        # Lambda may hand the same question over twice.
        idempotencyToken=question["RequestId"],
        environmentVariablesOverride=[{"name": QUESTION, "value": json.dumps(kept), "type": "PLAINTEXT"}],
    )


def _build_ended(detail: Mapping[str, Any]) -> None:
    more = detail["additional-information"]
    variables = {each["name"]: each["value"] for each in more["environment"]["environment-variables"]}
    if QUESTION not in variables:
        return  # A person started it; nobody waits.
    question = json.loads(variables[QUESTION])
    # What counts is the image: two builds of a tag may have raced, and its tag cannot be moved.
    if digest := _digest(_tag(question)):
        _succeed(question, _tag(question), {"ImageDigest": digest})
    else:
        build = detail["build-id"].rpartition("/")[2]
        log = more["logs"].get("deep-link")
        _fail(question, f"The build {build} of the training image {_how(detail)[:MAX_REASON]}. Log: {log}")


def _how(detail: Mapping[str, Any]) -> str:
    """Say how a build ended, with what CodeBuild says about the phase that failed."""
    said = [
        f"{phase['phase-type']}: {' '.join(phase.get('phase-context', ()))}"
        for phase in detail["additional-information"].get("phases", ())
        if phase.get("phase-status", "SUCCEEDED") != "SUCCEEDED"
    ]
    return "; ".join([f"ended as {detail['build-status']}", *said])


def _tag(question: Mapping[str, Any]) -> str:
    return str(question["ResourceProperties"]["ImageTag"])


def _digest(tag: str) -> str | None:
    """Return the digest of the image with that tag, None when there is none."""
    ecr = boto3.client("ecr")
    try:
        found = ecr.describe_images(
            repositoryName=os.environ["REPOSITORY_NAME"], imageIds=[{"imageTag": tag}]
        )
    except ecr.exceptions.ImageNotFoundException:
        return None
    return str(found["imageDetails"][0]["imageDigest"])


def _succeed(question: Mapping[str, Any], physical_id: str, data: Mapping[str, str]) -> None:
    _answer(question, Status="SUCCESS", PhysicalResourceId=physical_id, Data=data)


def _fail(question: Mapping[str, Any], reason: str) -> None:
    _answer(question, Status="FAILED", PhysicalResourceId=_tag(question), Reason=reason)


def _answer(question: Mapping[str, Any], **answer: object) -> None:
    print(json.dumps({"RequestId": question["RequestId"], **answer}))
    body = {**answer, **{name: question[name] for name in ("StackId", "RequestId", "LogicalResourceId")}}
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own address
        question["ResponseURL"],
        data=json.dumps(body).encode(),
        method="PUT",
        # The address is signed for no type of content.
        headers={"Content-Type": ""},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass
