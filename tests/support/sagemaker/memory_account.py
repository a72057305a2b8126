"""The AWS around SageMaker in memory, for tests of the service and of its jobs without a server.

Everything is allowed but the actions in `FakeHost.denied`. The SageMaker client calls the service at once;
its answers are checked against botocore's model.
"""

from __future__ import annotations

import functools
import io
import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, NoReturn

from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.validate import ParamValidator

from local.engine.host import AccessDeniedError
from local.sagemaker.errors import ServiceError
from local.sagemaker.requests import service_model
from local.sagemaker.service import SageMaker
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.toy_jobs import BUCKET, ROLE, SETTINGS


class FakeHost:
    """A `Host` whose services are a few dictionaries."""

    endpoint_url = "http://localhost:1"
    region = "us-east-1"
    account = "123456789012"

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.denied: set[str] = set()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.metrics: list[dict[str, Any]] = []
        self.clients: dict[str, Any] = {
            "cloudwatch": _CloudWatch(self),
            "ec2": _EC2(),
            "logs": _Logs(self),
            "s3": _S3(self),
        }

    def client(self, service: str, role_arn: str | None = None) -> Any:
        return self.clients[service]

    def role_environment(self, role_arn: str, session_name: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": session_name,
        }

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str | list[str]] | None = None
    ) -> None:
        if action in self.denied:
            raise AccessDeniedError(
                f"User: {role_arn} is not authorized to perform: {action} on resource: {resource}"
            )

    def check_trust(self, role_arn: str, service: str, source_arn: str) -> None:
        if role_arn != ROLE:
            raise AccessDeniedError(
                f"User: {service} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
            )

    def role_of(self, access_key_id: str) -> str | None:
        return None

    def put_event(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
    ) -> None:
        self.events.append((detail_type, json.loads(json.dumps(detail))))

    def refuse(self, operation: str, action: str, resource: str) -> None:
        """Raise what a client of this service would when its action is denied."""
        try:
            self.authorize(ROLE, action, resource)
        except AccessDeniedError as error:
            _raise(operation, "AccessDenied", str(error), 403)


@contextmanager
def open_memory_account(work_dir: Path, **settings: Any) -> Iterator[ToyAccount]:
    """Open SageMaker in memory with a bucket and the role `job`; `settings` are its jobs'."""
    host = FakeHost(work_dir)
    service = SageMaker(host, replace(SETTINGS, **settings))
    host.clients["sagemaker"] = SageMakerClient(service)
    try:
        yield ToyAccount(host, host.clients["s3"], host.clients["sagemaker"])
    finally:
        service.close()


class SageMakerClient:
    """boto3's client as far as these tests use it: operations, paginators, errors."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self, service: SageMaker) -> None:
        self.service = service

    def __getattr__(self, name: str) -> Any:
        operation = _operations()[name]
        tokens = service_model().operation_model(operation).idempotent_members

        def call(**request: Any) -> dict[str, Any]:
            request = {**{token: str(uuid.uuid4()) for token in tokens}, **request}
            try:
                answer = self.service.answer(operation, request, "key")
            except ServiceError as error:
                _raise(operation, error.code, error.message, error.status)
            _check_answer(operation, answer)
            return answer

        return call

    def get_paginator(self, name: str) -> Any:
        def paginate(**request: Any) -> Iterator[dict[str, Any]]:
            token: dict[str, Any] = {}
            while True:
                page = getattr(self, name)(**request, **token)
                yield page
                if "NextToken" not in page:
                    return
                token = {"NextToken": page["NextToken"]}

        return SimpleNamespace(paginate=paginate)

    def close(self) -> None:
        """Do nothing: there is no connection."""


@functools.cache
def _operations() -> dict[str, str]:
    return {xform_name(operation): operation for operation in service_model().operation_names}


def _check_answer(operation: str, answer: Mapping[str, Any]) -> None:
    shape = service_model().operation_model(operation).output_shape
    if shape is None:
        assert not answer, operation
        return
    report = ParamValidator().validate(answer, shape).generate_report()
    # What real answers leave out as well, such as ModelPackageName of a version.
    wrong = [line for line in report.splitlines() if not line.startswith("Missing required parameter")]
    assert not wrong, f"{operation}: {wrong}"


def _raise(operation: str, code: str, message: str, status: int = 400) -> NoReturn:
    details = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    raise ClientError(details, operation)


class _Service:
    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def close(self) -> None:
        """Do nothing: there is no connection."""


class _S3(_Service):
    """One bucket."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host)
        self._objects: dict[str, bytes] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes | str | BinaryIO, **_: Any) -> None:  # noqa: N803
        self._host.refuse("PutObject", "s3:PutObject", f"arn:aws:s3:::{Bucket}/{Key}")
        self._check(Bucket)
        body = Body if isinstance(Body, bytes | str) else Body.read()
        self._objects[Key] = body.encode() if isinstance(body, str) else body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._host.refuse("GetObject", "s3:GetObject", f"arn:aws:s3:::{Bucket}/{Key}")
        self._check(Bucket)
        if Key not in self._objects:
            _raise("GetObject", "NoSuchKey", f"The key {Key} does not exist.", 404)
        body = self._objects[Key]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}

    def list_objects_v2(self, *, Bucket: str, Prefix: str = "") -> dict[str, Any]:  # noqa: N803
        self._check(Bucket)
        return {"Contents": [{"Key": key} for key in sorted(self._objects) if key.startswith(Prefix)]}

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda **request: [getattr(self, name)(**request)])

    def _check(self, bucket: str) -> None:
        if bucket != BUCKET:
            _raise("S3", "NoSuchBucket", f"The bucket {bucket} does not exist.", 404)


