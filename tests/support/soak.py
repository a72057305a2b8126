"""How far a search goes: as far as there is time for in every run, and all the way in `make soak`."""

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

SOAKING = bool(os.environ.get("SOAK"))
"""Whether this run has the time for everything; a test that uses one of these carries the marker `soak`."""


def sized(usual: int, soak: int) -> int:
    """Return how many to try."""
    return soak if SOAKING else usual


def sample(items: Sequence[Item], every: int) -> list[Item]:
    """Return every n-th of the items, the last one included, or all of them in a soak."""
    last = len(items) - 1
    return [item for index, item in enumerate(items) if SOAKING or not index % every or index == last]
