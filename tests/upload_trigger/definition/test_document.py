"""What a pipeline definition may be: read strictly, checked whole, each fault with its place and remedy."""

import bz2
import copy
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.definitions.small import (
    CONDITION,
    check,
    condition,
    deciding,
    parameter,
    processing,
    referring,
    small,
    step,
    the_warning,
)
from upload_trigger.definition import walk
from upload_trigger.definition.loading import InvalidDefinitionError, load

COMMITTED = Path(__file__).parents[3] / "pipeline_definition" / "pipeline.json"
DEFINITION = json.loads(COMMITTED.read_text(encoding="utf-8"))


def zipped(body: bytes) -> bytes:
    """Return an archive with one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("pipeline.json", body)
    return archive.getvalue()


def refusals(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDefinitionError) as caught:
        load(body)
    return [(each.pointer, each.message) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty; it must be a JSON object"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"Version: 1", "not JSON: Expecting value at line 1, column 1"),
        (b'{\n "a": 1,\n}', "line 3, column 1"),
        (b"[]", "it must be a JSON object"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16, as > and Out-File write it in Windows PowerShell; save the"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16"),
        ('{"a": 1}'.encode("utf-16-be"), "UTF-16"),
        ('\r\n{"a": 1}'.encode("utf-16-le"), "UTF-16"),
        ('{"a": 1}'.encode("utf-32"), "UTF-32"),
        ('{"a": 1}'.encode("utf-32-le"), "UTF-32"),
        ('{"a": 1}'.encode("utf-32-be"), "UTF-32"),
        (b"\0" * 10, "no text: byte 0 is zero"),
        (b'{"a": "\0"}', "no text: byte 7 is zero"),
        (zipped(b"{}"), "compressed by zip; write it uncompressed (unzip does)"),
        (bz2.compress(b"{}"), "compressed by bzip2"),
        (lzma.compress(b"{}"), "compressed by xz"),
        (b"\r\n<!DOCTYPE html>", "a page of HTML or XML, not JSON; download the file itself"),
        (
            '{"a": "café"}\r\n'.encode("cp1252"),
            "not UTF-8 (Windows-1252, also called ANSI, perhaps): byte 10",
        ),
        (gzip.compress(b"{}", mtime=0), "compressed by gzip; write it uncompressed (gunzip does)"),
        (b'{"a": "\xff"}', "not UTF-8 (Windows-1252, also called ANSI, perhaps): byte 7"),
        (b'{"a": "\xff\x01"}', "not UTF-8: byte 7, invalid start byte; save the file as UTF-8"),
        (b"[" * 401 + b"]" * 401, "nested deeper than 400 levels"),
        (b" " * 1_048_577, "1,048,577 bytes; SageMaker takes at most 1,048,576"),
    ],
)
def test_bytes_that_are_no_definition_are_refused(body: bytes, message: str) -> None:
    ((pointer, found),) = refusals(body)
    assert pointer == ""
    assert message in found


def test_everything_that_readers_could_disagree_on_is_found_at_once_with_its_place() -> None:
    body = (
        b'{"a": {"b~/c": [1, NaN, -Infinity, 1e999, 99999999999999999999]}, "k": 1, "k": {"d": 2, "d": 3},'
        b' "s": "\\ud800", "long": %s}' % (b"9" * 5000)
    )
    assert [pointer for pointer, _ in refusals(body)] == [
        "/k",
        "/a/b~0~1c/1",
        "/a/b~0~1c/2",
        "/a/b~0~1c/3",
        "/a/b~0~1c/4",
        "/k/d",
        "/s",
        "/long",
    ]


def test_a_bracket_in_a_string_is_no_depth() -> None:
    assert load(json.dumps({"a": '["\\' * 1000}).encode()) == {"a": '["\\' * 1000}


def test_lines_may_end_as_windows_ends_them() -> None:
    text = COMMITTED.read_text(encoding="utf-8").replace("\n", "\r\n")
    assert load(b"\xef\xbb\xbf" + text.encode()) == DEFINITION


def test_a_byte_order_mark_is_no_part_of_a_definition() -> None:
    assert load(b"\xef\xbb\xbf" + b'{"a": "\xc3\xa9\xef\xbb\xbf"}') == {"a": "\u00e9\ufeff"}


def test_the_committed_definition_is_sound() -> None:
    assert check(load(COMMITTED.read_bytes())) == []


PROCESSING = processing()


@pytest.mark.parametrize(
    ("definition", "pointer", "message"),
    [
        (small(step("A")) | {"Version": "2021"}, "/Version", 'write "2020-12-01", not "2021"'),
        (small(), "/Steps", "at least one"),
        (small(step("A")) | {"Steps": {}}, "/Steps", "must be a list of steps"),
        (small(step("A"), step("A")), "/Steps/1/Name", 'the name "A" is taken'),
        (
            small(step("A"), condition(CONDITION, IfSteps=[step("A")])),
            "/Steps/1/Arguments/IfSteps/0/Name",
            "is taken",
        ),
        (small(step("no space")), "/Steps/0/Name", '"no space" is no name'),
        (small(step("A", Type="Trainig")), "/Steps/0/Type", "did you mean Training"),
        (small(step("A", Arguments=[])), "/Steps/0/Arguments", "must be an object"),
        (small(step("A", Arguments={})), "/Steps/0/Arguments/ErrorMessage", "a text"),
        (small(condition()), "/Steps/0/Arguments/Conditions", "at least one condition"),
        (small(condition({"Type": "Equal"})), "/Steps/0/Arguments/Conditions/0/Type", "did you mean Equals"),
        (
            small(condition({"Type": "Not", "Condition": {"Type": "In", "Values": [1]}})),
            "/Steps/0/Arguments/Conditions/0/Condition/QueryValue",
            "of type In needs it",
        ),
        (
            small(condition({"Type": "Or", "Conditions": []})),
            "/Steps/0/Arguments/Conditions/0/Conditions",
            "Or",
        ),
        (small(condition(CONDITION, IfSteps={})), "/Steps/0/Arguments/IfSteps", "must be a list of steps"),
        (parameter(Type="Int"), "/Parameters/0/Type", "did you mean Integer"),
        (parameter(DefaultValue="3"), "/Parameters/0/DefaultValue", '"3" is no Integer'),
        (parameter(DefaultValue=True), "/Parameters/0/DefaultValue", "true is no Integer"),
        (parameter(EnumValues=[1, 2], DefaultValue=3), "/Parameters/0/DefaultValue", "legal: 1, 2"),
        (parameter(EnumValues=[]), "/Parameters/0/EnumValues", "at least one value"),
        (
            parameter(Type="String", DefaultValue="x" * 1025),
            "/Parameters/0/DefaultValue",
            "1,025 characters; a value has at most 1,024",
        ),
        (
            small(step("A"), Parameters=[{"Name": "P", "Type": "String"}] * 2),
            "/Parameters/1/Name",
            "is taken",
        ),
        (small(step("A"), Parameters=["P"]), "/Parameters/0", "an object with"),
        (
            small(referring("Parameters.Epoch"), Parameters=[{"Name": "Epochs", "Type": "Integer"}]),
            "/Steps/0/Arguments/ErrorMessage/Get",
            'no parameter "Epoch"; did you mean Epochs?',
        ),
        (
            small(referring("Execution.PipelineExecutionID")),
            "/Steps/0/Arguments/ErrorMessage/Get",
            "did you mean PipelineExecutionId",
        ),
        (
            small(step("Train"), referring("Steps.Trian.ModelArtifacts")),
            "/Steps/1/Arguments/ErrorMessage/Get",
            'no step "Trian"; did you mean Train?',
        ),
        (small(referring("Step.A.B")), "/Steps/0/Arguments/ErrorMessage/Get", 'write "Parameters.<name>"'),
        (
            small(PROCESSING, referring("Steps.P.ProcessingOutputConfig.Outputs['trian'].S3Output.S3Uri")),
            "/Steps/1/Arguments/ErrorMessage/Get",
            'step P has no output "trian"; did you mean train?',
        ),
        (
            small(PROCESSING, referring("Steps.P.PropertyFiles.Scores")),
            "/Steps/1/Arguments/ErrorMessage/Get",
            "Std:JsonGet",
        ),
        (
            small(step("A", Arguments={"ErrorMessage": {"Std:Joni": {}}})),
            "/Steps/0/Arguments/ErrorMessage/Std:Joni",
            "did you mean Std:Join",
        ),
        (
            small(step("A", Arguments={"ErrorMessage": {"Std:Join": {"On": ""}}})),
            "/Steps/0/Arguments/ErrorMessage/Std:Join",
            '"Values"',
        ),
        (small(step("A", DependsOn=["B"])), "/Steps/0/DependsOn/0", 'no step "B"'),
        (
            small(
                PROCESSING
                | {"PropertyFiles": [{"PropertyFileName": "S", "OutputName": "x", "FilePath": "y"}]}
            ),
            "/Steps/0/PropertyFiles/0/OutputName",
            'the step has no output "x"; legal: train',
        ),
        (small(PROCESSING | {"PropertyFiles": [{}]}), "/Steps/0/PropertyFiles/0", "missing, or no text"),
    ],
)
def test_each_fault_is_named_with_its_place_and_remedy(
    definition: dict[str, Any], pointer: str, message: str
) -> None:
    ((found_at, found),) = [(each.pointer, each.message) for each in check(definition)]
    assert found_at == pointer
    assert message in found


def test_a_property_file_that_is_not_declared_is_found_where_it_is_read() -> None:
    body = {"PropertyFile": {"Get": "Steps.P.PropertyFiles.Score"}, "Path": "a.b"}
    reader = step("A", Arguments={"ErrorMessage": {"Std:JsonGet": body}})

    ((pointer, message),) = [(each.pointer, each.message) for each in check(small(PROCESSING, reader))]

    assert pointer == "/Steps/1/Arguments/ErrorMessage/Std:JsonGet/PropertyFile/Get"
    assert 'has no property file "Score"; did you mean Scores?' in message


def test_all_faults_are_told_at_once_by_their_place_in_the_document() -> None:
    broken = small(step("A", DependsOn=["X"]), referring("Parameters.X") | {"Type": "Fial"}) | {"Version": 1}
    assert [each.pointer for each in check(broken)] == [
        "/Steps/0/DependsOn/0",
        "/Steps/1/Arguments/ErrorMessage/Get",
        "/Steps/1/Type",
        "/Version",
    ]


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([deciding("A", "A")], "A -> A"),
        ([deciding("A", "B"), deciding("B", "A"), deciding("C", "A")], "A -> B -> A"),
        (
            [condition({**CONDITION, "LeftValue": {"Get": "Steps.A.Outcome"}}, IfSteps=[step("A")])],
            "C -> A -> C",
        ),
    ],
)
def test_steps_that_wait_for_each_other_are_named(steps: list[dict[str, Any]], cycle: str) -> None:
    assert [each.message for each in check(small(*steps))] == [f"these steps wait for each other: {cycle}"]


def test_two_cycles_are_both_found() -> None:
    steps = [deciding("A", "B"), deciding("B", "A"), deciding("C", "C")]
    assert len(check(small(*steps))) == 2


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("Preprocess", "TrainSpot"),
        ("Preprocess", "TrainOnDemand"),
        ("Preprocess", "EvaluateSpot"),
        ("TrainSpot", "EvaluateSpot"),
        ("EvaluateSpot", "CheckSpotAccuracy"),
        ("CheckSpotAccuracy", "RegisterSpot"),
        ("TrainSpot", "RegisterSpot"),
        ("EvaluateSpot", "CheckAnyAccuracy"),
        ("EvaluateOnDemand", "CheckAnyAccuracy"),
    ],
)
def test_the_order_follows_references_and_the_condition_that_holds_a_step(earlier: str, later: str) -> None:
    definition = copy.deepcopy(DEFINITION)
    for _, each, _ in walk.steps(definition):
        if each["Name"] == earlier:
            each["DependsOn"] = [later]
    (found, *_) = check(definition)
    assert found.message.startswith("these steps wait for each other: ")


@pytest.mark.parametrize(
    ("definition", "pointer", "hint"),
    [
        (small(step("A"), Stepps=[]), "/Stepps", "did you mean Steps?"),
        (parameter(Default=3), "/Parameters/0/Default", "did you mean DefaultValue?"),
        (small(step("A", Type="QuantumAnnealing")), "/Steps/0/Type", "legal: AutoML, "),
    ],
)
def test_what_may_be_newer_is_a_warning(definition: dict[str, Any], pointer: str, hint: str) -> None:
    found, said = the_warning(definition)
    assert found == pointer
    assert hint in said
