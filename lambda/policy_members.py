"""The members that a definition may have, and which judge each has: what is not here is refused.

A name that ends in "!" is due, one that ends in "?" is judged even where it is missing. `[shape]` is a list
of that shape, `{"*": shape}` an object with any names.
A text names the judge of a value (one of `JUDGES`, or of `deployment_policy.Rules` for lists and objects),
after a colon what it is to accept. `any` is harmless whatever it says, or judged elsewhere: names and texts
for people, and what `pipeline_document` checks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import policy_values
from pipeline_problems import show
from pipeline_walk import CONDITION_TYPES, EXCEPTION_TYPES
from policy_values import TOKEN, Scalar, Scope

_RETRY = {
    "BackoffRate": "backoff",
    "ExceptionType": ["exception_type"],
    "IntervalSeconds": "interval",
    "MaxAttempts!": "attempts",
}
STEP: dict[str, Any] = {
    "Arguments": "any",
    "CacheConfig": {"Enabled": "any", "ExpireAfter": "any"},
    "DependsOn": ["name"],
    "Description": "any",
    "DisplayName": "any",
    "Name": "any",
    "PropertyFiles": [{"FilePath": "any", "OutputName": "any", "PropertyFileName": "any"}],
    "RetryPolicies": [_RETRY],
    "Type": "any",
}
DEFINITION: dict[str, Any] = {
    "Metadata": {},
    "Parameters": [{"DefaultValue": "any", "EnumValues": "any", "Name": "any", "Type": "any"}],
    "Steps": "any",
    "Version": "any",
}
_PROCESSING = {
    "AppSpecification!": {
        "ContainerArguments": ["text"],
        "ContainerEntrypoint!": "entry_point",
        "ImageUri!": "image",
    },
    "Environment": "environment",
    "NetworkConfig!": {
        "EnableInterContainerTrafficEncryption!": "true",
        "EnableNetworkIsolation!": "true",
        "VpcConfig?": "vpc",
    },
    "ProcessingInputs": [
        {
            "InputName!": "name",
            "S3Input!": {
                "LocalPath!": "any",
                "S3CompressionType": "one_of:None",
                "S3DataDistributionType": "one_of:FullyReplicated",
                # A manifest file would name further locations, which nobody has judged.
                "S3DataType!": "one_of:S3Prefix",
                "S3InputMode": "one_of:File",
                "S3Uri!": "read",
            },
        }
    ],
    "ProcessingOutputConfig": {
        "KmsKeyId?": "key:OutputKmsKeyId",
        "Outputs": [
            {
                "OutputName!": "name",
                "S3Output!": {"LocalPath!": "any", "S3UploadMode": "one_of:EndOfJob", "S3Uri!": "write"},
            }
        ],
    },
    "ProcessingResources!": {
        "ClusterConfig!": {
            "InstanceCount!": "instance_count",
            "InstanceType!": "processing_instance_type",
            "VolumeKmsKeyId?": "key:VolumeKmsKeyId",
            "VolumeSizeInGB!": "volume_size",
        }
    },
    "RoleArn!": "role",
    "StoppingCondition!": {"MaxRuntimeInSeconds!": "run_time"},
    "Tags": "tags",
}
_TRAINING = {
    "AlgorithmSpecification!": {
        "ContainerEntrypoint!": "entry_point",
        "MetricDefinitions": [{"Name": "text", "Regex": "text"}],
        "TrainingImage!": "image",
        "TrainingInputMode": "one_of:File,FastFile",
    },
    "CheckpointConfig": {"LocalPath!": "one_of:/opt/ml/checkpoints", "S3Uri!": "checkpoint"},
    "EnableInterContainerTrafficEncryption!": "true",
    "EnableManagedSpotTraining": "flag",
    "EnableNetworkIsolation!": "true",
    "Environment": "environment",
    "HyperParameters": "hyper_parameters",
    "InputDataConfig": [
        {
            "ChannelName!": "name",
            "DataSource!": {
                "S3DataSource!": {
                    "S3DataDistributionType": "one_of:FullyReplicated",
                    "S3DataType!": "one_of:S3Prefix",
                    "S3Uri!": "read",
                }
            },
            "InputMode": "one_of:File,FastFile",
        }
    ],
    "OutputDataConfig!": {
        "CompressionType": "one_of:GZIP",
        "KmsKeyId?": "key:OutputKmsKeyId",
        "S3OutputPath!": "write",
    },
    "ResourceConfig!": {
        "InstanceCount!": "instance_count",
        "InstanceType!": "training_instance_type",
        "VolumeKmsKeyId?": "key:VolumeKmsKeyId",
        "VolumeSizeInGB!": "volume_size",
    },
    "RoleArn!": "role",
    "StoppingCondition!": {"MaxRuntimeInSeconds!": "run_time", "MaxWaitTimeInSeconds": "wait_time"},
    "Tags": "tags",
    "VpcConfig?": "vpc",
}
VPC_CONFIG = {"SecurityGroupIds!": ["vpc_id:SecurityGroupId"], "Subnets!": ["vpc_id:SubnetId"]}
_REGISTER_MODEL = {
    "CustomerMetadataProperties": {"*": "text"},
    "InferenceSpecification!": {
        "Containers!": [{"Environment": "environment", "Image!": "image", "ModelDataUrl!": "read"}],
        "SupportedContentTypes": ["text"],
        # Advice to whoever deploys the model: nothing starts and nothing bills.
        "SupportedRealtimeInferenceInstanceTypes": ["text"],
        "SupportedResponseMIMETypes": ["text"],
        "SupportedTransformInstanceTypes": ["text"],
    },
    "ModelApprovalStatus!": "approval_status",
    "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "text", "S3Uri!": "read"}}},
    "ModelPackageDescription": "text",
    "ModelPackageGroupName!": "model_package_group",
    "SkipModelValidation": "one_of:None",
    "Tags": "tags",
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Condition": {"Conditions!": ["condition"], "ElseSteps": "any", "IfSteps": "any"},
    "Fail": {"ErrorMessage": "expression"},
    "Processing": _PROCESSING,
    "RegisterModel": _REGISTER_MODEL,
    "Training": _TRAINING,
}
"""The Arguments of each step type that the policy knows."""
_OPERANDS = {"Condition": "condition", "Conditions": ["condition"], "Values": ["expression"]}
CONDITIONS: dict[str, dict[str, Any]] = {
    kind: {"Type": "any", **{name: _OPERANDS.get(name, "expression") for name in operands}}
    for kind, operands in CONDITION_TYPES.items()
}
"""Each type of condition; what one lets happen is the registration gate's matter."""


