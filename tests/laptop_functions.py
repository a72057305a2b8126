"""Functions for tests of the laptop's Lambda: makes, calls and reads them."""

import functools
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.aws import LocalAWS

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
LOGGING = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
SENDING = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}


@functools.cache
def client(aws: LocalAWS, service: str) -> Any:
    return aws.client(service)


def make_role(aws: LocalAWS, name: str, *statements: dict[str, Any]) -> str:
    iam = client(aws, "iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
    return str(role["Role"]["Arn"])


def zipped(source: str, name: str = "index.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, source)
    return buffer.getvalue()


Make = Callable[..., str]


def make_function(
    aws: LocalAWS, source: str, *, statements: tuple[dict[str, Any], ...] = (LOGGING,), **options: Any
) -> str:
    """Make a function from source text; gives its name."""
    name = f"f-{time.monotonic_ns()}"
    role = make_role(aws, f"role-{name}", *statements)
    settings = {"Runtime": "python3.13", "Handler": "index.handler", "Timeout": 10, **options}
    client(aws, "lambda").create_function(
        FunctionName=name, Role=role, Code={"ZipFile": zipped(source)}, **settings
    )
    return name


def call(aws: LocalAWS, name: str, event: object = None, **options: Any) -> tuple[Any, dict[str, Any]]:
    answer = client(aws, "lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)
    body = answer["Payload"].read()
    return (json.loads(body) if body else None), answer


def log_of(aws: LocalAWS, name: str) -> list[str]:
    found = client(aws, "logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"] for event in found]


def queue(aws: LocalAWS, name: str) -> tuple[str, str]:
    sqs = client(aws, "sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(aws: LocalAWS, url: str, seconds: float = 20) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for message in client(aws, "sqs").receive_message(QueueUrl=url).get("Messages", []):
            record: dict[str, Any] = json.loads(message["Body"])
            return record
        time.sleep(0.1)
    raise AssertionError(f"nothing arrived in {url}")


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
