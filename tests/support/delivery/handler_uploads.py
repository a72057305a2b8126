"""Uploads to test the handler with: a versioned bucket and the fake SageMaker behind its own clients."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import pytest
from botocore.config import Config
from moto import mock_aws

from tests.support.services.fake_sagemaker import FakeSageMaker
from upload_trigger import handler
from upload_trigger.delivery import Clients

BUCKET = "cv-birds-123456789012"
KEY = "pipeline/pipeline.json"
HANDLERS_CONFIG = handler.CLIENT_CONFIG
ROLE = "arn:aws:iam::123456789012:role/cv-birds-pipeline"
ENVIRONMENT = {
    "PIPELINE_NAME": "cv-birds",
    "PIPELINE_ROLE_ARN": ROLE,
    "PIPELINE_PARAMETERS": json.dumps({"ExecutionRoleArn": ROLE, "ArtifactBucket": BUCKET}),
    "PIPELINE_PARAMETER_DEFAULTS": json.dumps({"InputDataUrl": f"s3://{BUCKET}/data/"}),
    "DEPLOYMENT_POLICY": "{}",
    "ON_RUNNING": "parallel",
}
_SEQUENCE = itertools.count(0x61E8)


def definition(message: str = "stop", parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    step = {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    return {"Version": "2020-12-01", "Parameters": parameters or [], "Steps": [step]}


@dataclass
class HandlerBench:
    """A versioned bucket, the fake SageMaker, and the handler between them."""

    s3: Any
    sagemaker: FakeSageMaker

    def put(self, document: Any, key: str = KEY) -> dict[str, Any]:
        """Upload and give the record that S3 would send."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["VersionId"]
        return record(key, version)

    def verdict(self, upload: dict[str, Any]) -> dict[str, Any]:
        """Read the verdict that an upload was given."""
        entry = upload["s3"]["object"]
        key = f"verdicts/{unquote_plus(entry['key'])}/{entry['versionId']}.json"
        verdict: dict[str, Any] = json.loads(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        return verdict

    def verdicts(self) -> list[str]:
        """Return the keys of all verdicts."""
        page = self.s3.list_objects_v2(Bucket=BUCKET, Prefix="verdicts/")
        return [entry["Key"] for entry in page.get("Contents", [])]


def record(key: str, version: str | None, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    entry = {"key": quote_plus(key, safe="/"), "sequencer": f"{next(_SEQUENCE):06X}", "size": 1}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {"bucket": {"name": BUCKET}, "object": entry | ({"versionId": version} if version else {})},
    }


def reconcile(minimum_age: int = 0, *, failed: bool = False) -> list[dict[str, Any]]:
    given = {"minimumAgeSeconds": minimum_age, "failed": failed}
    return handler.handler({"reconcile": given}, None)


def handle(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return handler.handler({"Records": list(records)}, None)


@pytest.fixture(scope="module")
def services() -> Iterator[Clients]:
    """The handler's own clients, made once because that takes a second, but without retries."""
    credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in credentials.items():
            patch.setenv(name, value)
        patch.setattr(handler, "CLIENT_CONFIG", handler.CLIENT_CONFIG.merge(once))
        handler.clients.cache_clear()
        made = handler.clients()
        made.s3.create_bucket(Bucket=BUCKET)
        made.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield made
    handler.clients.cache_clear()


@pytest.fixture
def bench(services: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerBench]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for version in services.s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
        services.s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    sagemaker = FakeSageMaker()
    sagemaker.attach(services.sagemaker)
    yield HandlerBench(services.s3, sagemaker)
    sagemaker.detach(services.sagemaker)
