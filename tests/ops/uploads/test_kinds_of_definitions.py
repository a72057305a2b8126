"""What people write into a definition, one kind a row: sound, or refused with what to write instead."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.engine.definition import DefinitionError, parse
from ops import __main__ as cli
from upload_trigger.definition import walk

SHIPPED = json.loads((Path(__file__).parents[3] / "pipeline_definition" / "pipeline.json").read_bytes())
PREPROCESS, TRAIN, REGISTER, CHECK = "Preprocess", "TrainOnDemand", "RegisterSpot", "CheckSpotAccuracy"
Edit = Callable[[dict[str, Any]], None]


def step(definition: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for _, each, _ in walk.steps(definition) if each["Name"] == name)


def edited(edit: Edit) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(SHIPPED)
    edit(document)
    return document


def arguments(definition: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = step(definition, name)["Arguments"]
    return found


def bracket_path(definition: dict[str, Any]) -> None:
    for name in (CHECK, "CheckOnDemandAccuracy"):
        value = arguments(definition, name)["Conditions"][0]["LeftValue"]["Std:JsonGet"]
        value["Path"] = "['multiclass_classification_metrics']['accuracy']['value']"


def path_as_join(definition: dict[str, Any]) -> None:
    value = arguments(definition, CHECK)["Conditions"][0]["LeftValue"]["Std:JsonGet"]
    value["Path"] = {"Std:Join": {"On": ".", "Values": value["Path"].split(".")}}


def subnets_as_one_parameter(definition: dict[str, Any]) -> None:
    definition["Parameters"] += [
        {"Name": name, "Type": "String"} for name in ("SubnetId1", "SecurityGroupId1")
    ]
    arguments(definition, PREPROCESS)["NetworkConfig"]["VpcConfig"] = {
        "Subnets": {"Get": "Parameters.SubnetId1"},
        "SecurityGroupIds": {"Get": "Parameters.SecurityGroupId1"},
    }


def model_package_name(definition: dict[str, Any]) -> None:
    arguments(definition, REGISTER)["ModelPackageName"] = "birds"


def additional_model_data(definition: dict[str, Any]) -> None:
    (container,) = arguments(definition, REGISTER)["InferenceSpecification"]["Containers"]
    source = {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container["AdditionalModelDataSources"] = [{"ChannelName": "more", "S3DataSource": source}]


def number_in_arguments(definition: dict[str, Any]) -> None:
    arguments(definition, PREPROCESS)["AppSpecification"]["ContainerArguments"][-1] = 7


def integer_as_hyper_parameter(definition: dict[str, Any]) -> None:
    arguments(definition, TRAIN)["HyperParameters"]["epochs"] = {"Get": "Parameters.Epochs"}


def more_inputs(definition: dict[str, Any], count: int, folder: str = "") -> None:
    inputs = arguments(definition, PREPROCESS)["ProcessingInputs"]
    for number in range(count):
        another = copy.deepcopy(inputs[0])
        another["InputName"] = f"more{number}"
        another["S3Input"]["LocalPath"] = f"/opt/ml/processing/input/{folder or another['InputName']}"
        inputs.append(another)


def output_named_as_the_input(definition: dict[str, Any]) -> None:
    arguments(definition, PREPROCESS)["ProcessingOutputConfig"]["Outputs"].append(
        {
            "OutputName": "data",
            "S3Output": {
                "LocalPath": "/opt/ml/processing/output/data",
                "S3UploadMode": "EndOfJob",
                "S3Uri": "s3://b/k",
            },
        }
    )


def wait_without_spot(definition: dict[str, Any]) -> None:
    arguments(definition, TRAIN)["StoppingCondition"]["MaxWaitTimeInSeconds"] = 90_000


def empty_tag_value(definition: dict[str, Any]) -> None:
    for tag in arguments(definition, TRAIN)["Tags"]:
        tag["Value"] = ""


def double_quotes(definition: dict[str, Any]) -> None:
    for channel in arguments(definition, TRAIN)["InputDataConfig"]:
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        uri["Get"] = uri["Get"].replace("'", '"')


def exception_type_as_text(definition: dict[str, Any]) -> None:
    for policy in step(definition, TRAIN)["RetryPolicies"]:
        policy["ExceptionType"] = policy["ExceptionType"][0]


def outputs_of_boto3(definition: dict[str, Any]) -> None:
    job = arguments(definition, PREPROCESS)
    job["ProcessingOutputs"] = job.pop("ProcessingOutputConfig")["Outputs"]


def empty_argument(definition: dict[str, Any]) -> None:
    chosen = next(each for each in definition["Parameters"] if each["Name"] == "ClassSelection")
    chosen["DefaultValue"] = ""


SOUND: list[Edit] = [bracket_path, empty_tag_value, double_quotes]
REFUSED: list[tuple[Edit, str]] = [
    (path_as_join, "/Path: must be the path of the value inside the JSON file"),
    (subnets_as_one_parameter, '/Subnets: must be a list (Subnets); "Parameters.SubnetId1" is one value'),
    (model_package_name, "/ModelPackageName: a member that this policy does not know"),
    (additional_model_data, "/AdditionalModelDataSources: a member that this policy does not know"),
    (number_in_arguments, 'must be a text, not 7; write "7"'),
    (integer_as_hyper_parameter, 'is of type Integer; write {"Std:Join": {"On": "", "Values": [...]}}'),
    (lambda each: more_inputs(each, 1, "data"), '"/opt/ml/processing/input/data" is given more than once'),
    (lambda each: more_inputs(each, 1, "data"), "write /opt/ml/processing/input/<name> [rule locations]"),
    (lambda each: more_inputs(each, 10), "/ProcessingInputs: 11 entries; must be at most 10"),
    (output_named_as_the_input, '/OutputName: "data" is given more than once; keep one'),
    (wait_without_spot, "/MaxWaitTimeInSeconds: only with EnableManagedSpotTraining: true; leave it out"),
    (exception_type_as_text, "/ExceptionType: must be a list of at least one of Step.SERVICE_FAULT"),
    (
        outputs_of_boto3,
        "/ProcessingOutputs: no member of CreateProcessingJobRequest that is known here; did ",
    ),
    (
        empty_argument,
        "CreateProcessingJob takes no empty text here; ClassSelection is empty; give it a value",
    ),
]
REFUSED_BY_CREATE_PIPELINE = [
    path_as_join,
    subnets_as_one_parameter,
    model_package_name,
    integer_as_hyper_parameter,
    exception_type_as_text,
    outputs_of_boto3,
]


def validate(document: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    path = folder / "pipeline.json"
    path.write_text(json.dumps(document))
    code = cli.run(["validate", str(path)])
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.mark.parametrize("edit", SOUND)
def test_what_aws_takes_is_sound(edit: Edit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = edited(edit)
    assert document != SHIPPED
    code, said = validate(document, tmp_path, capsys)
    assert (code, "pipeline.json is sound" in said) == (0, True), said
    parse(json.dumps(document))


@pytest.mark.parametrize(("edit", "expected"), REFUSED)
def test_what_aws_refuses_is_refused_with_what_to_write(
    edit: Edit, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = validate(edited(edit), tmp_path, capsys)
    assert code == 2
    assert expected in said


@pytest.mark.parametrize("edit", REFUSED_BY_CREATE_PIPELINE)
def test_what_create_pipeline_refuses_local_sagemaker_refuses(edit: Edit) -> None:
    with pytest.raises(DefinitionError):
        parse(json.dumps(edited(edit)))


def test_the_slip_is_told_before_what_follows_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = validate(edited(outputs_of_boto3), tmp_path, capsys)
    first = next(line for line in said.splitlines() if line.startswith("  "))
    assert first.endswith("did you mean ProcessingOutputConfig?")
