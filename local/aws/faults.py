"""What goes wrong on local AWS when somebody wants to see that: `python -m local up --faults SEED`.

S3 loses, repeats, delays and reorders events. Calls that a function makes are throttled, conflict, fail after
they had their effect, or find the function ended. All of it may happen on AWS, if seldom. What becomes of the
n-th event of a key, and of the n-th call of an operation on one resource, depends on the seed alone: the same
uploads meet the same faults again. Nobody else's calls are touched.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

logger = logging.getLogger(__name__)

SPEED = 60.0
"""How many times faster than on AWS time passes for a schedule: somebody waits to see the faults mended."""
OVERTAKEN_SECONDS = 5.0
"""How long an event waits at most for the one that is to overtake it."""
EVENT_FATES = {"on time": 8, "lost": 3, "sent twice": 3, "late": 3, "repeated late": 2, "overtaken": 3}
"""What may become of an event, and how often, in 22."""
THROTTLED, CONFLICT, FAILED = "throttled", "in conflict with another", "failed after its effect"
ENDED_BEFORE, ENDED_AFTER = "the function ended before it", "the function ended after it"
CALL_FATES = {"": 180, THROTTLED: 4, FAILED: 4, ENDED_BEFORE: 3, ENDED_AFTER: 3}
"""What may become of a call; nothing else may of most of them."""
CONFLICT_WEIGHT = 14
"""Added to the fates of a call that changes a pipeline: often enough that a few uploads meet one."""
_CONFLICTING = ("CreatePipeline", "UpdatePipeline", "StartPipelineExecution", "StopPipelineExecution")


@dataclass(frozen=True)
class EventFate:
    """What becomes of one event: after how many seconds each copy of it is sent."""

    copies: tuple[float, ...] = (0.0,)
    overtaken: bool = False
    """Whether the next event to the same function is to come first."""


class Dice:
    """Decides what goes wrong, and says so on the log."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], itertools.count[int]] = defaultdict(itertools.count)
        self.ceased = False
        """Whether nothing goes wrong any more; what is late already still comes late."""

    def event(self, record: Mapping[str, Any]) -> EventFate:
        """Decide what becomes of an S3 event."""
        if self.ceased:
            return EventFate()
        bucket, item = record["s3"]["bucket"]["name"], record["s3"]["object"]
        dice = self._dice("event", bucket, item["key"])
        name = _choose(dice, EVENT_FATES)
        first, second = (round(dice.uniform(0.5, 4.0), 1) for _ in range(2))
        fate, told = {
            "on time": (EventFate(), ""),
            "lost": (EventFate(()), "lost"),
            "sent twice": (EventFate((0.0, 0.0)), "sent twice"),
            "late": (EventFate((first,)), f"{first} s late"),
            "repeated late": (EventFate((0.0, second)), f"sent once more after {second} s"),
            "overtaken": (EventFate((OVERTAKEN_SECONDS,), True), "to be overtaken by the next one"),
        }[name]
        if told:
            where = f"s3://{bucket}/{unquote_plus(item['key'])} (version {item.get('versionId')})"
            logger.warning("event of %s: %s", where, told)
        return fate

    def call(self, operation: str, resource: str, function: str) -> str:
        """Decide what becomes of a call that a function makes."""
        if self.ceased:
            return ""
        # An execution's id is another in every run.
        resource = resource.partition("/execution/")[0].rpartition("/")[2]
        fates = CALL_FATES | ({CONFLICT: CONFLICT_WEIGHT} if operation in _CONFLICTING else {})
        fate = _choose(self._dice("call", operation, resource), fates)
        if fate:
            logger.warning("%s on %s by %s: %s", operation, resource, function, fate)
        return fate

    def _dice(self, *subject: str) -> random.Random:
        """Return the dice of the n-th time that a subject comes up; the times of others do not matter."""
        with self._lock:
            number = next(self._counts[subject])
        return random.Random(f"{self._seed} {subject} {number}")  # noqa: S311 - a repeatable choice is wanted


def _choose(dice: random.Random, weights: Mapping[str, int]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]
