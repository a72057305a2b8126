"""EventBridge on the laptop: moto keeps the rules, and here those with a rate call their targets in time.

A rule with a pattern takes what SageMaker tells of its executions, jobs and models, and what clients put.
What a rule calls, `event_targets.py` does.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from moto.events.models import Rule, events_backends

from local.aws.event_patterns import PatternError, check_pattern, matches
from local.aws.event_targets import EventTargets
from local.aws.host import Host

logger = logging.getLogger(__name__)

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
    """Keeps the time for the rules of one host's default event bus, and offers them events until `close`."""

    current: ClassVar[EventRules | None] = None

    def __init__(self, host: Host, *, speed: float) -> None:
        """`speed` divides the time between two calls, and the durations in what they are given."""
        self._host, self._speed = host, speed
        self._targets = EventTargets(host)
        self._before = EventRules.current
        """Whose turn it is again after the end of this one."""
        EventRules.current = self
        Rule.send_to_targets = _offer
        self._due: dict[tuple[str, str], float] = {}
        """By rule and expression, when it calls next: a changed expression starts anew."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-rules", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Call nothing more."""
        if EventRules.current is self:
            EventRules.current = self._before
            Rule.send_to_targets = _offer if self._before else _MOTOS_SEND
        self._closed.set()
        self._thread.join()

    def put(self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]) -> None:
        """Let a service tell of something; never raise, for it goes on whatever becomes of that."""
        event = self._event(source, detail_type, resources, detail)
        for rule in self._rules():
            try:
                self.offer(rule, event)
            except Exception:
                # What a rule has met is told whole, and the others get the event all the same.
                logger.exception("EventBridge met a defect of the laptop")

    def offer(self, rule: Any, event: Mapping[str, Any]) -> None:
        """Give an event to the targets of a rule, if its pattern takes it."""
        pattern = rule.event_pattern.get_pattern()
        if not pattern or rule.state != "ENABLED":
            return
        try:
            check_pattern(pattern)
        except PatternError as error:
            self._targets.refuse(f"the rule {rule.arn}", str(error))
            return
        if matches(pattern, event):
            for target in list(rule.targets):
                self._targets.send(rule, target, event)

    def _event(
        self, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self._host.account,
            "time": _now(),
            "region": self._host.region,
            "resources": list(resources),
            "detail": dict(detail),
        }

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
                self._targets.refuse(f"the rule {rule.arn}", str(error))
                continue
            key = (rule.arn, rule.scheduled_expression)
            due[key] = self._due.get(key, now + between)
            if due[key] <= now:
                # A laptop that slept calls once, and not for every time that it missed.
                due[key] += between if due[key] + between > now else now + between - due[key]
                self._call(rule)
        self._due = due
        return max(min([now + _LOOK_SECONDS, *due.values()]) - time.monotonic(), 0.0)

    def _rules(self) -> list[Any]:
        backend = events_backends[self._host.account][self._host.region]
        return list(backend.event_buses["default"].rules.values())

    def _enabled(self) -> list[Any]:
        return [rule for rule in self._rules() if rule.scheduled_expression and rule.state == "ENABLED"]

    def _call(self, rule: Any) -> None:
        event = self._event("aws.events", "Scheduled Event", [rule.arn], {})
        for target in list(rule.targets):
            self._targets.send(rule, target, event, lambda given: _sooner(given, self._speed))


_MOTOS_SEND = Rule.send_to_targets


def _offer(rule: Any, original_event: Mapping[str, Any], transform_input: bool = True) -> None:
    """Take the place of moto's own delivery of what a client puts."""
    del transform_input
    if EventRules.current is not None:
        EventRules.current.offer(rule, {**original_event, "time": _now(original_event.get("time"))})


def _now(seconds: Any = None) -> str:
    moment = float(seconds) if isinstance(seconds, int | float) else time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


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
