"""Everything against an upload is told at once: what its document, its values and the policy say."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import admission
import pipeline_document
from direct_client import DirectClient
from fake_s3 import FakeS3
from function_settings import PARALLEL, Policy, Settings
from object_versions import Upload
from ops.service_model import bundled_model
from pipeline_document import InvalidDefinition
from small_definitions import changed, referring, saying, small, step, without

SHIPPED = json.loads((Path(__file__).parent.parent / "pipeline_definition" / "pipeline.json").read_bytes())
BUCKET = "cv-birds-123456789012"
KEY = "pipeline/pipeline.json"
SETTINGS = Settings(
    pipeline_name="cv-birds",
    role_arn="arn:aws:iam::123456789012:role/pipeline",
    parameters={
        "ArtifactBucket": BUCKET,
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/jobs",
        "ModelPackageGroupName": "cv-birds",
        "TrainingImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/cv-birds:1",
    },
    parameter_defaults={"InputDataUrl": f"s3://{BUCKET}/data/"},
    policy=Policy(),
    on_running=PARALLEL,
)
PREPROCESS = ("Steps", 0, "Arguments")
IMAGE = (*PREPROCESS, "AppSpecification", "ImageUri")
COUNT = (*PREPROCESS, "ProcessingResources", "ClusterConfig", "InstanceCount")
LAMBDA = {"Name": "Call", "Type": "Lambda", "FunctionArn": "f", "Arguments": {}}


def admit(definition: Any, values: bytes | None = None) -> admission.Judgement:
    s3 = FakeS3(BUCKET)
    if values is not None:
        s3.put("pipeline/parameters.json", values)
    body = definition if isinstance(definition, bytes) else json.dumps(definition).encode()
    upload = Upload(BUCKET, KEY, "version")
    return admission.admit(body, upload, SETTINGS, DirectClient("s3", s3), bundled_model())


def refused(definition: Any, values: bytes | None = None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDefinition) as caught:
        admit(definition, values)
    return [(each.pointer, each.message) for each in caught.value.problems]


def pointer(*path: str | int) -> str:
    return "".join(f"/{part}" for part in path)


def judged(definition: dict[str, Any], beside: bytes = b"{}") -> admission.Judgement:
    return admission.judge(definition, beside, SETTINGS)


def test_the_shipped_definition_is_admitted_with_what_it_would_start_with() -> None:
    admitted = admit(SHIPPED, b'{"Epochs": 2}')
    assert json.loads(admitted.text) == SHIPPED
    assert admitted.parameters == {**SETTINGS.parameters, **SETTINGS.parameter_defaults, "Epochs": "2"}
    assert admitted.warnings == []
    assert admitted.worst_case_cost


def test_what_is_not_known_here_is_a_warning_and_no_reason() -> None:
    doubtful = changed(SHIPPED, "Steps", 0, "CacheConfig", "ExpireAfter", to="P30D")
    doubtful = changed(doubtful, "Parameters", 0, "Label", to="?")
    said = [each.pointer for each in judged(doubtful).warnings]
    assert said == ["/Parameters/0/Label"]


def test_the_document_its_values_and_the_policy_are_told_together() -> None:
    wrong = changed(SHIPPED, "Steps", 1, "DependsOn", to=["Nobody"])
    wrong = changed(wrong, *IMAGE, to="somebody/else:1")
    assert [place for place, _ in refused(wrong)] == ["/Steps/1/DependsOn/0", pointer(*IMAGE)]
    assert [place for place, _ in refused(wrong, b'{"Epoch": 1, "BatchSize": "big"}')] == [
        "/Steps/1/DependsOn/0",
        "parameters.json#/Epoch",
        "parameters.json#/BatchSize",
    ]


def test_the_policy_is_not_asked_about_values_that_it_cannot_know() -> None:
    needy = changed(SHIPPED, "Parameters", 0, to={"Name": "Needed", "Type": "String"})
    assert not any("[rule " in message for _, message in refused(needy))


def test_a_file_of_values_that_cannot_be_read_is_told_beside_the_document() -> None:
    wrong = changed(SHIPPED, *IMAGE, to=5)
    assert [place for place, _ in refused(wrong, b'{"Epochs": 1,')] == [pointer(*IMAGE), "parameters.json#"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (IMAGE, 5),
        (IMAGE, {"Get": "Parameters.TrainingImage"}),
        (IMAGE, {"Std:Join": {"On": "", "Values": [None]}}),
        (IMAGE, {"Std:Joni": {"On": "", "Values": []}}),
        (COUNT, "2"),
        (PREPROCESS, []),
        (("Steps", 0, "Type"), "Procesing"),
        (("Steps", 0, "RetryPolicies"), "none"),
    ],
)
def test_of_one_value_the_document_s_fault_is_told_and_not_the_policy_s_too(path: Any, value: Any) -> None:
    found = [place for place, _ in refused(changed(SHIPPED, *path, to=value))]
    at = pointer(*path)
    told = [place for place in found if place == at or place.startswith((f"{at}/Get", f"{at}/Std:"))]
    assert len(told) == 1


def test_a_member_that_is_missing_is_told_once() -> None:
    found = [place for place, _ in refused(without(SHIPPED, *PREPROCESS, "RoleArn"))]
    assert found == [pointer(*PREPROCESS, "RoleArn")]


def test_what_the_policy_says_beside_a_fault_stays() -> None:
    wrong = changed(SHIPPED, *IMAGE, to=5)
    wrong["Steps"].append(LAMBDA)
    found = dict(refused(wrong))
    assert "a text is due" in found[pointer(*IMAGE)]
    assert found[f"/Steps/{len(wrong['Steps']) - 1}/Type"].endswith("[rule step_types]")


def told(
    in_document: list[pipeline_document.Problem], forbidden: list[pipeline_document.Problem]
) -> admission.Judgement:
    return admission.Judgement(in_document, [], forbidden, [], {}, {}, "", None)


def test_two_rules_may_both_refuse_one_value() -> None:
    problem = pipeline_document.Problem
    judgement = told([problem("/a", "1")], [problem("/b", "2"), problem("/b", "3")])
    assert [each.message for each in judgement.problems] == ["1", "2", "3"]


def test_a_pointer_that_only_begins_alike_is_another_place() -> None:
    problem = pipeline_document.Problem
    judgement = told(
        [problem("/a/Get", "1"), problem("/b/Std:Join/On", "2"), problem("/c/GetMore", "3")],
        [problem("/a", "-"), problem("/b", "-"), problem("/c", "4"), problem("/ab", "5")],
    )
    assert [each.message for each in judgement.problems] == ["1", "2", "3", "4", "5"]


def test_a_hundred_reasons_are_told_and_no_more() -> None:
    wrong = small(*(saying({"Get": "Parameters.P"}, f"S{number}") for number in range(60)))
    wrong["Steps"] += [LAMBDA | {"Name": f"L{number}"} for number in range(60)]
    found = refused(wrong, b'{"Unheard": 1}')
    assert len(found) == 61
    both = refused(wrong)
    assert len(both) == 100
    assert [place for place, _ in both[:60]] == [place for place, _ in found[:60]]


def test_bytes_that_are_no_json_are_told_alone_and_nothing_is_read_for_them() -> None:
    assert refused(b"{", b'{"Unheard": 1}')[0][1].startswith("not JSON")
    assert len(refused(b"{", b'{"Unheard": 1}')) == 1


def test_nothing_is_changed_by_being_judged() -> None:
    definition = copy.deepcopy(SHIPPED)
    judged(definition, b'{"Epochs": 1}')
    judged(small(step(), referring("Parameters.P")))
    assert definition == SHIPPED
