"""A verdict told in lines, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.uploads import outcome
from upload_trigger.verdicts import KINDS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
MEMBERS = (
    "bucket key versionId pipelineName pipelineVersionId executionArn supersededBy reasons warnings "
    "parameters worstCaseCostUSD"
)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(MEMBERS.split()), JSON))
def test_any_verdict_can_be_told(kind: str, members: dict[str, Any]) -> None:
    first, *more = outcome.lines({"verdict": kind, **members})
    assert first.startswith(kind)
    assert all(line.startswith("  ") for line in more)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([], "nothing was without a verdict"),
        (["STARTED"], "1 upload settled: 1 STARTED"),
        (["REJECTED", "STARTED", "REJECTED"], "3 uploads settled: 1 STARTED, 2 REJECTED"),
    ],
)
def test_verdicts_are_summed_up_in_one_phrase(kinds: list[str], said: str) -> None:
    assert outcome.counts({"verdict": kind} for kind in kinds) == said


@pytest.mark.parametrize(("digest", "said"), [({"InputDataDigest": "0123"}, ", digest 0123"), ({}, "")])
def test_the_data_that_is_read_is_told(digest: dict[str, str], said: str) -> None:
    parameters = {"InputDataUrl": "s3://birds/data/cub/", **digest}
    lines = outcome.lines({"verdict": "STARTED", "parameters": parameters})
    assert f"  reads s3://birds/data/cub/{said}" in lines


def test_a_cost_is_told_in_dollars() -> None:
    lines = outcome.lines({"verdict": "STARTED", "worstCaseCostUSD": 1234.5})
    assert "  costs at most 1,234.50 USD" in lines