class _Logs(_Service):
    """Streams by group and name."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host)
        self.exceptions = SimpleNamespace(
            ResourceNotFoundException=_MissingStreamError, ResourceAlreadyExistsException=_TakenStreamError
        )
        self._lock = threading.Lock()
        self._groups: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def create_log_group(self, *, logGroupName: str) -> None:  # noqa: N803
        with self._lock:
            self._groups.setdefault(logGroupName, {})

    def create_log_stream(self, *, logGroupName: str, logStreamName: str) -> None:  # noqa: N803
        with self._lock:
            if logGroupName not in self._groups:
                raise _MissingStreamError({}, "CreateLogStream")
            if logStreamName in self._groups[logGroupName]:
                raise _TakenStreamError({}, "CreateLogStream")
            self._groups[logGroupName][logStreamName] = []

    def put_log_events(
        self,
        *,
        logGroupName: str,  # noqa: N803
        logStreamName: str,  # noqa: N803
        logEvents: list[dict[str, Any]],  # noqa: N803
    ) -> None:
        self._host.refuse("PutLogEvents", "logs:PutLogEvents", f"{logGroupName}:{logStreamName}")
        sizes = [len(event["message"].encode()) + 26 for event in logEvents]
        assert len(sizes) <= 10_000
        assert sum(sizes) <= 1_048_576
        assert max(sizes) <= 262_144
        self._groups[logGroupName][logStreamName] += logEvents

    def describe_log_streams(self, *, logGroupName: str, logStreamNamePrefix: str) -> dict[str, Any]:  # noqa: N803
        if logGroupName not in self._groups:
            raise _MissingStreamError({}, "DescribeLogStreams")
        names = sorted(n for n in self._groups[logGroupName] if n.startswith(logStreamNamePrefix))
        return {"logStreams": [{"logStreamName": name} for name in names]}

    def get_log_events(self, *, logGroupName: str, logStreamName: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"events": list(self._groups[logGroupName][logStreamName])}


class _MissingStreamError(ClientError):  # type: ignore[misc]
    pass


class _TakenStreamError(ClientError):  # type: ignore[misc]
    pass


class _CloudWatch(_Service):
    """Metrics as they were put."""

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        self._host.refuse("PutMetricData", "cloudwatch:PutMetricData", "*")
        assert len(MetricData) <= 1000
        self._host.metrics += [{"Namespace": Namespace, **datum} for datum in MetricData]


class _EC2:
    """Two networks with a subnet and a group each."""

    def describe_subnets(self) -> dict[str, Any]:
        return {"Subnets": [{"SubnetId": f"subnet-{n}", "VpcId": f"vpc-{n}"} for n in (1, 2)]}

    def describe_security_groups(self) -> dict[str, Any]:
        return {"SecurityGroups": [{"GroupId": f"sg-{n}", "VpcId": f"vpc-{n}"} for n in (1, 2)]}
