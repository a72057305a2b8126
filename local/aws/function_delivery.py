"""Asynchronous invocations: a queue, Lambda's retries, the age of an event, and where failures go."""

from __future__ import annotations

import functools
import heapq
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from moto.awslambda.exceptions import (
    InvalidParameterValueException,
    LambdaClientError,
    UnknownFunctionException,
)
from moto.awslambda.models import EventInvokeConfig, LambdaBackend, lambda_backends

from local.aws.access_keys import queue_key_uses
from local.aws.function_environment import Result
from local.aws.host import Host
from local.aws.iam import AccessDenied
from local.aws.key_use import UnusableKeyError, check_state

logger = logging.getLogger(__name__)

RETRY_SECONDS = (60.0, 120.0)
"""What Lambda waits before the second and the third attempt."""
_WORKERS = 8
"""Deliveries of one function that may run at a time; its concurrency may be less."""


class Run(Protocol):
    """Invokes a function, waiting for a free place."""

    def __call__(self, function: Any, event: bytes, request_id: str, *, wait: bool) -> Result:
        """Invoke and give the result."""


@dataclass(order=True)
class Delivery:
    """One event on its way to a function; ordered by when it is due."""

    due: float
    number: int
    event: bytes = field(compare=False)
    request_id: str = field(compare=False)
    accepted: float = field(compare=False)
    attempts: int = field(compare=False, default=0)
    spared: float = field(compare=False, default=0.0)
    """Seconds that AWS would have waited more than the laptop did; they count for the event's age."""


class _Mailbox:
    """The events of one function, and the threads that deliver them."""

    def __init__(self, function: Any) -> None:
        self.arn, self.account, self.region = function.function_arn, function.account_id, function.region
        self.changed = threading.Condition()
        self.waiting: list[Delivery] = []
        self.working = 0
        self.threads: list[threading.Thread] = []


class Deliveries:
    """Delivers events to functions until it is stopped; none is lost before that."""

    def __init__(self, host: Host, run: Run, *, speed: float) -> None:
        """`speed` divides Lambda's delays between the attempts."""
        self._host, self._run, self._speed = host, run, speed
        self._sqs = functools.cache(lambda: host.client("sqs"))
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._stopped = False

    def accept(self, function: Any, event: bytes, request_id: str, *, after: float = 0.0) -> Delivery:
        """Queue an event, to be delivered after so many seconds, and return at once."""
        due = time.monotonic() + after
        delivery = Delivery(due, next(self._numbers), event, request_id, due)
        self._post(self._mailbox(function), delivery)
        return delivery

    def hasten(self, function: Any, delivery: Delivery, *, after: float) -> None:
        """Let an event that waits be delivered after so many seconds, unless it is due sooner."""
        box = self._mailbox(function)
        with box.changed:
            delivery.due = min(delivery.due, time.monotonic() + after)
            heapq.heapify(box.waiting)
            box.changed.notify()

    @property
    def idle(self) -> bool:
        """Whether no event waits, is being delivered, or is to be tried again."""
        return not any(box.waiting or box.working for box in list(self._mailboxes.values()))

    def _mailbox(self, function: Any) -> _Mailbox:
        with self._lock:
            return self._mailboxes.setdefault(function.function_arn, _Mailbox(function))

    def stop(self) -> None:
        """Begin no further delivery."""
        self._stopped = True
        for box in list(self._mailboxes.values()):
            with box.changed:
                if box.waiting:
                    logger.warning("%d events for %s were not delivered", len(box.waiting), box.arn)
                box.changed.notify_all()

    def join(self) -> None:
        """Wait for the threads; after `stop`."""
        for box in list(self._mailboxes.values()):
            for thread in box.threads:
                thread.join(10.0)

    def _post(self, box: _Mailbox, delivery: Delivery) -> None:
        with box.changed:
            heapq.heappush(box.waiting, delivery)
            if len(box.threads) < min(_WORKERS, len(box.waiting)) and not self._stopped:
                name = f"lambda-delivery-{box.arn.rpartition(':')[2]}-{len(box.threads)}"
                thread = threading.Thread(target=self._work, args=(box,), name=name, daemon=True)
                box.threads.append(thread)
                thread.start()
            box.changed.notify()

    def _work(self, box: _Mailbox) -> None:
        while (delivery := self._next(box)) is not None:
            try:
                self._attempt(box, delivery)
            except Exception:
                # The thread serves other events too; this one is told, with everything there is to know.
                logger.exception("the event %s for %s was lost", delivery.request_id, box.arn)
            finally:
                with box.changed:
                    box.working -= 1

    def _next(self, box: _Mailbox) -> Delivery | None:
        with box.changed:
            while not self._stopped:
                left = box.waiting[0].due - time.monotonic() if box.waiting else None
                if left is not None and left <= 0:
                    box.working += 1
                    return heapq.heappop(box.waiting)
                box.changed.wait(left)
        return None

    def _attempt(self, box: _Mailbox, delivery: Delivery) -> None:
        try:
            function = lambda_backends[box.account][box.region].get_function(box.arn)
        except UnknownFunctionException:
            logger.error("the function %s was deleted: the event %s is dropped", box.arn, delivery.request_id)
            return
        config = function.event_invoke_config[-1].config if function.event_invoke_config else {}
        if self._age(delivery) > config.get("MaximumEventAgeInSeconds", 21600):
            self._report(function, config, delivery, "EventAgeExceeded", None)
            return
        delivery.attempts += 1
        result = self._invoke(function, delivery)
        if self._stopped:
            return
        if not result.errored:
            self._report(function, config, delivery, "Success", result)
        elif delivery.attempts > config.get("MaximumRetryAttempts", 2):
            self._report(function, config, delivery, "RetriesExhausted", result)
        else:
            self._retry(box, delivery, result)

    def _invoke(self, function: Any, delivery: Delivery) -> Result:
        try:
            return self._run(function, delivery.event, delivery.request_id, wait=True)
        except LambdaClientError as error:
            payload = json.dumps({"errorType": error.error_type, "errorMessage": str(error.message)}).encode()
            return Result(payload, True, [], 0.0, 0, None, "error")

    def _retry(self, box: _Mailbox, delivery: Delivery, result: Result) -> None:
        delay = RETRY_SECONDS[min(delivery.attempts, len(RETRY_SECONDS)) - 1]
        logger.info("%s failed, again in %.1f s: %s", box.arn, delay / self._speed, result.payload.decode())
        delivery.due = time.monotonic() + delay / self._speed
        delivery.spared += delay - delay / self._speed
        self._post(box, delivery)

    @staticmethod
    def _age(delivery: Delivery) -> float:
        """Give the age that the event would have on AWS, in seconds."""
        return time.monotonic() - delivery.accepted + delivery.spared

    def _report(
        self, function: Any, config: dict[str, Any], delivery: Delivery, condition: str, result: Result | None
    ) -> None:
        """Send the record of a delivery to its destination; log a failure that has none."""
        kind = "OnSuccess" if condition == "Success" else "OnFailure"
        destination = config.get("DestinationConfig", {}).get(kind, {}).get("Destination")
        if not destination:
            if condition != "Success":
                reason = result.payload.decode() if result else condition
                logger.error("%s failed for good and has no destination: %s", function.function_arn, reason)
            return
        record = json.dumps(_record(function, delivery, condition, result))
        try:
            self._authorize(function.role, destination)
            self._sqs().send_message(QueueUrl=self._queue_url(destination), MessageBody=record)
        except (AccessDenied, UnusableKeyError, BotoCoreError, ClientError) as error:
            logger.error("the record of a failed event is lost, %s: %s: %s", destination, error, record)

    def _authorize(self, role_arn: str, queue_arn: str) -> None:
        """Raise unless the function's role may send to the queue, and use the queue's key for that."""
        self._host.authorize(role_arn, "sqs:SendMessage", queue_arn)
        account, region, name = self._host.account, self._host.region, queue_arn.rpartition(":")[2]
        for use in queue_key_uses(account, region, name):
            check_state(use.key, use.key_id)
            for needed in use.requirements(account, region):
                self._host.authorize(role_arn, needed.action, needed.resource, needed.context)

    def _queue_url(self, arn: str) -> str:
        *_, account, name = arn.split(":")
        return f"{self._host.endpoint_url}/{account}/{name}"


