"""S3 event notifications: an upload becomes an event for a Lambda function, with its version.

moto invokes the function inside the PUT, in a bare except, with an event that lacks version and sequencer.
Here the PUT only queues the event; whether S3 may invoke the function is judged by the function's policy.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import secrets
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.s3 import notifications
from moto.s3.exceptions import InvalidArgumentError, NoSuchUpload
from moto.s3.models import FakeBucket, S3Backend

from local.aws.faults import EventFate, Faults
from local.aws.function_delivery import Delivery
from local.aws.function_policy import may_invoke
from local.aws.function_service import FunctionService
from local.aws.host import Host

logger = logging.getLogger(__name__)

PRINCIPAL = "s3.amazonaws.com"
_SERIAL = ("copy_object", "delete_object", "list_objects", "put_object")
"""S3 operations that are done one at a time: sequencers follow the versions, and lists are whole."""
_ORIGINALS: dict[str, Callable[..., Any]] = {}
ORDER = threading.RLock()
"""Held while S3 changes or lists objects."""
_COMPLETING = threading.local()
"""Whether this thread is completing a multipart upload."""
_SEQUENCE = itertools.count(time.time_ns())
_OVERTAKING_SECONDS = 1.0
"""How long after the event that overtook it one that was to be overtaken is sent."""


class S3Events:
    """The notifications of one host; `close` ends them."""

    current: S3Events | None = None

    def __init__(self, host: Host, faults: Faults | None) -> None:
        self._host, self._faults = host, faults
        self._overtaken: dict[str, Delivery] = {}
        """By function, the event that waits for the next one."""

    def close(self) -> None:
        """Send nothing more."""
        if S3Events.current is self:
            S3Events.current = None

    def send(self, body: Mapping[str, Any], function_arn: str) -> None:
        """Queue one event for a function; what hinders it is logged, for the PUT has succeeded."""
        record = body["Records"][0]
        try:
            function = _function(function_arn)
        except UnknownFunctionException:
            logger.error(
                "S3 cannot notify %s of %s: no such function", function_arn, record["s3"]["object"]["key"]
            )
            return
        bucket_arn = record["s3"]["bucket"]["arn"]
        if not may_invoke(function, PRINCIPAL, bucket_arn, self._host.account):
            logger.error(
                "S3 may not invoke %s for %s, the event is lost: give it an AWS::Lambda::Permission with the "
                "principal s3.amazonaws.com and this source",
                function_arn,
                bucket_arn,
            )
            return
        service = FunctionService.current
        if service is None:
            logger.error("the event for %s is lost: the laptop's Lambda is not running", function_arn)
            return
        self._post(service, function, body, self._faults.event(record) if self._faults else EventFate())

    def _post(
        self, service: FunctionService, function: Any, body: Mapping[str, Any], fate: EventFate
    ) -> None:
        text, deliveries = json.dumps(body).encode(), service.deliveries
        sent = [deliveries.accept(function, text, str(uuid.uuid4()), after=after) for after in fate.copies]
        # Inside a PUT, so one at a time (_SERIAL).
        if waiting := self._overtaken.pop(function.function_arn, None):
            deliveries.hasten(function, waiting, after=_OVERTAKING_SECONDS)
        if fate.overtaken:
            self._overtaken[function.function_arn] = sent[-1]


def _function(arn: str) -> Any:
    _, _, _, region, account, *_ = arn.split(":")
    return lambda_backends[account][region].get_function(arn)


def event(event_name: str, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
    """Describe an S3 event as S3 does; `key` is moto's object, in its very version."""
    item: dict[str, Any] = {
        # Like a form: unquote_plus gives the key back. S3 leaves the slashes alone.
        "key": urllib.parse.quote_plus(key.name, safe="/"),
        "size": key.size,
        "eTag": key.etag.strip('"'),
        "sequencer": _sequencer(key),
    }
    if bucket.is_versioned:
        item["versionId"] = key.version_id
    identity = {"principalId": f"AWS:{bucket.account_id}"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": _now(),
        "eventName": event_name.removeprefix("s3:"),
        "userIdentity": identity,
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": secrets.token_hex(8).upper(),
            "x-amz-id-2": secrets.token_urlsafe(48),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": bucket.account_id},
                "arn": bucket.arn,
            },
            "object": item,
        },
    }
    return {"Records": [record]}


def _sequencer(key: Any) -> str:
    """Number the events of all objects; every notification of the same upload has the same number."""
    if not hasattr(key, "sequencer"):
        key.sequencer = f"{next(_SEQUENCE):018X}"
    return str(key.sequencer)


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def _invoke(_account: str, body: Mapping[str, Any], function_arn: str, _region: str) -> None:
    """Take the place of moto's invocation inside the PUT."""
    if S3Events.current is None:
        logger.error("the event for %s is lost: S3's notifications were closed", function_arn)
    else:
        S3Events.current.send(body, function_arn)


def _in_order(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def one_at_a_time(*args: Any, **kwargs: Any) -> Any:
        with ORDER:
            if getattr(_COMPLETING, "upload", False) and operation.__name__ == "put_object":
                kwargs["disable_notification"] = True
            return operation(*args, **kwargs)

    return one_at_a_time


def _without_put_event(complete: Callable[..., Any]) -> Callable[..., Any]:
    """Complete a multipart upload with one event; moto's put_object in it would send another."""

    @functools.wraps(complete)
    def completed(backend: Any, bucket_name: str, upload_id: str, *args: Any, **kwargs: Any) -> Any:
        with ORDER:
            if upload_id not in backend.get_bucket(bucket_name).multiparts:
                raise NoSuchUpload(upload_id)
            _COMPLETING.upload = True
            try:
                return complete(backend, bucket_name, upload_id, *args, **kwargs)
            finally:
                _COMPLETING.upload = False

    return completed


def _check_notifications(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let S3 try the permission out when it takes a configuration, as on AWS."""

    @functools.wraps(original)
    def set_configuration(bucket: Any, config: dict[str, Any] | None) -> None:
        for item in _as_list((config or {}).get("CloudFunctionConfiguration")):
            _check_destination(bucket, item["CloudFunction"])
        original(bucket, config)

    return set_configuration


def _check_destination(bucket: Any, function_arn: str) -> None:
    try:
        allowed = may_invoke(_function(function_arn), PRINCIPAL, bucket.arn, bucket.account_id)
    except UnknownFunctionException:
        allowed = False
    if not allowed:
        raise InvalidArgumentError(
            f"Unable to validate the following destination configurations: S3 may not invoke {function_arn} "
            f"for {bucket.arn}; the function's policy has to allow it first (AWS::Lambda::Permission)",
            name=function_arn,
            value="null",
        )


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def install(host: Host, faults: Faults | None = None) -> S3Events:
    """Send S3's events to the functions of `host`, as well as the `faults` let them."""
    service = S3Events(host, faults)
    S3Events.current = service
    notifications._get_s3_event = event
    notifications._invoke_awslambda = _invoke
    for name in _SERIAL:
        original = _ORIGINALS.setdefault(name, getattr(S3Backend, name))
        setattr(S3Backend, name, _in_order(original))
    original = _ORIGINALS.setdefault("complete_multipart_upload", S3Backend.complete_multipart_upload)
    S3Backend.complete_multipart_upload = _without_put_event(original)
    original = _ORIGINALS.setdefault("set", FakeBucket.set_notification_configuration)
    FakeBucket.set_notification_configuration = _check_notifications(original)
    return service
