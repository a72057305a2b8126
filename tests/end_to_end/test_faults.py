"""The promises G1 to G5 on local AWS, with the real template, while faults happen (`--faults`)."""

import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from local.deploy import SOURCE
from tests.support.delivery.storm_uploads import BODIES, KEYS, NEEDY, PLAIN
from tests.support.local_aws.storm import Storm, storm
from tests.support.soak import sized

pytestmark = pytest.mark.slow


def anything(running: Storm, seed: int) -> None:
    """Upload definitions of two pipelines, some of them invalid, and values beside them."""
    dice = random.Random(seed)
    for number in range(sized(6, 8)):
        key = dice.choice((KEYS[0], *KEYS))
        running.upload(dice.choice((*PLAIN, *PLAIN, *BODIES)), key)
        if number % 4 == 3:
            running.upload_parameters("a note", key)
            running.upload(NEEDY, key)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [4, 30][: sized(1, 2)])
def test_every_promise_holds_when_the_faults_have_ceased(seed: int, tmp_path: Path) -> None:
    with storm(tmp_path, seed) as running:
        anything(running, seed)
        assert running.broken() == []


class FaultMechanism(NamedTuple):
    """What is taken away from a copy of the function's code, and what falls under a seed that needs it."""

    name: str
    promise: str
    take_away: Callable[[Path], None]
    seed: int
    uploads: tuple[str, ...] = ("first",)
    """What is uploaded to each key."""
    undisturbed: bool = False
    """Whether the schedule, which may settle an upload before the next one is there, waits for the last."""


def append(folder: Path, module: str, code: str) -> None:
    """Override something of a module."""
    path = folder / "upload_trigger" / module
    path.write_text(f"{path.read_text()}\n\n{code}")


MEETING = """
import pathlib
import time
import uuid
_store = Delivery._store
_met = pathlib.Path({folder!r})


def _store_and_meet(self, history, name, upload, text):
    version = _store(self, history, name, upload, text)
    here = _met / upload.version_id
    here.mkdir(parents=True, exist_ok=True)
    (here / uuid.uuid4().hex).touch()
    end = time.monotonic() + 6
    while len(list(here.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    return version


Delivery._store = _store_and_meet
"""
"""Lets an upload's delivery that has found no execution wait for another one before it starts one."""


def nothing(folder: Path) -> None:
    append(folder, "delivery.py", MEETING.format(folder=str(folder.parent / "met")))


def token(folder: Path) -> None:
    nothing(folder)
    append(folder, "delivery.py", "def request_token(upload):\n    return uuid.uuid4().hex\n")


def pin(folder: Path) -> None:
    path = folder / "upload_trigger" / "delivery.py"
    code = path.read_text()
    assert code.count("            PipelineVersionId=version,\n") == 1
    path.write_text(code.replace("            PipelineVersionId=version,\n", ""))


def sequencer(folder: Path) -> None:
    append(folder, "uploads.py", "def is_newer(one, other, listed):\n    return False\n")


def verdict(folder: Path) -> None:
    append(folder, "verdicts.py", "def write(*given):\n    pass\n")


MECHANISMS = [
    FaultMechanism("the token", "G1", token, 19),  # its first event of a key is sent twice
    FaultMechanism("the pin", "G3", pin, 19),
    # The first event is lost.
    FaultMechanism("the sequencer", "G2", sequencer, 17, ("first", "second"), undisturbed=True),
    FaultMechanism("the verdict", "G3", verdict, 19),
]


def without(mechanism: Callable[[Path], None], tmp_path: Path) -> Path:
    source = tmp_path / "lambda"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    mechanism(source)
    return source


@pytest.mark.soak
@pytest.mark.parametrize("mechanism", MECHANISMS[: sized(1, 4)], ids=lambda each: each.name)
def test_without_a_mechanism_its_promise_falls(mechanism: FaultMechanism, tmp_path: Path) -> None:
    source = without(mechanism.take_away, tmp_path)
    # The seed gives the faults and the machine what comes first, so a busy one may need another try.
    assert any(falls(mechanism, source, tmp_path / str(number)) for number in range(3))


def falls(mechanism: FaultMechanism, source: Path, work_dir: Path) -> bool:
    with storm(work_dir, mechanism.seed, source) as running:
        if mechanism.undisturbed:
            running.rest_schedule()
        for key, kind in itertools.product(KEYS, mechanism.uploads):
            running.upload(kind, key)
        if mechanism.undisturbed:
            running.resume_schedule()
        return mechanism.promise in {each.partition(":")[0] for each in running.broken()}


def test_with_the_token_the_same_uploads_start_once(tmp_path: Path) -> None:
    with storm(tmp_path / "aws", 19, without(nothing, tmp_path)) as running:
        for key in KEYS:
            running.upload("first", key)
        assert running.broken() == []
