"""A world for the handler to live in: a bucket, SageMaker, a clock, events on their way, invocations at work.

Whatever may happen to an upload is a method here: S3 repeats, reorders and loses events, Lambda runs several
invocations at once, ends them anywhere, tries again and gives up, calls fail before or after their effect,
people redrive, reconcile and delete. `settle` lets all that cease; what must hold then is in
`promises.py`, which also watches every call. Nothing is random: whoever calls the methods decides.
"""

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.support.delivery import storm_uploads
from tests.support.delivery.invocations import FAULTS, Invocation, clients_of_invocation
from tests.support.delivery.promises import Watch, broken_promises
from tests.support.delivery.storm_uploads import BUCKET, KEYS, UploadedDefinition
from tests.support.delivery.world_clock import START, WorldClock
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import FakeSageMaker
from tests.support.services.service_answers import Killed
from upload_trigger import handler, reconciliation, verdicts

ATTEMPTS = 3
"""How often Lambda runs an asynchronous event before it gives up."""
STEP = timedelta(milliseconds=300)


class BrokenPromiseError(AssertionError):
    """A promise does not hold; the message begins with its name."""


@dataclass
class DeliveryWorld:
    """All there is, and all that may happen to it."""

    lag: int = 0
    """How many lists of executions a new one is missing from."""
    skew: int = 0
    """Seconds by which SageMaker's clock is ahead of S3's."""
    strict: bool = False
    """Whether every request is checked as boto3 checks it."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Records on their way from S3."""
    at_work: list[Invocation] = field(default_factory=list)
    retries: list[tuple[dict[str, Any], int]] = field(default_factory=list)
    """Events that Lambda will try again, with the number of the attempt."""
    given_up: list[dict[str, Any]] = field(default_factory=list)
    """The on-failure queue."""
    uploaded: list[dict[str, Any]] = field(default_factory=list)
    """The record of every definition, in the order of the uploads."""
    begun: int = 0
    """How many invocations there have been."""
    story: list[str] = field(default_factory=list)
    """What has happened, to read when a promise is broken."""

    def __post_init__(self) -> None:
        WorldClock.current = START
        self.s3 = FakeS3(BUCKET, clock=lambda: WorldClock.current.replace(microsecond=0))
        ahead = timedelta(seconds=self.skew)
        self.sagemaker = FakeSageMaker(clock=lambda: WorldClock.current + ahead, lag=self.lag)
        self.watch = Watch(self.s3, self.sagemaker, at_work=self.at_work)

    def upload(self, kind: str, key: str = KEYS[0]) -> dict[str, Any]:
        """UploadedDefinition a definition; its event is on its way."""
        self._tell(f"upload {kind} to {key}")
        record = self.s3.put(key, storm_uploads.BODIES[kind])
        self.events.append(record)
        self.uploaded.append(record)
        entry = record["s3"]["object"]
        upload = UploadedDefinition(key, entry["versionId"], entry["sequencer"], kind, self.watch.moment)
        self.watch.uploads[upload.version_id] = upload
        return record

    def upload_parameters(self, kind: str, key: str = KEYS[0]) -> None:
        """UploadedDefinition the parameters.json beside a definition; S3 notifies nobody."""
        self._tell(f"upload parameters {kind} beside {key}")
        self.s3.put(storm_uploads.parameters_key(key), storm_uploads.PARAMETERS[kind])
        self.watch.parameters[key].append((self.watch.moment, kind))

    def delete(self, key: str = KEYS[0]) -> None:
        """Delete the definition, which leaves a delete marker and no event."""
        self._tell(f"delete {key}")
        self.s3.call("DeleteObject", {"Bucket": BUCKET, "Key": key})

    def deliver(self, *records: dict[str, Any]) -> Invocation:
        """Start an invocation on some of the records, which stands before its first call."""
        for record in records:
            if record in self.events:
                self.events.remove(record)
        return self.invoke({"Records": list(records)})

    def duplicate(self, record: dict[str, Any]) -> None:
        """Let S3 send a record once more."""
        self._tell(f"duplicate {_name(record)}")
        self.events.append(copy.deepcopy(record))

    def drop(self, record: dict[str, Any]) -> None:
        """Let S3 or Lambda lose a record."""
        self._tell(f"drop {_name(record)}")
        self.events.remove(record)

    def reconcile(self, minimum_age: int = 0, *, failed: bool = False) -> Invocation:
        """Start what the schedule, or `ops reconcile`, starts."""
        return self.invoke({"reconcile": {"minimumAgeSeconds": minimum_age, "failed": failed}})

    def invoke(self, event: dict[str, Any], attempt: int = 1) -> Invocation:
        """Start an invocation; it stands before its first call."""
        self.begun += 1
        made = self._invocation(event, attempt)
        self.at_work.append(made)
        self._tell(f"{self._who(made)}: {_name(event)}, attempt {attempt}")
        self.watch.begin(made)
        return made

    def _invocation(self, event: dict[str, Any], attempt: int) -> Invocation:
        return Invocation(
            event,
            self.s3,
            self.sagemaker,
            self.watch.call,
            attempt,
            self.watch.moment,
            self.begun,
            self.strict,
        )

    def step(self, invocation: Invocation, pauses: int = 1) -> None:
        """Let an invocation go on for some pauses: one is before, one after each call."""
        self._tell(f"{self._who(invocation)}: {pauses} pauses on")
        invocation.advance(pauses)
        self._look_at(invocation)

    def run(self, invocation: Invocation) -> Invocation:
        """Let an invocation run to its end."""
        if invocation.ended:
            return invocation
        self._tell(f"{self._who(invocation)}: to its end")
        invocation.advance()
        self._look_at(invocation)
        return invocation

    def kill(self, invocation: Invocation) -> None:
        """End an invocation where it stands."""
        self._tell(f"{self._who(invocation)}: killed after {len(invocation.calls)} calls")
        invocation.kill()
        self._look_at(invocation)

    def fault(self, invocation: Invocation, name: str) -> None:
        """Make the next call of an invocation go wrong."""
        self._tell(f"{self._who(invocation)}: next call {name}")
        invocation.fault = FAULTS[name]

    def retry(self, number: int = 0) -> Invocation:
        """Let Lambda try an event again, a minute later: no list lags behind that much."""
        self._catch_up()
        return self.invoke(*self.retries.pop(number))

    def redrive(self) -> None:
        """Replay everything in the on-failure queue."""
        self._catch_up()
        waiting, self.given_up = self.given_up, []
        for event in waiting:
            self.invoke(event)

    def redeploy(self, **environment: str) -> None:
        """Change the function's environment, until the test is over."""
        self._tell(f"redeploy with {environment}")
        os.environ.update(environment)

    def wait(self, *, days: int = 0) -> None:
        """Let 20 minutes or days pass: Lambda ends what runs, lists catch up, days forget tokens."""
        for invocation in list(self.at_work):
            self.kill(invocation)
        self._tell(f"wait {days} days" if days else "wait 20 minutes")
        WorldClock.current += timedelta(days=days) or timedelta(minutes=20)
        self._catch_up()
        if days:
            self.sagemaker.forget_tokens()

    def settle(self) -> None:
        """Let every fault cease, all that is on its way arrive, people redrive and the schedule reconcile."""
        self.sagemaker.lag = 0
        self._catch_up()
        self._finish()
        self.redrive()
        self.reconcile(failed=True)
        self._finish()
        if self.given_up:
            raise self.broken(f"G3: without faults a redrive fails all the same: {self.given_up}")
        self.wait()
        self.run(self.reconcile(900))

    def check(self) -> None:
        """Settle, and raise `Broken` with every promise that does not hold then."""
        self.settle()
        state = self.at_rest()
        last = self.run(self.reconcile())
        found = list(broken_promises(self.watch))
        if last.answer or self.at_rest() != state:
            found.append("G4: reconciling what is at rest changes it")
        if found:
            raise self.broken(*found)

    def at_rest(self) -> dict[str, Any]:
        """Return what two runs must agree on: verdicts by upload, definitions, how often each upload ran."""
        uploads = list(self.watch.uploads.values())
        return {
            "verdicts": [(self.watch.verdict(each) or {}).get("verdict") for each in uploads],
            "executions": [len(self.watch.executions(each)) for each in uploads],
            "stopped": [e.status != "Executing" for each in uploads for e in self.watch.executions(each)],
            "definitions": {name: each.versions[-1] for name, each in self.sagemaker.pipelines.items()},
        }

    def close(self) -> None:
        """End what still runs."""
        for invocation in self.at_work:
            invocation.kill()

    def _finish(self) -> None:
        while self.at_work or self.retries or self.events:
            for invocation in list(self.at_work):
                invocation.fault = None
                self.run(invocation)
            while self.retries:
                self.run(self.retry())
            if self.events:
                self.run(self.deliver(self.events[0]))

    def _catch_up(self) -> None:
        for execution in self.sagemaker.executions:
            execution.unlisted = 0

    def _look_at(self, invocation: Invocation) -> None:
        """Do what Lambda does when an invocation ends."""
        if invocation.ended:
            self.watch.end(invocation)
        if self.watch.broken:
            raise self.broken(*self.watch.broken)
        if not invocation.ended:
            return
        self.at_work.remove(invocation)
        if invocation.error is None:
            self._tell(f"  answered {[each['verdict'] for each in invocation.answer or []]}")
            return
        self._tell(f"  {type(invocation.error).__name__}: {str(invocation.error)[:300]}")
        if not isinstance(invocation.error, handler.StartError | Killed):
            raise self.broken(f"G3: the handler raised {invocation.error!r}") from invocation.error
        if invocation.attempt < ATTEMPTS:
            self.retries.append((invocation.event, invocation.attempt + 1))
        else:
            self.given_up.append(invocation.event)

    def _tell(self, line: str) -> None:
        self.story.append(line)
        self.watch.moment += 1
        WorldClock.current += STEP

    def _who(self, invocation: Invocation) -> str:
        return f"invocation {invocation.began}"

    def broken(self, *promises: str) -> BrokenPromiseError:
        """Make the error that tells what is broken, and how it came to that."""
        text = "\n".join([*promises, *self.story])
        for number, version_id in enumerate(self.watch.uploads):
            text = text.replace(version_id, f"v{number}")
        return BrokenPromiseError(text)


def _name(event: dict[str, Any]) -> str:
    records = event.get("Records", [event] if "s3" in event else [])
    versions = [record["s3"]["object"]["versionId"] for record in records]
    return ", ".join(versions) or json.dumps(event)


@contextmanager
def inhabited() -> Iterator[pytest.MonkeyPatch]:
    """Put the handler into worlds: their clients, their clock, the environment of the deployment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "clients", clients_of_invocation)
        for module in (reconciliation, verdicts):
            patch.setattr(module, "datetime", WorldClock)
        for name, value in storm_uploads.ENVIRONMENT.items():
            patch.setenv(name, value)
        yield patch
