"""The parameters of the pipeline: the one table of their names, types, defaults and meanings.

Standard library only: the SageMaker SDK's parameters are made from it (pipeline.py), and so is the README's
table (picture.py). A parameter without a default gets its value when an execution starts: the Lambda knows
the account's role, image, bucket, group and data, so none of them is written into pipeline.json.

The legal values of hyper-parameters are training's to say: tools/legal_values.py writes them into
checks/legal_values.json, beside those that stand here.
"""

import functools
import json
import re
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
    hyper_parameter: bool = False
    legal: Mapping[str, Any] | None = None
    """The legal numbers of one that is no hyper-parameter, in JSON Schema's words."""

    @property
    def hyper_parameter_name(self) -> str:
        """The key in CreateTrainingJob's HyperParameters: FineTuneEpochs is fine-tune-epochs."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.name).lower()


def _hyper(
    name: str,
    kind: Literal["String", "Integer", "Float"],
    default: str | int | float,
    description: str,
    enum: tuple[str, ...] = (),
) -> Parameter:
    return Parameter(name, kind, default, description, enum, hyper_parameter=True)


PARAMETERS = (
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
    _hyper(
        "Backbone",
        "String",
        "efficientnet_lite0",
        "Network whose pretrained features are used.",
        enum=("efficientnet_lite0",),  # the only one whose weights the image has
    ),
    _hyper("Epochs", "Integer", 20, "Epochs of the head, on the features of the frozen backbone."),
    _hyper(
        "FineTuneEpochs", "Integer", 1, "Epochs of head and last stage together; 0 leaves the backbone as is."
    ),
    _hyper("BatchSize", "Integer", 16, "Images a training step."),
    _hyper("LearningRate", "Float", 0.003, "Learning rate of the head."),
    _hyper("FineTuneLearningRate", "Float", 0.0003, "Learning rate while the last stage is tuned."),
    _hyper("WeightDecay", "Float", 0.0001, "Weight decay; 0 is off."),
    _hyper("Dropout", "Float", 0.2, "Share of features dropped before the head; 0 is off."),
    _hyper("ImageSize", "Integer", 224, "Side of the network's input, in pixels."),
    _hyper("Seed", "Integer", 7, "Seed of every random choice, the validation split included."),
)

SUBNET_ID, SECURITY_GROUP_ID = "SubnetId", "SecurityGroupId"
"""How the parameters of a VPC begin; a number comes behind, from 1 on."""
PRETRAINED_URL = Parameter(
    "PretrainedUrl", "String", None, "S3 prefix of backbone weights, given to the trainings as a channel."
)


@functools.cache
def legal_values() -> dict[str, dict[str, Any]]:
    """Return the legal values of each parameter that has some, in JSON Schema's words."""
    values: dict[str, dict[str, Any]] = json.loads(LEGAL_VALUES.read_text(encoding="utf-8"))
    return values


def parameters(
    *, pretrained_channel: bool = False, subnets: int = 0, security_groups: int = 0
) -> tuple[Parameter, ...]:
    """List the pipeline's parameters in order; a variant has more, behind those that it is about.

    With weights in the channel, every backbone that training knows can be trained.
    """
    after = {name: index + 1 for index, name in enumerate(each.name for each in PARAMETERS)}
    before, data = after["VolumeKmsKeyId"], after["InputDataUrl"]
    return (
        *PARAMETERS[:before],
        *(_of_vpc(SUBNET_ID, "Subnet", number) for number in range(1, subnets + 1)),
        *(_of_vpc(SECURITY_GROUP_ID, "Security group", number) for number in range(1, security_groups + 1)),
        *PARAMETERS[before:data],
        *([PRETRAINED_URL] if pretrained_channel else []),
        *(_any_backbone(each) if pretrained_channel else each for each in PARAMETERS[data:]),
    )


def _any_backbone(parameter: Parameter) -> Parameter:
    if parameter.name != "Backbone":
        return parameter
    return replace(parameter, enum=tuple(legal_values()["Backbone"]["enum"]))


def _of_vpc(name: str, what: str, number: int) -> Parameter:
    # One parameter for each: a parameter cannot be a list.
    return Parameter(f"{name}{number}", "String", None, f"{what} that the jobs run in; the deployment's own.")
