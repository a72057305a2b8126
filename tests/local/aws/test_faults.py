"""The faults of local AWS: whatever may go wrong does, the same for the same seed, for functions alone."""

import itertools
import json
import logging
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAWS
from local.aws.faults import (
    CALL_FATES,
    ENDED_AFTER,
    ENDED_BEFORE,
    EVENT_FATES,
    FAILED,
    THROTTLED,
    Dice,
    EventFate,
)
from tests.support.local_aws.events import NotifiedQueue, make_trigger
from tests.support.local_aws.functions import EVERYTHING, call, eventually, make_function

ROOT = Path(__file__).resolve().parents[3]
SEED = 5
CALLS = 120
FATE = logging.getLogger("local.aws.faults")


def record(key: str, bucket: str = "b") -> dict[str, Any]:
    return {"s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": "v"}}}


# Decisions


def test_the_same_seed_decides_the_same_and_another_one_something_else() -> None:
    one, same, other = ([dice.event(record("a")) for _ in range(50)] for dice in map(Dice, (7, 7, 8)))
    assert one == same
    assert one != other


def test_what_becomes_of_a_keys_events_does_not_depend_on_other_keys() -> None:
    alone, between = Dice(7), Dice(7)
    fates = []
    for number in range(50):
        between.event(record(f"other/{number % 3}"))
        fates.append(between.event(record("a")))
        between.event(record("a", "another-bucket"))
    assert fates == [alone.event(record("a")) for _ in range(50)]


