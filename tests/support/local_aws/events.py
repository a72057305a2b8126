"""Buckets of tests that notify functions of local AWS, whose events end in a queue for the test to read."""

import json
import time
from dataclasses import dataclass
from typing import Any

from local.aws import LocalAWS
from tests.support.local_aws.functions import EVERYTHING, make_function

TELLS = """
import json
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=json.dumps(event))
"""
"""Sends each event to a queue."""


@dataclass
class NotifiedQueue:
    """A bucket that notifies a function, which tells a queue."""

    aws: LocalAWS
    bucket: str
    function_arn: str
    queue_url: str

    def put(self, key: str, body: bytes = b"{}") -> Any:
        return self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)

    def records(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait for so many S3 records, and a little for more than these."""
        found: list[dict[str, Any]] = []
        sqs = self.aws.client("sqs")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
                found += json.loads(message["Body"])["Records"]
            if len(found) >= count:
                deadline = min(deadline, time.monotonic() + 0.5)
            time.sleep(0.05)
        assert len(found) == count, f"{len(found)} records instead of {count}"
        return found


def make_trigger(aws: LocalAWS, name: str, source: str = TELLS, **filters: str) -> NotifiedQueue:
    """Make bucket, function and queue, and let the bucket notify the function."""
    url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    arn = make_function(aws, name, source, EVERYTHING, environment={"QUEUE_URL": url}, Timeout=20)
    bucket = f"definitions-{name}"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    allow(aws, name, bucket)
    notify(aws, bucket, arn, **filters)
    return NotifiedQueue(aws, bucket, arn, url)


def allow(aws: LocalAWS, name: str, bucket: str, account: str = "123456789012") -> None:
    """Let S3 invoke a function for a bucket."""
    aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
        SourceAccount=account,
    )


def notify(aws: LocalAWS, bucket: str, arn: str, **filters: str) -> None:
    """Let a bucket notify a function of objects whose keys have a prefix and a suffix."""
    rules = [{"Name": key, "Value": value} for key, value in filters.items()]
    configuration: dict[str, Any] = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    if rules:
        configuration["Filter"] = {"Key": {"FilterRules": rules}}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
