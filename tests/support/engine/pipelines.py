"""The pipeline definitions that the engine's tests run, built step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/cv-birds-pipeline"


def get(text: str) -> dict[str, str]:
    """Write a reference."""
    return {"Get": text}


def pipeline(*steps: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Make a definition."""
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [*parameters], "Steps": [*steps]}


def processing(name: str, *, inputs: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Make a Processing step with one output, `out`; `inputs` are S3 URIs by InputName."""
    arguments = {
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "AppSpecification": {"ImageUri": "images/cv:1", "ContainerArguments": ["--step", name]},
        "RoleArn": ROLE,
        "ProcessingInputs": [
            {
                "InputName": key,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"/opt/ml/processing/input/{key}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for key, uri in (inputs or {}).items()
        ],
        "ProcessingOutputConfig": {"Outputs": [output(name, "out")]},
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def output(step: str, name: str) -> dict[str, Any]:
    """Make a job's output below the execution's prefix."""
    values = ["s3://bucket/executions", get("Execution.PipelineExecutionId"), step, name]
    uri = {"Std:Join": {"On": "/", "Values": values}}
    local = f"/opt/ml/processing/output/{name}"
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": local, "S3UploadMode": "EndOfJob"}}


def output_of(step: str, name: str = "out") -> dict[str, str]:
    """Refer to where a step's job wrote an output."""
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def training(name: str, *, channel: Any = "s3://bucket/data", **more: Any) -> dict[str, Any]:
    """Make a Training step with one channel, `train`."""
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": "images/cv:1", "TrainingInputMode": "File"},
        "HyperParameters": {"epochs": "3"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": channel}},
            }
        ],
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceType": "ml.c5.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **more.pop("arguments", {}),
    }
    return {"Name": name, "Type": "Training", "Arguments": arguments, **more}


def condition(
    name: str,
    *conditions: Mapping[str, Any],
    if_steps: Sequence[Mapping[str, Any]] = (),
    else_steps: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Make a Condition step."""
    arguments = {"Conditions": [*conditions], "IfSteps": [*if_steps], "ElseSteps": [*else_steps]}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    """Make a condition of two sides."""
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def accuracy(training_type: str) -> dict[str, Any]:
    """Refer to the accuracy in the property file of an evaluation step."""
    return _told(training_type, "multiclass_classification_metrics.accuracy.value")


def _told(training_type: str, path: str) -> dict[str, Any]:
    file = get(f"Steps.Evaluate{training_type}.PropertyFiles.Evaluation{training_type}")
    return {"Std:JsonGet": {"PropertyFile": file, "Path": path}}


def birds() -> dict[str, Any]:
    """Make a definition of the product's shape: two trainings, evaluations and registrations, and a Fail."""
    cache = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}
    steps = [processing("Preprocess", inputs={"data": get("Parameters.InputDataUrl")}, **cache)]
    steps += [
        training(f"Train{kind}", channel=output_of("Preprocess"), **cache) for kind in ("Spot", "OnDemand")
    ]
    steps += [_evaluation(kind) | cache for kind in ("Spot", "OnDemand")]
    steps += [_check(kind) for kind in ("Spot", "OnDemand")]
    reached = [_reached(kind) for kind in ("Spot", "OnDemand")]
    neither = {"Type": "Not", "Condition": {"Type": "Or", "Conditions": reached}}
    message = {"Std:Join": {"On": " ", "Values": ["No model reached", get("Parameters.AccuracyThreshold")]}}
    too_low = {"Name": "AccuracyTooLow", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    steps.append(condition("CheckAnyAccuracy", neither, if_steps=[too_low]))
    parameters: list[dict[str, Any]] = [
        {"Name": "InputDataUrl", "Type": "String"},
        {"Name": "AccuracyThreshold", "Type": "Float", "DefaultValue": 0.7},
    ]
    return pipeline(*steps, parameters=parameters)


def _evaluation(kind: str) -> dict[str, Any]:
    file = {"PropertyFileName": f"Evaluation{kind}", "OutputName": "out", "FilePath": "evaluation.json"}
    model = get(f"Steps.Train{kind}.ModelArtifacts.S3ModelArtifacts")
    inputs = {"model": model, "test": output_of("Preprocess")}
    return processing(f"Evaluate{kind}", inputs=inputs, PropertyFiles=[file])


def _reached(kind: str) -> dict[str, Any]:
    return compare("GreaterThanOrEqualTo", accuracy(kind), get("Parameters.AccuracyThreshold"))


def _check(kind: str) -> dict[str, Any]:
    container = {
        "Image": "images/cv:1",
        "ModelDataUrl": get(f"Steps.Train{kind}.ModelArtifacts.S3ModelArtifacts"),
    }
    arguments = {
        "ModelPackageGroupName": "cv-birds",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["application/x-image"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelApprovalStatus": "PendingManualApproval",
        "CustomerMetadataProperties": {
            "TrainingType": kind,
            "DataDigest": _told(kind, "lineage.data_digest"),
        },
    }
    register = {"Name": f"Register{kind}", "Type": "RegisterModel", "Arguments": arguments}
    return condition(f"Check{kind}Accuracy", _reached(kind), if_steps=[register])