def test_every_fate_of_an_event_happens_and_is_told_with_the_object_and_its_version(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dice = Dice(7)
    with caplog.at_level(logging.WARNING, logger=FATE.name):
        fates = [dice.event(record("a+b%C3%BC", "birds")) for _ in range(400)]
    shapes = Counter((len(fate.copies), any(fate.copies), fate.overtaken) for fate in fates)
    assert len(shapes) == len(EVENT_FATES)
    assert min(shapes.values()) > 10
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == sum(fate != EventFate() for fate in fates)
    assert all(each.startswith("event of s3://birds/a bü (version v): ") for each in told)


def test_nothing_goes_wrong_any_more_once_they_have_ceased() -> None:
    dice = Dice(7)
    dice.ceased = True
    assert {dice.event(record("a")) for _ in range(100)} == {EventFate()}


# Events


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws"), faults=SEED) as aws:
        yield aws


# It makes no call, in which another fault could hide.
TELLS = """
import json


def handler(event, context):
    with open({file!r}, "a") as seen:
        seen.write(json.dumps(event) + "\\n")
"""


class Seen:
    """A bucket whose events end in a file."""

    def __init__(self, aws: LocalAWS, folder: Path) -> None:
        self._aws, self._file, self._used = aws, folder / "seen", 0
        self._trigger: NotifiedQueue = make_trigger(aws, "seen", TELLS.format(file=str(self._file)))

    def put(self, fits: Callable[[EventFate], bool]) -> str:
        """Put an object whose event meets a fate that fits; return its version."""
        for number in itertools.count(self._used):
            if fits(Dice(SEED).event(record(str(number), self._trigger.bucket))):
                self._used = number + 1
                return str(self._trigger.put(str(number))["VersionId"])
        raise AssertionError("unreachable")

    def versions(self) -> list[str]:
        """Return the versions of the events that came, once nothing more is to come."""
        assert eventually(self._aws.is_idle, 30)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._file.unlink(missing_ok=True)
        return [json.loads(line)["Records"][0]["s3"]["object"]["versionId"] for line in lines]


@pytest.fixture(scope="module")
def seen(aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(aws, tmp_path_factory.mktemp("seen"))


def test_an_event_that_is_lost_never_comes_and_the_upload_succeeds(seen: Seen, aws: LocalAWS) -> None:
    assert eventually(aws.is_idle)
    seen.put(lambda fate: not fate.copies)
    # From the upload's answer on, before anybody can know what becomes of its event.
    assert not aws.is_idle()
    sent = seen.put(lambda fate: fate == EventFate())
    assert seen.versions() == [sent]


def test_an_event_that_is_sent_twice_names_the_same_version_in_two_invocations(seen: Seen) -> None:
    version = seen.put(lambda fate: fate.copies == (0.0, 0.0))
    assert seen.versions() == [version] * 2


def test_a_late_event_comes_after_one_that_was_uploaded_later(seen: Seen) -> None:
    older = seen.put(lambda fate: len(fate.copies) == 1 and fate.copies[0] > 1.5 and not fate.overtaken)
    newer = seen.put(lambda fate: fate == EventFate())
    assert seen.versions() == [newer, older]


def test_an_event_that_is_to_be_overtaken_waits_for_the_next_one(seen: Seen) -> None:
    older = seen.put(lambda fate: fate.overtaken)
    newer = seen.put(lambda fate: fate == EventFate())
    assert seen.versions() == [newer, older]


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


@pytest.fixture(scope="module")
def caller(aws: LocalAWS) -> str:
    aws.client("s3").create_bucket(Bucket="called")
    make_function(aws, "caller", CALLER, EVERYTHING, Timeout=30)
    return "caller"


def outcomes(aws: LocalAWS, name: str, service: str, operation: str, *requests: Any) -> list[str]:
    """Let a function make calls one by one; return what came of each."""
    answers = (call(aws, name, [service, operation, request]) for request in requests)
    return ["ended" if isinstance(answer, dict) else answer for answer in answers]


def test_a_functions_calls_meet_every_fault_and_the_effect_is_there_or_not(
    aws: LocalAWS, caller: str
) -> None:
    puts = [{"Bucket": "called", "Key": f"{number}", "Body": "x"} for number in range(CALLS)]
    found = outcomes(aws, caller, "s3", "put_object", *puts)
    same = Dice(SEED)
    fates = [same.call("PutObject", "called", caller) for _ in puts]
    assert set(fates) == set(CALL_FATES)
    said = {
        "": "done",
        THROTTLED: "SlowDown",
        FAILED: "InternalFailure",
        ENDED_BEFORE: "ended",
        ENDED_AFTER: "ended",
    }
    assert found == [said[fate] for fate in fates]
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket="called")
    stored = {each["Key"] for page in pages for each in page["Contents"]}
    without_effect = (THROTTLED, ENDED_BEFORE)
    assert stored == {put["Key"] for put, fate in zip(puts, fates, strict=True) if fate not in without_effect}


def test_changes_of_pipelines_also_conflict(aws: LocalAWS, caller: str) -> None:
    update = {"PipelineName": "nobody", "PipelineDescription": "x"}
    found = outcomes(aws, caller, "sagemaker", "update_pipeline", *[update] * (CALLS // 2))
    assert {"ConflictException", "ThrottlingException", "ResourceNotFound"} <= set(found)
    describe = {"PipelineName": "nobody"}
    found = outcomes(aws, caller, "sagemaker", "describe_pipeline", *[describe] * (CALLS // 4))
    assert "ConflictException" not in found


def test_a_persons_calls_meet_none(aws: LocalAWS) -> None:
    s3 = aws.client("s3")
    for number in range(CALLS):
        s3.put_object(Bucket="called", Key=f"mine/{number}", Body=b"")


def test_what_asks_about_faults_is_refused_where_there_are_none(tmp_path: Path) -> None:
    with LocalAWS(work_dir=tmp_path) as calm, pytest.raises(RuntimeError, match="without faults"):
        calm.cease_faults()


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


def test_a_schedule_that_is_sped_up_comes_sooner_and_says_shorter_times(tmp_path: Path) -> None:
    with LocalAWS(work_dir=tmp_path, schedule_speed=60) as aws:
        told = tmp_path / "told"
        arn = make_function(aws, "scheduled", TELLS.format(file=str(told)))
        events = aws.client("events")
        events.put_rule(Name="hourly", ScheduleExpression="rate(1 minute)")
        given = {"reconcile": {"minimumAgeSeconds": 900, "failed": False}}
        events.put_targets(Rule="hourly", Targets=[{"Id": "1", "Arn": arn, "Input": json.dumps(given)}])
        assert eventually(lambda: told.exists() and told.read_text().count("\n") >= 2, 20)
    assert json.loads(told.read_text().splitlines()[0]) == {
        "reconcile": {"minimumAgeSeconds": 15, "failed": False}
    }
