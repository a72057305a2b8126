"""What is held against an upload: its bytes, its values, the policy and its data; the rest SageMaker says."""

import copy
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.definitions.small import changed, referring, small, step
from tests.support.services.direct_client import DirectClient
from tests.support.services.fake_s3 import FakeS3
from upload_trigger import admission
from upload_trigger.admission import Examination
from upload_trigger.definition.loading import InvalidDefinitionError
from upload_trigger.settings import PARALLEL, Policy, Settings
from upload_trigger.uploads import Upload

SHIPPED = json.loads((Path(__file__).parents[2] / "pipeline_definition" / "pipeline.json").read_bytes())
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
PREPROCESS = ("Steps", 0, "Arguments", "IfSteps", 0, "Arguments")
IMAGE = (*PREPROCESS, "AppSpecification", "ImageUri")
LAMBDA = {"Name": "Call", "Type": "Lambda", "FunctionArn": "f", "Arguments": {}}


def admit(
    definition: Any, values: bytes | None = None, data: Iterable[str] = ("birds/1.jpg",)
) -> Examination:
    s3 = FakeS3(BUCKET)
    for key in data:
        s3.put(f"data/{key}", b"image")
    if values is not None:
        s3.put("pipeline/parameters.json", values)
    body = definition if isinstance(definition, bytes) else json.dumps(definition).encode()
    return admission.admit(body, Upload(BUCKET, KEY, "version"), SETTINGS, DirectClient("s3", s3))


def refused(definition: Any, values: bytes | None = None, **given: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidDefinitionError) as caught:
        admit(definition, values, **given)
    return [(each.pointer, each.message) for each in caught.value.problems]


def pointer(*path: str | int) -> str:
    return "".join(f"/{part}" for part in path)


def test_the_shipped_definition_is_admitted_with_what_it_would_start_with() -> None:
    admitted = admit(SHIPPED, b'{"Epochs": 2}')
    digest = admitted.parameters["InputDataDigest"]
    assert json.loads(admitted.text) == SHIPPED
    assert admitted.parameters == {
        **SETTINGS.parameters,
        "InputDataUrl": f"s3://{BUCKET}/data/birds/",
        "InputDataDigest": digest,
        "Epochs": "2",
    }
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert admitted.warnings == []
    assert admitted.worst_case_cost


def test_what_only_sagemaker_knows_is_left_to_sagemaker() -> None:
    admitted = admit(changed(SHIPPED, "Steps", 1, "DependsOn", to=["Nobody"]))
    assert admitted.problems == []


def test_all_that_the_policy_forbids_is_told_at_once() -> None:
    wrong = changed(SHIPPED, *IMAGE, to="somebody/else:1")
    wrong["Steps"].append(LAMBDA)
    last = f"/Steps/{len(wrong['Steps']) - 1}/Type"
    assert {pointer(*IMAGE), last} <= {place for place, _ in refused(wrong)}


def test_the_policy_is_not_asked_about_values_that_it_cannot_know() -> None:
    wrong = changed(SHIPPED, *IMAGE, to="somebody/else:1")
    assert [place for place, _ in refused(wrong, b'{"Epoch": 1, "ImageSize": "big"}')] == [
        "parameters.json#/Epoch",
        "parameters.json#/ImageSize",
    ]


def test_a_file_of_values_that_cannot_be_read_is_told_with_its_name() -> None:
    assert [place for place, _ in refused(SHIPPED, b'{"Epochs": 1,')] == ["parameters.json#"]


def test_the_policy_judges_the_data_set_that_was_chosen() -> None:
    ((place, message),) = refused(SHIPPED, data=["b\u00e4ume/1.jpg"])
    assert place == pointer(*PREPROCESS, "ProcessingInputs", 0, "S3Input", "S3Uri")
    assert "[rule locations]" in message


def test_data_that_the_policy_forbids_is_not_looked_at() -> None:
    given = json.dumps({"InputDataUrl": "s3://another-bucket/data/birds/"}).encode()
    assert all("[rule locations]" in message for _, message in refused(SHIPPED, given))


def test_a_definition_that_reads_no_data_needs_none() -> None:
    assert admit(small(step()), data=[]).parameters == {}


def test_bytes_that_are_no_json_are_told_alone_and_nothing_is_read_for_them() -> None:
    assert refused(b"{", b'{"Unheard": 1}')[0][1].startswith("not JSON")
    assert len(refused(b"{", b'{"Unheard": 1}')) == 1


def test_a_hundred_reasons_are_told_and_no_more() -> None:
    wrong = small(*(LAMBDA | {"Name": f"L{number}"} for number in range(120)))
    assert len(refused(wrong)) == 100


def test_nothing_is_changed_by_being_judged() -> None:
    definition = copy.deepcopy(SHIPPED)
    admission.examine(definition, b'{"Epochs": 1}', SETTINGS)
    admission.examine(small(step(), referring("Parameters.P")), b"{}", SETTINGS)
    assert definition == SHIPPED


def test_offline_the_deployment_s_own_place_stands_for_the_data() -> None:
    judged = admission.examine(SHIPPED, b"{}", SETTINGS)
    assert judged.problems == []
    assert judged.parameters["InputDataUrl"] == f"s3://{BUCKET}/data/"
    assert judged.parameters["InputDataDigest"] == "unknown"
