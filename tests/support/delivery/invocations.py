"""Invocations of the handler that stand still before and after each call, so that a test can interleave them.

Each runs on a thread of its own, but only one of all threads ever runs: the test's, or the one it advances.
So a schedule is deterministic, and an invocation can be killed, or its next call made to fail, at any point.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from urllib3.exceptions import IncompleteRead, ProtocolError

from tests.support.services.direct_client import Answer, DirectClient, client_error
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import FakeSageMaker
from tests.support.services.service_answers import FakeServiceError, Killed
from upload_trigger import handler
from upload_trigger.delivery import Clients

URL = "https://api.sagemaker.us-east-1.amazonaws.com/"
BEFORE, AFTER, TWICE, BODY = "before its effect", "after its effect", "twice", "in the body"

_idle: "list[_Worker]" = []
_current = threading.local()


@dataclass(frozen=True)
class CallFault:
    """What goes wrong with one call."""

    name: str
    when: str
    error: Callable[[], Exception]


def _answered(code: str, status: int = 400) -> Callable[[], Exception]:
    return lambda: FakeServiceError(code, "as the test wants it", status)


def _timed_out() -> Exception:
    error: Exception = ReadTimeoutError(endpoint_url=URL)
    return error


FAULTS = {
    fault.name: fault
    for fault in (
        CallFault("throttled", BEFORE, _answered("ThrottlingException")),
        CallFault("conflict", BEFORE, _answered("ConflictException")),
        CallFault("over a limit", BEFORE, _answered("ResourceLimitExceeded")),
        CallFault("unavailable", BEFORE, _answered("ServiceUnavailable", 503)),
        CallFault("failed inside", AFTER, _answered("InternalFailure", 500)),
        CallFault("timed out", BEFORE, _timed_out),
        CallFault("timed out late", AFTER, _timed_out),
        CallFault("unreachable", BEFORE, lambda: EndpointConnectionError(endpoint_url=URL)),
        CallFault("no connection", BEFORE, lambda: ConnectTimeoutError(endpoint_url=URL)),
        CallFault("denied", BEFORE, _answered("AccessDeniedException")),
        CallFault("retried by botocore", TWICE, _timed_out),
        CallFault("cut off", BODY, lambda: ProtocolError("cut off", IncompleteRead(1, 2))),
    )
}


@dataclass
class ServiceCall:
    """One call of an invocation."""

    operation: str
    given: dict[str, Any]


@dataclass(eq=False)
class Invocation:
    """One run of the handler on one event; `attempt` counts Lambda's, from 1."""

    event: dict[str, Any]
    s3: FakeS3
    sagemaker: FakeSageMaker
    watch: Callable[["Invocation", ServiceCall], None] = lambda invocation, call: None
    """Told of every call that had its effect."""
    attempt: int = 1
    began: int = 0
    """The world's moment at which it began, by which it is known."""
    number: int = 0
    """Which of the world's invocations it is, from 1."""
    strict: bool = False
    """Whether its requests are checked as boto3 checks them."""
    calls: list[ServiceCall] = field(default_factory=list)
    fault: CallFault | None = None
    kill_at: int | None = None
    """The pause at which the process ends: 0 is before the first call, 1 after it, 2 before the second."""
    answer: list[dict[str, Any]] | None = None
    error: BaseException | None = None
    ended: bool = False
    pauses: int = 0
    _worker: "_Worker | None" = None
    _left: int | None = 0
    _killed: bool = False

    def __post_init__(self) -> None:
        self._resume, self._back = threading.Lock(), threading.Lock()
        self._resume.acquire()
        self._back.acquire()
        services = ("s3", self.s3), ("sagemaker", self.sagemaker)
        made = (DirectClient(name, each, self._gate, strict=self.strict) for name, each in services)
        self.clients = Clients(*made)

    def advance(self, pauses: int | None = None) -> None:
        """Go on for some pauses, or (None) to the end."""
        if self.ended:
            return
        self._left = pauses
        if self._worker:
            self._resume.release()
        else:
            self._worker = _idle.pop() if _idle else _Worker()
            self._worker.begin(self._run)
        self._back.acquire()

    def kill(self) -> None:
        """End the process where it stands."""
        self._killed = True
        self.advance()

    def _run(self) -> None:
        enter(self.clients)
        try:
            self._pause()
            self.answer = handler.handler(self.event, None)
        except BaseException as error:  # noqa: BLE001 - the test looks at whatever it is
            self.error = error
        self.ended = True
        if self._worker:
            _idle.append(self._worker)
        self._back.release()

    def _gate(self, operation: str, given: dict[str, Any], effect: Callable[[], Answer]) -> Answer:
        if self.calls:
            self._pause()
        return self._perform(operation, given, effect)

    def _perform(self, operation: str, given: dict[str, Any], effect: Callable[[], Answer]) -> Answer:
        """Let a call happen, or what its fault makes of it."""
        fault = self._met(operation)
        call = ServiceCall(operation, given)
        self.calls.append(call)
        if fault and fault.when == BEFORE:
            raise _raised(fault, operation)
        if fault and fault.when == BODY:
            self.s3.broken_body = fault.error()
        if fault and fault.when == TWICE:
            effect()
        try:
            answer = effect()
        except ClientError:
            self._pause()
            raise
        self.watch(self, call)
        self._pause()
        if fault and fault.when == AFTER:
            raise _raised(fault, operation)
        return answer

    def _met(self, operation: str) -> CallFault | None:
        fault = self.fault
        if fault and (fault.when != BODY or operation == "GetObject"):
            self.fault = None
            return fault
        return None

    def _pause(self) -> None:
        if self.kill_at == self.pauses:
            self._killed = True
        self.pauses += 1
        if self._killed:
            raise Killed
        if self._left is None:
            return
        if self._left > 0:
            self._left -= 1
            return
        self._back.release()
        self._resume.acquire()
        if self._killed:
            raise Killed


def _raised(fault: CallFault, operation: str) -> Exception:
    error = fault.error()
    return client_error(error, operation) if isinstance(error, FakeServiceError) else error


def enter(clients: Clients) -> None:
    """Let the handler, on this thread, have these clients."""
    _current.clients = clients


def clients_of_invocation() -> Clients:
    """Return the clients of this thread's invocation: takes the place of the handler's `clients`."""
    clients: Clients = _current.clients
    return clients


class _Worker(threading.Thread):
    """A thread that runs one invocation after the other: making one anew for each costs too much."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._wake = threading.Lock()
        self._wake.acquire()
        self._task: Callable[[], None] = lambda: None
        self.start()

    def begin(self, task: Callable[[], None]) -> None:
        self._task = task
        self._wake.release()

    def run(self) -> None:
        while True:
            self._wake.acquire()
            self._task()