@dataclass(frozen=True)
class Subject:
    """A value of a definition, and what is known of it."""

    written: Any
    scope: Scope
    accepted: str = ""

    @property
    def known(self) -> Scalar:
        """Evaluate it, or raise UnknownValueError."""
        return self.scope.evaluate(self.written)

    def setting(self, name: str) -> Any:
        """Give a limit of the deployment's policy."""
        return getattr(self.scope.policy, name)

    def __str__(self) -> str:
        return self.scope.say(self.written, self.known)


Judge = Callable[[Subject], str | None]
"""Gives why a value is not allowed, or None."""


def _deployments(name: str, setting: str = "") -> Judge:
    """Let what the deployment fills in pass, and what a setting adds."""

    def judge(subject: Subject) -> str | None:
        due = [subject.scope.deployed.get(name), *(subject.setting(setting) if setting else ())]
        if subject.known and subject.known in due:
            return None
        return _not_the_deployments(subject, name)

    return judge


def _not_the_deployments(subject: Subject, name: str) -> str:
    return f'{subject}, not the deployment\'s; write {{"Get": "Parameters.{name}"}}'


def _key(subject: Subject) -> str | None:
    name, due = subject.accepted, subject.scope.deployed.get(subject.accepted, "")
    if subject.written is None:
        return f'missing; write {{"Get": "Parameters.{name}"}}' if due else None
    if subject.known == due:
        return None
    return f"{_not_the_deployments(subject, name)} and leave its value to the deployment"


def _vpc_id(subject: Subject) -> str | None:
    if subject.known in subject.scope.given(subject.accepted):
        return None
    return _not_the_deployments(subject, f"{subject.accepted}1")


