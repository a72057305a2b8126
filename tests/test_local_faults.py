"""The laptop's faults: whatever may go wrong does, the same for the same seed, for functions alone."""

import logging
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from laptop_events import Trigger, make_trigger
from laptop_functions import LOGGING, call, client, make_function
from local.aws import events, functions
from local.aws.faults import (
    CALL_FATES,
    CONFLICT,
    ENDED_AFTER,
    ENDED_BEFORE,
    EVENT_FATES,
    FAILED,
    THROTTLED,
    EventFate,
    Faults,
)
from local.aws.request_context import Call
from local.aws.server import LocalAWS

ROOT = Path(__file__).resolve().parent.parent
SEED = 5
CALLS = 120
FATE = logging.getLogger("local.aws.faults")


def record(key: str, bucket: str = "b") -> dict[str, Any]:
    return {"s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": "v"}}}


# Decisions


def test_the_same_seed_decides_the_same_and_another_one_something_else() -> None:
    one, same, other = ([faults.event(record("a")) for _ in range(50)] for faults in map(Faults, (7, 7, 8)))
    assert one == same
    assert one != other


def test_what_becomes_of_a_keys_events_does_not_depend_on_other_keys() -> None:
    alone, between = Faults(7), Faults(7)
    fates = []
    for number in range(50):
        between.event(record(f"other/{number % 3}"))
        fates.append(between.event(record("a")))
        between.event(record("a", "another-bucket"))
    assert fates == [alone.event(record("a")) for _ in range(50)]


def test_every_fate_of_an_event_happens_and_is_told_with_the_object_and_its_version(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults(7)
    with caplog.at_level(logging.WARNING, logger=FATE.name):
        fates = [faults.event(record("a+b%C3%BC", "birds")) for _ in range(400)]
    shapes = Counter((len(fate.copies), any(fate.copies), fate.overtaken) for fate in fates)
    assert len(shapes) == len(EVENT_FATES)
    assert min(shapes.values()) > 10
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == sum(fate != EventFate() for fate in fates)
    assert all(each.startswith("event of s3://birds/a bü (version v): ") for each in told)


def test_nothing_goes_wrong_any_more_once_they_have_ceased() -> None:
    faults = Faults(7)
    faults.cease()
    assert {faults.event(record("a")) for _ in range(100)} == {EventFate()}


# Events


class Scripted(Faults):
    """Faults whose events meet the fates of a list, in their order."""

    def __init__(self, *fates: EventFate) -> None:
        super().__init__(0)
        self.fates = list(fates)

    def event(self, record: Mapping[str, Any]) -> EventFate:
        """Give the next one."""
        return self.fates.pop(0)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with (
        LocalAWS(work_dir=tmp_path_factory.mktemp("aws"), faults=SEED) as aws,
        closing(functions.install(aws, retry_speed=600)),
    ):
        yield aws


@pytest.fixture(scope="module")
def trigger(aws: LocalAWS) -> Trigger:
    # Without a call of its own, so that no fault of a call is in the way.
    return make_trigger(aws, "trigger", "def handler(event, context):\n    return 1\n")


@contextmanager
def scripted(aws: LocalAWS, *fates: EventFate) -> Iterator[None]:
    events.install(aws, Scripted(*fates))
    yield
    events.install(aws, aws.faults)


def keys(trigger: Trigger, count: int) -> list[str]:
    return [each["s3"]["object"]["key"] for each in trigger.records(count)]


def test_an_event_that_is_lost_never_comes_and_the_upload_succeeds(aws: LocalAWS, trigger: Trigger) -> None:
    with scripted(aws, EventFate(()), EventFate()):
        assert trigger.put("lost")["VersionId"]
        trigger.put("sent")
        assert keys(trigger, 1) == ["sent"]


def test_an_event_that_is_sent_twice_names_the_same_version_in_two_invocations(
    aws: LocalAWS, trigger: Trigger
) -> None:
    with scripted(aws, EventFate((0.0, 0.2))):
        version = trigger.put("twice")["VersionId"]
        assert [each["s3"]["object"]["versionId"] for each in trigger.records(2)] == [version] * 2


def test_a_late_event_comes_after_one_that_was_uploaded_later(aws: LocalAWS, trigger: Trigger) -> None:
    with scripted(aws, EventFate((2.0,)), EventFate()):
        trigger.put("older")
        trigger.put("newer")
        assert keys(trigger, 2) == ["newer", "older"]


def test_an_event_that_is_to_be_overtaken_waits_for_the_next_one(aws: LocalAWS, trigger: Trigger) -> None:
    with scripted(aws, EventFate((3600.0,), overtaken=True), EventFate()):
        trigger.put("older")
        assert trigger.records(0, seconds=0.5) == []
        trigger.put("newer")
        assert keys(trigger, 2) == ["newer", "older"]


# Calls

CALLER = """
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

once = Config(retries={"total_max_attempts": 1})
clients = {name: boto3.client(name, config=once) for name in ("s3", "sagemaker")}


def handler(event, context):
    service, operation, request = event
    try:
        getattr(clients[service], operation)(**request)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"
"""
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.fixture(scope="module")
def caller(aws: LocalAWS) -> str:
    client(aws, "s3").create_bucket(Bucket="called")
    return make_function(aws, CALLER, statements=(LOGGING, EVERYTHING), Timeout=30)


def outcomes(
    aws: LocalAWS, name: str, caplog: pytest.LogCaptureFixture, service: str, operation: str, *requests: Any
) -> list[tuple[str, str]]:
    """Let a function make calls one by one; gives for each what the laptop told and what came of it."""
    found = []
    for request in requests:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger=FATE.name):
            result, answer = call(aws, name, [service, operation, request])
        told = [each.getMessage() for each in caplog.records if each.name == FATE.name]
        assert len(told) <= 1
        fate = told[0].partition(f" by {name}: ")[2] if told else ""
        found.append((fate, result["errorType"] if "FunctionError" in answer else result))
    return found


