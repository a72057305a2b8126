"""A bench for the handler that holds it to its bounds, and events of which every part may be wrong."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.support.delivery.invocations import Invocation
from tests.support.delivery.storm_uploads import BUCKET
from tests.support.delivery.world_clock import START
from tests.support.services.fake_s3 import FakeS3
from tests.support.services.fake_sagemaker import MUTATING, FakeSageMaker
from upload_trigger.handler import StartError

KEY = "pipeline/pipeline.json"
CALLS = 20
"""At most for one record whose upload has no newer one."""
BYTES = 1_048_577 + 262_145 + 1_048_576
"""A definition, its parameters and a verdict, each with a byte more than is taken."""
MEMORY = 100_000_000
"""Bytes that Python may have allocated at a time."""
VERDICT_BYTES = 262_144
ANSWER_BYTES = 6_291_556
"""What Lambda gives back at most."""


@dataclass
class BoundedHandler:
    """A bucket, SageMaker, and the handler on one event."""

    s3: FakeS3 = field(default_factory=lambda: FakeS3(BUCKET, clock=lambda: START))
    sagemaker: FakeSageMaker = field(default_factory=lambda: FakeSageMaker(clock=lambda: START))

    def handle(self, event: Any, calls: int = CALLS) -> list[dict[str, Any]] | None:
        """Run the handler and hold it to its bounds; None when it raised `StartError`."""
        self.s3.bytes_read, refused = 0, self.sagemaker.refused
        invocation = Invocation(event, self.s3, self.sagemaker, strict=True)
        invocation.advance()
        if invocation.error is not None and not isinstance(invocation.error, StartError):
            raise invocation.error
        assert len(invocation.calls) <= calls, [call.operation for call in invocation.calls]
        assert self.s3.bytes_read <= BYTES * max(calls // CALLS, 1)
        mutating = [call.operation for call in invocation.calls if call.operation in MUTATING]
        rejected = {"REJECTED"} >= {each["verdict"] for each in invocation.answer or []}
        if invocation.error is None and rejected and self.sagemaker.refused == refused:
            assert mutating == []
        assert len(json.dumps(invocation.answer)) <= ANSWER_BYTES
        written = [call.given["Body"] for call in invocation.calls if call.operation == "PutObject"]
        assert all(len(body) <= VERDICT_BYTES for body in written)
        return invocation.answer

    def upload(self, body: bytes, key: str = KEY) -> list[dict[str, Any]] | None:
        """Upload something and deliver its event."""
        return self.handle({"Records": [self.s3.put(key, body)]})


NASTY_TEXTS = [
    "",
    " ",
    "null",
    "\0",
    "\ud800",
    "%",
    "%FF%FE",
    "%00",
    "+",
    "../../etc/passwd",
    "pipeline/pipeline.json",
    "pipeline/%2e%2e/pipeline.json",
    "pipeline/a%2Fb/pipeline.json",
    "pipeline//pipeline.json",
    "pipeline/-/pipeline.json",
    "pipeline/ü/pipeline.json",
    "pipeline/" + "n" * 256 + "/pipeline.json",
    "pipeline/" + "n" * 1000 + "/pipeline.json",
    "pipeline/x\n/pipeline.json",
    "verdicts/pipeline/pipeline.json",
    "x" * 5000,
    "2.1",
    "ObjectCreated:Put",
]
texts = st.sampled_from(NASTY_TEXTS) | st.text(max_size=30)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def member(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: values | anything})


def record_like() -> st.SearchStrategy[dict[str, Any]]:
    """Records of which every part may be wrong or missing."""
    entry = st.fixed_dictionaries(
        {},
        optional={
            "key": st.just(KEY) | texts | anything,
            "versionId": texts | anything,
            "sequencer": st.just("0061E7") | texts | anything,
            "size": anything,
        },
    )
    bucket = member("name", st.just(BUCKET) | texts)
    return st.fixed_dictionaries(
        {"eventVersion": st.just("2.1") | anything},
        optional={
            "eventName": st.just("ObjectCreated:Put") | texts | anything,
            "s3": st.fixed_dictionaries({}, optional={"bucket": bucket, "object": entry | anything})
            | anything,
        },
    )
