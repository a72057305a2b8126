"""What SageMaker wants of a job and its service model does not say."""

from typing import Any

import pytest

from small_definitions import (
    changed,
    problems,
    processing,
    small,
    spot,
    the_problem,
    the_warning,
    training,
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


def test_a_spot_job_of_hours_needs_a_checkpoint() -> None:
    pointer, said = the_problem(without(small(spot(wait=86_400)), *AT, "CheckpointConfig"))
    assert pointer == "/Steps/0/Arguments/CheckpointConfig"
    assert said.endswith('write {"S3Uri": "s3://...", "LocalPath": "/opt/ml/checkpoints"}')


def test_a_spot_job_of_minutes_without_a_checkpoint_is_a_warning() -> None:
    assert (
        the_warning(without(small(spot()), *AT, "CheckpointConfig"))[0]
        == "/Steps/0/Arguments/CheckpointConfig"
    )


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
    assert the_problem(small(step))[0] == "/Steps/0/Arguments/ProcessingOutputConfig/Outputs/1/OutputName"


@pytest.mark.parametrize("several", [False, True])
def test_the_jobs_of_a_tuning_step_are_judged_as_training_jobs_are(several: bool) -> None:
    job = training(EnableManagedSpotTraining=True)["Arguments"]
    member = "TrainingJobDefinitions" if several else "TrainingJobDefinition"
    limits = {"MaxParallelTrainingJobs": 1}
    tuning = {
        "HyperParameterTuningJobConfig": {"Strategy": "Bayesian", "ResourceLimits": limits},
        member: [job] if several else job,
    }
    found = [pointer for pointer, _ in problems(small({"Name": "T", "Type": "Tuning", "Arguments": tuning}))]
    at = f"/Steps/0/Arguments/{member}{'/0' if several else ''}"
    assert f"{at}/CheckpointConfig" in found
    assert f"{at}/StoppingCondition/MaxWaitTimeInSeconds" in found
