"""Directed attacks: what somebody who may upload a definition would try against each rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.support.definitions.policy_cases import (
    EXECUTION,
    GROUP,
    IMAGE,
    Definition,
    arguments,
    joined,
    model_of,
    output,
    own,
    step,
)
from tests.support.delivery.handler_uploads import BUCKET, ROLE

Attack = Callable[[Definition], object]
OURS = {"Get": "Parameters.ArtifactBucket"}
PIPELINE = {"Get": "Execution.PipelineName"}
OTHER_ACCOUNT = "210987654321"
S3_SOURCE = ("DataSource", "S3DataSource")
CONTAINER = ("InferenceSpecification", "Containers", 0)
STATISTICS = ("ModelMetrics", "ModelQuality", "Statistics")
CLUSTER = ("ProcessingResources", "ClusterConfig")
FAIL = {"Type": "Fail", "Arguments": {"ErrorMessage": "stop"}}


def put(name: str, *members: str | int, value: Any) -> Attack:
    """Put a value somewhere into the Arguments of a step."""

    def attack(definition: Definition) -> None:
        target: Any = arguments(definition, name)
        for member in members[:-1]:
            target = target[member]
        target[members[-1]] = value

    return attack


def without(name: str, *members: str | int) -> Attack:
    """Leave something in the Arguments of a step out."""

    def attack(definition: Definition) -> None:
        target: Any = arguments(definition, name)
        for member in members[:-1]:
            target = target[member]
        del target[members[-1]]

    return attack


def added(**more: Any) -> Attack:
    """Add a step."""
    return lambda definition: definition["Steps"].append({"Name": "Added", **more})


def valued(name: str, default: Any) -> Attack:
    """Let a parameter have another default."""

    def attack(definition: Definition) -> None:
        (parameter,) = (each for each in definition["Parameters"] if each["Name"] == name)
        parameter["DefaultValue"] = default

    return attack


def declared(name: str, kind: str, default: Any, *place: str | int) -> Attack:
    """Bring a value through a parameter of one's own; `place` begins with a step."""

    def attack(definition: Definition) -> None:
        definition["Parameters"].append({"Name": name, "Type": kind, "DefaultValue": default})
        put(str(place[0]), *place[1:], value={"Get": f"Parameters.{name}"})(definition)

    return attack


def copied(name: str, **more: Any) -> Attack:
    """Add a copy of a step with other Arguments."""

    def attack(definition: Definition) -> None:
        other = copy.deepcopy(step(definition, name)) | {"Name": "Added"}
        other["Arguments"].update(more)
        definition["Steps"].append(other)

    return attack


def cached(**config: Any) -> Attack:
    """Return a step another CacheConfig."""
    return lambda definition: step(definition, "Preprocess").update(CacheConfig=config)


def retried(**policy: Any) -> Attack:
    """Return a step another retry policy."""
    whole = {"ExceptionType": ["Step.SERVICE_FAULT"], "MaxAttempts": 1, **policy}
    kept = {name: each for name, each in whole.items() if each is not None}
    return lambda definition: step(definition, "TrainSpot").update(RetryPolicies=[kept])


def of_model(uri: Any) -> Attack:
    """Register another model."""
    return put("RegisterSpot", *CONTAINER, "ModelDataUrl", value=uri)


def showing(uri: Any) -> Attack:
    """Show other numbers."""
    return put("RegisterSpot", *STATISTICS, "S3Uri", value=uri)


def telling(value: Any) -> Attack:
    """Say of a model what another job made."""
    return put("RegisterSpot", "CustomerMetadataProperties", "DataDigest", value=value)


def told(name: str, file: str) -> Attack:
    """Say of a model what another job's file tells."""
    source = {"Get": f"Steps.{name}.PropertyFiles.{file}"}
    return telling({"Std:JsonGet": {"PropertyFile": source, "Path": "lineage.data_digest"}})


