"""Over any graph of steps: each starts after what it refers to, none waits for strangers or runs twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engine.fakes import EngineSageMaker, EngineWorld, JobScript, by_name
from tests.support.engine.pipelines import output_of, pipeline, processing

Graph = list[tuple[str, list[tuple[str, bool]]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw up to eight steps, each referring to some of those before it, by data or by DependsOn."""
    count = draw(st.integers(1, 8))
    steps: Graph = []
    for index in range(count):
        earlier = [f"S{n}" for n in range(index)]
        chosen = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        steps.append((f"S{index}", [(name, draw(st.booleans())) for name in chosen]))
    return steps


def definition(graph: Graph, order: list[int]) -> dict[str, Any]:
    steps = []
    for index in order:
        name, needs = graph[index]
        inputs = {f"from-{need}": output_of(need) for need, by_data in needs if by_data}
        after = [need for need, by_data in needs if not by_data]
        steps.append(processing(name, inputs=inputs, **({"DependsOn": after} if after else {})))
    return pipeline(*steps)


@given(graph=graphs(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_step_runs_once_and_after_all_that_it_refers_to(graph: Graph, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(graph))))
    world = EngineWorld()
    executor = world.executor(definition(graph, order))

    assert executor.run().status == "Succeeded"
    assert sorted(world.sagemaker.started()) == sorted(name for name, _ in graph)
    for name, needs in graph:
        start = world.sagemaker.times(name, "start")[0]
        assert all(world.sagemaker.times(need, "end")[0] <= start for need, _ in needs)


@given(graph=graphs(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_failure_reaches_exactly_the_steps_downstream_of_it(graph: Graph, data: st.DataObject) -> None:
    broken = data.draw(st.sampled_from([name for name, _ in graph]))
    world = EngineWorld(EngineSageMaker({broken: JobScript(failures=["AlgorithmError: x"])}))
    executor = world.executor(definition(graph, list(range(len(graph)))))
    downstream: set[str] = set()
    for name, needs in graph:
        if {need for need, _ in needs} & {broken, *downstream}:
            downstream.add(name)

    assert executor.run().status == "Failed"
    assert set(by_name(executor)) == {name for name, _ in graph} - downstream
    assert {note["step"] for note in world.noted("skip")} == downstream


@given(width=st.integers(2, 6))
@settings(max_examples=5, deadline=None)
def test_steps_that_do_not_refer_to_each_other_overlap(width: int) -> None:
    names = [f"S{n}" for n in range(width)]
    world = EngineWorld(EngineSageMaker({name: JobScript(seconds=0.1) for name in names}))
    world.executor(pipeline(*(processing(name) for name in names))).run()
    times = world.sagemaker.times

    assert max(times(n, "start")[0] for n in names) < min(times(n, "end")[0] for n in names)
