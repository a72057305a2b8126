"""The handler ended before and after every call it makes: replayed, it ends where it would have ended.

Each scenario is run undisturbed once, and then once for every point at which its invocation can die. After
that Lambda tries again, S3 repeats every event, and the schedule reconciles.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.delivery.invocations import Invocation
from tests.support.delivery.storm_uploads import KEYS, NEEDY, UNSTARTABLE, UNSTORABLE
from tests.support.delivery.world import DeliveryWorld, inhabited

pytestmark = pytest.mark.slow

Doom = Callable[[Invocation], Invocation]
"""Chooses where the invocation that the scenario is about dies."""


def first_upload(world: DeliveryWorld, doom: Doom) -> None:
    world.run(doom(world.deliver(world.upload("first"))))


def update(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload("second"))))


def unchanged(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload("first"))))


def rejected(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload("forbidden"))))


def refused_when_stored(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload(UNSTORABLE))))


def refused_when_created(world: DeliveryWorld, doom: Doom) -> None:
    world.run(doom(world.deliver(world.upload(UNSTORABLE))))


def refused_when_started(world: DeliveryWorld, doom: Doom) -> None:
    """The pipeline holds the refused definition for a moment, and then the one that runs."""
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload(UNSTARTABLE))))


def refused_when_started_first(world: DeliveryWorld, doom: Doom) -> None:
    """There is no definition that the pipeline could be given back."""
    world.run(doom(world.deliver(world.upload(UNSTARTABLE))))


def refused_when_started_and_found_by_the_schedule(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    for kind in (UNSTARTABLE, UNSTORABLE):
        world.drop(world.upload(kind))
    world.run(doom(world.reconcile()))


def superseded(world: DeliveryWorld, doom: Doom) -> None:
    older = world.upload("first")
    world.run(world.deliver(world.upload("second")))
    world.run(doom(world.deliver(older)))


def newer_one_was_lost(world: DeliveryWorld, doom: Doom) -> None:
    """The older upload's event finds the newer upload, whose event never came."""
    older, newer = world.upload("first"), world.upload("second")
    world.drop(newer)
    world.run(doom(world.deliver(older)))


def newer_one_is_invalid(world: DeliveryWorld, doom: Doom) -> None:
    older, newer = world.upload("first"), world.upload("no JSON")
    world.drop(newer)
    world.run(doom(world.deliver(older)))


def overtaken(world: DeliveryWorld, doom: Doom) -> None:
    """The newer upload runs while the older one's invocation is at work."""
    older, newer = world.upload("first"), world.upload("second")
    invocation = doom(world.deliver(older))
    while not invocation.ended and "ListPipelineExecutions" not in [c.operation for c in invocation.calls]:
        world.step(invocation, 0)
    world.run(world.deliver(newer))
    world.run(invocation)


def overtaken_after_its_store(world: DeliveryWorld, doom: Doom) -> None:
    older, newer = world.upload("first"), world.upload("second")
    invocation = doom(world.deliver(older))
    while not invocation.ended and "ListPipelineVersions" not in [c.operation for c in invocation.calls]:
        world.step(invocation, 0)
    world.run(world.deliver(newer))
    world.run(invocation)


def several_records(world: DeliveryWorld, doom: Doom) -> None:
    kinds = ("first", "no JSON", "second")
    records = [world.upload(kind, key) for kind, key in zip(kinds, (*KEYS, KEYS[0]), strict=True)]
    world.run(doom(world.deliver(*records)))


def with_parameters(world: DeliveryWorld, doom: Doom) -> None:
    world.upload_parameters("a note")
    world.run(doom(world.deliver(world.upload(NEEDY))))


def wrong_parameters(world: DeliveryWorld, doom: Doom) -> None:
    world.upload_parameters("wrong")
    world.run(doom(world.deliver(world.upload("first"))))


def stops_what_runs(world: DeliveryWorld, doom: Doom) -> None:
    world.redeploy(ON_RUNNING="stop")
    world.run(world.deliver(world.upload("first")))
    world.run(doom(world.deliver(world.upload("second"))))


