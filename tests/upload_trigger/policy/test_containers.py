"""What the containers of a definition are told: commands, networks, variables, tags and texts."""

from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    DEFAULT,
    Place,
    arguments,
    judge,
    pointer,
    put,
    said_at,
    shipped,
)
from upload_trigger.settings import Policy


@pytest.mark.parametrize(
    "command",
    [
        ["python", "-c", "import os"],
        ["python", "-m", "training.train", "--debug"],
        ["python", "-m"],
        ["python -m training.train"],
        ["/bin/sh", "-c", "python -m training.train"],
        ["python", "-m", "training.serve"],
        [],
        "python -m training.train",
        {"Get": "Parameters.Backbone"},
    ],
)
def test_a_container_starts_with_a_configured_command_only(command: Any) -> None:
    for place in (
        ("Preprocess", "AppSpecification", "ContainerEntrypoint"),
        ("TrainOnDemand", "AlgorithmSpecification", "ContainerEntrypoint"),
    ):
        definition, at = put(place, command)
        assert "allowed (entry_points): python -m training.preprocess, " in said_at(judge(definition), at)


def test_a_command_of_one_word_is_a_list_as_well() -> None:
    limits = Policy(entry_points=(*DEFAULT.entry_points, "train"))
    for command, allowed in ((["train"], True), ("train", False)):
        definition, at = put(("TrainOnDemand", "AlgorithmSpecification", "ContainerEntrypoint"), command)
        said = [each.message for each in judge(definition, limits) if each.pointer == at]
        assert any("[rule entry_points]" in each for each in said) is not allowed


def test_another_command_may_be_configured() -> None:
    definition, at = put(
        ("TrainOnDemand", "AlgorithmSpecification", "ContainerEntrypoint"), ["python", "mine.py"]
    )
    problems = judge(definition, Policy(entry_points=(*DEFAULT.entry_points, "python mine.py")))
    # It runs, but what it trains is not registered.
    assert {each.pointer for each in problems} == {at}
    assert "does not run training.train" in said_at(problems, at)


@pytest.mark.parametrize("name", ["Preprocess", "TrainSpot", "EvaluateSpot"])
def test_a_container_starts_with_a_command_of_the_definition_and_not_of_the_image(name: str) -> None:
    definition = shipped()
    member = "AlgorithmSpecification" if name == "TrainSpot" else "AppSpecification"
    del arguments(definition, name)[member]["ContainerEntrypoint"]
    at = pointer(definition, name, member, "ContainerEntrypoint")
    assert "missing; the policy wants it written [rule entry_points]" in said_at(judge(definition), at)


ISOLATION: list[tuple[Place, Any]] = [
    ((name, *members, flag), value)
    for name, members in (
        ("Preprocess", ("NetworkConfig",)),
        ("EvaluateSpot", ("NetworkConfig",)),
        ("TrainSpot", ()),
    )
    for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")
    for value in (False, None, {"Get": "Execution.PipelineName"})
]


@pytest.mark.parametrize(("place", "value"), ISOLATION)
def test_no_job_has_a_network(place: Place, value: Any) -> None:
    definition, at = put(place, value)
    assert "[rule network]" in said_at(judge(definition), at)


def test_isolation_is_written_out() -> None:
    definition = shipped()
    del arguments(definition, "Preprocess")["NetworkConfig"]
    del arguments(definition, "TrainSpot")["EnableNetworkIsolation"]
    del arguments(definition, "EvaluateSpot")["NetworkConfig"]["EnableNetworkIsolation"]
    problems = judge(definition)
    for at in (
        pointer(definition, "EvaluateSpot", "NetworkConfig", "EnableNetworkIsolation"),
        pointer(definition, "Preprocess", "NetworkConfig"),
        pointer(definition, "TrainSpot", "EnableNetworkIsolation"),
    ):
        assert "missing; the policy wants it written [rule network]" in said_at(problems, at)