@pytest.fixture(scope="module")
def puts() -> list[dict[str, Any]]:
    return [{"Bucket": "called", "Key": f"{number}", "Body": "x"} for number in range(CALLS)]


def test_a_functions_calls_meet_every_fault_and_the_effect_is_there_or_not(
    aws: LocalAWS, caller: str, puts: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    found = outcomes(aws, caller, caplog, "s3", "put_object", *puts)
    assert {fate for fate, _ in found} == set(CALL_FATES)
    decided = Call("s3", "PutObject", {"Bucket": "called"}, aws.region, aws.account)
    same = Faults(SEED)
    assert [fate for fate, _ in found] == [same.call_fate(decided, caller) for _ in puts]
    said = {
        "": "done",
        THROTTLED: "SlowDown",
        FAILED: "InternalFailure",
        ENDED_BEFORE: "Runtime.ExitError",
        ENDED_AFTER: "Runtime.ExitError",
    }
    assert [(fate, said[fate]) for fate, _ in found] == found
    pages = client(aws, "s3").get_paginator("list_objects_v2").paginate(Bucket="called")
    stored = {each["Key"] for page in pages for each in page["Contents"]}
    assert stored == {
        put["Key"]
        for put, (fate, _) in zip(puts, found, strict=True)
        if fate not in (THROTTLED, ENDED_BEFORE)
    }


def test_changes_of_pipelines_also_conflict(
    aws: LocalAWS, caller: str, caplog: pytest.LogCaptureFixture
) -> None:
    update = {"PipelineName": "nobody", "PipelineDescription": "x"}
    found = outcomes(aws, caller, caplog, "sagemaker", "update_pipeline", *[update] * CALLS)
    assert (CONFLICT, "ConflictException") in found
    assert (THROTTLED, "ThrottlingException") in found
    assert {said for fate, said in found if not fate} == {"ResourceNotFound"}
    describe = {"PipelineName": "nobody"}
    found = outcomes(aws, caller, caplog, "sagemaker", "describe_pipeline", *[describe] * CALLS)
    assert CONFLICT not in {fate for fate, _ in found}


def test_a_persons_calls_meet_none(aws: LocalAWS, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger=FATE.name):
        for _ in range(CALLS):
            client(aws, "s3").list_objects_v2(Bucket="called", MaxKeys=1)
    assert not caplog.records


# The command


def test_up_with_faults_says_so(tmp_path: Path) -> None:
    options = ("--env-file", str(tmp_path / "local.env"), "--no-deploy", "--faults", "7")
    with subprocess.Popen(
        [sys.executable, "-m", "local", "up", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "In another terminal" in line:
                break
        said.append(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
    assert "With the faults of seed 7" in "".join(said)
