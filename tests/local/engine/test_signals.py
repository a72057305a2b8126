"""A thread waits for several signals at once, whichever comes first, before or while it waits."""

from __future__ import annotations

import threading
import time

import pytest

from local.engine.signals import Signal


@pytest.mark.parametrize("first", [0, 1])
def test_whichever_is_set_first_ends_the_wait(first: int) -> None:
    signals = (Signal(), Signal())
    waiting = threading.Thread(target=Signal.wait_for_any, args=signals)
    waiting.start()
    assert waiting.is_alive()
    signals[first].set()
    waiting.join(5)
    assert not waiting.is_alive()
    assert not signals[1 - first].is_set()


def test_a_signal_that_is_set_already_is_not_waited_for() -> None:
    signals = (Signal(), Signal())
    signals[1].set()
    Signal.wait_for_any(*signals)


def test_no_wake_is_lost_between_the_look_and_the_wait() -> None:
    started = time.monotonic()
    for _ in range(2000):
        signal = Signal()
        waiting = threading.Thread(target=Signal.wait_for_any, args=(signal, Signal()))
        waiting.start()
        signal.set()
        waiting.join(5)
        assert not waiting.is_alive()
    assert time.monotonic() - started < 30
