"""Events that a thread can wait for several of at once."""

from __future__ import annotations

import threading


class Signal(threading.Event):
    """An event that also wakes those who wait with `wait_for_any`."""

    def __init__(self) -> None:
        super().__init__()
        self._wakers: list[threading.Event] = []

    def set(self) -> None:
        """Set the event and wake everybody who waits for it."""
        super().set()
        for waker in tuple(self._wakers):
            waker.set()

    @staticmethod
    def wait_for_any(*signals: Signal) -> None:
        """Wait until at least one of the signals is set."""
        waker = threading.Event()
        for signal in signals:
            signal._wakers.append(waker)
        try:
            # A signal that was set before it had the waker is seen here.
            if not any(signal.is_set() for signal in signals):
                waker.wait()
        finally:
            for signal in signals:
                signal._wakers.remove(waker)
