"""What SageMaker wants of a job and its service model does not say."""

from typing import Any

import pytest

from pipeline_definition import checks
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.small import (
    changed,
    problems,
    processing,
    small,
    spot,
    the_problem,
    the_warning,
    training,
    warnings,
    without,
)

AT = ("Steps", 0, "Arguments")
WAIT = "/Steps/0/Arguments/StoppingCondition/MaxWaitTimeInSeconds"
UNKNOWN = {"Get": "Parameters.Any"}


def with_parameter(*steps: dict[str, Any]) -> dict[str, Any]:
    return small(*steps, Parameters=[{"Name": "Any", "Type": "Integer"}])


def test_a_spot_job_that_may_wait_as_long_as_it_runs_is_sound() -> None:
    assert problems(small(spot())) == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (spot(wait=59), "59 is less than the MaxRuntimeInSeconds of 60; write at least 60"),
        (spot(StoppingCondition={"MaxRuntimeInSeconds": 60}), "missing: managed spot training needs it"),
        (spot(EnableManagedSpotTraining=False), "only with EnableManagedSpotTraining: true; leave it out"),
    ],
)
def test_how_long_a_job_waits_goes_with_spot_and_with_how_long_it_runs(step: Any, message: str) -> None:
    pointer, said = the_problem(small(step))
    assert pointer == WAIT
    assert said.startswith(message)


def test_a_job_on_demand_waits_for_nothing() -> None:
    waiting = changed(small(training()), *AT, "StoppingCondition", "MaxWaitTimeInSeconds", to=60)
    assert the_problem(waiting)[0] == WAIT


@pytest.mark.parametrize("path", [("MaxRuntimeInSeconds",), ("MaxWaitTimeInSeconds",)])
def test_what_only_the_run_will_tell_is_let_pass(path: tuple[str]) -> None:
    assert problems(changed(with_parameter(spot()), *AT, "StoppingCondition", *path, to=UNKNOWN)) == []
    either = changed(with_parameter(spot()), *AT, "EnableManagedSpotTraining", to=UNKNOWN)
    assert problems(without(either, *AT, "StoppingCondition", *path)) == []


def test_a_spot_job_without_a_checkpoint_is_advised_to_have_one() -> None:
    pointer, said = the_warning(without(small(spot(wait=86_400)), *AT, "CheckpointConfig"))
    assert pointer == "/Steps/0/Arguments/CheckpointConfig"
    assert said.endswith('write {"S3Uri": "s3://...", "LocalPath": "/opt/ml/checkpoints"}')


def test_no_warm_pool_is_kept_for_spot() -> None:
    warm = {
        "InstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "VolumeSizeInGB": 1,
        "KeepAlivePeriodInSeconds": 9,
    }
    assert problems(small(training(ResourceConfig=warm))) == []
    pointer, said = the_problem(small(spot(ResourceConfig=warm)))
    assert pointer == "/Steps/0/Arguments/ResourceConfig/KeepAlivePeriodInSeconds"
    assert "leave it out" in said


SOURCE = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data"}}
TWICE = {
    "Tags": training(Tags=[{"Key": "a", "Value": ""}, {"Key": "a", "Value": "b"}]),
    "InputDataConfig": training(InputDataConfig=[{"ChannelName": "a", "DataSource": SOURCE}] * 2),
    "ProcessingInputs": processing(ProcessingInputs=[{"InputName": "a"}, {"InputName": "a"}]),
}


@pytest.mark.parametrize(
    ("member", "name"),
    [("Tags", "Key"), ("InputDataConfig", "ChannelName"), ("ProcessingInputs", "InputName")],
)
def test_a_name_is_given_once(member: str, name: str) -> None:
    assert the_problem(small(TWICE[member])) == (
        f"/Steps/0/Arguments/{member}/1/{name}",
        '"a" is given more than once; keep one',
    )


def test_an_output_s_name_is_given_once() -> None:
    step = processing()
    step["Arguments"]["ProcessingOutputConfig"]["Outputs"] *= 2
    at = "/Steps/0/Arguments/ProcessingOutputConfig/Outputs/1"
    assert [path for path, _ in problems(small(step))] == [f"{at}/OutputName", f"{at}/S3Output/LocalPath"]


