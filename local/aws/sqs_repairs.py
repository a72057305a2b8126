"""Let a queue keep its policy when another of its attributes changes; moto forgets it."""

from __future__ import annotations

from typing import Any

from moto.sqs.models import Queue, SQSBackend

_SET_QUEUE_ATTRIBUTES = SQSBackend.set_queue_attributes


def install() -> None:
    """Put the repair in."""
    SQSBackend.set_queue_attributes = _set_queue_attributes


def _set_queue_attributes(backend: SQSBackend, queue_name: str, attributes: dict[str, Any]) -> Queue:
    queue = backend.get_queue(queue_name)
    kept = queue.policy
    _SET_QUEUE_ATTRIBUTES(backend, queue_name, attributes)
    if "Policy" not in attributes:
        queue.policy = kept
    return queue
