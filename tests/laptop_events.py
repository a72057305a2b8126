"""Buckets that notify functions of the laptop, whose events end in a queue where a test can read them."""

import io
import json
import time
import zipfile
from dataclasses import dataclass
from typing import Any

from local.aws import LocalAWS

BUCKET = "definitions"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["logs:*", "sqs:*"], "Resource": "*"}],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@dataclass
class Trigger:
    """A bucket that notifies a function, whose events end in a queue."""

    aws: LocalAWS
    bucket: str
    function_arn: str
    queue_url: str

    def put(self, key: str, body: bytes = b"{}") -> Any:
        return self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)

    def records(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait for so many S3 records, and a little for more than these."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.aws.client("sqs").receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.aws.client("sqs").delete_message(
                    QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                found += json.loads(message["Body"])["requestPayload"]["Records"]
            if len(found) >= count:
                deadline = min(deadline, time.monotonic() + 0.3)
            time.sleep(0.05)
        assert len(found) == count, f"{len(found)} records instead of {count}"
        return found


def make_function(aws: LocalAWS, name: str, source: str) -> tuple[str, str]:
    """Make a function whose results and failures end in a queue; gives ARN and queue URL."""
    iam, client, sqs = aws.client("iam"), aws.client("lambda"), aws.client("sqs")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(POLICY))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", source)
    arn = client.create_function(
        FunctionName=name,
        Role=role,
        Handler="index.handler",
        Runtime="python3.13",
        Timeout=20,
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    destination = {"Destination": f"arn:aws:sqs:us-east-1:{aws.account}:{name}"}
    client.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": destination, "OnFailure": destination}
    )
    return arn, url


def make_trigger(aws: LocalAWS, name: str, source: str, **filters: str) -> Trigger:
    arn, url = make_function(aws, name, source)
    bucket = f"{BUCKET}-{name}"
    aws.client("s3").create_bucket(Bucket=bucket)
    aws.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    allow(aws, name, bucket)
    notify(aws, bucket, arn, **filters)
    return Trigger(aws, bucket, arn, url)


def allow(aws: LocalAWS, name: str, bucket: str, account: str = "123456789012") -> None:
    aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
        SourceAccount=account,
    )


def notify(aws: LocalAWS, bucket: str, arn: str, **filters: str) -> None:
    rules = [{"Name": key, "Value": value} for key, value in filters.items()]
    configuration: dict[str, Any] = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    if rules:
        configuration["Filter"] = {"Key": {"FilterRules": rules}}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
