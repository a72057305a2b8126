"""The policy is a closed world: step types, conditions and members that it does not know may not be there."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.definitions.policy_cases import (
    Definition,
    Place,
    arguments,
    joined,
    judge,
    pointer,
    policy,
    put,
    said_at,
    shipped,
    step,
)
from tests.support.delivery.handler_uploads import ROLE


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("Preprocess", "ExperimentConfig"), {"ExperimentName": "x"}),
        (("Preprocess", "ProcessingInputs", 0, "DatasetDefinition"), {"AthenaDatasetDefinition": {}}),
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
        (("TrainSpot", "ProfilerRuleConfigurations"), []),
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
        (("RegisterSpot", "ModelLifeCycle"), {"Stage": "Production", "StageStatus": "Approved"}),
        (("RegisterSpot", "DriftCheckBaselines"), {}),
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
        lambda d: d.update(PipelineExperimentConfig={"ExperimentName": "somebody-elses"}),
        lambda d: d.update(PipelineExperimentConfig={"Trial": {"Get": "Execution.PipelineName"}}),
        lambda d: d.update(MlflowConfig={}),
        lambda d: d.update(MlflowConfig={"MlflowResourceArn": "arn"}),
        lambda d: d.update(Metadata={"x": 1}),
        lambda d: d.update(Version="2030-01-01"),
        lambda d: d.pop("Version"),
        lambda d: d["Parameters"][0].update(Secret=True),
        lambda d: d["Steps"][0].update(ClusterId="x"),
        lambda d: d["Steps"][1]["CacheConfig"].update(Key="x"),
        lambda d: d["Steps"][3]["PropertyFiles"][0].update(S3Uri="x"),
        lambda d: d["Steps"][1].update(DependsOn=[{"Step": "Preprocess", "Trigger": "Failed"}]),
    ],
)
def test_nothing_unknown_stands_around_a_steps_arguments(change: Callable[[Definition], None]) -> None:
    definition = shipped()
    change(definition)
    (problem,) = judge(definition)
    assert problem.message.endswith("[rule members]")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(
            PipelineExperimentConfig={
                "ExperimentName": {"Get": "Execution.PipelineName"},
                "TrialName": {"Get": "Execution.PipelineExecutionId"},
            }
        ),
        lambda d: d.update(PipelineExperimentConfig=None),
        lambda d: d.update(PipelineExperimentConfig={}),
        lambda d: d.update(
            PipelineExperimentConfig={"TrialName": joined({"Get": "Execution.PipelineName"}, "x")}
        ),
        lambda d: d.update(MlflowConfig=None),
        lambda d: d.update(Metadata={}),
        lambda d: d.update(Metadata={"Project": "birds", "see": "s3://another-bucket/"}),
        lambda d: arguments(d, "Preprocess")["ProcessingInputs"][0].update(AppManaged=False),
        lambda d: arguments(d, "Preprocess")["ProcessingOutputConfig"]["Outputs"][0].update(AppManaged=False),
        lambda d: arguments(d, "RegisterSpot")["ModelMetrics"].update(Bias={}, Explainability={}),
        lambda d: arguments(d, "RegisterSpot")["ModelMetrics"].update(ModelDataQuality={}),
        lambda d: arguments(d, "RegisterSpot")["InferenceSpecification"]["Containers"][0].update(
            Environment={}
        ),
        lambda d: arguments(d, "TrainSpot")["InputDataConfig"][0].update(
            ContentType="application/x-image", CompressionType="None", RecordWrapperType="None"
        ),
        lambda d: arguments(d, "TrainSpot").update(ProfilerConfig={"DisableProfiler": True}),
        lambda d: arguments(d, "TrainSpot").update(Environment={}),
        lambda d: d["Steps"][0].update(DependsOn=[]),
    ],
)
def test_what_every_sdk_writes_and_does_no_harm_passes(change: Callable[[Definition], None]) -> None:
    definition = shipped()
    change(definition)
    assert judge(definition) == []


@pytest.mark.parametrize(
    ("place", "value", "at"),
    [
        (("Preprocess", "ProcessingInputs", 0, "AppManaged"), True, ""),
        (("Preprocess", "ProcessingInputs", 0, "AppManaged"), "false", ""),
        (("Preprocess", "ProcessingInputs", 0, "AppManaged"), None, ""),
        (("EvaluateSpot", "ProcessingOutputConfig", "Outputs", 0, "AppManaged"), True, ""),
        (("EvaluateSpot", "ProcessingOutputConfig", "Outputs", 0, "AppManaged"), 0, ""),
        (("TrainSpot", "ProfilerConfig"), {"DisableProfiler": False}, "/DisableProfiler"),
        (("TrainSpot", "ProfilerConfig"), {"S3OutputPath": "s3://another-bucket/"}, "/S3OutputPath"),
        (("RegisterSpot", "ModelMetrics", "Bias"), {"Report": {}}, "/Report"),
        (("RegisterSpot", "ModelMetrics", "Explainability"), {"Report": {"S3Uri": "x"}}, "/Report"),
        (("TrainSpot", "InputDataConfig", 0, "CompressionType"), "Gzip", ""),
        (("TrainSpot", "InputDataConfig", 0, "RecordWrapperType"), "RecordIO", ""),
    ],
)
def test_the_same_members_with_other_values_do_not(place: Place, value: Any, at: str) -> None:
    definition, pointer_ = put(place, value)
    assert said_at(judge(definition), f"{pointer_}{at}").endswith("[rule members]")


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
    assert "steps may not run here; only Condition, Fail, Processing, RegisterModel, Training (" in said
    assert said.endswith("[rule step_types]")


@pytest.mark.parametrize(
    "place",
    [("TrainSpot", "ResourceConfig"), ("TrainSpot", "InputDataConfig"), ("TrainSpot", "Environment")],
)
def test_objects_and_lists_are_written_out(place: Place) -> None:
    for value in ({"Get": "Parameters.Backbone"}, {"Std:Join": {"On": "", "Values": ["x"]}}, "x", None):
        definition, at = put(place, value)
        assert ", written out, not " in said_at(judge(definition), at)
    definition, at = put(place, {"Get": "Parameters.Backbone"})
    said = said_at(judge(definition), at)
    assert re.search(r"must be (an object|a list), written out, not an expression \[rule form\]", said)


FURTHER = {"further_step_types": {"Lambda": "it tells the chat", "ForEach": "one model for each place"}}


def _lambda(**more: Any) -> Definition:
    return {"Name": "Tell", "Type": "Lambda", "FunctionArn": "arn", "Arguments": {"a": [1]}, **more}


def test_a_further_type_of_step_may_run_unjudged_where_its_cost_is_accepted() -> None:
    definition = shipped()
    definition["Steps"].append(_lambda())
    problems = judge(definition, policy(**FURTHER))
    assert [each.message for each in problems] == ["what such a step costs is not known here [rule cost]"]
    off = policy(**FURTHER, policy_off={"cost": "it calls one function"})
    assert judge(definition, off) == []
    definition["Steps"][-1]["RetryPolicies"] = [{"ExceptionType": ["Step.THROTTLING"], "MaxAttempts": 99}]
    assert "[rule retries]" in "".join(each.message for each in judge(definition, off))


def test_steps_inside_a_further_type_are_judged_like_all_others() -> None:
    off = policy(**FURTHER, policy_off={"cost": "it calls one function"})
    definition = shipped()
    hidden = {**step(definition, "TrainSpot"), "Name": "Hidden"}
    stronger = {**hidden["Arguments"], "RoleArn": "arn:aws:iam::123456789012:role/admin"}
    body = {"ForEachBody": [{**hidden, "Arguments": stronger}], "IterableItems": [1]}
    definition["Steps"].append({"Name": "Each", "Type": "ForEach", "Arguments": body})
    at = f"/Steps/{len(definition['Steps']) - 1}/Arguments"
    assert "[rule roles]" in said_at(judge(definition, off), f"{at}/ForEachBody/0/Arguments/RoleArn")
    body["Elsewhere"] = body.pop("ForEachBody")
    assert "in a place where nobody judges it" in said_at(judge(definition, off), f"{at}/Elsewhere/0")
    definition["Steps"][-1] = _lambda(Arguments={"deep": [{"down": hidden}]})
    assert said_at(judge(definition, off), f"{at}/deep/0/down").endswith("[rule form]")


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
