"""The picture of a pipeline's graph: every step once, none over another, and every arrow downwards."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.executions.execution import ExecutionState, StartedStep, plan
from ops.executions.snapshot import Snapshot
from ops.output.dag import Dag, Node, arrows_of, dag
from tests.support.services.fake_execution import START
from tests.support.soak import sized

Graph = dict[str, list[str]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Steps, each with some of those before it that it waits for."""
    names = [f"Step{number}" for number in range(draw(st.integers(1, 14)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=4)) if place else []
        for place, name in enumerate(names)
    }


def drawn(graph: Graph, started: tuple[StartedStep, ...] = (), status: str = "Executing") -> Dag:
    steps: list[dict[str, Any]] = [
        {"Name": name, "Type": "Fail", "Arguments": {}, "DependsOn": before} for name, before in graph.items()
    ]
    execution = ExecutionState("arn:x", "cv", status, None, START, START, plan({"Steps": steps}), started)
    picture = dag(Snapshot(execution, {}, {}, START))
    assert picture
    return picture


def overlap(one: Node, other: Node, picture: Dag) -> bool:
    return (
        abs(one.x - other.x) < picture.step_width - 0.01 and abs(one.y - other.y) < picture.step_height - 0.01
    )


@settings(max_examples=sized(60, 600), deadline=None)
@given(graphs())
def test_every_step_is_drawn_once_inside_the_picture_and_over_no_other(graph: Graph) -> None:
    picture = drawn(graph)
    assert sorted(node.name for node in picture.nodes) == sorted(graph)
    for place, node in enumerate(picture.nodes):
        assert 0 <= node.x <= picture.width - picture.step_width
        assert 0 <= node.y <= picture.height - picture.step_height
        assert not [other.name for other in picture.nodes[place + 1 :] if overlap(node, other, picture)]


@settings(max_examples=sized(60, 600), deadline=None)
@given(graphs())
def test_every_arrow_leads_from_a_step_down_to_one_that_waits_for_it(graph: Graph) -> None:
    picture = drawn(graph)
    nodes = {node.name: node for node in picture.nodes}
    for arrow in picture.arrows:
        assert arrow.source in graph[arrow.target]
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", arrow.path)]
        source, target = nodes[arrow.source], nodes[arrow.target]
        assert abs(numbers[0] - (source.x + picture.step_width / 2)) < 0.1
        assert abs(numbers[-2] - (target.x + picture.step_width / 2)) < 0.1
        heights = numbers[1::2]
        assert heights == sorted(heights)
        assert heights[0] > source.y
        assert heights[-1] <= target.y


def test_an_arrow_that_a_longer_way_says_is_left_out() -> None:
    steps = [
        {"Name": "A", "Type": "Fail", "Arguments": {}},
        {"Name": "B", "Type": "Fail", "Arguments": {}, "DependsOn": ["A"]},
        {"Name": "C", "Type": "Fail", "Arguments": {}, "DependsOn": ["A", "B"]},
    ]
    assert arrows_of(plan({"Steps": steps})) == {"A": {}, "B": {"A": ""}, "C": {"B": ""}}


def test_a_step_says_its_status_and_how_long_it_took_and_one_that_did_not_start_that_it_waits() -> None:
    step = StartedStep("Step0", "Fail", "Executing", START, None, 1, None, {}, None)
    first, second = drawn({"Step0": [], "Step1": ["Step0"]}, (step,)).nodes
    assert (first.kind, first.caption) == ("running", "Executing · 0:00")
    assert (second.kind, second.caption) == ("not-run", "waiting")
    assert drawn({"Step1": []}, status="Failed").nodes[0].caption == "not run"


def test_a_long_name_takes_two_lines_and_is_not_cut_where_it_fits() -> None:
    (node,) = drawn({"CheckOnDemandAccuracy": []}).nodes
    assert node.lines == ["CheckOnDemand", "Accuracy"]
