"""Each mechanism of the delivery taken away in turn: the promise that falls, and that the search notices.

For each there is the shortest schedule that needs it, which shows what it is for, and the dice of
`tests/support/delivery/schedules.py`, which must find a schedule of their own.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import pytest

from tests.support.delivery.invocations import Invocation
from tests.support.delivery.schedules import roll
from tests.support.delivery.storm_uploads import NEEDY, UNSTARTABLE
from tests.support.delivery.world import BrokenPromiseError, DeliveryWorld, inhabited
from tests.support.services.direct_client import DirectClient
from tests.support.soak import sample
from upload_trigger import delivery, sagemaker_calls, uploads, verdicts
from upload_trigger.delivery import Delivery, KeyHistory
from upload_trigger.reconciliation import Reconciliation

SEEDS = 600
MOVES = 25


class DeliveryMechanism(NamedTuple):
    """What is taken away, how, what falls, and the shortest schedule for that."""

    name: str
    promise: str
    take_away: Callable[[pytest.MonkeyPatch], None]
    schedule: Callable[[DeliveryWorld], None]
    is_common: bool = True
    """Whether some hundred schedules of the dice need it; the others take thousands, or no move of theirs."""


def until(world: DeliveryWorld, invocation: Invocation, operation: str) -> None:
    """Let an invocation go on until it has made a call."""
    while not any(call.operation == operation for call in invocation.calls):
        world.step(invocation, 0)
    world.step(invocation, 0)


def newest_version(patch: pytest.MonkeyPatch) -> None:
    def get(client: DirectClient, **given: Any) -> Any:
        given.pop("VersionId", None)
        return client._call("GetObject", **given)

    patch.setattr(DirectClient, "get_object", get, raising=False)


def older_event_comes_first(world: DeliveryWorld) -> None:
    """The key holds a newer upload by then."""
    older = world.upload("first")
    world.upload("second")
    world.run(world.deliver(older))


def random_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivery, "request_token", lambda upload: uuid.uuid4().hex)


def delivered_twice_at_once(world: DeliveryWorld) -> None:
    """Both invocations look for an execution when there is none."""
    record = world.upload("first")
    invocation = world.deliver(record)
    until(world, invocation, "ListPipelineExecutions")
    world.run(world.deliver(record))
    world.run(invocation)


def unpinned_start(patch: pytest.MonkeyPatch) -> None:
    def start(client: DirectClient, **given: Any) -> Any:
        del given["PipelineVersionId"]
        return client._call("StartPipelineExecution", **given)

    patch.setattr(DirectClient, "start_pipeline_execution", start, raising=False)


def older_overtaken_before_its_start(world: DeliveryWorld) -> None:
    """The newer definition is stored between the older one's store and its start."""
    world.upload("third")
    world.run(world.deliver(*world.events))
    older, newer = world.upload("first"), world.upload("second")
    invocation = world.deliver(older)
    until(world, invocation, "UpdatePipeline")
    world.run(world.deliver(newer))
    world.run(invocation)


def blind_to_sequencers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uploads, "is_newer", lambda one, other, listed: False)


def sequencers_as_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uploads, "_padded", lambda sequencer, width: sequencer.rjust(width, "0"))


def older_event_comes_late(world: DeliveryWorld) -> None:
    """The newer upload has run when the older one's event comes."""
    older, newer = world.upload("first"), world.upload("second")
    assert len(older["s3"]["object"]["sequencer"]) != len(newer["s3"]["object"]["sequencer"])
    world.run(world.deliver(newer))
    world.run(world.deliver(older))


def no_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivery, "converge", lambda *_: None)


def older_overtaken_before_it_is_stored(world: DeliveryWorld) -> None:
    """The older invocation looked for newer ones when there was none, and stores its definition last."""
    older, newer = world.upload("first"), world.upload("second")
    invocation = world.deliver(older)
    until(world, invocation, "ListPipelineExecutions")
    world.run(world.deliver(newer))
    world.run(invocation)


def verdict_not_consulted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdicts, "read", lambda s3, upload: None)


def rejected_upload_is_repeated(world: DeliveryWorld) -> None:
    """What was REJECTED starts after all, when the deployment has changed and S3 repeats the event."""
    record = world.upload(NEEDY)
    world.run(world.deliver(record))
    world.redeploy(PIPELINE_PARAMETER_DEFAULTS='{"Note": "of the deployment"}')
    world.run(world.deliver(record))


