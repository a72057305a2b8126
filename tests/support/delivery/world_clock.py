"""The clock of the worlds of `world.py`: the handler's and S3's, and SageMaker's but for a difference."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class WorldClock(datetime):
    """Takes the place of `datetime` in the handler's modules."""

    current = START

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        """Return the time that it is in the world."""
        return cls.current

    @classmethod
    @contextmanager
    def at(cls, moment: datetime) -> Iterator[None]:
        """Let it be another time for a while."""
        before, cls.current = cls.current, moment
        try:
            yield
        finally:
            cls.current = before
