"""What is redrawn is read once for all who look, told when it changed, and left alone when nobody looks."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from local.page import live
from local.page.live import Drawing, Live


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_POLL_SECONDS", 0.01)


class Subject:
    """Something whose drawings are numbered; the last of them is final."""

    def __init__(self, bodies: str) -> None:
        self._bodies = bodies
        self._numbers = itertools.count()
        self.read = 0

    async def draw(self) -> Drawing:
        self.read += 1
        number = min(next(self._numbers), len(self._bodies) - 1)
        return Drawing("title", self._bodies[number], final=self._bodies[number] == ".")


async def bodies(events: AsyncIterator[str]) -> list[str]:
    return [
        event.partition('"body": "')[2][:1] or event.split("\n")[0] for event in [e async for e in events]
    ]


def test_each_change_is_told_once_and_the_end_last() -> None:
    assert asyncio.run(bodies(Live(Subject("aabbb.").draw).events(""))) == ["a", "b", ".", "event: end"]


def test_who_connects_again_is_not_told_what_it_has() -> None:
    seen = Drawing("title", "a").digest
    assert asyncio.run(bodies(Live(Subject("ab.").draw).events(seen))) == ["b", ".", "event: end"]
    assert asyncio.run(bodies(Live(Subject(".").draw).events(Drawing("title", ".").digest))) == ["event: end"]


def test_all_who_look_share_one_reading() -> None:
    async def look() -> tuple[int, list[list[str]]]:
        subject = Subject("abc.")
        shared = Live(subject.draw)
        told = await asyncio.gather(*(bodies(shared.events("")) for _ in range(10)))
        return subject.read, told

    read, told = asyncio.run(look())
    assert read == 4
    assert told == [["a", "b", "c", ".", "event: end"]] * 10


def test_who_comes_later_is_told_nothing_that_was_read_before() -> None:
    async def come_later() -> list[str]:
        shared = Live(Subject("abc.").draw)
        first = shared.events("")
        await anext(first)
        told = await bodies(shared.events("what was drawn after a"))
        await first.aclose()  # type: ignore[attr-defined]
        return told

    assert asyncio.run(come_later()) == ["b", "c", ".", "event: end"]


def test_nothing_is_read_while_nobody_looks() -> None:
    async def look_away() -> tuple[int, int]:
        subject = Subject("ab")
        events = Live(subject.draw).events("")
        async for _ in events:
            break
        await events.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        before = subject.read
        await asyncio.sleep(0.1)
        return before, subject.read

    before, after = asyncio.run(look_away())
    assert before == after


def test_a_reading_that_fails_ends_the_events_and_the_next_who_looks_reads_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subject = Subject("a.")
    fails = [True]

    async def draw() -> Drawing:
        if fails.pop() if fails else False:
            raise OSError("no answer")
        return await subject.draw()

    async def look() -> list[list[str]]:
        shared = Live(draw)
        return [await bodies(shared.events("")), await bodies(shared.events(""))]

    assert asyncio.run(look()) == [[], ["a", ".", "event: end"]]
    assert "no answer" in caplog.text
