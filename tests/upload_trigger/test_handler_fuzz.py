"""Events, uploads, parameters, verdicts and descriptions of any kind, and what the handler makes of them.

It raises `StartError` or nothing; what it rejects itself never reaches SageMaker; its calls, the bytes that
it reads and the verdicts that it writes are bounded. What that costs in time, bench_document.py in
tests/benchmarks measures.
"""

import json
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.definitions.hostile import HOSTILE, HOSTILE_VALUES
from tests.support.delivery.handler_bench import (
    CALLS,
    KEY,
    MEMORY,
    NASTY_TEXTS,
    BoundedHandler,
    anything,
    record_like,
    texts,
)
from tests.support.delivery.storm_uploads import BODIES, BUCKET, PARAMETERS
from tests.support.delivery.world import inhabited
from tests.support.services.fake_sagemaker import MUTATING
from tests.support.soak import sample, sized
from upload_trigger import handler
from upload_trigger.handler import StartError

pytestmark = pytest.mark.slow

fuzz = settings(
    max_examples=sized(50, 300),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True, scope="module")
def _world() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with inhabited():
        yield
    logging.disable(logging.NOTSET)


@fuzz
@given(anything)
@example(None)
@example([])
@example("reconcile")
@example({})
@example({"Records": None})
@example({"Records": [None, [], 1, {}]})
@example({"Event": "s3:TestEvent"})
@example({"reconcile": {"minimumAgeSeconds": 10**400}})
@example({"reconcile": {"minimumAgeSeconds": float("nan")}})
@example({"reconcile": [], "Records": []})
def test_an_event_of_any_kind_is_refused_in_the_end(event: Any) -> None:
    bench = BoundedHandler()
    bench.handle(event)
    assert not MUTATING.intersection(bench.sagemaker.calls)


@fuzz
@given(st.lists(record_like(), max_size=3))
def test_a_record_of_any_kind_starts_nothing_that_is_not_there(records: list[Any]) -> None:
    bench = BoundedHandler()
    bench.s3.put(KEY, BODIES["first"])
    bench.handle({"Records": records}, calls=3 * CALLS)
    assert not MUTATING.intersection(bench.sagemaker.calls)


@pytest.mark.parametrize("text", NASTY_TEXTS, ids=lambda text: ascii(text)[:20])
@pytest.mark.parametrize("name", ["key", "versionId", "sequencer", "bucket", "eventName", "eventVersion"])
def test_a_record_with_one_nasty_text_is_served_or_refused(name: str, text: str) -> None:
    bench = BoundedHandler()
    record = bench.s3.put(KEY, BODIES["first"])
    {"bucket": record["s3"], **dict.fromkeys(("eventName", "eventVersion"), record)}.get(
        name, record["s3"]["object"]
    )[name] = {"name": text} if name == "bucket" else text
    bench.handle({"Records": [record]})


@fuzz
@given(record_like(), texts, texts)
def test_a_good_record_is_served_beside_one_of_any_kind(bad: Any, sequencer: str, name: str) -> None:
    bench = BoundedHandler()
    good = bench.s3.put(KEY, BODIES["first"])
    good["s3"]["object"]["sequencer"] = sequencer[:64]
    bench.handle({"Records": [bad, good]}, calls=2 * CALLS)
    assert len(bench.sagemaker.executions) == 1


