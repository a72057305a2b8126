"""EventBridge on the laptop: moto keeps the rules, and here those with a rate call their functions in time.

A rule calls its targets asynchronously, if the function's policy lets events.amazonaws.com invoke it for that
rule; a failure is retried and reported like that of every asynchronous invocation.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.events.models import events_backends

from local.aws.function_policy import may_invoke
from local.aws.function_service import FunctionService
from local.aws.host import Host

logger = logging.getLogger(__name__)

PRINCIPAL = "events.amazonaws.com"
_RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)(s?)\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_LOOK_SECONDS = 0.25
"""How soon a rule that was made, changed or switched off is noticed."""


class ScheduleError(ValueError):
    """The schedule is none that the laptop keeps; the message says what to write."""


def seconds_between(expression: str) -> int:
    """Read how many seconds lie between two calls of a rule: `rate(5 minutes)` is 300."""
    if expression.startswith("cron("):
        raise ScheduleError(f"the laptop keeps no calendar, so not {expression}; write rate(60 minutes)")
    match = _RATE.fullmatch(expression)
    number = int(match[1]) if match else 0
    if not match or number == 0 or (number == 1) == bool(match[3]):
        raise ScheduleError(
            f"{expression} is no rate: rate(1 minute), rate(5 minutes), rate(1 hour), rate(2 hours), "
            "rate(1 day) or rate(7 days) is due, with the singular for 1 alone"
        )
    return number * _SECONDS[match[2]]


class EventRules:
    """Keeps the time for the rules of one host's default event bus; `close` ends that."""

    def __init__(self, host: Host, *, speed: float) -> None:
        """`speed` divides the time between two calls, and the durations in what they are given."""
        self._host, self._speed = host, speed
        self._due: dict[tuple[str, str], float] = {}
        """By rule and expression, when it calls next: a changed expression starts anew."""
        self._refused: set[tuple[str, str]] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-rules", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call no more functions."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            try:
                pause = self._look()
            except Exception:
                # The thread serves every rule; what one of them has met is told whole.
                logger.exception("EventBridge met a defect of the laptop")
                pause = _LOOK_SECONDS

    def _look(self) -> float:
        """Let every rule that is due call its targets; give the seconds until the next look."""
        now = time.monotonic()
        due: dict[tuple[str, str], float] = {}
        for rule in self._enabled():
            try:
                between = seconds_between(rule.scheduled_expression) / self._speed
            except ScheduleError as error:
                self._refuse(f"the rule {rule.arn}", str(error))
                continue
            key = (rule.arn, rule.scheduled_expression)
            due[key] = self._due.get(key, now + between)
            if due[key] <= now:
                # A laptop that slept calls once, and not for every time that it missed.
                due[key] += between if due[key] + between > now else now + between - due[key]
                self._call(rule)
        self._due = due
        return max(min([now + _LOOK_SECONDS, *due.values()]) - time.monotonic(), 0.0)

    def _enabled(self) -> list[Any]:
        backend = events_backends[self._host.account][self._host.region]
        rules = list(backend.event_buses["default"].rules.values())
        return [rule for rule in rules if rule.scheduled_expression and rule.state == "ENABLED"]

    def _call(self, rule: Any) -> None:
        for target in list(rule.targets):
            named = f"{target['Arn']} for {rule.arn}"
            try:
                function, event = _function(target["Arn"]), self._event(rule, target)
            except (UnknownFunctionException, ValueError) as error:
                self._refuse(named, str(error))
                continue
            service = FunctionService.current
            if not may_invoke(function, PRINCIPAL, rule.arn, self._host.account):
                self._refuse(
                    named,
                    "its policy does not let it: give it an AWS::Lambda::Permission with the principal "
                    f"{PRINCIPAL} and this source",
                )
            elif service is not None:
                service.deliveries.accept(function, event, str(uuid.uuid4()))

    def _event(self, rule: Any, target: dict[str, Any]) -> bytes:
        if strange := set(target) - {"Arn", "Id", "Input"}:
            raise ValueError(f"the laptop does not implement {', '.join(sorted(strange))} of a target")
        given = json.loads(target["Input"]) if "Input" in target else _scheduled(rule)
        return json.dumps(_sooner(given, self._speed)).encode()

    def _refuse(self, what: str, why: str) -> None:
        """Say once why something is not called; nobody waits for an answer."""
        if (what, why) not in self._refused:
            self._refused.add((what, why))
            logger.error("EventBridge does not call %s: %s", what, why)


def _function(arn: str) -> Any:
    _, _, service, region, account, *_ = arn.split(":")
    if service != "lambda":
        raise ValueError("on the laptop the target of a rule is a function")
    return lambda_backends[account][region].get_function(arn)


def _scheduled(rule: Any) -> dict[str, Any]:
    """Describe the event that EventBridge sends where a target has no input of its own."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": rule.account_id,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": rule.region_name,
        "resources": [rule.arn],
        "detail": {},
    }


def _sooner(given: Any, speed: float) -> Any:
    """Divide the durations of an input, the numbers named ...Seconds, as the time between two calls is."""
    if speed == 1 or not isinstance(given, dict):
        return given
    return {name: _duration(name, value, speed) for name, value in given.items()}


def _duration(name: str, value: Any, speed: float) -> Any:
    if name.endswith("Seconds") and type(value) in (int, float):
        return type(value)(value / speed)
    return _sooner(value, speed)


def install(host: Host, *, speed: float = 1.0) -> EventRules:
    """Keep the time for the rules of `host`; `speed` makes all of it pass so many times faster."""
    return EventRules(host, speed=speed)
