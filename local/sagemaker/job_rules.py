"""What SageMaker asks of a job's request beyond its shape; what it refuses is refused here too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from local.sagemaker.errors import ValidationError
from local.sagemaker.requests import Call

_NOT_HERE = "is not implemented on local AWS"


def check_training(call: Call) -> None:
    """Raise ValidationError for a request that SageMaker refuses or local AWS cannot serve."""
    call.refuse("ServerlessJobConfig", "MlflowConfig", "ModelPackageConfig")
    algorithm = _needed(call, "AlgorithmSpecification")
    if bool(algorithm.get("TrainingImage")) == bool(algorithm.get("AlgorithmName")):
        raise ValidationError(
            "Give either TrainingImage or AlgorithmName in AlgorithmSpecification, not both."
        )
    if algorithm.get("AlgorithmName"):
        raise ValidationError(f"AlgorithmSpecification.AlgorithmName {_NOT_HERE}: give a TrainingImage.")
    _check_cluster(_needed(call, "ResourceConfig"))
    _check_times(call, _needed(call, "StoppingCondition"))
    _check_channels(call, algorithm)
    _check_metrics(algorithm)
    checkpoints = call.get("CheckpointConfig", {}).get("LocalPath", "/opt/ml/checkpoints")
    _check_path("CheckpointConfig.LocalPath", checkpoints, "/opt/ml")
    if call["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise ValidationError(f"OutputDataConfig.CompressionType NONE {_NOT_HERE}.")


def check_processing(call: Call) -> None:
    """Raise ValidationError for a request that SageMaker refuses or local AWS cannot serve."""
    _check_command(call["AppSpecification"])
    for item in call.get("ProcessingInputs", []):
        _check_processing_input(item)
    outputs = call.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for output in outputs:
        if not output.get("S3Output"):
            raise ValidationError(
                f"Output {output['OutputName']}: give S3Output; another output {_NOT_HERE}."
            )
        name = f"ProcessingOutputConfig.Outputs['{output['OutputName']}'].S3Output.LocalPath"
        _check_path(name, output["S3Output"]["LocalPath"], "/opt/ml/processing")
    names = [item["InputName"] for item in call.get("ProcessingInputs", [])]
    names += [output["OutputName"] for output in outputs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValidationError(f"Input and Output names must be globally unique: [{', '.join(twice)}]")
    paths = [item["S3Input"]["LocalPath"] for item in call.get("ProcessingInputs", []) if item.get("S3Input")]
    _unique("LocalPath", [*paths, *(output["S3Output"]["LocalPath"] for output in outputs)])


def _check_command(specification: Mapping[str, Any]) -> None:
    for member in ("ContainerEntrypoint", "ContainerArguments"):
        for index, text in enumerate(specification.get(member) or []):
            if not text:
                raise ValidationError(
                    f"Found null or empty string in {member} at index {index}. ContainerArguments and "
                    "ContainerEntrypoint may not contain null or empty strings."
                )


def _check_processing_input(item: Mapping[str, Any]) -> None:
    name = item["InputName"]
    source = item.get("S3Input")
    if not source:
        raise ValidationError(f"Input {name}: give S3Input; another input {_NOT_HERE}.")
    if item.get("AppManaged"):
        return
    missing = [member for member in ("LocalPath", "S3InputMode") if not source.get(member)]
    if missing:
        raise ValidationError(f"Input {name}: S3Input needs {' and '.join(missing)}.")
    if source["S3DataType"] != "S3Prefix" or source["S3InputMode"] != "File":
        raise ValidationError(f"Input {name}: only S3Prefix in File mode is implemented on local AWS.")
    _check_path(f"ProcessingInputs['{name}'].S3Input.LocalPath", source["LocalPath"], "/opt/ml/processing")


def _check_cluster(cluster: Mapping[str, Any]) -> None:
    if not cluster.get("InstanceType") or not cluster.get("InstanceCount"):
        raise ValidationError("ResourceConfig needs InstanceType and InstanceCount.")
    if cluster.get("VolumeSizeInGB") is None:
        raise ValidationError("ResourceConfig needs VolumeSizeInGB.")


def _check_times(call: Call, condition: Mapping[str, Any]) -> None:
    longest, wait = condition.get("MaxRuntimeInSeconds", 86_400), condition.get("MaxWaitTimeInSeconds")
    if not call.get("EnableManagedSpotTraining", False):
        if wait is not None:
            raise ValidationError(
                "Invalid MaxWaitTimeInSeconds. It can only be given when EnableManagedSpotTraining is true."
            )
        return
    if wait is None or wait < longest:
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds"
        )


def _check_channels(call: Call, algorithm: Mapping[str, Any]) -> None:
    channels = call.get("InputDataConfig", [])
    _unique("Channel", (channel["ChannelName"] for channel in channels))
    for channel in channels:
        name = channel["ChannelName"]
        source = channel["DataSource"].get("S3DataSource")
        if not source or source["S3DataType"] != "S3Prefix":
            raise ValidationError(f"Channel {name}: a data source other than S3Prefix {_NOT_HERE}.")
        if (channel.get("InputMode") or algorithm["TrainingInputMode"]) == "Pipe":
            raise ValidationError(f"Channel {name}: input mode Pipe {_NOT_HERE}; use File or FastFile.")


def _check_metrics(algorithm: Mapping[str, Any]) -> None:
    for metric in algorithm.get("MetricDefinitions") or []:
        try:
            re.compile(metric["Regex"])
        except re.error as error:
            raise ValidationError(f"Invalid regex of metric {metric['Name']}: {error}") from error


def _needed(call: Call, name: str) -> Mapping[str, Any]:
    value: Mapping[str, Any] | None = call.get(name)
    if not value:
        raise ValidationError(f"{call.operation} needs {name}.")
    return value


def _check_path(name: str, path: str, root: str) -> None:
    pure = PurePosixPath(path)
    if not pure.is_relative_to(root) or ".." in pure.parts:
        raise ValidationError(f"Invalid value '{path}' for {name}: it must be under {root}.")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValidationError(f"{what} {name} is given twice; it must be unique within the job.")
        seen.add(name)
