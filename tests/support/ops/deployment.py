"""A deployed stack to try the commands on: moto's S3, SQS and CloudFormation, and the fake SageMaker.

The function is the real handler, invoked in this process. An upload's event is delivered as soon as it is
uploaded, unless a test holds it back; a delivery that fails leaves the message that Lambda would leave.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from ops import __main__ as cli
from tests.support.definitions.policy_cases import IMAGE
from tests.support.delivery.handler_uploads import BUCKET, ENVIRONMENT, KEY, definition, record
from tests.support.local_aws.functions import TRUST
from tests.support.services.fake_account import ScriptedAccount
from tests.support.services.fake_execution import client_of
from tests.support.services.fake_sagemaker import FakeSageMaker, FakeServiceError, Fault
from upload_trigger import handler
from upload_trigger.delivery import Clients
from upload_trigger.handler import StartError

FUNCTION = "cv-birds-start-execution"
ARN = f"arn:aws:lambda:us-east-1:123456789012:function:{FUNCTION}"
IMAGE_TOO = {
    "PIPELINE_PARAMETERS": json.dumps(
        {**json.loads(ENVIRONMENT["PIPELINE_PARAMETERS"]), "TrainingImageUri": IMAGE}
    )
}
PERMISSION = {
    "Sid": "upload",
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": ARN,
    "Condition": {"ArnLike": {"AWS:SourceArn": f"arn:aws:s3:::{BUCKET}"}},
}
NOTIFICATION = {
    "LambdaFunctionArn": ARN,
    "Events": ["s3:ObjectCreated:*"],
    "Filter": {
        "Key": {
            "FilterRules": [
                {"Name": "Prefix", "Value": "pipeline/"},
                {"Name": "Suffix", "Value": "pipeline.json"},
            ]
        }
    },
}
ONCE = Config(retries={"total_max_attempts": 1})
CODE = {"ZipFile": "def handler(event, context): pass"}
TEMPLATE = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "failures"}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": FUNCTION,
                "Code": CODE,
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        },
    },
    "Outputs": {
        "BucketName": {"Value": BUCKET},
        "PipelineName": {"Value": "cv-birds"},
        "FailureQueueUrl": {"Value": {"Ref": "Queue"}},
    },
}


@dataclass
class FakeLambda:
    """The part of Lambda's API that the commands use; `environment` is the deployed function's."""

    environment: dict[str, str] = field(default_factory=lambda: {**ENVIRONMENT, **IMAGE_TOO})
    state: dict[str, str] = field(default_factory=dict)
    """What Lambda says of it beside the usual."""
    statements: list[dict[str, Any]] = field(default_factory=lambda: [PERMISSION])
    """Who may invoke it."""
    events: list[dict[str, Any]] = field(default_factory=list)
    timeouts: int = 0
    """How many invocations run out of time before they settle anything more."""

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        assert FunctionName == FUNCTION
        return {
            "FunctionName": FUNCTION,
            "FunctionArn": ARN,
            "Role": "arn:aws:iam::123456789012:role/cv-birds-start-execution",
            "Runtime": "python3.13",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            **self.state,
            "Environment": {"Variables": self.environment},
        }

    def get_policy(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == FUNCTION
        if not self.statements:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetPolicy")
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": self.statements})}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == FUNCTION
        event = json.loads(Payload)
        self.events.append(event)
        answer: dict[str, Any] = {"StatusCode": 200}
        try:
            if self.timeouts:
                self.timeouts -= 1
                raise StartError("UnfinishedError: 3 uploads were settled, but not the rest")
            payload: Any = handler.handler(event, None)
        except StartError as error:
            payload = error_payload(error)
            answer["FunctionError"] = "Unhandled"
        return {**answer, "Payload": io.BytesIO(json.dumps(payload).encode())}


def error_payload(error: Exception) -> dict[str, Any]:
    return {"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": []}


@dataclass
class MotoDeployment:
    """What a person's commands meet."""

    s3: Any
    sqs: Any
    sagemaker: FakeSageMaker
    function: FakeLambda
    queue_url: str
    account: ScriptedAccount = field(default_factory=ScriptedAccount)
    """Its quotas and images."""
    notifications: list[dict[str, Any]] = field(default_factory=lambda: [dict(NOTIFICATION)])
    """Whom the bucket tells; moto would invoke a function of its own."""
    delivers: bool = True
    """Whether an upload's event is delivered at once."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By version id, what S3 notifies of."""

    def put(self, document: Any, key: str = KEY) -> str:
        """Upload as somebody else would, and give the version id."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return str(self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["VersionId"])

    def deliver(self, version_id: str) -> None:
        """Deliver the event of an upload as Lambda does."""
        event = {"Records": [self.records[version_id]]}
        try:
            handler.handler(event, None)
        except StartError as error:
            self.fail(event, error)

    def fail(self, event: Any, error: Exception) -> None:
        """Leave the message that Lambda leaves when it gives an event up."""
        message = {
            "version": "1.0",
            "requestContext": {"functionArn": f"{ARN}:$LATEST", "condition": "RetriesExhausted"},
            "requestPayload": event,
            "responsePayload": error_payload(error),
        }
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps(message))

    def uploaded(self, key: str = KEY) -> list[str]:
        """Return the version ids of a key, newest first."""
        page = self.s3.list_object_versions(Bucket=BUCKET, Prefix=key)
        return [each["VersionId"] for each in page.get("Versions", []) if each["Key"] == key]

    def queued(self) -> tuple[int, int]:
        """Count the messages that the next receiver would see, and those that are hidden from it."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return visible, hidden

    def throttle(self, times: int = 1) -> None:
        """Let calls of UpdatePipeline fail in a way that passes by itself."""
        error = FakeServiceError("ThrottlingException", "Rate exceeded")
        self.sagemaker.faults += [Fault("UpdatePipeline", error) for _ in range(times)]

    def deny(self) -> None:
        """Let the next UpdatePipeline fail in a way that somebody has to mend."""
        error = FakeServiceError("AccessDeniedException", "not authorized to perform: iam:PassRole")
        self.sagemaker.faults.append(Fault("UpdatePipeline", error))

    def _notifications(self, **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        listed = {"LambdaFunctionConfigurations": self.notifications} if self.notifications else {}
        return SimpleNamespace(status_code=200), {**listed, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _notify(self, **_: Any) -> None:
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix="pipeline/"):
            for each in page.get("Versions", []):
                version_id = each["VersionId"]
                if each["Key"].endswith("pipeline.json") and version_id not in self.records:
                    self.records[version_id] = record(each["Key"], version_id)
                    if self.delivers:
                        self.deliver(version_id)


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[MotoDeployment]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    for name, value in {**ENVIRONMENT, **IMAGE_TOO}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        cloudformation = client_of("cloudformation")
        cloudformation.create_stack(
            StackName="cv-birds", TemplateBody=json.dumps(TEMPLATE), Capabilities=["CAPABILITY_IAM"]
        )
        outputs = cloudformation.describe_stacks(StackName="cv-birds")["Stacks"][0]["Outputs"]
        queue_url = next(each["OutputValue"] for each in outputs if each["OutputKey"] == "FailureQueueUrl")
        sagemaker, model = FakeSageMaker(), client_of("sagemaker", ONCE)
        sagemaker.attach(model)
        s3, sqs = client_of("s3"), client_of("sqs")
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        deployed = MotoDeployment(s3, sqs, sagemaker, FakeLambda(), queue_url)
        clients = {
            "s3": s3,
            "sqs": sqs,
            "cloudformation": cloudformation,
            "sagemaker": model,
            "lambda": deployed.function,
            **{service: deployed.account.client(service) for service in ("ecr", "service-quotas")},
            **{service: client_of(service) for service in ("iam", "kms", "sts")},
        }
        s3.meta.events.register_first(
            "before-call.s3.GetBucketNotificationConfiguration", deployed._notifications
        )
        monkeypatch.setattr(cli.Session, "client", lambda self, service: clients[service])
        monkeypatch.setattr(handler, "clients", lambda: Clients(s3, model))
        monkeypatch.setattr("ops.uploads.redrive.WAIT_SECONDS", 0)
        monkeypatch.setattr("ops.uploads.failures.WAIT_SECONDS", 0)
        for operation in ("PutObject", "CopyObject"):
            s3.meta.events.register(f"after-call.s3.{operation}", deployed._notify)
        yield deployed


__all__ = ["BUCKET", "ENVIRONMENT", "FUNCTION", "KEY", "MotoDeployment", "definition", "deployment"]