def reconcile(world: DeliveryWorld, doom: Doom) -> None:
    """Everything is found by the schedule, no event came."""
    for kind, key in (("first", KEYS[0]), ("second", KEYS[0]), ("forbidden", KEYS[0]), ("third", KEYS[1])):
        world.drop(world.upload(kind, key))
    world.run(doom(world.reconcile()))


def reconcile_after_a_change_by_hand(world: DeliveryWorld, doom: Doom) -> None:
    world.run(world.deliver(world.upload("first")))
    world.sagemaker.call(
        "UpdatePipeline", {"PipelineName": "cv-birds", "PipelineDefinition": '{"Steps": []}'}
    )
    world.run(doom(world.reconcile()))


def reconcile_what_failed(world: DeliveryWorld, doom: Doom) -> None:
    invocation = world.deliver(world.upload("first"))
    while "GetObject" not in [call.operation for call in invocation.calls]:
        world.step(invocation, 0)
    world.step(invocation, 0)
    world.fault(invocation, "denied")
    world.run(invocation)
    assert world.at_rest()["verdicts"] == ["FAILED"]
    world.run(doom(world.reconcile(failed=True)))


SCENARIOS = [
    first_upload,
    update,
    unchanged,
    rejected,
    refused_when_stored,
    refused_when_created,
    refused_when_started,
    refused_when_started_first,
    refused_when_started_and_found_by_the_schedule,
    superseded,
    newer_one_was_lost,
    newer_one_is_invalid,
    overtaken,
    overtaken_after_its_store,
    several_records,
    with_parameters,
    wrong_parameters,
    stops_what_runs,
    reconcile,
    reconcile_after_a_change_by_hand,
    reconcile_what_failed,
]
OVERTAKEN = (overtaken, overtaken_after_its_store)


@pytest.fixture(autouse=True)
def _world(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO, logger="upload_trigger")
    with inhabited():
        yield


def play(
    scenario: Callable[[DeliveryWorld, Doom], None], kill_at: int | None
) -> tuple[Invocation, dict[str, Any]]:
    """Run a scenario and all that follows; give the invocation it is about, and the state at rest."""
    world, interrupted = DeliveryWorld(strict=True), []
    world.redeploy(ON_RUNNING="parallel")

    def doom(invocation: Invocation) -> Invocation:
        invocation.kill_at = kill_at
        interrupted.append(invocation)
        return invocation

    scenario(world, doom)
    for record in [each for each in world.s3.records if each["s3"]["object"]["key"] in KEYS]:
        world.duplicate(record)
    world.check()
    return interrupted[0], world.at_rest()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_killed_before_or_after_any_call_it_ends_in_the_same_state(
    scenario: Callable[[DeliveryWorld, Doom], None],
) -> None:
    undisturbed, expected = play(scenario, None)
    # Whoever was overtaken and dies early finds the newer one's execution when it is tried again.
    begun_anew = play(scenario, 0)[1]
    assert begun_anew == expected or scenario in OVERTAKEN

    tried = 0
    for point in range(undisturbed.pauses):
        killed, state = play(scenario, point)
        assert state in (expected, begun_anew), f"killed at {point} of {undisturbed.pauses}: {killed.calls}"
        tried += type(killed.error).__name__ == "Killed"

    points = 2 * len(undisturbed.calls)
    assert tried == points > 0, f"{tried} of {points} points were tried"


def test_all_scenarios_together_use_every_call_of_the_handler() -> None:
    used = {call.operation for scenario in SCENARIOS for call in play(scenario, None)[0].calls}
    assert used == {
        "CreatePipeline",
        "DescribePipeline",
        "GetObject",
        "ListObjectVersions",
        "ListObjectsV2",
        "ListPipelineExecutions",
        "ListPipelineParametersForExecution",
        "ListPipelineVersions",
        "PutObject",
        "StartPipelineExecution",
        "StopPipelineExecution",
        "UpdatePipeline",
    }
