"""References: where each may lead, what is near when it leads nowhere, and steps that wait for each other."""

from typing import Any

import pytest

from pipeline_definition.checks.references import EXECUTION_VARIABLES, TRIGGERS
from tests.support.definitions.small import (
    CONDITION,
    condition,
    deciding,
    for_each,
    problems,
    processing,
    referring,
    saying,
    small,
    step,
    the_problem,
    the_warning,
    training,
)

PARAMETERS = [{"Name": "Epochs", "Type": "Integer"}, {"Name": "Rate", "Type": "Float"}]
SCORES = {"Get": "Steps.P.PropertyFiles.Scores"}
READ = {"Std:JsonGet": {"PropertyFile": SCORES, "Path": "a.b"}}
OUTPUT = "Steps.P.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"
MESSAGE = "/Steps/2/Arguments/ErrorMessage"


def beside(last: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Make a definition in which a last step has something to refer to."""
    return small(processing(), training("T"), last, **{"Parameters": PARAMETERS, **members})


@pytest.mark.parametrize(
    "target",
    [
        "Parameters.Epochs",
        "Parameters.Rate",
        *(f"Execution.{name}" for name in EXECUTION_VARIABLES),
        "PipelineExperimentConfig.ExperimentName",
        "PipelineExperimentConfig.TrialName",
        "Steps.T.ModelArtifacts.S3ModelArtifacts",
        "Steps.T.Outcome",
        "Steps.T['Newer'][0].Member",
        OUTPUT,
        OUTPUT.replace("'", '"'),
    ],
)
def test_what_is_declared_may_be_referred_to(target: str) -> None:
    assert problems(beside(referring(target))) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Parameters.Epoch", 'no parameter "Epoch"; did you mean Epochs?'),
        ("Parameters.Zoom", 'no parameter "Zoom"; legal: Epochs, Rate'),
        ("Parameters.", 'no parameter ""; legal: Epochs, Rate'),
        ("Execution.PipelineNames", 'no variable of Execution: "PipelineNames"; did you mean PipelineName'),
        ("PipelineExperimentConfig.TrialNam", 'no variable of PipelineExperimentConfig: "TrialNam"'),
        ("Steps.t.Outcome", 'no step "t"; did you mean T?'),
        ("Steps.Q.Outcome", 'no step "Q"; legal: P, T, B'),
        ("Steps.T", '"Steps.T" is no reference: write "Parameters.<name>"'),
        ("Steps.T.", '"Steps.T." is no reference'),
        ("steps.T.Outcome", '"steps.T.Outcome" is no reference'),
        ("Parameter.Epochs", '"Parameter.Epochs" is no reference'),
        ("Epochs", '"Epochs" is no reference'),
        ("", '"" is no reference'),
        (5, "5 is no reference"),
        (None, "null is no reference"),
        ({"Get": "Parameters.Epochs"}, "an object is no reference"),
        (OUTPUT.replace("train", "tran"), 'step P has no output "tran"; did you mean train?'),
        ("ForEach.CurrentItem", "ForEach is known inside a ForEach step only"),
        ("IterationOutput.B.Outcome", "IterationOutput is known inside a ForEach step only"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_with_what_is_near(target: Any, message: str) -> None:
    pointer, said = the_problem(beside(referring(target)))
    assert pointer == f"{MESSAGE}/Get"
    assert said.startswith(message)


@pytest.mark.parametrize(
    "target", ["Account.Region", "Execution.InitiatedBy", "PipelineExperimentConfig.Owner"]
)
def test_what_may_be_newer_may_be_referred_to_with_a_warning(target: str) -> None:
    pointer, said = the_warning(beside(referring(target)))
    assert pointer == f"{MESSAGE}/Get"
    assert "that is known here" in said


def test_an_output_of_a_step_that_declares_none_is_not_there() -> None:
    step_without = processing()
    del step_without["Arguments"]["ProcessingOutputConfig"], step_without["PropertyFiles"]
    pointer, said = the_problem(small(step_without, referring(OUTPUT)))
    assert pointer == "/Steps/1/Arguments/ErrorMessage/Get"
    assert said == 'step P has no output "train"; none is declared'


@pytest.mark.parametrize(
    "expression",
    [
        READ,
        {"Std:JsonGet": {"S3Uri": "s3://bucket/scores.json", "Path": "a[0]"}},
        {"Std:JsonGet": {"S3Uri": {"Std:Join": {"On": "/", "Values": ["s3:/", "bucket"]}}, "Path": "a"}},
        {"Std:Join": {"On": "", "Values": []}},
        {"Std:Join": {"On": ",", "Values": ["a", 1, 0.5, True, READ, {"Get": "Parameters.Epochs"}]}},
        {"Std:Join": {"On": "", "Values": [{"Std:Join": {"On": "", "Values": ["a"]}}]}},
    ],
    ids=str,
)
def test_every_function_may_be_used(expression: Any) -> None:
    assert problems(beside(saying(expression))) == []


@pytest.mark.parametrize(
    ("expression", "place", "message"),
    [
        ({"Std:Join": []}, "/Std:Join", 'write {"On": "<separator>", "Values": [...]}'),
        ({"Std:Join": {"Values": []}}, "/Std:Join/On", "must be the text between the values"),
        ({"Std:Join": {"On": "", "Values": ["a", None]}}, "/Std:Join/Values/1", "null cannot be joined"),
        ({"Std:Join": {"On": "", "Values": [["a"]]}}, "/Std:Join/Values/0", "a list cannot be joined"),
        ({"Std:Join": {"On": "", "Values": [{}]}}, "/Std:Join/Values/0", "an object cannot be joined"),
        ({"Std:JsonGet": {}}, "/Std:JsonGet", 'write {"PropertyFile": {"Get": ...}, "Path": "a.b"}'),
        ({"Std:JsonGet": {"PropertyFile": SCORES}}, "/Std:JsonGet/Path", "the path of the value inside"),
        (
            {"Std:JsonGet": {"PropertyFile": SCORES, "S3Uri": "s3://b/k", "Path": "a"}},
            "/Std:JsonGet",
            'write {"PropertyFile"',
        ),
        (
            {"Std:JsonGet": {"PropertyFile": "Scores", "Path": "a"}},
            "/Std:JsonGet/PropertyFile",
            'write {"Get": "Steps.<name>.PropertyFiles.<name>"}',
        ),
        ({"Std:JsonGet": {"S3Uri": 5, "Path": "a"}}, "/Std:JsonGet/S3Uri", "must be the URI of a JSON file"),
        ({"Std:Jion": {}}, "/Std:Jion", "did you mean Std:Join?"),
        (READ | {"Get": "Parameters.Epochs"}, "", '"Std:JsonGet" must be the only member of its object'),
        (
            {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.P.PropertyFiles.Score"}, "Path": "a"}},
            "/Std:JsonGet/PropertyFile/Get",
            'step P has no property file "Score"; did you mean Scores?',
        ),
        (SCORES, "/Get", "a property file is read by"),
        (
            {"Std:Join": {"On": "", "Values": [SCORES]}},
            "/Std:Join/Values/0/Get",
            "a property file is read by",
        ),
    ],
    ids=str,
)
def test_a_function_of_another_form_is_told_with_what_to_write(
    expression: Any, place: str, message: str
) -> None:
    pointer, said = the_problem(beside(saying(expression)))
    assert pointer == f"{MESSAGE}{place}"
    assert message in said


def test_a_function_that_may_be_newer_is_a_warning() -> None:
    pointer, said = the_warning(beside(saying({"Std:Uppercase": "a"})))
    assert pointer == f"{MESSAGE}/Std:Uppercase"
    assert said.startswith('no function of a definition that is known here: "Std:Uppercase"')


def test_references_are_followed_outside_of_steps_too() -> None:
    config = {"ExperimentName": {"Get": "Parameters.Name"}}
    found = the_problem(beside(step(), PipelineExperimentConfig=config))
    assert found[0] == "/PipelineExperimentConfig/ExperimentName/Get"


@pytest.mark.parametrize(
    "target", ["ForEach.CurrentItem", "ForEach.CurrentItem.a", "ForEach.CurrentItem['a']"]
)
def test_an_item_may_be_referred_to_inside_its_step(target: str) -> None:
    body = {"Name": "B", "Type": "Lambda", "FunctionArn": "f", "Arguments": {"item": {"Get": target}}}
    each = for_each(body, IterableItems={"Get": "Parameters.Epochs"})
    assert problems(small(each, Parameters=PARAMETERS)) == []


def test_what_an_iteration_gives_may_be_selected_by() -> None:
    body = {"Name": "B", "Type": "Lambda", "FunctionArn": "f", "Arguments": {}}
    selector = {"Type": "MaxBy", "Value": {"Get": "IterationOutput.B.OutputParameters['score']"}}
    assert problems(small(for_each(body, Selector=selector))) == []


@pytest.mark.parametrize("kind", ["Condition", "Fail", "ForEach"])
def test_no_step_that_decides_is_repeated(kind: str) -> None:
    found = dict(problems(small(for_each({"Name": "B", "Type": kind, "Arguments": {}}))))
    assert found["/Steps/0/Arguments/ForEachBody/0/Type"] == f"no {kind} step inside a ForEach"


@pytest.mark.parametrize("entry", ["T", *({"Step": "T", "Trigger": name} for name in TRIGGERS)])
def test_a_step_may_wait_for_an_end_of_any_kind(entry: Any) -> None:
    assert problems(beside(step("B", DependsOn=["P", entry]))) == []


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ("T", "", "must be a list of step names"),
        (None, "", "must be a list of step names"),
        (["t"], "/0", 'no step "t"'),
        (["P", 5], "/1", "no step 5"),
        ([{"Step": "S", "Trigger": "Any"}], "/0", 'no step "S"'),
        ([{"Step": "T"}], "/0/Trigger", "must be one of Completed, Failed, Stopped, Any"),
        (
            [{"Step": "T", "Trigger": "Succeeded"}],
            "/0/Trigger",
            "must be one of Completed, Failed, Stopped, Any",
        ),
    ],
)
def test_a_step_waits_for_steps_that_there_are(given: Any, place: str, message: str) -> None:
    pointer, said = the_problem(beside(step("B", DependsOn=given)))
    assert pointer == f"/Steps/2/DependsOn{place}"
    assert said.startswith(message)


def test_nothing_waits_for_a_fail_step() -> None:
    assert the_problem(small(step("Stop"), deciding("Next", "Stop"))) == (
        "/Steps/1/DependsOn/0",
        "nothing runs after a Fail step: Next can not depends on Stop",
    )


def compared(target: str) -> dict[str, Any]:
    return CONDITION | {"LeftValue": {"Get": target}}


CYCLES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a step that waits for itself": ([deciding("A", "A")], "A -> A"),
    "names and triggers": (
        [deciding("A", "B"), deciding("B", {"Step": "A", "Trigger": "Failed"})],
        "A -> B -> A",
    ),
    "a name and a reference": (
        [condition(compared("Steps.B.Outcome")) | {"Name": "A"}, deciding("B", "A")],
        "A -> B -> A",
    ),
    "references inside functions": (
        [
            saying({"Std:Join": {"On": "", "Values": [{"Get": "Steps.B.Outcome"}]}}, "A"),
            saying({"Std:JsonGet": {"S3Uri": {"Get": "Steps.A.Outcome"}, "Path": "a"}}, "B"),
        ],
        "A -> B -> A",
    ),
    "a branch that its condition waits for": (
        [condition(compared("Steps.A.Outcome"), ElseSteps=[step("A")])],
        "C -> A -> C",
    ),
    "a branch in a branch": (
        [
            condition(
                compared("Steps.D.Outcome"),
                IfSteps=[condition(CONDITION, IfSteps=[step("D")]) | {"Name": "Inner"}],
            )
        ],
        "C -> D -> Inner -> C",
    ),
    "an item that its loop waits for": (
        [
            for_each(
                {"Name": "B", "Type": "Lambda", "FunctionArn": "f"}, IterableItems={"Get": "Steps.B.Outcome"}
            )
        ],
        "E -> B -> E",
    ),
}


@pytest.mark.parametrize("name", CYCLES)
def test_steps_that_wait_for_each_other_are_named(name: str) -> None:
    steps, cycle = CYCLES[name]
    assert problems(small(*steps)) == [("/Steps", f"these steps wait for each other: {cycle}")]


def test_a_long_cycle_is_told_in_one_line() -> None:
    count = 40
    steps = [deciding(f"S{number}", f"S{(number + 1) % count}") for number in range(count)]
    assert the_problem(small(*steps))[1].endswith("S8 -> S9 -> ...")


def test_each_cycle_is_told_once_and_beside_what_else_is_wrong() -> None:
    steps = [deciding(name, name, "Nobody") for name in ("A", "B")]
    assert [pointer for pointer, _ in problems(small(*steps, deciding("D", "A")))] == [
        "/Steps",
        "/Steps",
        "/Steps/0/DependsOn/1",
        "/Steps/1/DependsOn/1",
    ]


def test_steps_that_only_share_what_they_wait_for_form_no_cycle() -> None:
    diamond = [
        deciding("A"),
        deciding("B", "A"),
        deciding("C", "A"),
        step("D", DependsOn=["B", "C"]),
    ]
    assert problems(small(*diamond)) == []
