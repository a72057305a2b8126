"""Whatever the SageMaker SDK can write is read without a false error, and judged by the policy."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.executions.execution import plan
from ops.output.dag import arrows_of
from pipeline_definition.checks import check, options, references, structure
from pipeline_definition.checks.service_model import bundled_model
from upload_trigger.definition import loading
from upload_trigger.definition.problems import walk
from upload_trigger.definition.walk import CONDITION_TYPES, EXCEPTION_TYPES, PARAMETER_TYPES, steps
from upload_trigger.policy import members as policy_members
from upload_trigger.policy import problems, worst_case_cost
from upload_trigger.settings import RULES, Policy

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
NOT_WRITTEN = {
    "AutoML": "version 3 of the SDK has a step for it, but nothing that gives the step its arguments",
}
"""The step types that a definition of the SDK cannot hold, each with the reason."""


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """What `python -m tests.support.definitions.sdk_definitions` writes."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "lambda")))
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.definitions.sdk_definitions"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.fixture(scope="module")
def definitions(written: dict[str, Any]) -> dict[str, Any]:
    """The definitions, by name."""
    found: dict[str, Any] = written["definitions"]
    return found


def test_the_sdk_writes_every_definition_of_the_corpus(written: dict[str, Any]) -> None:
    assert written["errors"] == {}


def test_a_report_draws_the_graph_that_the_sdk_sees(written: dict[str, Any]) -> None:
    drawn = 0
    for name, definition in written["definitions"].items():
        expected = {(before, after) for before, listed in written["graphs"][name].items() for after in listed}
        planned = plan(definition)
        assert {(before, step.name) for step in planned for before in step.needs} == expected, name
        # What the picture leaves out is said by a longer way: both lead from the same steps to the same.
        arrows = {(before, after) for after, sources in arrows_of(planned).items() for before in sources}
        assert arrows <= expected, name
        assert closure(arrows) == closure(expected), name
        drawn += len(arrows)
    assert drawn > 20


def closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Every pair of steps of which one is before the other, at whatever distance."""
    found = set(arrows)
    while new := {(a, d) for a, b in found for c, d in arrows if b == c} - found:
        found |= new
    return found


def test_nothing_is_said_against_a_definition_of_the_sdk(definitions: dict[str, Any]) -> None:
    judged = {
        name: check(loading.load(json.dumps(definition).encode()), bundled_model())
        for name, definition in definitions.items()
    }
    assert judged == {name: [] for name in definitions}


def test_what_is_known_here_is_what_the_sdk_lists(written: dict[str, Any]) -> None:
    known = {
        "condition types": CONDITION_TYPES,
        "exception types": EXCEPTION_TYPES,
        "execution variables": references.EXECUTION_VARIABLES,
        "parameter types": PARAMETER_TYPES,
        "step types": structure.STEP_TYPES,
        "triggers": references.TRIGGERS,
        "step types without arguments": NOT_WRITTEN,
    }
    assert {kind: set(names) for kind, names in written["vocabulary"].items()} == {
        kind: set(names) for kind, names in known.items()
    }


def values_of(definitions: dict[str, Any], member: str) -> set[str]:
    """Every text that is somewhere the value, or one of the values, of a member of that name."""
    return {
        value
        for _, found in walk(definitions)
        if isinstance(found, dict) and member in found
        for value in (found[member] if isinstance(found[member], list) else [found[member]])
        if isinstance(value, str)
    }


def steps_of(definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for definition in definitions.values():
        yield from (step for _, step, _ in steps(definition))


def test_the_corpus_has_every_type_of_step(definitions: dict[str, Any]) -> None:
    types = {step["Type"] for step in steps_of(definitions)}
    assert types == set(structure.STEP_TYPES) - NOT_WRITTEN.keys()


def test_the_corpus_has_every_type_of_condition_function_and_variable(definitions: dict[str, Any]) -> None:
    gets, types = values_of(definitions, "Get"), values_of(definitions, "Type")
    keys = {key for _, found in walk(definitions) if isinstance(found, dict) for key in found}
    assert types.issuperset(CONDITION_TYPES)
    assert types.issuperset(PARAMETER_TYPES)
    assert {key for key in keys if key.startswith("Std:")} == set(references.FUNCTIONS)
    assert gets.issuperset(f"Execution.{name}" for name in references.EXECUTION_VARIABLES)
    assert {get.partition(".")[0] for get in gets} == set(references.ROOTS)


def test_the_corpus_has_everything_that_a_step_may_have(definitions: dict[str, Any]) -> None:
    members = {member for step in steps_of(definitions) for member in step}
    known = {name for own in options.OWN_MEMBERS.values() for name in own}
    assert members == {*options.MEMBERS, *known}
    # Of a step that is to have completed, the SDK writes the name alone.
    assert values_of(definitions, "Trigger") == set(references.TRIGGERS) - {"Completed"}
    assert values_of(definitions, "ExceptionType") == set(EXCEPTION_TYPES)
    policies = {
        key for step in steps_of(definitions) for each in step.get("RetryPolicies", []) for key in each
    }
    assert policies == set(options.POLICY_MEMBERS)


def test_the_policy_accepts_what_the_sdk_writes_or_refuses_it_by_name(definitions: dict[str, Any]) -> None:
    policy = Policy()
    for name, definition in definitions.items():
        values = {each["Name"]: each.get("DefaultValue", "given") for each in definition["Parameters"]}
        refusals = problems(definition, values, {}, policy)
        rules = {each.message.rpartition("[rule ")[2].rstrip("]") for each in refusals}
        assert rules <= {"form", *RULES}, name
        refused = {each.pointer for each in refusals}
        for path, step, _ in steps(definition):
            if step["Type"] not in policy_members.ARGUMENTS:
                pointer = "".join(f"/{part}" for part in (*path, "Type"))
                assert pointer in refused, f"{name}: {step['Type']}"
        assert worst_case_cost(definition, values, policy) is None or "cost" not in rules