def test_no_two_inputs_or_outputs_of_a_job_share_a_folder() -> None:
    source = {"S3Uri": "s3://b/k", "LocalPath": "/opt/ml", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    step = processing(ProcessingInputs=[{"InputName": "data", "S3Input": source}])
    found, said = the_problem(small(step))
    assert found == "/Steps/0/Arguments/ProcessingOutputConfig/Outputs/0/S3Output/LocalPath"
    assert said == '"/opt/ml" is given more than once; give each a folder of its own'


@pytest.mark.parametrize("several", [False, True])
def test_the_jobs_of_a_tuning_step_are_judged_as_training_jobs_are(several: bool) -> None:
    job = training(EnableManagedSpotTraining=True)["Arguments"]
    member = "TrainingJobDefinitions" if several else "TrainingJobDefinition"
    limits = {"MaxParallelTrainingJobs": 1}
    tuning = {
        "HyperParameterTuningJobConfig": {"Strategy": "Bayesian", "ResourceLimits": limits},
        member: [job] if several else job,
    }
    tuned = small({"Name": "T", "Type": "Tuning", "Arguments": tuning})
    at = f"/Steps/0/Arguments/{member}{'/0' if several else ''}"
    assert f"{at}/CheckpointConfig" in dict(warnings(tuned))
    assert f"{at}/StoppingCondition/MaxWaitTimeInSeconds" in dict(problems(tuned))


def command(*arguments: Any, kind: str = "Processing", member: str = "ContainerArguments") -> dict[str, Any]:
    """Make a definition of a step with a command; Name and Count are its parameters."""
    specification = {"ImageUri": "scores:1", member: list(arguments)}
    declared = [
        {"Name": "Name", "Type": "String", "DefaultValue": ""},
        {"Name": "Count", "Type": "Integer", "DefaultValue": 0},
    ]
    return small(processing(AppSpecification=specification) | {"Type": kind}, Parameters=declared)


NAME = {"Get": "Parameters.Name"}
EMPTY = [
    ("", "leave it out"),
    (NAME, "Name is empty; give it a value"),
    ({"Std:Join": {"On": "", "Values": []}}, "leave it out"),
    (
        {"Std:Join": {"On": "", "Values": ["", NAME, {"Std:Join": {"On": "-", "Values": [NAME]}}]}},
        "leave it out",
    ),
]


@pytest.mark.parametrize(("text", "what"), EMPTY)
@pytest.mark.parametrize("kind", ["Processing", "QualityCheck", "ClarifyCheck"])
@pytest.mark.parametrize("member", ["ContainerArguments", "ContainerEntrypoint"])
def test_no_text_of_a_processing_job_s_command_is_empty(text: Any, what: str, kind: str, member: str) -> None:
    found, said = the_problem(command("--selection", text, kind=kind, member=member))
    assert found == f"/Steps/0/Arguments/AppSpecification/{member}/1"
    assert said == f"CreateProcessingJob takes no empty text here; {what}"


@pytest.mark.parametrize(
    "text",
    [
        " ",
        {"Get": "Execution.PipelineName"},
        {"Std:Join": {"On": "-", "Values": [NAME, NAME]}},
        {"Std:Join": {"On": "", "Values": [NAME, {"Get": "Parameters.Count"}]}},
        {"Std:Join": {"On": "", "Values": [NAME, {"Get": "Execution.PipelineName"}]}},
    ],
)
def test_what_is_not_known_to_be_empty_may_be_part_of_a_command(text: Any) -> None:
    assert problems(command("--selection", text)) == []


def test_a_value_that_is_given_is_part_of_a_command_instead_of_an_empty_default() -> None:
    assert checks.check(command(NAME), bundled_model(), {"Name": "birds"}) == []
    assert checks.check(command(NAME), bundled_model(), {"Name": None}) == []


def test_a_version_of_a_group_takes_no_tags() -> None:
    def registering(**arguments: Any) -> dict[str, Any]:
        return small({"Name": "R", "Type": "RegisterModel", "Arguments": arguments})

    tags = [{"Key": "a", "Value": ""}]
    assert problems(registering(ModelPackageGroupName="birds")) == []
    assert problems(registering(Tags=tags)) == []
    found, said = the_problem(registering(ModelPackageGroupName="birds", Tags=tags))
    assert found == "/Steps/0/Arguments/Tags"
    assert said.startswith("CreateModelPackage takes no Tags for a version of a group")


def test_an_input_and_an_output_of_a_job_have_names_of_their_own() -> None:
    step = processing(ProcessingInputs=[{"InputName": "train"}])
    assert the_problem(small(step)) == (
        "/Steps/0/Arguments/ProcessingOutputConfig/Outputs/0/OutputName",
        '"train" is given more than once; keep one',
    )
