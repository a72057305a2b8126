"""Each mechanism of the delivery taken away in turn: the promise that falls, and that the searches notice.

For each, the search of `tests/support/delivery/exploration.py` finds a schedule of the fewest moves that
needs it, which shows what it is for; and the dice of `tests/support/delivery/schedules.py` must find a
schedule of their own. A move is an upload, the coming of an event, a fault, or a run of one invocation until
some call; after the last one all that is on its way arrives.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import pytest

from tests.support.delivery.exploration import KILLED, BreakingStoryError, Exploration, ExploredScope
from tests.support.delivery.moves import StoryMove
from tests.support.delivery.schedules import roll
from tests.support.delivery.storm_uploads import NEEDY, UNSTARTABLE
from tests.support.delivery.world import BrokenPromiseError, inhabited
from tests.support.services.direct_client import DirectClient
from tests.support.soak import sample
from upload_trigger import delivery, sagemaker_calls, uploads, verdicts
from upload_trigger.delivery import Delivery, KeyHistory
from upload_trigger.reconciliation import Reconciliation

SEEDS = 600
MOVES = 25
FEW = 10
"""The most moves that a schedule may have to show what a mechanism is for."""


class DeliveryMechanism(NamedTuple):
    """What is taken away, how, what falls, and in which scope a schedule for that is found."""

    name: str
    promise: str
    take_away: Callable[[pytest.MonkeyPatch], None]
    scope: ExploredScope
    is_common: bool = True
    """Whether some hundred schedules of the dice need it; the others take thousands, or no move of theirs."""


def within(
    *uploads: str, twice: bool = False, fault: str = "", extras: tuple[StoryMove, ...] = (), **more: Any
) -> ExploredScope:
    """Return the scope of these uploads, with one kind of fault if any."""
    return ExploredScope("", uploads, twice=twice, faults=(fault,) if fault else (), extras=extras, **more)


A_NOTE, NO_NOTE = (StoryMove("parameters", 0, kind) for kind in ("a note", "none"))
TWO = within("first", "second")


def newest_version(patch: pytest.MonkeyPatch) -> None:
    def get(client: DirectClient, **given: Any) -> Any:
        given.pop("VersionId", None)
        return client._call("GetObject", **given)

    patch.setattr(DirectClient, "get_object", get, raising=False)


def random_token(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivery, "request_token", lambda upload: uuid.uuid4().hex)


def unpinned_start(patch: pytest.MonkeyPatch) -> None:
    def start(client: DirectClient, **given: Any) -> Any:
        del given["PipelineVersionId"]
        return client._call("StartPipelineExecution", **given)

    patch.setattr(DirectClient, "start_pipeline_execution", start, raising=False)


def blind_to_sequencers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uploads, "is_newer", lambda one, other, listed: False)


def sequencers_as_numbers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(uploads, "_padded", lambda sequencer, width: sequencer.rjust(width, "0"))


def no_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivery, "converge", lambda *_: None)


def verdict_not_consulted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdicts, "read", lambda s3, upload: None)


def last_verdict_stands(patch: pytest.MonkeyPatch) -> None:
    def put(client: DirectClient, **given: Any) -> Any:
        kept = {name: value for name, value in given.items() if name not in ("IfMatch", "IfNoneMatch")}
        return client._call("PutObject", **kept)

    patch.setattr(DirectClient, "put_object", put, raising=False)


def no_verdict_is_replaced(patch: pytest.MonkeyPatch) -> None:
    def put(client: DirectClient, **given: Any) -> Any:
        condition = {} if "IfMatch" in given else {"IfNoneMatch": "*"}
        return client._call("PutObject", **{**given, **condition})

    patch.setattr(DirectClient, "put_object", put, raising=False)


def refused_call_is_no_warning(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delivery, "_noted", lambda refused: nullcontext())


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


def stopped_before_the_start(patch: pytest.MonkeyPatch) -> None:
    start = Delivery._start

    def stop_and_start(self: Delivery, name: str, upload: Any, *given: Any) -> Any:
        self._stop_older(name, upload)
        return start(self, name, upload, *given)

    patch.setattr(Delivery, "_start", stop_and_start)


def verdict_not_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdicts, "write", lambda s3, upload, verdict, replaces=None: True)


def left_as_it_was_refused(patch: pytest.MonkeyPatch) -> None:
    converge = Delivery.converge

    def look(self: Delivery, history: KeyHistory) -> None:
        if {each["verdict"] for each in history.given.values()} != {"REJECTED"}:
            converge(self, history)

    patch.setattr(Delivery, "converge", look)


def verdicts_tell_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delivery, "_runs", lambda *_: False)


def refusal_is_told_as_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sagemaker_calls, "INVALID", "nothing is")


MECHANISMS = [
    DeliveryMechanism("the exact version", "G1", newest_version, TWO),
    DeliveryMechanism("the token", "G1", random_token, within("first", twice=True)),
    DeliveryMechanism("the pin", "G1", unpinned_start, TWO),
    DeliveryMechanism("the sequencer", "G2", blind_to_sequencers, TWO),
    DeliveryMechanism("the padding of the sequencer", "G2", sequencers_as_numbers, TWO),
    DeliveryMechanism("the second look", "G2", no_second_look, TWO),
    DeliveryMechanism(
        "the look at the verdict", "G3", verdict_not_consulted, within(NEEDY, twice=True, extras=(A_NOTE,))
    ),
    DeliveryMechanism("the verdict", "G3", verdict_not_written, within("first")),
    DeliveryMechanism(
        "the converging after a refused start", "G5", left_as_it_was_refused, within("first", UNSTARTABLE)
    ),
    DeliveryMechanism(
        "the look at what runs without a verdict",
        "G5",
        verdicts_tell_all,
        within("first", UNSTARTABLE),
        is_common=False,
    ),
    DeliveryMechanism("the verdict on a refusal", "G3", refusal_is_told_as_a_failure, within(UNSTARTABLE)),
    DeliveryMechanism(
        "the first verdict", "G3", last_verdict_stands, within("first", twice=True, fault="denied")
    ),
    DeliveryMechanism(
        "STARTED over any verdict", "G3", no_verdict_is_replaced, within("first", twice=True, fault="denied")
    ),
    DeliveryMechanism(
        "the warning on a call after the start",
        "G3",
        refused_call_is_no_warning,
        within("first", fault="denied"),
    ),
    DeliveryMechanism(
        "the second question for parameters",
        "G3",
        parameters_are_not_asked_again,
        within("first", fault="denied"),
    ),
    DeliveryMechanism("the verdict's being last", "G5", verdict_written_first, within("first", UNSTARTABLE)),
    DeliveryMechanism(
        "the schedule's look at what runs",
        "G3",
        schedule_settles_only,
        within("first", fault=KILLED, extras=(StoryMove("delete", 1),)),
        is_common=False,
    ),
    DeliveryMechanism(
        "the schedule's look at the pipeline",
        "G2",
        schedule_settles_only,
        within("first", extras=(StoryMove("by hand"),)),
        is_common=False,
    ),
    DeliveryMechanism(
        "the start before the stop",
        "G2",
        stopped_before_the_start,
        within("first", NEEDY, fault=KILLED, extras=(A_NOTE, NO_NOTE), on_running="stop"),
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


def play(scope: ExploredScope, story: list[StoryMove]) -> None:
    """Let these moves happen, and then all that is on its way arrive."""
    world = Exploration(scope).begin()
    for move in story:
        world = world.after(move)
    world.hold_to_promises()


@pytest.mark.slow
@each_mechanism
def test_a_few_moves_break_the_promise_without_the_mechanism_and_not_with_it(
    mechanism: DeliveryMechanism,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mechanism.take_away(patch)
        broken = Exploration(mechanism.scope).shortest(FEW)
        assert broken is not None, f"no schedule of {FEW} moves needs it"
        assert str(broken).startswith(f"{mechanism.promise}: "), broken
        with pytest.raises(BreakingStoryError, match=f"^{mechanism.promise}: "):
            play(mechanism.scope, broken.story)
    assert len(broken.story) <= FEW
    play(mechanism.scope, broken.story)


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
