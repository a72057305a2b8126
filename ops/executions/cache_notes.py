"""Why a step came from the cache or ran again, where somebody wrote it down.

Local AWS writes each decision of its step cache to the log group `/local/sagemaker/pipelines`. On AWS
nothing says why; CacheHitResult names the execution whose outputs were taken, and that is all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import DENIED, error_code
from ops.executions.execution import ABSENT, ExecutionState

LOG_GROUP = "/local/sagemaker/pipelines"


@dataclass(frozen=True)
class CacheNote:
    """One decision of the step cache; None for what nobody told."""

    hit: bool
    source: str | None
    reason: str | None

    def sentence(self) -> str:
        """Say it in a few words."""
        source = f" of execution {self.source.rpartition('/')[2]}" if self.source else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"cache hit{source}{reason}" if self.hit else f"cache miss{reason}"


def read(logs: Any, execution: ExecutionState) -> dict[str, CacheNote]:
    """Map step names to what the cache did for them; steps nothing is known of are left out."""
    told = {event["step"]: event for event in _events(logs, execution.id) if event.get("event") == "cache"}
    notes = {}
    for step in execution.steps:
        event = told.get(step.name)
        if event or step.cache_source:
            hit = bool(step.cache_source) or bool(event and event.get("hit"))
            reason = str(event["reason"]) if event and event.get("reason") else None
            notes[step.name] = CacheNote(hit, step.cache_source, reason)
    return notes


def _events(logs: Any, execution_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield the engine's events of one execution; none where the group does not exist or may not be read."""
    request = {"logGroupName": LOG_GROUP, "logStreamName": execution_id, "startFromHead": True}
    token = None
    while True:
        try:
            page = logs.get_log_events(**request, **({"nextToken": token} if token else {}))
        except ClientError as error:
            if error_code(error) in ABSENT | DENIED:
                return  # reasons are an extra: AWS has no such group, and a reader needs no right to it
            raise
        yield from filter(None, (_event(entry["message"]) for entry in page["events"]))
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]


def _event(message: str) -> Mapping[str, Any] | None:
    try:
        event = json.loads(message)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("step"), str) else None