def _record(function: Any, delivery: Delivery, condition: str, result: Result | None) -> dict[str, Any]:
    """Describe a delivery as Lambda describes it to a destination."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - as the runtime's
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": now.replace("+00:00", "Z"),
        "requestContext": {
            "requestId": delivery.request_id,
            "functionArn": f"{function.function_arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": delivery.attempts,
        },
        "requestPayload": json.loads(delivery.event),
    }
    if result is not None:
        record["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST"}
        if result.errored:
            record["responseContext"]["functionError"] = "Unhandled"
        record["responsePayload"] = json.loads(result.payload)
    return record


def set_event_invoke_config(host: Host) -> None:
    """Let moto keep one EventInvokeConfig for a function and check its destinations as AWS does."""

    def put(backend: Any, function_name: str, config: dict[str, Any]) -> Any:
        function = backend.get_function(function_name)
        _check_destinations(host, function, config)
        function.event_invoke_config = [
            EventInvokeConfig(function.function_arn, function.last_modified, config)
        ]
        return function.event_invoke_config[0].response()

    def update(backend: Any, function_name: str, config: dict[str, Any]) -> Any:
        held = backend.get_function(function_name).event_invoke_config
        return put(backend, function_name, {**(held[-1].config if held else {}), **config})

    operations: dict[str, Callable[..., Any]] = {
        "put_function_event_invoke_config": put,
        "update_function_event_invoke_config": update,
    }
    for name, operation in operations.items():
        setattr(LambdaBackend, name, operation)


def _check_destinations(host: Host, function: Any, config: dict[str, Any]) -> None:
    for target in (config.get("DestinationConfig") or {}).values():
        destination = target.get("Destination")
        if destination is None:
            continue
        if destination.split(":")[2:3] != ["sqs"]:
            raise InvalidParameterValueException(
                f"on the laptop a destination is an SQS queue, not {destination}"
            )
        try:
            host.authorize(function.role, "sqs:SendMessage", destination)
        except AccessDenied as error:
            message = (
                "The function's execution role does not have permissions to call SendMessage on "
                f"{destination}. {error}"
            )
            raise InvalidParameterValueException(message) from error