@fuzz
@given(st.binary(max_size=300) | anything.map(lambda value: json.dumps(value).encode()))
def test_a_body_of_any_kind_gets_a_verdict(body: bytes) -> None:
    (verdict,) = BoundedHandler().upload(body) or [{"verdict": "none"}]
    assert verdict["verdict"] in ("STARTED", "REJECTED")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid definition with something else in one or two places."""
    document = json.loads(draw(st.sampled_from([BODIES["first"], BODIES["needs a note"]])))
    for _ in range(draw(st.integers(1, 2))):
        place = document
        while isinstance(place, dict | list) and place:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            name = draw(st.sampled_from(names))
            inner = place[name]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                place[name] = draw(anything)
                break
            place = inner
    return json.dumps(document).encode()


@fuzz
@given(mutated())
def test_a_mutated_definition_gets_a_verdict(body: bytes) -> None:
    (verdict,) = BoundedHandler().upload(body) or [{"verdict": "none"}]
    assert verdict["verdict"] in ("STARTED", "REJECTED")


@pytest.mark.soak
@pytest.mark.parametrize("name", sample(list(HOSTILE), 6))
def test_a_hostile_definition_gets_a_verdict_within_the_bounds(name: str) -> None:
    (verdict,) = BoundedHandler().upload(HOSTILE[name]()) or [{"verdict": "none"}]
    assert verdict["verdict"] in ("STARTED", "REJECTED")


@pytest.mark.soak
@pytest.mark.parametrize("name", sample(list(HOSTILE), 18))
def test_a_hostile_definition_takes_bounded_memory(name: str) -> None:
    bench, body = BoundedHandler(), HOSTILE[name]()
    tracemalloc.start()
    bench.upload(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("make", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_hostile_parameters_get_a_verdict_within_the_bounds(make: Callable[[], bytes]) -> None:
    bench = BoundedHandler()
    bench.s3.put("pipeline/parameters.json", make())
    (verdict,) = bench.upload(BODIES["first"]) or [{"verdict": "none"}]
    assert verdict["verdict"] == "REJECTED"


@pytest.mark.parametrize("size", [1_048_577, 20_000_000])
def test_of_a_body_that_is_too_large_nothing_is_read(size: int) -> None:
    bench = BoundedHandler()
    (verdict,) = bench.upload(b" " * size) or [{"verdict": "none"}]
    assert verdict["verdict"] == "REJECTED"
    assert bench.s3.bytes_read == 0


@fuzz
@given(
    st.binary(max_size=100)
    | st.sampled_from([b" " * 300_000, b"[" * 200_000, *PARAMETERS.values()])
    | st.dictionaries(st.just("Epochs") | st.just("Note") | texts, anything, max_size=3).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_parameters_of_any_kind_get_a_verdict(body: bytes) -> None:
    bench = BoundedHandler()
    bench.s3.put("pipeline/parameters.json", body)
    (verdict,) = bench.upload(BODIES["first"]) or [{"verdict": "none"}]
    assert verdict["verdict"] in ("STARTED", "REJECTED")


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"verdict": "STARTED"}' + b" " * 2_000_000], ids=len)
def test_something_large_in_a_verdict_s_place_does_no_harm(body: bytes) -> None:
    beside_a_verdict(body)


@fuzz
@given(
    st.binary(max_size=100)
    | st.fixed_dictionaries(
        {"verdict": st.sampled_from(["STARTED", "SUPERSEDED", "REJECTED", "FAILED"]) | anything},
        optional=dict.fromkeys(("versionId", "sequencer", "executionArn", "reasons", "key"), anything),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_lies_in_a_verdict_s_place_does_no_harm(body: bytes) -> None:
    beside_a_verdict(body)


def beside_a_verdict(body: bytes) -> None:
    bench = BoundedHandler()
    record = bench.s3.put(KEY, BODIES["first"])
    bench.s3.put(f"verdicts/{KEY}/{record['s3']['object']['versionId']}.json", body)

    bench.handle({"Records": [record]})
    bench.handle({"reconcile": {"failed": True}}, calls=2 * CALLS)
    bench.handle({"Records": [bench.s3.put(KEY, BODIES["second"])]}, calls=2 * CALLS)

    assert len(bench.sagemaker.executions) <= 2


@fuzz
@given(
    texts
    | anything.map(json.dumps)
    | st.fixed_dictionaries(
        {
            "bucket": st.just(BUCKET) | anything,
            "key": st.just(KEY) | anything,
            "versionId": texts | anything,
            "sequencer": texts | anything,
        }
    ).map(json.dumps)
)
def test_what_others_write_into_descriptions_stops_no_upload(description: str) -> None:
    bench = BoundedHandler()
    bench.upload(BODIES["second"])
    bench.sagemaker.executions[0].description = description
    (verdict,) = bench.upload(BODIES["first"]) or [{"verdict": "none"}]
    assert verdict["verdict"] in ("STARTED", "SUPERSEDED")


def test_keys_of_any_kind_are_settled_by_reconciling() -> None:
    bench = BoundedHandler()
    keys = [
        f"pipeline/{text}/pipeline.json" for text in NASTY_TEXTS if "\ud800" not in text and len(text) < 900
    ]
    for key in keys:
        bench.s3.put(key, BODIES["first"])

    verdicts = bench.handle({"reconcile": {}}, calls=len(keys) * CALLS)

    assert verdicts is not None
    assert len(verdicts) == len(set(keys))
    assert {each["verdict"] for each in verdicts} == {"STARTED", "REJECTED"}


def test_the_handler_raises_its_own_error_and_no_other() -> None:
    assert issubclass(StartError, RuntimeError)
    with pytest.raises(StartError):
        handler.handler({}, None)