@pytest.mark.parametrize(
    "place",
    [
        ("Preprocess", "Environment"),
        ("TrainSpot", "Environment"),
        ("RegisterSpot", "InferenceSpecification", "Containers", 0, "Environment"),
    ],
)
def test_environment_variables_have_configured_names(place: Place) -> None:
    for name in ("LD_PRELOAD", "PYTHONPATH", "SAGEMAKER_BASE_DIR", "OMP_NUM_THREADS"):
        definition, at = put(place, {name: "4"})
        said = said_at(judge(definition), f"{at}/{name}")
        assert "no such name may be set; allowed (environment_keys): none [rule environment]" in said
    definition, at = put(place, {"OMP_NUM_THREADS": "4"})
    assert judge(definition, Policy(environment_keys=("OMP_NUM_THREADS",))) == []
    definition, at = put(place, {"OMP_NUM_THREADS": {"Get": "Steps.Preprocess.ProcessingJobName"}})
    problems = judge(definition, Policy(environment_keys=("OMP_NUM_THREADS",)))
    assert "a job decides this" in said_at(problems, f"{at}/OMP_NUM_THREADS")


def test_tags_have_configured_keys() -> None:
    for key, allowed in (
        ("TrainingType", True),
        ("project", True),
        ("execution", True),
        ("owner", False),
        ("", False),
    ):
        definition, at = put(("TrainSpot", "Tags"), [{"Key": key, "Value": "x"}])
        problems = judge(definition)
        assert (problems == []) is allowed
        if not allowed:
            assert "allowed (tag_keys): TrainingType, project, execution [rule tags]" in said_at(
                problems, f"{at}/0/Key"
            )
            assert judge(definition, Policy(tag_keys=(*Policy().tag_keys, key))) == []
    definition, at = put(("TrainSpot", "Tags"), [{"Key": {"Get": "Parameters.Backbone"}, "Value": "x"}])
    assert "[rule tags]" in said_at(judge(definition), f"{at}/0/Key")


@pytest.mark.parametrize(
    "place",
    [
        ("Preprocess", "AppSpecification", "ContainerArguments", 1),
        ("TrainSpot", "HyperParameters", "backbone"),
        ("TrainSpot", "AlgorithmSpecification", "MetricDefinitions", 0, "Regex"),
        ("TrainSpot", "Tags", 0, "Value"),
        ("RegisterSpot", "ModelPackageDescription"),
        ("RegisterSpot", "CustomerMetadataProperties", "TrainingType"),
        ("RegisterSpot", "InferenceSpecification", "SupportedContentTypes", 0),
        ("RegisterSpot", "ModelMetrics", "ModelQuality", "Statistics", "ContentType"),
    ],
)
def test_a_text_is_known_at_the_start_and_names_no_foreign_place(place: Place) -> None:
    allowed: list[Any] = ["anything", "", {"Get": "Parameters.Backbone"}, {"Get": "Execution.PipelineName"}]
    for text in allowed:
        definition, _ = put(place, text)
        assert judge(definition) == [], text
    refused: list[tuple[Any, str]] = [
        ("s3://another-bucket/x", "is not in the deployment's bucket"),
        ("see S3://another-bucket/x", "is no s3://<bucket>/<prefix>"),
        ({"Get": "Steps.TrainSpot.TrainingJobArn"}, "a job decides this; write a constant or a parameter"),
        (
            {
                "Std:Join": {
                    "On": "",
                    "Values": ["x", {"Get": "Steps.TrainSpot.ModelArtifacts.S3ModelArtifacts"}],
                }
            },
            "a job decides this",
        ),
    ]
    for text, said in refused:
        definition, at = put(place, text)
        assert said in said_at(judge(definition), at)


@pytest.mark.parametrize("name", ["sagemaker_submit_directory", "sagemaker_program", "SageMaker_Program"])
def test_a_hyper_parameter_that_brings_code_is_refused(name: str) -> None:
    definition, at = put(("TrainSpot", "HyperParameters", name), "evil.py")
    assert "leave it out [rule texts]" in said_at(judge(definition), at)
