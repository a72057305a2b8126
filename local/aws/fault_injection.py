"""Puts the faults of `local.aws.faults` between MiniStack and its functions, and speeds schedules up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import ministack.app
from ministack.core import lambda_runtime
from ministack.core.router import extract_access_key_id
from ministack.services import eventbridge, lambda_svc, s3

from local.aws.faults import CONFLICT, ENDED_AFTER, ENDED_BEFORE, FAILED, THROTTLED, Dice, EventFate
from local.aws.front_door import Receive, Scope, Send, error, headers_of, respond

_OVERTAKING_SECONDS = 1.0
"""How long after the event that overtook it one that was to be overtaken is sent."""
_QUIET_SECONDS = 1.5
"""How long nothing has happened when nothing is to come: more than a failed event waits for its next try."""
_TICK_SECONDS = 0.5
"""How often MiniStack looks at schedules when they are sped up, rather than every 10 s."""
_RESOURCES = ("PipelineName", "PipelineExecutionArn")


class Interference:
    """What is between MiniStack and its functions; made once the adapters are applied."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._workers: dict[str, Any] = {}
        """MiniStack's worker that has an access key: a function's process."""
        self._spawning = threading.local()
        self._lock = threading.RLock()
        self._busy = 0
        """Functions that run and events that are late."""
        self._last = time.monotonic()
        self._overtaken: dict[str, _LateEvent] = {}
        """By function, the event that waits for the next one."""
        self._install()

    def cease(self) -> None:
        """Let nothing go wrong any more."""
        self._dice.ceased = True

    def is_idle(self) -> bool:
        """Return whether no function runs, and no event is on its way to one."""
        with self._lock:
            return not self._busy and time.monotonic() - self._last > _QUIET_SECONDS

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with MiniStack, unless a function makes it and it is to go wrong."""
        headers = headers_of(scope)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        worker = self._workers.get(extract_access_key_id(headers, query))
        if worker is None or self._dice.ceased:
            await ministack.app.app(scope, receive, send)
            return
        body = await _whole(receive)
        operation, resource = _operation(scope, headers, query, body)
        fate = self._dice.call(operation, resource, worker.func_name)
        if fate in (THROTTLED, CONFLICT):
            code = _code(fate, headers)
            await respond(send, *error(400, code, f"{operation} was to be {fate}.", headers))
            return
        if fate == ENDED_BEFORE:
            worker._proc.kill()
            await respond(send, *error(500, "InternalFailure", fate, headers))
            return
        spoiled = fate in (FAILED, ENDED_AFTER)
        await ministack.app.app(scope, _again(body, receive), _nowhere if spoiled else send)
        if fate == ENDED_AFTER:
            worker._proc.kill()
        if spoiled:
            message = f"{operation} was to have {fate}."
            await respond(send, *error(500, "InternalFailure", message, headers))

    def _install(self) -> None:
        spawn, credentials = lambda_runtime.Worker._spawn, lambda_runtime.execution_credentials
        execute, deliver = lambda_svc._execute_function, s3._deliver_event_to_lambda
        notify = s3._fire_s3_event_async

        def spawned(worker: Any) -> None:
            self._spawning.worker = worker
            spawn(worker)

        def remembered(config: dict[str, Any]) -> dict[str, str]:
            variables: dict[str, str] = credentials(config)
            self._workers[variables["AWS_ACCESS_KEY_ID"]] = self._spawning.worker
            return variables

        def counted(function: dict[str, Any], event: Any) -> Any:
            self.begin()
            try:
                return execute(function, event)
            finally:
                self.end()

        def notified(*about: Any, **more: Any) -> None:
            # MiniStack answers the upload before the thread that this starts has delivered the event.
            self.begin()
            try:
                notify(*about, **more)
            finally:
                self.end()

        def delivered(arn: str, event: dict[str, Any], region: str) -> None:
            self._deliver(arn, lambda: deliver(arn, event, region), self._dice.event(event["Records"][0]))

        lambda_runtime.Worker._spawn = spawned
        lambda_runtime.execution_credentials = remembered
        lambda_svc._execute_function = counted
        s3._deliver_event_to_lambda = delivered
        s3._fire_s3_event_async = notified

    def _deliver(self, function: str, send: Callable[[], None], fate: EventFate) -> None:
        with self._lock:
            events = [_LateEvent(self, send, after) for after in fate.copies]
            if waiting := self._overtaken.pop(function, None):
                waiting.send_in(_OVERTAKING_SECONDS)
            if fate.overtaken:
                self._overtaken[function] = events[-1]

    def begin(self) -> None:
        """Count something that is on its way."""
        with self._lock:
            self._busy += 1

    def end(self) -> None:
        """Count it as done."""
        with self._lock:
            self._busy -= 1
            self._last = time.monotonic()


class _LateEvent:
    """One event on its way to a function; it is sent once."""

    def __init__(self, interference: Interference, send: Callable[[], None], seconds: float) -> None:
        self._interference, self._send = interference, send
        self._unsent = threading.Lock()
        interference.begin()
        self.send_in(seconds)

    def send_in(self, seconds: float) -> None:
        """Send the event after so many seconds, unless it is sent before."""
        timer = threading.Timer(seconds, self._due)
        timer.daemon = True
        timer.start()

    def _due(self) -> None:
        if self._unsent.acquire(blocking=False):
            try:
                self._send()
            finally:
                self._interference.end()


def speed_up_schedules(speed: float) -> None:
    """Let time pass `speed` times faster than on AWS for rules with a rate, and in their targets' input."""
    seconds, invoke = eventbridge._parse_rate_seconds, eventbridge._invoke_target

    def sooner(expression: str) -> float | None:
        found = seconds(expression)
        return None if found is None else found / speed

    def invoked(target: dict[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        if rule.get("ScheduleExpression") and target.get("Input"):
            target = {**target, "Input": json.dumps(_shortened(json.loads(target["Input"]), speed))}
        invoke(target, event, rule, view)

    eventbridge._parse_rate_seconds, eventbridge._invoke_target = sooner, invoked
    eventbridge._SCHEDULER_TICK_INTERVAL = _TICK_SECONDS


def _shortened(value: Any, speed: float) -> Any:
    """Return a target's input with the members that are seconds by their names divided by `speed`."""
    if not isinstance(value, dict):
        return value
    return {
        name: int(each / speed) if name.endswith("Seconds") else _shortened(each, speed)
        for name, each in value.items()
    }


def _code(fate: str, headers: Mapping[str, str]) -> str:
    if fate == CONFLICT:
        return "ConflictException"
    return "ThrottlingException" if headers.get("x-amz-target") else "SlowDown"


def _operation(
    scope: Scope, headers: Mapping[str, str], query: Mapping[str, list[str]], body: bytes
) -> tuple[str, str]:
    """Return the operation of a request and the resource that it is about."""
    if target := headers.get("x-amz-target"):
        asked = json.loads(body or b"{}")
        resource = next((str(asked[name]) for name in _RESOURCES if asked.get(name)), "")
        return target.rpartition(".")[2], resource
    bucket, _, key = scope["path"].lstrip("/").partition("/")
    if key:
        return f"{scope['method'].capitalize()}Object", bucket
    return "ListObjectVersions" if "versions" in query else "ListObjectsV2", bucket


async def _whole(receive: Receive) -> bytes:
    """Read the body of a request; what functions send is small."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return received


async def _nowhere(_: dict[str, Any]) -> None:
    """Take an answer that its caller is not to have."""
