"""The policy is a closed world: step types, conditions and members that it does not know may not be there."""

from collections.abc import Callable
from typing import Any

import pytest

from policy_cases import Definition, Place, arguments, judge, pointer, put, said_at, shipped, step
from uploads import ROLE


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("Preprocess", "ExperimentConfig"), {"ExperimentName": "x"}),
        (("Preprocess", "ProcessingInputs", 0, "DatasetDefinition"), {"AthenaDatasetDefinition": {}}),
        (("Preprocess", "ProcessingInputs", 0, "AppManaged"), True),
        (
            ("Preprocess", "ProcessingOutputConfig", "Outputs", 0, "FeatureStoreOutput"),
            {"FeatureGroupName": "f"},
        ),
        (("TrainSpot", "AlgorithmSpecification", "AlgorithmName"), "arn"),
        (("TrainSpot", "AlgorithmSpecification", "ContainerArguments"), ["x"]),
        (
            ("TrainSpot", "AlgorithmSpecification", "TrainingImageConfig"),
            {"TrainingRepositoryAccessMode": "Vpc"},
        ),
        (("TrainSpot", "ProfilerConfig"), {"S3OutputPath": "s3://another-bucket/"}),
        (("TrainSpot", "DebugHookConfig"), {"S3OutputPath": "s3://another-bucket/"}),
        (("TrainSpot", "DebugRuleConfigurations"), []),
        (("TrainSpot", "TensorBoardOutputConfig"), {"S3OutputPath": "s3://another-bucket/"}),
        (("TrainSpot", "RemoteDebugConfig"), {"EnableRemoteDebug": True}),
        (("TrainSpot", "RetryStrategy"), {"MaximumRetryAttempts": 30}),
        (("TrainSpot", "SessionChainingConfig"), {"EnableSessionTagChaining": True}),
        (("TrainSpot", "ResourceConfig", "KeepAlivePeriodInSeconds"), 3600),
        (("TrainSpot", "ResourceConfig", "InstanceGroups"), []),
        (("TrainSpot", "ResourceConfig", "TrainingPlanArn"), "arn"),
        (("TrainSpot", "InputDataConfig", 0, "DataSource", "FileSystemDataSource"), {}),
        (("TrainSpot", "InputDataConfig", 0, "DataSource", "S3DataSource", "AttributeNames"), ["x"]),
        (("TrainSpot", "StoppingCondition", "MaxPendingTimeInSeconds"), 7200),
        (("RegisterSpot", "ModelPackageName"), "stand-alone"),
        (("RegisterSpot", "ValidationSpecification"), {"ValidationRole": ROLE, "ValidationProfiles": []}),
        (("RegisterSpot", "SourceAlgorithmSpecification"), {}),
        (("RegisterSpot", "AdditionalInferenceSpecifications"), []),
        (("RegisterSpot", "SourceUri"), "https://example.com"),
        (("RegisterSpot", "MetadataProperties"), {}),
        (("RegisterSpot", "ModelCard"), {}),
        (("RegisterSpot", "ModelMetrics", "Bias"), {}),
        (("RegisterSpot", "InferenceSpecification", "Containers", 0, "ModelDataSource"), {}),
        (("RegisterSpot", "InferenceSpecification", "Containers", 0, "AdditionalS3DataSource"), {}),
        (("RegisterSpot", "InferenceSpecification", "Containers", 0, "ProductId"), "p"),
        (("CheckSpotAccuracy", "Otherwise"), []),
    ],
)
def test_what_the_service_knows_and_the_policy_does_not_is_refused_by_name(place: Place, value: Any) -> None:
    definition, at = put(place, value)
    said = said_at(judge(definition), at)
    assert "a member that this policy does not know, so it may not be here; leave it out" in said
    assert said.endswith("[rule members]")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(PipelineExperimentConfig={"ExperimentName": "x", "TrialName": "y"}),
        lambda d: d.update(MlflowConfig={}),
        lambda d: d.update(Metadata={"x": 1}),
        lambda d: d["Parameters"][0].update(Secret=True),
        lambda d: d["Steps"][0].update(ClusterId="x"),
        lambda d: d["Steps"][0]["CacheConfig"].update(Key="x"),
        lambda d: d["Steps"][3]["PropertyFiles"][0].update(S3Uri="x"),
        lambda d: d["Steps"][1].update(DependsOn=[{"Step": "Preprocess", "Trigger": "Failed"}]),
        lambda d: d["Steps"][1].update(DependsOn="Preprocess"),
    ],
)
def test_nothing_unknown_stands_around_a_steps_arguments(change: Callable[[Definition], None]) -> None:
    definition = shipped()
    change(definition)
    (problem,) = judge(definition)
    assert problem.message.endswith("[rule members]")