def last_verdict_stands(patch: pytest.MonkeyPatch) -> None:
    def put(client: DirectClient, **given: Any) -> Any:
        kept = {name: value for name, value in given.items() if name not in ("IfMatch", "IfNoneMatch")}
        return client._call("PutObject", **kept)

    patch.setattr(DirectClient, "put_object", put, raising=False)


def delivered_twice_and_one_is_refused(world: DeliveryWorld) -> None:
    """One invocation has found no verdict when the other one starts the upload; then it is denied a call."""
    record = world.upload("first")
    invocation = world.deliver(record)
    until(world, invocation, "ListObjectsV2")
    world.run(world.deliver(record))
    world.fault(invocation, "denied")
    world.run(invocation)


def no_verdict_is_replaced(patch: pytest.MonkeyPatch) -> None:
    def put(client: DirectClient, **given: Any) -> Any:
        condition = {} if "IfMatch" in given else {"IfNoneMatch": "*"}
        return client._call("PutObject", **{**given, **condition})

    patch.setattr(DirectClient, "put_object", put, raising=False)


def refused_while_another_one_starts(world: DeliveryWorld) -> None:
    """One invocation has found no verdict when the other one, which is denied a call, says that it FAILED."""
    record = world.upload("first")
    invocation, other = world.deliver(record), world.deliver(record)
    for each in (invocation, other):
        until(world, each, "ListObjectsV2")
    world.fault(other, "denied")
    world.run(other)
    world.run(invocation)
    # At once, and not only when the schedule looks at what runs.
    (upload,) = world.watch.uploads.values()
    if (world.watch.verdict(upload) or {}).get("verdict") != "STARTED":
        raise world.broken(f"G3: {upload} runs, and what the other invocation said of it stands")


def refused_call_is_no_warning(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivery, "_noted", lambda refused: nullcontext())


def denied_after_its_start(world: DeliveryWorld) -> None:
    """What it started with may not be asked."""
    invocation = world.deliver(world.upload("first"))
    until(world, invocation, "StartPipelineExecution")
    world.fault(invocation, "denied")
    world.run(invocation)


def parameters_are_not_asked_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivery, "with_parameters", lambda self, verdict: verdict)


def verdict_written_first(patch: pytest.MonkeyPatch) -> None:
    converge = Delivery.converge

    def write_and_look(self: Delivery, history: KeyHistory) -> None:
        self.write_all(history)
        converge(self, history)

    patch.setattr(Delivery, "converge", write_and_look)


def schedule_settles_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reconciliation, "_look_again", lambda *_: None)


def deleted_while_it_starts(world: DeliveryWorld) -> None:
    """The invocation that starts it dies, and the next one finds no object any more."""
    record = world.upload("first")
    invocation = world.deliver(record)
    until(world, invocation, "StartPipelineExecution")
    world.kill(invocation)
    entry = record["s3"]["object"]
    version = {"Bucket": world.s3.bucket, "Key": entry["key"], "VersionId": entry["versionId"]}
    world.s3.call("DeleteObject", version)
    world.run(world.retry())


def changed_by_hand(world: DeliveryWorld) -> None:
    """Somebody stores another definition, and nothing is uploaded after that."""
    world.run(world.deliver(world.upload("first")))
    by_hand = {"PipelineName": "cv-birds", "PipelineDefinition": '{"Steps": []}'}
    world.sagemaker.call("UpdatePipeline", by_hand)


def stopped_before_the_start(patch: pytest.MonkeyPatch) -> None:
    start = Delivery._start

    def stop_and_start(self: Delivery, name: str, upload: Any, *given: Any) -> Any:
        self._stop_older(name, upload)
        return start(self, name, upload, *given)

    patch.setattr(Delivery, "_start", stop_and_start)


def killed_before_its_start_and_then_invalid(world: DeliveryWorld) -> None:
    """The newer upload's invocation dies just before it starts it, and then nobody gives it its values."""
    world.redeploy(ON_RUNNING="stop")
    world.run(world.deliver(world.upload("first")))
    world.upload_parameters("a note")
    invocation = world.deliver(world.upload(NEEDY))
    while invocation.calls[-1:] == [] or invocation.calls[-1].operation not in (
        "StopPipelineExecution",
        "StartPipelineExecution",
    ):
        world.step(invocation, 0)
    if invocation.calls[-1].operation == "StopPipelineExecution":
        world.kill(invocation)
    world.upload_parameters("none")


def verdict_not_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdicts, "write", lambda s3, upload, verdict, replaces=None: True)


