"""What is redrawn while somebody looks at it: read about once a second, once for all browsers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from ops.errors import AbsentError

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_PAUSE = 3.0
"""How many times longer than a reading the pause after it is, at least: the jobs need the cores."""


@dataclass(frozen=True)
class Drawing:
    """What stands inside of <main> at one moment."""

    title: str
    body: str
    final: bool = False
    """Whether nothing will change any more."""

    @cached_property
    def digest(self) -> str:
        """Return what tells this drawing from another one."""
        return hashlib.sha256(f"{self.title}\n{self.body}".encode()).hexdigest()[:16]

    def event(self) -> str:
        """Write the drawing as a server-sent event; a browser that connects again names its id."""
        data = json.dumps({"title": self.title, "body": self.body})
        return f"id: {self.digest}\ndata: {data}\n\n"


class Live:
    """The drawings of one subject, for all who look at it; nothing is read while nobody does."""

    def __init__(self, read: Callable[[], Awaitable[Drawing]]) -> None:
        self._read = read
        self._watchers = 0
        self._latest: Drawing | None = None
        self._begun = 0
        """How many readings have begun; the latest drawing is that of the last one that has ended."""
        self._number = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def events(self, seen: str) -> AsyncIterator[str]:
        """Yield an event for each drawing that differs from the one before, and from the one `seen`.

        After the final one comes an event named `end`. Without it the browser connects again.
        """
        self._watchers += 1
        try:
            if self._reading is None:
                self._latest = None
                self._reading = asyncio.create_task(self._keep_reading())
            # Whoever comes has a page that is newer than what was read before: an approval would look undone.
            before = self._begun
            while True:
                latest = self._latest if self._number > before else None
                going_on, news = self._reading is not None, self._news
                if latest and latest.digest != seen:
                    seen = latest.digest
                    yield latest.event()
                if latest and latest.final:
                    yield "event: end\ndata:\n\n"
                    return
                if not going_on:
                    return
                await news.wait()
        finally:
            self._watchers -= 1

    def close(self) -> None:
        """End the streams of events, and with them the reading."""
        if self._reading:
            self._reading.cancel()

    async def _keep_reading(self) -> None:
        try:
            while self._watchers:
                started = time.monotonic()
                self._begun += 1
                self._latest = await self._read()
                self._number = self._begun
                if self._latest.final:
                    break
                self._tell()
                await asyncio.sleep(max(_POLL_SECONDS, _PAUSE * (time.monotonic() - started)))
        except AbsentError:
            pass  # somebody deleted it; whoever asks again is told
        except Exception:  # noqa: BLE001 - the browsers ask again, and the server goes on
            _LOG.exception("The page for a browser cannot be drawn")
        finally:
            self._reading = None
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
