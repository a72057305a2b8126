"""Invocations that can be copied where they stand, for searches that go on from one state in several ways.

The handler is a function of its event, its environment, its clock and the answers to its calls. So a list of
answers says where an invocation stands: the handler itself is run anew with these, until it makes the call
after them. That is done once for each list, however many worlds come by it, and without threads.
"""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from tests.support.delivery import storm_uploads
from tests.support.delivery.invocations import Invocation, enter
from tests.support.delivery.world_clock import WorldClock
from tests.support.services.direct_client import Answer, DirectClient, client_error
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import FakeSageMaker
from tests.support.services.service_answers import FakeServiceError, Killed
from upload_trigger import handler
from upload_trigger.delivery import Clients

OWN_TOKEN = "own"
"""In the place of a token that boto3 makes anew for each call."""


class AskedCall(NamedTuple):
    """A call that the handler makes next."""

    service: str
    operation: str
    given: dict[str, Any]


class CallOutcome(NamedTuple):
    """What a call came to: an answer, with its body as bytes, or an error."""

    answer: Answer
    error: Exception | None = None

    def give(self) -> Answer:
        """Return or raise it as boto3 would, any number of times."""
        if self.error:
            raise self.error.with_traceback(None)
        if "Body" not in self.answer:
            return self.answer
        body = self.answer["Body"]
        return {**self.answer, "Body": StreamingBody(BytesIO(body), len(body))}


@dataclass(eq=False)
class Standing:
    """Where the handler stands after some answers: before its next call, or at its end."""

    number: int
    event: dict[str, Any]
    now: datetime
    outcomes: tuple[CallOutcome, ...]
    asked: AskedCall | None = None
    answer: list[dict[str, Any]] | None = None
    error: BaseException | None = None
    following: "dict[str, Standing]" = field(default_factory=dict)


class _NotAnsweredError(BaseException):
    """Ends the handler where its list of answers ends."""


class HandlerReplays:
    """Every place at which the handler has been seen to stand; of one code and one environment."""

    def __init__(self, **environment: str) -> None:
        self.runs = 0
        """How often the handler was run."""
        self._environment = storm_uploads.ENVIRONMENT | environment
        self._first: dict[str, Standing] = {}

    def begin(self, event: dict[str, Any], now: datetime) -> Standing:
        """Return where it stands before its first call."""
        name = f"{now} {json.dumps(event)}"
        if name not in self._first:
            self._first[name] = self._stand(event, now, ())
        return self._first[name]

    def go_on(self, standing: Standing, outcome: CallOutcome) -> Standing:
        """Return where it stands when its call has come to something."""
        name = repr(outcome)
        if name not in standing.following:
            outcomes = (*standing.outcomes, outcome)
            standing.following[name] = self._stand(standing.event, standing.now, outcomes)
        return standing.following[name]

    def _stand(self, event: dict[str, Any], now: datetime, outcomes: tuple[CallOutcome, ...]) -> Standing:
        self.runs += 1
        made = Standing(self.runs, event, now, outcomes)
        left = iter(outcomes)

        def gate_of(service: str) -> Callable[[str, dict[str, Any], Callable[[], Answer]], Answer]:
            def gate(operation: str, given: dict[str, Any], effect: Callable[[], Answer]) -> Answer:
                outcome = next(left, None)
                if outcome is None:
                    made.asked = AskedCall(service, operation, given)
                    raise _NotAnsweredError
                return outcome.give()

            return gate

        clients = (
            DirectClient(name, _NOBODY, gate_of(name), new_token=lambda: OWN_TOKEN)
            for name in ("s3", "sagemaker")
        )
        enter(Clients(*clients))
        os.environ.update(self._environment)
        with WorldClock.at(now):
            try:
                made.answer = handler.handler(event, None)
            except _NotAnsweredError:
                pass
            except BaseException as error:  # noqa: BLE001 - the test looks at whatever it is
                made.error = error
        return made


class _Nobody:
    """The service of a client whose gate lets nothing through."""

    def call(self, operation: str, given: dict[str, Any]) -> Answer:
        raise AssertionError(f"{operation} came through")


_NOBODY = _Nobody()


@dataclass(eq=False)
class ReplayedInvocation(Invocation):
    """One run of the handler; it stands before each call, and at its end as soon as the last is answered."""

    replays: HandlerReplays = field(default_factory=HandlerReplays)
    now: datetime = datetime.min

    def __post_init__(self) -> None:
        self.standing = self.replays.begin(self.event, self.now)

    @property
    def next_operation(self) -> str:
        """The operation of the next call, empty at the end."""
        return self.standing.asked.operation if self.standing.asked else ""

    def fork(self, s3: FakeS3, sagemaker: FakeSageMaker, watch: Any) -> "ReplayedInvocation":
        """Return another one that stands there, too, in another world."""
        made = copy.copy(self)
        made.s3, made.sagemaker, made.watch, made.calls = s3, sagemaker, watch, list(self.calls)
        return made

    def advance(self, pauses: int | None = None) -> None:
        """Make some calls, one more than there are pauses, or (None) go on to the end."""
        left = None if pauses is None else pauses + 1
        while not self.ended and left != 0:
            if self.standing.asked:
                self._make(self.standing.asked)
            left = None if left is None else left - 1
            if not self.standing.asked:
                self.answer, self.error, self.ended = self.standing.answer, self.standing.error, True

    def kill(self) -> None:
        """End the process where it stands."""
        if not self.ended:
            self.error, self.ended = Killed(), True

    def _make(self, asked: AskedCall) -> None:
        # Each invocation has tokens of its own, also where two of them stand at one place.
        own = f"{OWN_TOKEN} {self.began} {len(self.calls)}"
        given = {name: own if value == OWN_TOKEN else value for name, value in asked.given.items()}
        service: FakeS3 | FakeSageMaker = self.s3 if asked.service == "s3" else self.sagemaker

        def effect() -> Answer:
            try:
                return service.call(asked.operation, given)
            except FakeServiceError as error:
                raise client_error(error, asked.operation) from None

        try:
            answer = self._perform(asked.operation, given, effect)
        except (BotoCoreError, ClientError) as error:
            outcome = CallOutcome({}, error)
        else:
            body = {"Body": answer["Body"].read()} if "Body" in answer else {}
            outcome = CallOutcome({**answer, **body})
        self.standing = self.replays.go_on(self.standing, outcome)

    def _pause(self) -> None:
        """Nobody waits: this one stands still between calls by itself."""
