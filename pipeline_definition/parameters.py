"""The parameters of the pipeline: the one table of their names, types, defaults and meanings.

Standard library only: the SageMaker SDK's parameters are made from it (pipeline.py), and so is the README's
table (picture.py). A parameter without a default gets its value when an execution starts: the Lambda knows
the account's role, image, bucket, group and data, so none of them is written into pipeline.json.

The hyper-parameters are training's: tools/legal_values.py writes its table of them into
checks/legal_values.json, with the legal values of those that stand here; from there they come into this one.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

LEGAL_VALUES = Path(__file__).parent / "checks" / "legal_values.json"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the pipeline; `default` None means that whoever starts an execution gives the value."""

    name: str
    type: Literal["String", "Integer", "Float"]
    default: str | int | float | None
    description: str
    enum: tuple[str, ...] = ()
    legal: Mapping[str, Any] | None = None
    """The legal numbers of one that is no hyper-parameter, in JSON Schema's words."""
    hyper_parameter: str = ""
    """The key in CreateTrainingJob's HyperParameters: FineTuneEpochs is fine-tune-epochs."""


OWN_PARAMETERS = (
    Parameter("ExecutionRoleArn", "String", None, "Role that the jobs run with; the deployment's own."),
    Parameter("TrainingImageUri", "String", None, "Image of every job and of the registered models."),
    Parameter("ArtifactBucket", "String", None, "Bucket for everything the jobs write, below `executions/`."),
    Parameter(
        "ModelPackageGroupName", "String", None, "Model package group that the models are registered in."
    ),
    Parameter(
        "OutputKmsKeyId",
        "String",
        "",
        "KMS key of everything the jobs write; the deployment gives its own. Empty: the one that S3 has.",
    ),
    Parameter(
        "VolumeKmsKeyId",
        "String",
        "",
        "KMS key of the jobs' volumes; the deployment gives its own. Empty: one of SageMaker's.",
    ),
    Parameter(
        "InputDataUrl",
        "String",
        None,
        "S3 location of the images (docs/data.md says how); the one data set below `data/` unless given.",
    ),
    # Not empty by default: SageMaker refuses an empty value of a parameter or an argument.
    Parameter(
        "InputDataDigest",
        "String",
        "unknown",
        "Digest of the objects there, the deployment's own: changed data misses the step cache.",
    ),
    Parameter(
        "AnnotationFileName",
        "String",
        "classes.txt",
        "File in the data that lists its classes or images.",
    ),
    Parameter(
        "ClassSelection",
        "String",
        "all",
        "Classes to learn, by id or name, as in `1-100, 150`; `all` means every class of the data.",
    ),
    Parameter(
        "ProcessingInstanceType", "String", "ml.m5.xlarge", "Instance type of Preprocess and the evaluations."
    ),
    Parameter("ProcessingInstanceCount", "Integer", 1, "Instances that share Preprocess."),
    Parameter("TrainingInstanceType", "String", "ml.c5.4xlarge", "Instance type of both trainings."),
    Parameter("TrainingInstanceCount", "Integer", 1, "Instances that each training uses together."),
    Parameter(
        "AccuracyThreshold",
        "Float",
        0.7,
        "Test accuracy from which a model is registered.",
        legal={"type": "number", "minimum": 0, "maximum": 1, "description": "a number from 0 to 1"},
    ),
    Parameter(
        "ModelApprovalStatus",
        "String",
        "PendingManualApproval",
        "Approval status of the registered models.",
        enum=("Approved", "Rejected", "PendingManualApproval"),
    ),
)
"""Those that are not of a training's algorithm."""

SUBNET_ID, SECURITY_GROUP_ID = "SubnetId", "SecurityGroupId"
"""How the parameters of a VPC begin; a number comes behind, from 1 on."""
PRETRAINED_URL = Parameter(
    "PretrainedUrl", "String", None, "S3 prefix of backbone weights, given to the trainings as a channel."
)


@functools.cache
def legal_values() -> dict[str, dict[str, Any]]:
    """Return the legal values of each parameter that has some, and the hyper-parameters' table."""
    values: dict[str, dict[str, Any]] = json.loads(LEGAL_VALUES.read_text(encoding="utf-8"))
    return values


def hyper_parameters() -> tuple[Parameter, ...]:
    """Return the parameters that are hyper-parameters of both trainings.

    One that is `auto` by default is a String, for a number cannot be a word.
    """
    return tuple(
        _hyper_parameter(name, each) for name, each in legal_values().items() if "hyper_parameter" in each
    )


def _hyper_parameter(name: str, entry: Mapping[str, Any]) -> Parameter:
    kinds: dict[str, Literal["String", "Integer", "Float"]] = {"integer": "Integer", "number": "Float"}
    kind = "String" if "also" in entry else kinds.get(entry["type"], "String")
    enum = tuple(entry.get("weights_in_image", entry.get("enum", ())))
    meaning = entry["meaning"]
    if "by_profile" in entry:
        laptop, gpu = entry["by_profile"].values()
        meaning += f" `auto`: {laptop}, on a GPU {gpu}."
    return Parameter(name, kind, entry["default"], meaning, enum, hyper_parameter=entry["hyper_parameter"])


def parameters(
    *, pretrained_channel: bool = False, subnets: int = 0, security_groups: int = 0
) -> tuple[Parameter, ...]:
    """List the pipeline's parameters in order; a variant has more, behind those that it is about.

    With weights in the channel every backbone can be trained that training knows, too many to list.
    """
    listed = (*OWN_PARAMETERS, *hyper_parameters())
    after = {name: index + 1 for index, name in enumerate(each.name for each in listed)}
    before, data = after["VolumeKmsKeyId"], after["InputDataUrl"]
    return (
        *listed[:before],
        *(_of_vpc(SUBNET_ID, "Subnet", number) for number in range(1, subnets + 1)),
        *(_of_vpc(SECURITY_GROUP_ID, "Security group", number) for number in range(1, security_groups + 1)),
        *listed[before:data],
        *([PRETRAINED_URL] if pretrained_channel else []),
        *(_any_backbone(each) if pretrained_channel else each for each in listed[data:]),
    )


def _any_backbone(parameter: Parameter) -> Parameter:
    if parameter.name != "Backbone":
        return parameter
    return replace(parameter, enum=())


def _of_vpc(name: str, what: str, number: int) -> Parameter:
    # One parameter for each: a parameter cannot be a list.
    return Parameter(f"{name}{number}", "String", None, f"{what} that the jobs run in; the deployment's own.")