def channel(name: str, uri: Any) -> Attack:
    """Train on something else."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri}
    entry = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    return lambda definition: arguments(definition, "TrainSpot")["InputDataConfig"].append(entry)


def evaluating(index: int, uri: Any) -> Attack:
    """Evaluate something else."""
    return put("EvaluateSpot", "ProcessingInputs", index, "S3Input", "S3Uri", value=uri)


def reading(uri: Any) -> Attack:
    """Let Preprocess read somewhere else."""
    return put("Preprocess", "ProcessingInputs", 0, "S3Input", "S3Uri", value=uri)


def writing(uri: Any) -> Attack:
    """Let Preprocess write somewhere else."""
    return put("Preprocess", "ProcessingOutputConfig", "Outputs", 3, "S3Output", "S3Uri", value=uri)


def saving(uri: Any) -> Attack:
    """Keep checkpoints somewhere else."""
    return put("TrainSpot", "CheckpointConfig", "S3Uri", value=uri)


_ADMIN = f"arn:aws:iam::{OTHER_ACCOUNT}:role/admin"
_MINER = f"{OTHER_ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/miner:latest"
_PYTHON_C = ["python", "-c", "import os; os.system('id')"]
_INSIDE = {"Name": "Inside", "Type": "Training", "Arguments": {"RoleArn": _ADMIN}}

ATTACKS: dict[str, list[Attack]] = {
    "form": [
        lambda d: d.update(Steps={"0": d["Steps"][0]}),
        lambda d: d["Steps"].append([d["Steps"][0]]),
        lambda d: d["Steps"].append(copy.deepcopy(d["Steps"][1])),
        lambda d: d["Steps"].append({**FAIL, "Name": "trainspot"}),
        lambda d: d["Parameters"].insert(
            0, {"Name": "TrainingInstanceType", "Type": "String", "DefaultValue": "ml.p4d.24xlarge"}
        ),
        lambda d: d["Parameters"].append(
            {"Name": "TrainingInstanceType", "Type": "String", "DefaultValue": "ml.c5.xlarge"}
        ),
        lambda d: arguments(d, "CheckSpotAccuracy").update(ElseSteps={"0": _INSIDE}),
        lambda d: arguments(d, "CheckSpotAccuracy").update(ElseSteps=_INSIDE),
        lambda d: arguments(d, "CheckSpotAccuracy").update(ThenSteps=[_INSIDE]),
        lambda d: arguments(d, "TrainSpot").update(IfSteps=[_INSIDE]),
        lambda d: step(d, "TrainSpot").update(Steps=[_INSIDE]),
        lambda d: d.update(MoreSteps=[_INSIDE]),
        put("TrainSpot", "InputDataConfig", 1, "ChannelName", value="train"),
        put("EvaluateSpot", "ProcessingInputs", 1, "InputName", value="model"),
        put("Preprocess", "ProcessingOutputConfig", "Outputs", 2, "OutputName", value="train"),
        put("TrainSpot", "ResourceConfig", value={"Get": "Steps.TrainOnDemand.ResourceConfig"}),
        put("TrainSpot", "InputDataConfig", value={"0": {}}),
        put("TrainSpot", "Environment", value=[{"Name": "LD_PRELOAD", "Value": "x"}]),
        lambda d: step(d, "TrainSpot").update(Arguments={"Get": "Steps.TrainOnDemand"}),
        lambda d: step(d, "TrainSpot").update(Name={"Get": "Parameters.Backbone"}),
        valued("InputDataUrl", None),
        valued("Epochs", "many"),
        lambda d: d["Parameters"].append({"Name": "Execution.PipelineName", "Type": "String"}),
    ],
    "step_types": [
        added(Type="Lambda", FunctionArn=f"arn:aws:lambda:us-east-1:{OTHER_ACCOUNT}:function:f"),
        added(Type="Callback", SqsQueueUrl="https://sqs.us-east-1.amazonaws.com/1/q"),
        added(Type="EMR", Arguments={"ClusterId": "j-1"}),
        added(Type="Model", Arguments={"ExecutionRoleArn": _ADMIN}),
        added(Type="Transform", Arguments={}),
        added(Type="Tuning", Arguments={}),
        added(Type="AutoML", Arguments={}),
        added(Type="QualityCheck", Arguments={}),
        added(Type="ClarifyCheck", Arguments={}),
        added(Type="ForEach", Arguments={"ForEachBody": [], "IterableItems": [1]}),
        added(Type="training", Arguments={}),
        added(Type="Training ", Arguments={}),
        added(Type="RegisterModelV2", Arguments={}),
        added(Type=["Training"], Arguments={}),
        added(Type={"Get": "Parameters.Backbone"}, Arguments={}),
        added(Arguments={}),
    ],
    "members": [
        lambda d: d.update(Version="2030-12-01"),
        lambda d: d.update(MlflowConfig={"MlflowResourceArn": "arn"}),
        lambda d: d.update(PipelineExperimentConfig={"ExperimentName": "another-team"}),
        lambda d: d["Parameters"][0].update(Secret=True),
        lambda d: step(d, "TrainSpot").update(FunctionArn="arn"),
        lambda d: step(d, "TrainSpot").update(DependsOn=[{"Step": "Preprocess"}]),
        lambda d: step(d, "EvaluateSpot")["PropertyFiles"][0].update(FilePath="../../data/secret.json"),
        lambda d: step(d, "EvaluateSpot")["PropertyFiles"][0].update(FilePath="/etc/passwd"),
        put("TrainSpot", "DebugHookConfig", value={"S3OutputPath": "s3://another-bucket/"}),
        put("TrainSpot", "ProfilerConfig", value={"S3OutputPath": "s3://another-bucket/"}),
        put("TrainSpot", "TensorBoardOutputConfig", value={"S3OutputPath": "s3://another-bucket/"}),
        put("TrainSpot", "RemoteDebugConfig", value={"EnableRemoteDebug": True}),
        put("TrainSpot", "RetryStrategy", value={"MaximumRetryAttempts": 30}),
        put("TrainSpot", "TrainingJobName", value="another-teams-job"),
        put("TrainSpot", "ResourceConfig", "KeepAlivePeriodInSeconds", value=3600),
        put("TrainSpot", "ResourceConfig", "InstanceGroups", value=[{"InstanceType": "ml.p4d.24xlarge"}]),
        put("TrainSpot", "ResourceConfig", "TrainingPlanArn", value="arn"),
        put("TrainSpot", "AlgorithmSpecification", "AlgorithmName", value="arn:aws:sagemaker:::algorithm/x"),
        put("TrainSpot", "AlgorithmSpecification", "ContainerArguments", value=["-c", "id"]),
        put("TrainSpot", "AlgorithmSpecification", "TrainingImageConfig", value={}),
        put("TrainSpot", "InputDataConfig", 0, "DataSource", "FileSystemDataSource", value={}),
        put("TrainSpot", "InputDataConfig", 0, *S3_SOURCE, "S3DataType", value="AugmentedManifestFile"),
        put("TrainSpot", "InputDataConfig", 0, *S3_SOURCE, "HubAccessConfig", value={}),
        put("TrainSpot", "CheckpointConfig", "LocalPath", value="/opt/ml/input/data/train"),
        put("Preprocess", "ProcessingInputs", 0, "AppManaged", value=True),
        put("Preprocess", "ProcessingInputs", 0, "DatasetDefinition", value={"LocalPath": "/x"}),
        put("Preprocess", "ProcessingInputs", 0, "S3Input", "S3DataType", value="ManifestFile"),
        put("Preprocess", "ProcessingOutputConfig", "Outputs", 0, "FeatureStoreOutput", value={}),
        put("Preprocess", "ExperimentConfig", value={"ExperimentName": "another-team"}),
        put("Preprocess", "ProcessingJobName", value="another-teams-job"),
        put("RegisterSpot", "ValidationSpecification", value={"ValidationRole": _ADMIN}),
        put("RegisterSpot", "ModelPackageName", value="stand-alone"),
        put("RegisterSpot", "ModelLifeCycle", value={"Stage": "Production", "StageStatus": "Approved"}),
        put("RegisterSpot", "ModelCard", value={"ModelCardContent": "{}"}),
        put("RegisterSpot", "SourceUri", value="https://example.com"),
        put("RegisterSpot", "AdditionalInferenceSpecifications", value=[{"Name": "other"}]),
        put("RegisterSpot", "ModelMetrics", "Bias", value={"Report": {"S3Uri": "s3://another-bucket/"}}),
        put("RegisterSpot", *CONTAINER, "ModelDataSource", value={"S3DataSource": {}}),
        put("RegisterSpot", *STATISTICS, "ContentDigest", value="x"),
        lambda d: arguments(d, "CheckSpotAccuracy")["Conditions"].append({"Type": "Always"}),
        lambda d: arguments(d, "CheckSpotAccuracy")["Conditions"][0].update(Otherwise=1),
        lambda d: arguments(d, "CheckSpotAccuracy")["Conditions"][0].update(LeftValue={"Std:Eval": "1"}),
    ],
    "roles": [
        put("Preprocess", "RoleArn", value=_ADMIN),
        put("TrainSpot", "RoleArn", value=f"{ROLE}x"),
        put("TrainSpot", "RoleArn", value=f"{ROLE} "),
        put("EvaluateSpot", "RoleArn", value=ROLE.upper()),
        put("EvaluateSpot", "RoleArn", value={"Get": "Parameters.TrainingImageUri"}),
        put("EvaluateSpot", "RoleArn", value=joined(ROLE, "admin")),
        without("TrainOnDemand", "RoleArn"),
        declared("Mine", "String", _ADMIN, "TrainSpot", "RoleArn"),
    ],
    "images": [
        put("TrainSpot", "AlgorithmSpecification", "TrainingImage", value=_MINER),
        put("Preprocess", "AppSpecification", "ImageUri", value="public.ecr.aws/docker/library/python:3"),
        put("EvaluateSpot", "AppSpecification", "ImageUri", value=IMAGE.replace("@sha256:", ":")),
        put("EvaluateSpot", "AppSpecification", "ImageUri", value=f"{IMAGE[:-1]}1"),
        put("RegisterSpot", *CONTAINER, "Image", value=_MINER),
        put("TrainSpot", "AlgorithmSpecification", "TrainingImage", value={"Get": "Steps.X.Image"}),
        declared("Mine", "String", _MINER, "TrainSpot", "AlgorithmSpecification", "TrainingImage"),
        without("TrainSpot", "AlgorithmSpecification", "TrainingImage"),
    ],
    "entry_points": [
        put("Preprocess", "AppSpecification", "ContainerEntrypoint", value=_PYTHON_C),
        put("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint", value=_PYTHON_C),
        put("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint", value=["/bin/sh"]),
        put("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint", value=["python -m training.train"]),
        put("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint", value="python -m training.train"),
        put("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint", value=[]),
        put("EvaluateSpot", "AppSpecification", "ContainerEntrypoint", value=["python", "-m", "pip"]),
        put("EvaluateSpot", "AppSpecification", "ContainerEntrypoint", value={"Get": "Parameters.Backbone"}),
        without("EvaluateSpot", "AppSpecification", "ContainerEntrypoint"),
        without("TrainSpot", "AlgorithmSpecification", "ContainerEntrypoint"),
    ],
    "network": [
        put("Preprocess", "NetworkConfig", "EnableNetworkIsolation", value=False),
        put("TrainSpot", "EnableNetworkIsolation", value=False),
        put("TrainSpot", "EnableNetworkIsolation", value="true"),
        put("TrainSpot", "EnableNetworkIsolation", value=1),
        put("TrainSpot", "EnableInterContainerTrafficEncryption", value=None),
        without("EvaluateSpot", "NetworkConfig"),
        without("TrainSpot", "EnableNetworkIsolation"),
        declared("Open", "Boolean", False, "TrainSpot", "EnableNetworkIsolation"),
        declared("Open", "String", "true", "TrainSpot", "EnableNetworkIsolation"),
    ],
    "vpc": [
        put("TrainSpot", "VpcConfig", value={"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}),
        put("Preprocess", "NetworkConfig", "VpcConfig", value={"Subnets": [], "SecurityGroupIds": []}),
        put("Preprocess", "NetworkConfig", "VpcConfig", value={}),
    ],
    "encryption": [
        without("TrainSpot", "OutputDataConfig", "KmsKeyId"),
        without("Preprocess", "ProcessingOutputConfig", "KmsKeyId"),
        put("TrainSpot", "OutputDataConfig", "KmsKeyId", value=""),
        put("TrainSpot", "OutputDataConfig", "KmsKeyId", value=None),
        put("TrainSpot", "OutputDataConfig", "KmsKeyId", value="alias/mine"),
        put("TrainSpot", "ResourceConfig", "VolumeKmsKeyId", value=f"arn:aws:kms:::{OTHER_ACCOUNT}:key/x"),
        put("Preprocess", *CLUSTER, "VolumeKmsKeyId", value="alias/mine"),
        declared("Mine", "String", "alias/mine", "TrainSpot", "OutputDataConfig", "KmsKeyId"),
    ],
    "environment": [
        put("TrainSpot", "Environment", value={"LD_PRELOAD": "/opt/ml/input/data/train/x.so"}),
        put("TrainSpot", "Environment", value={"PYTHONPATH": "/opt/ml/input/data/train"}),
        put("Preprocess", "Environment", value={"PYTHONSTARTUP": "/opt/ml/processing/input/data/x.py"}),
        put("EvaluateSpot", "Environment", value={"": "x"}),
        put("RegisterSpot", *CONTAINER, "Environment", value={"SAGEMAKER_PROGRAM": "x.py"}),
    ],
    "texts": [
        put("TrainSpot", "HyperParameters", "sagemaker_program", value="x.py"),
        put("TrainSpot", "HyperParameters", "SageMaker_Submit_Directory", value="s3://another-bucket/x"),
        put("TrainSpot", "HyperParameters", "backbone", value="s3://another-bucket/x"),
        put("TrainSpot", "HyperParameters", "backbone", value={"Get": "Steps.Preprocess.ExitMessage"}),
        put("TrainSpot", "HyperParameters", "backbone", value="x" * 5000),
        put("TrainSpot", "HyperParameters", "backbone", value="x\0Steps/Preprocess/Outputs/train\0"),
        put("Preprocess", "AppSpecification", "ContainerArguments", 1, value=model_of("TrainSpot")),
        put("Preprocess", "AppSpecification", "ContainerArguments", 1, value="--from=S3://another-bucket/x"),
        put("TrainSpot", "Tags", 0, "Value", value={"Get": "Steps.Preprocess.ProcessingJobArn"}),
        put("RegisterSpot", "ModelPackageDescription", value="see s3://another-bucket/better.json"),
        put("RegisterSpot", "CustomerMetadataProperties", "see", value={"Get": "Steps.TrainSpot.X"}),
        put("TrainSpot", "HyperParameters", "backbone", value=["x"]),
    ],
    "tags": [
        put("TrainSpot", "Tags", 0, value={"Key": "owner", "Value": "another-team"}),
        put("TrainSpot", "Tags", 0, value={"Key": "aws:cloudformation:stack-name", "Value": "x"}),
        put("Preprocess", "Tags", 0, value={"Key": {"Get": "Parameters.Backbone"}, "Value": "x"}),
        put("Preprocess", "Tags", 0, value={"Key": ["project"], "Value": "x"}),
        put("Preprocess", "Tags", 0, value={"Value": "x"}),
        put("RegisterSpot", "Tags", value=[{"Key": "project", "Value": "x"}]),
        put("RegisterOnDemand", "Tags", value=[]),
        put("RegisterOnDemand", "Tags", value={"Get": "Parameters.Backbone"}),
    ],
    "locations": [
        reading("s3://another-bucket/data/"),
        reading(f"s3://{BUCKET}-2/data/"),
        reading(f"s3://{BUCKET}/pipeline/"),
        reading(f"s3://{BUCKET}/verdicts/"),
        reading(f"s3://{BUCKET}"),
        reading(f"s3://{BUCKET}/data/../pipeline/"),
        reading(f"s3://{BUCKET}//data/"),
        reading(f"S3://{BUCKET}/data/"),
        reading("/opt/ml"),
        reading({"Get": "Steps.TrainSpot.OutputDataConfig.S3OutputPath"}),
        reading({"Get": "Steps.EvaluateSpot.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"}),
        reading(joined("s3:/", OURS, {"Get": "Execution.StartDateTime"})),
        reading(joined("s3:/", PIPELINE, "data")),
        declared(
            "Mine",
            "String",
            "s3://another-bucket/",
            "Preprocess",
            *("ProcessingInputs", 0, "S3Input", "S3Uri"),
        ),
        put("TrainSpot", "InputDataConfig", 1, *S3_SOURCE, "S3Uri", value="s3://another-bucket/"),
        writing(f"s3://{BUCKET}/data/"),
        writing(f"s3://{BUCKET}/executions/abc123def456/preprocess/train"),
        writing(f"s3://{BUCKET}/pipeline/pipeline.json"),
        writing(joined("s3:/", OURS, "executions", EXECUTION)),
        writing(joined("s3:/", OURS, "executions", EXECUTION, "..", "x")),
        writing(own("evaluation", "spot")),
        writing(own("evaluation", "spot", "evaluation.json")),
        writing(own("preprocess", "t")),
        writing("s3://another-bucket/"),
        saving(f"s3://{BUCKET}/checkpoints/another-pipeline/"),
        saving(joined("s3:/", OURS, "checkpoints", PIPELINE)),
        saving(joined("s3:/", OURS, "checkpoints", PIPELINE, "..", "x")),
        put(
            "TrainSpot",
            "OutputDataConfig",
            "S3OutputPath",
            value=joined("s3:/", OURS, "checkpoints", PIPELINE, "x"),
        ),
        put(
            "EvaluateSpot",
            "ProcessingInputs",
            0,
            "S3Input",
            "LocalPath",
            value="/opt/ml/processing/output/evaluation",
        ),
        put("EvaluateSpot", "ProcessingInputs", 0, "S3Input", "LocalPath", value="/usr/lib/python3"),
        put(
            "EvaluateSpot",
            "ProcessingInputs",
            0,
            "S3Input",
            "LocalPath",
            value={"Get": "Parameters.Backbone"},
        ),
        put(
            "EvaluateSpot",
            "ProcessingOutputConfig",
            "Outputs",
            0,
            "S3Output",
            "LocalPath",
            value="/opt/ml/processing/input/model",
        ),
    ],
    "instance_types": [
        put("TrainSpot", "ResourceConfig", "InstanceType", value="ml.p4d.24xlarge"),
        put("TrainSpot", "ResourceConfig", "InstanceType", value="ml.g4dn.xlarge"),
        put("Preprocess", *CLUSTER, "InstanceType", value="ml.c5.xlarge"),
        put("Preprocess", *CLUSTER, "InstanceType", value=["ml.m5.large"]),
        put(
            "Preprocess",
            *CLUSTER,
            "InstanceType",
            value={"Get": "Steps.TrainSpot.ResourceConfig.InstanceType"},
        ),
        valued("TrainingInstanceType", "ml.p4d.24xlarge"),
        valued("ProcessingInstanceType", "ml.m5.24xlarge"),
        without("TrainSpot", "ResourceConfig", "InstanceType"),
        without("Preprocess", "ProcessingResources"),
    ],
    "instance_counts": [
        put("TrainSpot", "ResourceConfig", "InstanceCount", value=5),
        put("TrainSpot", "ResourceConfig", "InstanceCount", value=0),
        put("TrainSpot", "ResourceConfig", "InstanceCount", value="1"),
        put("TrainSpot", "ResourceConfig", "InstanceCount", value=True),
        put("TrainSpot", "ResourceConfig", "InstanceCount", value=1.5),
        put("Preprocess", *CLUSTER, "InstanceCount", value=-1),
        valued("ProcessingInstanceCount", 100),
        valued("TrainingInstanceCount", 5),
        without("TrainSpot", "ResourceConfig", "InstanceCount"),
        declared("Many", "Float", 4.0, "TrainSpot", "ResourceConfig", "InstanceCount"),
    ],
    "volume_sizes": [
        put("TrainSpot", "ResourceConfig", "VolumeSizeInGB", value=101),
        put("Preprocess", *CLUSTER, "VolumeSizeInGB", value=16_384),
        put("Preprocess", *CLUSTER, "VolumeSizeInGB", value="30"),
        without("TrainSpot", "ResourceConfig", "VolumeSizeInGB"),
        declared("Large", "Integer", "1000", "TrainSpot", "ResourceConfig", "VolumeSizeInGB"),
    ],
    "run_times": [
        put("TrainSpot", "StoppingCondition", "MaxRuntimeInSeconds", value=86_401),
        put("TrainSpot", "StoppingCondition", "MaxRuntimeInSeconds", value=0),
        put(
            "TrainSpot", "StoppingCondition", "MaxRuntimeInSeconds", value={"Get": "Execution.StartDateTime"}
        ),
        put("TrainSpot", "StoppingCondition", "MaxWaitTimeInSeconds", value=172_801),
        without("TrainSpot", "StoppingCondition", "MaxRuntimeInSeconds"),
        without("Preprocess", "StoppingCondition"),
    ],
    "retries": [
        retried(MaxAttempts=6),
        retried(MaxAttempts=-1),
        retried(MaxAttempts="5"),
        retried(MaxAttempts=None, ExpireAfterMin=14_400),
        retried(IntervalSeconds=3601),
        retried(BackoffRate=11),
        retried(ExceptionType=["Step.EVERYTHING"]),
        retried(ExceptionType=[["Step.THROTTLING"]]),
    ],
    "cache": [
        cached(Enabled=True),
        cached(Enabled=True, ExpireAfter=None),
        cached(Enabled=True, ExpireAfter="P31D"),
        cached(Enabled=True, ExpireAfter="31d"),
        cached(Enabled=True, ExpireAfter="P1Y"),
        cached(Enabled=True, ExpireAfter="P1M"),
        cached(Enabled=True, ExpireAfter="P5W"),
        cached(Enabled=True, ExpireAfter="T721H"),
        cached(Enabled=True, ExpireAfter="PT2592001S"),
        cached(Enabled=True, ExpireAfter="P30DT1S"),
        cached(Enabled=True, ExpireAfter="P"),
        cached(Enabled=True, ExpireAfter=""),
        cached(Enabled=True, ExpireAfter="forever"),
        cached(Enabled=True, ExpireAfter=30),
        cached(Enabled=True, ExpireAfter={"Get": "Parameters.Backbone"}),
        cached(Enabled="true", ExpireAfter="P1D"),
        cached(Enabled={"Get": "Parameters.Backbone"}, ExpireAfter="P1D"),
        cached(Enabled=0, ExpireAfter="P1Y"),
        cached(ExpireAfter="P1Y"),
        cached(),
    ],
    "approval_status": [
        put("RegisterSpot", "ModelApprovalStatus", value="Approved"),
        put("RegisterSpot", "ModelApprovalStatus", value="Rejected"),
        put("RegisterSpot", "ModelApprovalStatus", value=["PendingManualApproval"]),
        put("RegisterSpot", "ModelApprovalStatus", value={"Get": "Steps.EvaluateSpot.ExitMessage"}),
        valued("ModelApprovalStatus", "Approved"),
        without("RegisterSpot", "ModelApprovalStatus"),
    ],
    "model_package_group": [
        put("RegisterSpot", "ModelPackageGroupName", value="another-teams"),
        put("RegisterSpot", "ModelPackageGroupName", value=f"{GROUP}-2"),
        put(
            "RegisterSpot", "ModelPackageGroupName", value=f"arn:aws:sagemaker:::model-package-group/{GROUP}"
        ),
        without("RegisterSpot", "ModelPackageGroupName"),
        declared("Mine", "String", "another-teams", "RegisterSpot", "ModelPackageGroupName"),
    ],
    "registration": [
        told("EvaluateOnDemand", "EvaluationOnDemand"),
        told("EvaluateSpot", "Another"),
        told("Preprocess", "EvaluationSpot"),
        telling(joined(output("EvaluateOnDemand", "evaluation"), "model-card.json")),
        telling(joined(output("EvaluateSpot", "evaluation"), "better-card.json")),
        telling(joined(output("Preprocess", "manifest"), "model-card.json")),
        telling(model_of("TrainSpot")),
        of_model(f"s3://{BUCKET}/data/evil/model.tar.gz"),
        of_model(f"s3://{BUCKET}/executions/abc123def456/training/model.tar.gz"),
        of_model(model_of("TrainOnDemand")),
        of_model(output("Preprocess", "train")),
        of_model(joined(model_of("TrainSpot"), "x")),
        lambda d: arguments(d, "RegisterSpot")["InferenceSpecification"]["Containers"].append(
            copy.deepcopy(arguments(d, "RegisterSpot")["InferenceSpecification"]["Containers"][0])
        ),
        put("RegisterSpot", "InferenceSpecification", "Containers", value=[]),
        without("RegisterSpot", "InferenceSpecification"),
        without("RegisterSpot", "ModelMetrics"),
        put("RegisterSpot", "ModelMetrics", "ModelQuality", value={}),
        showing(f"s3://{BUCKET}/data/evaluation.json"),
        showing(joined(output("EvaluateOnDemand", "evaluation"), "evaluation.json")),
        showing(joined(output("EvaluateSpot", "evaluation"), "better.json")),
        showing(joined(output("Preprocess", "train"), "evaluation.json")),
        showing(own("evaluation", "spot", "evaluation.json")),
        evaluating(0, model_of("TrainOnDemand")),
        evaluating(0, f"s3://{BUCKET}/data/good/model.tar.gz"),
        evaluating(1, output("Preprocess", "train")),
        evaluating(1, f"s3://{BUCKET}/data/easy/"),
        evaluating(2, f"s3://{BUCKET}/data/manifest/"),
        channel("test", output("Preprocess", "test")),
        channel("pretrained", model_of("TrainOnDemand")),
        channel("more", f"s3://{BUCKET}/data/more/"),
        put("TrainSpot", "InputDataConfig", 0, *S3_SOURCE, "S3Uri", value=output("Preprocess", "test")),
        put("TrainSpot", "InputDataConfig", 0, *S3_SOURCE, "S3Uri", value=f"s3://{BUCKET}/data/mine/"),
        put(
            "EvaluateSpot",
            "AppSpecification",
            "ContainerEntrypoint",
            value=["python", "-m", "training.preprocess"],
        ),
        put(
            "TrainSpot",
            "AlgorithmSpecification",
            "ContainerEntrypoint",
            value=["python", "-m", "training.evaluate"],
        ),
        put(
            "Preprocess", "AppSpecification", "ContainerEntrypoint", value=["python", "-m", "training.train"]
        ),
    ],
    "cost": [
        put("TrainOnDemand", "StoppingCondition", "MaxRuntimeInSeconds", value=86_400),
        put("TrainOnDemand", "ResourceConfig", "InstanceCount", value=4),
        copied(
            "TrainOnDemand",
            OutputDataConfig={"S3OutputPath": own("b"), "KmsKeyId": {"Get": "Parameters.OutputKmsKeyId"}},
            StoppingCondition={"MaxRuntimeInSeconds": 40_000},
        ),
        added(Type="Lambda", FunctionArn="arn", Arguments={}),
        put("TrainSpot", "ResourceConfig", "InstanceType", value="ml.x9.large"),
        retried(ExceptionType=["Step.SERVICE_FAULT"], MaxAttempts=None, ExpireAfterMin=9),
        lambda d: [
            each.update(RetryPolicies=each["RetryPolicies"] * 2)
            for each in d["Steps"]
            if "RetryPolicies" in each
        ],
    ],
}
"""By rule: changes of the shipped definition that this rule refuses, other rules maybe, too."""
