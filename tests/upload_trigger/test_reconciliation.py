"""What reconciling does with many uploads and little time, and what it makes of verdicts that were wrong."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import upload_trigger.handler
from tests.support.delivery.storm_uploads import KEYS
from tests.support.delivery.world import DeliveryWorld, inhabited
from tests.support.delivery.world_clock import WorldClock
from tests.support.services.service_answers import FakeServiceError
from upload_trigger import verdicts
from upload_trigger.handler import StartError

PILE = 60
"""Uploads with a verdict, which are many for a reconciliation that has time for a few calls."""


@pytest.fixture
def world() -> Iterator[DeliveryWorld]:
    logging.disable(logging.CRITICAL)
    with inhabited():
        made = DeliveryWorld()
        made.redeploy(ON_RUNNING="parallel")
        yield made
        made.close()
    logging.disable(logging.NOTSET)


def verdict(world: DeliveryWorld, record: dict[str, Any]) -> dict[str, Any]:
    found = world.watch.verdict(world.watch.uploads[record["s3"]["object"]["versionId"]])
    return found or {"verdict": None}


def lose(world: DeliveryWorld, kind: str, key: str = KEYS[0]) -> dict[str, Any]:
    record = world.upload(kind, key)
    world.drop(record)
    return record


def refuse(world: DeliveryWorld, operation: str) -> None:
    """Take a right from the function."""
    allowed = world.sagemaker.call

    def call(asked: str, given: dict[str, Any]) -> dict[str, Any]:
        if asked == operation:
            raise FakeServiceError("AccessDeniedException", f"not authorized to perform {asked}", 400)
        return allowed(asked, given)

    world.sagemaker.call = call  # type: ignore[assignment, method-assign]


class ShortContext:
    """Lambda's, with time for so many looks at the clock."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def get_remaining_time_in_millis(self) -> int:
        self.looks -= 1
        return 100_000 if self.looks >= 0 else 0


def reconcile_for(world: DeliveryWorld, looks: int) -> None:
    """Reconcile with little time, as the handler's clients of this world."""
    invocation = world.reconcile()
    context = ShortContext(looks)
    handler = upload_trigger.handler.handler
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload_trigger.handler, "handler", lambda event, _: handler(event, context))
        world.run(invocation)
    world.retries.clear()


def test_what_has_no_verdict_is_settled_before_anything_is_looked_at_again(world: DeliveryWorld) -> None:
    for _ in range(PILE):
        world.run(world.deliver(world.upload("forbidden", KEYS[0])))
    lost = lose(world, "first", KEYS[1])

    reconcile_for(world, 3)

    assert verdict(world, lost)["verdict"] == "STARTED"


def test_a_reconciliation_that_runs_out_of_time_keeps_what_it_has_settled(world: DeliveryWorld) -> None:
    lost = [lose(world, "forbidden") for _ in range(PILE)]

    reconcile_for(world, 2)

    settled = sum(verdict(world, each)["verdict"] == "REJECTED" for each in lost)
    assert 0 < settled < PILE
    for _ in range(PILE):
        reconcile_for(world, 2)
    assert {verdict(world, each)["verdict"] for each in lost} == {"REJECTED"}


def test_looking_again_costs_what_has_started_and_not_what_was_rejected(world: DeliveryWorld) -> None:
    world.run(world.deliver(world.upload("first")))
    for _ in range(PILE):
        world.run(world.deliver(world.upload("forbidden")))

    # The pipeline's newest started upload is below the pile; only finding it reads the verdicts above.
    calls = len(world.run(world.reconcile()).calls)

    assert calls < PILE + 15


def test_a_young_upload_without_a_verdict_hides_no_older_one(world: DeliveryWorld) -> None:
    old = lose(world, "first")
    WorldClock.current += timedelta(hours=12)
    young = lose(world, "second", KEYS[1])

    world.run(world.reconcile(900))

    assert verdict(world, old)["verdict"] == "STARTED"
    assert verdict(world, young)["verdict"] is None


@pytest.mark.parametrize(
    "operation", ["ListPipelineParametersForExecution", "StopPipelineExecution", "DescribePipelineExecution"]
)
def test_an_upload_that_runs_is_started_whatever_the_function_may_not_ask(
    world: DeliveryWorld, operation: str
) -> None:
    world.redeploy(ON_RUNNING="stop")
    world.run(world.deliver(world.upload("first")))
    refuse(world, operation)
    record = world.upload("second")

    world.run(world.deliver(record))

    found = verdict(world, record)
    assert found["verdict"] == "STARTED"
    if operation != "DescribePipelineExecution":  # not asked of an execution that was just started
        assert operation in found["warnings"][0]["message"]
    assert "second" in world.sagemaker.pipelines["cv-birds"].versions[-1]


def test_a_verdict_that_denies_a_running_execution_is_put_right(world: DeliveryWorld) -> None:
    record = world.upload("first")
    invocation = world.deliver(record)
    while not any(call.operation == "StartPipelineExecution" for call in invocation.calls):
        world.step(invocation, 0)
    world.kill(invocation)
    entry = record["s3"]["object"]
    world.s3.call(
        "DeleteObject",
        {"Bucket": world.s3.bucket, "Key": entry["key"], "VersionId": entry["versionId"]},
    )
    world.run(world.retry())
    assert verdict(world, record)["verdict"] == "FAILED"  # the object is gone

    world.run(world.reconcile(900))

    assert verdict(world, record)["verdict"] == "STARTED"
    assert verdict(world, record)["executionArn"] == world.sagemaker.executions[0].arn


def test_an_upload_whose_key_leaves_no_room_for_a_verdict_beside_it_has_one_elsewhere(
    world: DeliveryWorld,
) -> None:
    key = f"pipeline/{'n' * 990}/pipeline.json"
    record = world.s3.put(key, b"{}")

    (answer,) = world.run(world.invoke({"Records": [record]})).answer or []

    assert answer["verdict"] == "REJECTED"
    where = verdicts.key(key, record["s3"]["object"]["versionId"])
    assert len(where) <= 1024
    assert json.loads(world.s3.objects[where][-1].body)["key"] == key


def test_an_answer_fits_into_what_lambda_gives_back(world: DeliveryWorld) -> None:
    nasty = json.dumps({"Version": "2020-12-01", "Steps": [{"\U0001f426" * 128: None}] * 100}).encode()
    for number in range(80):
        world.s3.put(f"pipeline/n{number}/pipeline.json", nasty)

    answer = world.run(world.reconcile()).answer or []

    assert len(answer) == 80
    assert len(json.dumps(answer)) < 2_000_000
    assert all({"verdict", "bucket", "key", "versionId"} <= set(each) for each in answer)


def test_a_late_event_below_a_pile_of_rejected_uploads_costs_one_reading_of_each(
    world: DeliveryWorld,
) -> None:
    record = world.upload("first")
    for _ in range(PILE):
        world.run(world.deliver(world.upload("forbidden")))

    calls = len(world.run(world.deliver(record)).calls)

    assert verdict(world, record)["verdict"] == "STARTED"
    assert calls < PILE + 20


def test_a_call_that_fails_for_one_key_is_told_at_the_end(world: DeliveryWorld) -> None:
    world.run(world.deliver(world.upload("first")))
    refuse(world, "DescribePipeline")

    invocation = world.run(world.reconcile())

    assert isinstance(invocation.error, StartError)
    assert "DescribePipeline" in str(invocation.error)
