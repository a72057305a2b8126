"""Functions of tests on local AWS: made with boto3, as anybody would."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.aws import LocalAWS

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def make_role(aws: LocalAWS, name: str, *statements: Mapping[str, Any], trust: Any = TRUST) -> str:
    """Return the ARN of a new role with these statements."""
    iam = aws.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=json.dumps(policy))
    return arn


def make_function(
    aws: LocalAWS,
    name: str,
    source: str,
    *statements: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    **configuration: Any,
) -> str:
    """Return the ARN of a new function whose role has these statements."""
    arn: str = aws.client("lambda").create_function(
        FunctionName=name,
        Role=make_role(aws, name, *statements),
        Runtime="python3.13",
        Handler="index.handler",
        Code={"ZipFile": zipped(source)},
        Environment={"Variables": dict(environment or {})},
        **configuration,
    )["FunctionArn"]
    return arn


def zipped(source: str) -> bytes:
    """Return a zip with `source` as index.py."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", source)
    return buffer.getvalue()


def call(aws: LocalAWS, name: str, event: Any = None) -> Any:
    """Return what a function returns for `event`; its error when it fails."""
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return json.loads(answer["Payload"].read())


def log_of(aws: LocalAWS, name: str) -> list[str]:
    """Return the lines that a function has logged so far."""
    logs = aws.client("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
    if not groups:
        return []
    found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"].rstrip("\n") for event in found]


def eventually(check: Callable[[], Any], seconds: float = 10) -> Any:
    """Return what `check` returns once it is true, or what it last was after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def messages(aws: LocalAWS, queue_url: str, seconds: int = 2) -> Sequence[str]:
    """Return the bodies of what is in a queue, waiting for the first."""
    answer = aws.client("sqs").receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds
    )
    return [message["Body"] for message in answer.get("Messages", [])]
