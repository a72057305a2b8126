"""Service Quotas and ECR of an account in memory, behind real boto3 clients.

As on AWS, quotas come by the page, what counts for the account apart from AWS's defaults, and an image that
is not there is an error of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from botocore.validate import ParamValidator

from tests.support.definitions.policy_cases import IMAGE
from tests.support.services.fake_execution import client_of
from tests.support.services.service_answers import FakeServiceError

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
ENOUGH = {
    "ml.c5.4xlarge for training job usage": 1.0,
    "ml.c5.4xlarge for spot training job usage": 1.0,
    "ml.m5.xlarge for processing job usage": 2.0,
}
"""What the shipped definition needs."""
OF_A_PAGE = 2


class ScriptedAccount:
    """Answers for its quotas and images; `denied` are the operations that AWS refuses."""

    def __init__(self) -> None:
        self.quotas: dict[str, float] = {"ml.p4d.24xlarge for endpoint usage": 0.0, **ENOUGH}
        self.defaults: dict[str, float] = {}
        self.images: dict[str, str | None] = {IMAGE: DOCKER}
        """The media type of each image's manifest by its URI."""
        self.denied: set[str] = set()
        self.calls: list[str] = []

    def client(self, service: str) -> Any:
        client = client_of(service)
        client.meta.events.register_first(f"before-call.{service}", self._answer)
        return client

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        self.calls.append(model.name)
        try:
            if model.name in self.denied:
                raise FakeServiceError("AccessDeniedException", "not authorized")
            body: dict[str, Any] = getattr(self, f"_{model.name}")(json.loads(params["body"]))
        except FakeServiceError as error:
            refusal = {"Error": {"Code": error.code, "Message": error.message}}
            return SimpleNamespace(status_code=400), _with_status(refusal, 400)
        report = ParamValidator().validate(body, model.output_shape)
        assert not report.has_errors(), report.generate_report()
        return SimpleNamespace(status_code=200), _with_status(body, 200)

    def _ListServiceQuotas(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return _page(self.quotas, request)

    def _ListAWSDefaultServiceQuotas(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return _page(self.defaults, request)

    def _DescribeImages(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        (wanted,) = request["imageIds"]
        at = f"@{wanted['imageDigest']}" if "imageDigest" in wanted else f":{wanted['imageTag']}"
        registry = f"{request['registryId']}.dkr.ecr.us-east-1.amazonaws.com"
        uri = f"{registry}/{request['repositoryName']}{at}"
        if uri not in self.images:
            raise FakeServiceError("ImageNotFoundException", f"no {uri}")
        media_type = self.images[uri]
        return {"imageDetails": [{"imageManifestMediaType": media_type} if media_type else {}]}


def code_of(name: str) -> str:
    """Return the code of a quota, which only its listing tells."""
    return f"L-{sum(map(ord, name)):08X}"


def _page(quotas: Mapping[str, float], request: dict[str, Any]) -> dict[str, Any]:
    assert request["ServiceCode"] == "sagemaker"
    assert request["MaxResults"] == 100
    first = int(request.get("NextToken", 0))
    listed = list(quotas.items())
    page: dict[str, Any] = {
        "Quotas": [
            {"QuotaName": name, "QuotaCode": code_of(name), "Value": value}
            for name, value in listed[first : first + OF_A_PAGE]
        ]
    }
    return page | ({"NextToken": str(first + OF_A_PAGE)} if first + OF_A_PAGE < len(listed) else {})


def _with_status(body: dict[str, Any], status: int) -> dict[str, Any]:
    return {**body, "ResponseMetadata": {"HTTPStatusCode": status}}
