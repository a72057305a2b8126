"""The jobs behind the steps: what each runs, on what, as whom, what it reads and where it writes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The offline settings come first: the SDK looks for AWS while it is imported.
import pipeline_definition.session as offline  # isort: split

from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    Channel,
    DataSource,
    MetricDefinition,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    S3DataSource,
)
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.train.configs import (
    CheckpointConfig,
    Compute,
    Networking,
    OutputDataConfig,
    StoppingCondition,
    Tag,
)

from pipeline_definition.parameters import SECURITY_GROUP_ID, SUBNET_ID, hyper_parameters
from pipeline_definition.trainer import ImageTrainer

HOUR = 3600
VOLUME_SIZE_IN_GB = 30
# Each pattern starts at a blank or the line's start: train_loss must not match inside another name.
METRICS = {
    "train:loss": "train_loss",
    "train:progress": "progress",
    "validation:accuracy": "validation_accuracy",
    "validation:loss": "validation_loss",
}


@dataclass(frozen=True)
class TrainingType:
    """One of the two ways to pay for the same training."""

    name: str
    prefix: str
    spot: bool
    description: str


SPOT = TrainingType("Spot", "spot", True, "spot capacity that may be interrupted")
ON_DEMAND = TrainingType("OnDemand", "on-demand", False, "on-demand capacity")


@dataclass(frozen=True)
class StepContext:
    """What every step is made from: the offline session and the pipeline's parameters by name."""

    session: Any
    parameters: Mapping[str, Any]

    def output(self, *parts: str) -> Any:
        """Name a place that belongs to this execution alone.

        The step cache does not look at outputs: with a fixed prefix, other classes would be written over the
        very data that a cached training step is said to have seen.
        """
        place = [
            "s3:/",
            self.parameters["ArtifactBucket"],
            "executions",
            ExecutionVariables.PIPELINE_EXECUTION_ID,
        ]
        return Join("/", [*place, *parts])

    def tags(self, training_type: str) -> dict[str, Any]:
        """Return what Cost Explorer tells the bill of a job apart by; no step's cache looks at tags."""
        return {
            "TrainingType": training_type,
            # A deployment's group is called like the deployment.
            "project": self.parameters["ModelPackageGroupName"],
            "execution": ExecutionVariables.PIPELINE_EXECUTION_ID,
        }

    def numbered(self, name: str) -> list[Any] | None:
        """Return the parameters <name>1, <name>2, ...; None when there are none."""
        return [each for key, each in self.parameters.items() if re.fullmatch(rf"{name}\d+", key)] or None


def processor(context: StepContext, module: str, training_type: str, instance_count: Any) -> Any:
    """Make the processor of one of the image's modules; the tag tells whose bill it is on."""
    return Processor(
        role=context.parameters["ExecutionRoleArn"],
        image_uri=context.parameters["TrainingImageUri"],
        entrypoint=["python", "-m", f"training.{module}"],
        instance_type=context.parameters["ProcessingInstanceType"],
        instance_count=instance_count,
        volume_size_in_gb=VOLUME_SIZE_IN_GB,
        volume_kms_key=context.parameters["VolumeKmsKeyId"],
        output_kms_key=context.parameters["OutputKmsKeyId"],
        max_runtime_in_seconds=2 * HOUR,
        network_config=NetworkConfig(
            enable_network_isolation=True,
            encrypt_inter_container_traffic=True,
            subnets=context.numbered(SUBNET_ID),
            security_group_ids=context.numbered(SECURITY_GROUP_ID),
        ),
        tags=[{"Key": key, "Value": value} for key, value in context.tags(training_type).items()],
        sagemaker_session=context.session,
    )


def trainer(context: StepContext, training_type: TrainingType) -> Any:
    """Make the trainer; the two training types differ only in how they are paid and where they write."""
    parameters, spot = context.parameters, training_type.spot
    output = context.output("training", training_type.prefix)
    trainer = ImageTrainer(
        sagemaker_session=context.session,
        role=offline.PLACEHOLDER_ROLE,
        role_parameter=parameters["ExecutionRoleArn"],
        base_job_name="train",
        training_image=parameters["TrainingImageUri"],
        entrypoint=["python", "-m", "training.train"],
        compute=Compute(
            instance_type=parameters["TrainingInstanceType"],
            instance_count=parameters["TrainingInstanceCount"],
            volume_size_in_gb=VOLUME_SIZE_IN_GB,
            volume_kms_key_id=parameters["VolumeKmsKeyId"],
            enable_managed_spot_training=spot,
        ),
        networking=Networking(
            enable_network_isolation=True,
            enable_inter_container_traffic_encryption=True,
            subnets=context.numbered(SUBNET_ID),
            security_group_ids=context.numbered(SECURITY_GROUP_ID),
        ),
        # The wait for spot capacity counts on top of the run time.
        stopping_condition=StoppingCondition(
            max_runtime_in_seconds=4 * HOUR, **({"max_wait_time_in_seconds": 8 * HOUR} if spot else {})
        ),
        output_data_config=OutputDataConfig(
            s3_output_path=output, compression_type="GZIP", kms_key_id=parameters["OutputKmsKeyId"]
        ),
        checkpoint_config=_checkpoints(context, training_type) if spot else None,
        hyperparameters={
            each.hyper_parameter: parameters[each.name].to_string() for each in hyper_parameters()
        },
        tags=[Tag(key=key, value=value) for key, value in context.tags(training_type.name).items()],
    )
    return trainer.with_metric_definitions(
        [MetricDefinition(name=name, regex=rf"(?:^|\s){key}=([0-9.eE+-]+)") for name, key in METRICS.items()]
    )


def _checkpoints(context: StepContext, training_type: TrainingType) -> Any:
    """Name the checkpoints' place: the same for every execution, because it is part of the step cache's key.

    Training keeps what belongs to other data or hyper-parameters apart by a fingerprint.
    """
    place = ["s3:/", context.parameters["ArtifactBucket"], "checkpoints", ExecutionVariables.PIPELINE_NAME]
    return CheckpointConfig(
        s3_uri=Join("/", [*place, training_type.prefix]), local_path="/opt/ml/checkpoints"
    )


def channel(name: str, s3_uri: Any) -> Any:
    """Make a channel that is copied to every instance before training starts."""
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=s3_uri, s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, input_mode="File", data_source=DataSource(s3_data_source=source))


def processing_input(name: str, s3_uri: Any) -> Any:
    """Make an input that is copied to /opt/ml/processing/input/<name>."""
    source = ProcessingS3Input(
        s3_uri=s3_uri,
        local_path=f"/opt/ml/processing/input/{name}",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
        s3_data_distribution_type="FullyReplicated",
        s3_compression_type="None",
    )
    return ProcessingInput(input_name=name, s3_input=source)


def processing_output(name: str, s3_uri: Any) -> Any:
    """Make an output that is copied from /opt/ml/processing/output/<name> at the end."""
    target = ProcessingS3Output(
        s3_uri=s3_uri, local_path=f"/opt/ml/processing/output/{name}", s3_upload_mode="EndOfJob"
    )
    return ProcessingOutput(output_name=name, s3_output=target)