def test_a_step_may_wait_for_another() -> None:
    definition = shipped()
    step(definition, "TrainOnDemand")["DependsOn"] = ["TrainSpot"]
    assert judge(definition) == []


@pytest.mark.parametrize(
    ("place", "value", "legal"),
    [
        (("Preprocess", "ProcessingInputs", 0, "S3Input", "S3DataType"), "ManifestFile", "S3Prefix"),
        (("Preprocess", "ProcessingInputs", 0, "S3Input", "S3InputMode"), "Pipe", "File"),
        (
            ("Preprocess", "ProcessingInputs", 0, "S3Input", "S3DataDistributionType"),
            "ShardedByS3Key",
            "FullyReplicated",
        ),
        (("Preprocess", "ProcessingInputs", 0, "S3Input", "S3CompressionType"), "Gzip", "None"),
        (
            ("Preprocess", "ProcessingOutputConfig", "Outputs", 0, "S3Output", "S3UploadMode"),
            "Continuous",
            "EndOfJob",
        ),
        (
            ("TrainSpot", "InputDataConfig", 0, "DataSource", "S3DataSource", "S3DataType"),
            "AugmentedManifestFile",
            "S3Prefix",
        ),
        (("TrainSpot", "InputDataConfig", 0, "InputMode"), "Pipe", "File, FastFile"),
        (("TrainSpot", "AlgorithmSpecification", "TrainingInputMode"), "Pipe", "File, FastFile"),
        (("TrainSpot", "CheckpointConfig", "LocalPath"), "/opt/ml/model", "/opt/ml/checkpoints"),
        (("TrainSpot", "OutputDataConfig", "CompressionType"), "NONE", "GZIP"),
        (("RegisterSpot", "SkipModelValidation"), "All", "None"),
    ],
)
def test_a_choice_that_was_not_thought_of_is_refused(place: Place, value: str, legal: str) -> None:
    definition, at = put(place, value)
    assert f'"{value}"; allowed here: {legal} [rule members]' in said_at(judge(definition), at)


@pytest.mark.parametrize(
    "kind",
    [
        "Lambda",
        "Callback",
        "EMR",
        "Transform",
        "Tuning",
        "Model",
        "ForEach",
        "AutoML",
        "Future",
        "training",
        7,
        None,
    ],
)
def test_other_steps_may_not_run(kind: Any) -> None:
    definition = shipped()
    definition["Steps"].append({"Name": "Other", "Type": kind, "Arguments": {}})
    said = said_at(judge(definition), f"/Steps/{len(definition['Steps']) - 1}/Type")
    assert "steps may not run here; only Condition, Fail, Processing, RegisterModel, Training" in said
    assert said.endswith("[rule step_types]")


@pytest.mark.parametrize(
    "place",
    [("TrainSpot", "ResourceConfig"), ("TrainSpot", "InputDataConfig"), ("TrainSpot", "Environment")],
)
def test_objects_and_lists_are_written_out(place: Place) -> None:
    for value in ({"Get": "Parameters.Backbone"}, {"Std:Join": {"On": "", "Values": ["x"]}}, "x", None):
        definition, at = put(place, value)
        assert "is due, not " in said_at(judge(definition), at)
    definition, at = put(place, {"Get": "Parameters.Backbone"})
    assert "is due, not an expression: write it out" in said_at(judge(definition), at)


def test_a_condition_has_no_further_members() -> None:
    definition = shipped()
    arguments(definition, "CheckAnyAccuracy")["Conditions"][0]["Else"] = 1
    arguments(definition, "CheckAnyAccuracy")["Conditions"][0]["Condition"]["Conditions"][0]["Values"] = [1]
    at = pointer(definition, "CheckAnyAccuracy", "Conditions", 0)
    for member in ("Else", "Condition/Conditions/0/Values"):
        assert "a member that this policy does not know" in said_at(judge(definition), f"{at}/{member}")


def test_other_conditions_are_refused() -> None:
    for condition in ({"Type": "IsAfter", "LeftValue": 1, "RightValue": 2}, {}, 7, {"Type": ["Equals"]}):
        definition = shipped()
        arguments(definition, "CheckAnyAccuracy")["Conditions"].append(condition)
        at = pointer(definition, "CheckAnyAccuracy", "Conditions", 1, "Type")
        assert "is no condition known here; only Equals, GreaterThan" in said_at(judge(definition), at)