def one_upload(world: DeliveryWorld) -> None:
    """Nothing goes wrong."""
    world.run(world.deliver(world.upload("first")))


def left_as_it_was_refused(patch: pytest.MonkeyPatch) -> None:
    converge = Delivery.converge

    def look(self: Delivery, history: KeyHistory) -> None:
        if {each["verdict"] for each in history.given.values()} != {"REJECTED"}:
            converge(self, history)

    patch.setattr(Delivery, "converge", look)


def refused_when_started(world: DeliveryWorld) -> None:
    """SageMaker stores the newer definition, and then does not start it."""
    world.run(world.deliver(world.upload("first")))
    world.run(world.deliver(world.upload(UNSTARTABLE)))


def refusal_is_told_as_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sagemaker_calls, "INVALID", "nothing is")


MECHANISMS = [
    DeliveryMechanism("the exact version", "G1", newest_version, older_event_comes_first),
    DeliveryMechanism("the token", "G1", random_token, delivered_twice_at_once),
    DeliveryMechanism("the pin", "G1", unpinned_start, older_overtaken_before_its_start),
    DeliveryMechanism("the sequencer", "G2", blind_to_sequencers, older_event_comes_late),
    DeliveryMechanism("the padding of the sequencer", "G2", sequencers_as_numbers, older_event_comes_late),
    DeliveryMechanism("the second look", "G2", no_second_look, older_overtaken_before_it_is_stored),
    DeliveryMechanism("the look at the verdict", "G3", verdict_not_consulted, rejected_upload_is_repeated),
    DeliveryMechanism("the verdict", "G3", verdict_not_written, one_upload),
    DeliveryMechanism(
        "the converging after a refused start", "G5", left_as_it_was_refused, refused_when_started
    ),
    DeliveryMechanism("the verdict on a refusal", "G3", refusal_is_told_as_a_failure, refused_when_started),
    DeliveryMechanism("the first verdict", "G3", last_verdict_stands, delivered_twice_and_one_is_refused),
    DeliveryMechanism(
        "STARTED over any verdict", "G3", no_verdict_is_replaced, refused_while_another_one_starts
    ),
    DeliveryMechanism(
        "the warning on a call after the start", "G3", refused_call_is_no_warning, denied_after_its_start
    ),
    DeliveryMechanism(
        "the second question for parameters", "G3", parameters_are_not_asked_again, denied_after_its_start
    ),
    DeliveryMechanism("the verdict's being last", "G5", verdict_written_first, refused_when_started),
    DeliveryMechanism(
        "the schedule's look at what runs",
        "G3",
        schedule_settles_only,
        deleted_while_it_starts,
        is_common=False,
    ),
    DeliveryMechanism(
        "the schedule's look at the pipeline", "G2", schedule_settles_only, changed_by_hand, is_common=False
    ),
    DeliveryMechanism(
        "the start before the stop",
        "G2",
        stopped_before_the_start,
        killed_before_its_start_and_then_invalid,
        is_common=False,
    ),
]
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda each: each.name)


@pytest.fixture(autouse=True)
def patch() -> Iterator[pytest.MonkeyPatch]:
    logging.disable(logging.CRITICAL)
    with inhabited() as patch:
        yield patch
    logging.disable(logging.NOTSET)


def play(mechanism: DeliveryMechanism) -> None:
    world = DeliveryWorld()
    try:
        mechanism.schedule(world)
        world.check()
    finally:
        world.close()


@each_mechanism
def test_the_schedule_breaks_nothing_while_the_mechanism_is_there(mechanism: DeliveryMechanism) -> None:
    play(mechanism)


@each_mechanism
def test_without_the_mechanism_its_promise_falls(
    mechanism: DeliveryMechanism, patch: pytest.MonkeyPatch
) -> None:
    mechanism.take_away(patch)
    with pytest.raises(BrokenPromiseError, match=f"^{mechanism.promise}: "):
        play(mechanism)


def search() -> None:
    for seed in range(SEEDS):
        roll(seed, MOVES)


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(
    "mechanism", sample([each for each in MECHANISMS if each.is_common], 4), ids=lambda each: each.name
)
def test_the_search_finds_that_the_mechanism_is_gone(
    mechanism: DeliveryMechanism, patch: pytest.MonkeyPatch
) -> None:
    mechanism.take_away(patch)
    # It may come upon another promise first that falls with this one.
    with pytest.raises(BrokenPromiseError, match=f"^({mechanism.promise}|G4|G5): "):
        search()