def _among(subject: Subject, allowed: tuple[str, ...], what: str) -> str | None:
    return None if subject.known in allowed else f"{subject}; {what}: {', '.join(allowed) or 'none'}"


def _configured(setting: str) -> Judge:
    return lambda subject: _among(subject, subject.setting(setting), f"allowed ({setting})")


def _number(least: int, most: int | str, kinds: tuple[type, ...] = (int,)) -> Judge:
    """Bound a number; `most` may be the setting that does."""

    def judge(subject: Subject) -> str | None:
        limit = subject.setting(most) if isinstance(most, str) else most
        known: Any = subject.known
        if type(known) in kinds and least <= known <= limit:
            return None
        said = f" ({most})" if isinstance(most, str) else ""
        return f"{subject}; a number from {least} to {limit} is due{said}"

    return judge


def _true(subject: Subject) -> str | None:
    return None if subject.known is True else f"{subject}; write true"


def _flag(subject: Subject) -> str | None:
    return None if isinstance(subject.known, bool) else f"{subject}; write true or false"


def _text(subject: Subject) -> str | None:
    """Let any text pass that is known at the start; a location in it must be one that may be read."""
    known = subject.known
    if not isinstance(known, str):
        return None
    if any(match[1].startswith("Steps") for match in TOKEN.finditer(known)):
        return f"{subject}: a job decides this; write a constant or a parameter"
    if re.search("s3://", known, re.IGNORECASE):
        return policy_values.why_not_read(subject.scope, subject.written)
    return None


def _name(subject: Subject) -> str | None:
    """Let names pass that references and folders are made of."""
    written = subject.written
    if isinstance(written, str) and re.fullmatch("[A-Za-z0-9_-]{1,64}", written):
        return None
    return f"{show(written)} is no name; write 1 to 64 of A-Z a-z 0-9 - _"


def _expression(subject: Subject) -> str | None:
    """Let anything pass that has the form of a value; only the run may know it."""
    subject.scope.evaluate(subject.written)
    return None


def _located(why_not: Callable[..., str | None], *below: tuple[str, ...]) -> Judge:
    return lambda subject: why_not(subject.scope, subject.written, *below)


JUDGES: dict[str, tuple[str, Judge]] = {
    "approval_status": ("approval_status", _configured("model_approval_statuses")),
    "attempts": ("retries", _number(0, "max_retry_attempts")),
    "backoff": ("retries", _number(0, 10, (int, float))),
    "checkpoint": ("locations", _located(policy_values.why_not_written, policy_values.CHECKPOINTS)),
    # Only what is known to happen, so that it is known what each retry bills.
    "exception_type": ("retries", lambda subject: _among(subject, EXCEPTION_TYPES, "known here")),
    "expression": ("members", _expression),
    "flag": ("members", _flag),
    "image": ("images", _deployments("TrainingImageUri", "allowed_images")),
    "instance_count": ("instance_counts", _number(1, "max_instance_count")),
    "interval": ("retries", _number(0, 3600)),
    "key": ("encryption", _key),
    "model_package_group": ("model_package_group", _deployments("ModelPackageGroupName")),
    "name": ("members", _name),
    "one_of": (
        "members",
        lambda subject: _among(subject, tuple(subject.accepted.split(",")), "allowed here"),
    ),
    "processing_instance_type": ("instance_types", _configured("processing_instance_types")),
    "read": ("locations", _located(policy_values.why_not_read)),
    "role": ("roles", _deployments("ExecutionRoleArn")),
    "run_time": ("run_times", _number(1, "max_runtime_seconds")),
    "text": ("texts", _text),
    "training_instance_type": ("instance_types", _configured("training_instance_types")),
    "true": ("network", _true),
    "volume_size": ("volume_sizes", _number(1, "max_volume_gb")),
    "vpc_id": ("vpc", _vpc_id),
    "wait_time": ("run_times", _number(1, "max_wait_seconds")),
    "write": ("locations", _located(policy_values.why_not_written)),
}
"""By name: the rule that a judge speaks for, and the judge."""
