"""The members that a definition may have, from top to bottom: what is not here is refused.

Each member is `required`, `optional`, or judged `even_if_missing`, and has a shape (shapes.py): an object,
a list, or a value that a rule judges (rules.py).
"""

from collections.abc import Iterator
from typing import Any

from upload_trigger.definition.problems import Path
from upload_trigger.policy.form import Violation
from upload_trigger.policy.locations import INPUT, OUTPUT, own_folder
from upload_trigger.policy.shapes import (
    ListOf,
    MapOf,
    Object,
    OrNull,
    Value,
    even_if_missing,
    optional,
    required,
)
from upload_trigger.policy.value_rules import (
    CacheConfig,
    Conditions,
    VpcConfig,
    anything,
    approval_status,
    backoff_rate,
    checkpoints,
    entry_point,
    environment,
    exception_type,
    experiment_name,
    expression,
    fact,
    file_below,
    flag,
    hyper_parameters,
    image,
    instance_count,
    isolated,
    key,
    max_attempts,
    model_package_group,
    name,
    no_tags,
    note,
    one_of,
    only,
    processing_instance_type,
    read,
    retry_interval,
    role,
    run_time,
    tags,
    text,
    training_instance_type,
    volume_size,
    wait_time,
    write,
)
from upload_trigger.settings import STEP_TYPES

DEFINITION = Object(
    {
        # Another version may mean something else by the same members.
        "Version": required(one_of("2020-12-01")),
        "Parameters": optional(anything),  # each is a PARAMETER
        "Steps": optional(anything),  # each is a STEP
        # What every SageMaker SDK writes beside them, and does no harm.
        "Metadata": optional(MapOf(note)),
        "MlflowConfig": optional(only(None)),
        "PipelineExperimentConfig": optional(
            OrNull(
                Object({"ExperimentName": optional(experiment_name), "TrialName": optional(experiment_name)})
            )
        ),
    }
)
PARAMETER = Object(
    {
        "Name": required(anything),
        "Type": required(anything),
        "DefaultValue": optional(anything),
        "EnumValues": optional(anything),
    }
)
"""What a parameter says is judged where it is used."""
STEP = Object(
    {
        "Name": required(anything),
        "Type": required(anything),
        "Arguments": optional(anything),  # judged apart, by ARGUMENTS
        "CacheConfig": optional(CacheConfig()),
        "DependsOn": optional(ListOf(name)),
        "Description": optional(note),
        "DisplayName": optional(note),
        "PropertyFiles": optional(
            ListOf(
                Object(
                    {
                        "FilePath": required(file_below),
                        "OutputName": required(name),
                        "PropertyFileName": required(name),
                    }
                ),
                unique="PropertyFileName",
            )
        ),
        "RetryPolicies": optional(
            ListOf(
                Object(
                    {
                        "BackoffRate": optional(backoff_rate),
                        "ExceptionType": optional(ListOf(exception_type)),
                        "IntervalSeconds": optional(retry_interval),
                        "MaxAttempts": required(max_attempts),
                    }
                )
            )
        ),
    }
)
CONDITION = Object(
    {
        "Conditions": required(Conditions()),
        "IfSteps": optional(anything),  # each is a STEP
        "ElseSteps": optional(anything),
    }
)
FAIL = Object({"ErrorMessage": optional(expression)})


def _input_folder(value: dict[str, Any], path: Path) -> Iterator[Violation]:
    return own_folder(value, path, "InputName", "S3Input", INPUT)


def _output_folder(value: dict[str, Any], path: Path) -> Iterator[Violation]:
    return own_folder(value, path, "OutputName", "S3Output", OUTPUT)


PROCESSING_INPUT = Object(
    {
        "InputName": required(name),
        "AppManaged": optional(only(False)),  # true would hand the location to SageMaker's own containers
        "S3Input": required(
            Object(
                {
                    "LocalPath": required(anything),  # judged by _input_folder
                    "S3CompressionType": optional(one_of("None")),
                    "S3DataDistributionType": optional(one_of("FullyReplicated")),
                    # A manifest file would name further locations, which nobody has judged.
                    "S3DataType": required(one_of("S3Prefix")),
                    "S3InputMode": optional(one_of("File")),
                    "S3Uri": required(read),
                },
                rule="locations",
            )
        ),
    },
    also=_input_folder,
)
PROCESSING_OUTPUT = Object(
    {
        "OutputName": required(name),
        "AppManaged": optional(only(False)),
        "S3Output": required(
            Object(
                {
                    "LocalPath": required(anything),  # judged by _output_folder
                    "S3UploadMode": optional(one_of("EndOfJob")),
                    "S3Uri": required(write),
                },
                rule="locations",
            )
        ),
    },
    also=_output_folder,
)


def _resources(instance_type: Value) -> Object:
    """Return what a job runs on."""
    return Object(
        {
            "InstanceCount": required(instance_count),
            "InstanceType": required(instance_type),
            "VolumeKmsKeyId": even_if_missing(key("VolumeKmsKeyId")),
            "VolumeSizeInGB": required(volume_size),
        },
        rule="instance_types",
    )


PROCESSING = Object(
    {
        "AppSpecification": required(
            Object(
                {
                    "ContainerArguments": optional(ListOf(text)),
                    "ContainerEntrypoint": required(entry_point),
                    "ImageUri": required(image),
                },
                rule="entry_points",
            )
        ),
        "Environment": optional(environment),
        "NetworkConfig": required(
            Object(
                {
                    "EnableInterContainerTrafficEncryption": required(isolated),
                    "EnableNetworkIsolation": required(isolated),
                    "VpcConfig": even_if_missing(VpcConfig()),
                },
                rule="network",
            )
        ),
        "ProcessingInputs": optional(ListOf(PROCESSING_INPUT, unique="InputName")),
        "ProcessingOutputConfig": optional(
            Object(
                {
                    "KmsKeyId": even_if_missing(key("OutputKmsKeyId")),
                    "Outputs": optional(ListOf(PROCESSING_OUTPUT, unique="OutputName")),
                }
            )
        ),
        "ProcessingResources": required(
            Object(
                {
                    "ClusterConfig": required(_resources(processing_instance_type)),
                },
                rule="instance_types",
            )
        ),
        "RoleArn": required(role),
        "StoppingCondition": required(Object({"MaxRuntimeInSeconds": required(run_time)}, rule="run_times")),
        "Tags": optional(tags),
    }
)
CHANNEL = Object(
    {
        "ChannelName": required(name),
        "CompressionType": optional(one_of("None")),
        "ContentType": optional(text),
        "DataSource": required(
            Object(
                {
                    "S3DataSource": required(
                        Object(
                            {
                                "S3DataDistributionType": optional(one_of("FullyReplicated")),
                                "S3DataType": required(one_of("S3Prefix")),
                                "S3Uri": required(read),
                            },
                            rule="locations",
                        )
                    )
                },
                rule="locations",
            )
        ),
        "InputMode": optional(one_of("File", "FastFile")),
        "RecordWrapperType": optional(one_of("None")),
    }
)
TRAINING = Object(
    {
        "AlgorithmSpecification": required(
            Object(
                {
                    "ContainerEntrypoint": required(entry_point),
                    "MetricDefinitions": optional(
                        ListOf(Object({"Name": required(text), "Regex": required(text)}))
                    ),
                    "TrainingImage": required(image),
                    "TrainingInputMode": optional(one_of("File", "FastFile")),
                },
                rule="entry_points",
            )
        ),
        "CheckpointConfig": optional(
            Object(
                {"LocalPath": required(one_of("/opt/ml/checkpoints")), "S3Uri": required(checkpoints)},
                rule="locations",
            )
        ),
        "EnableInterContainerTrafficEncryption": required(isolated),
        "EnableManagedSpotTraining": optional(flag),
        "EnableNetworkIsolation": required(isolated),
        "Environment": optional(environment),
        "HyperParameters": optional(hyper_parameters),
        "InputDataConfig": optional(ListOf(CHANNEL, unique="ChannelName")),
        "OutputDataConfig": required(
            Object(
                {
                    "CompressionType": optional(one_of("GZIP")),
                    "KmsKeyId": even_if_missing(key("OutputKmsKeyId")),
                    "S3OutputPath": required(write),
                },
                rule="locations",
            )
        ),
        # Nothing else of the profiler: it writes to a location of its own.
        "ProfilerConfig": optional(Object({"DisableProfiler": required(only(True))})),
        "ResourceConfig": required(_resources(training_instance_type)),
        "RoleArn": required(role),
        "StoppingCondition": required(
            Object(
                {"MaxRuntimeInSeconds": required(run_time), "MaxWaitTimeInSeconds": optional(wait_time)},
                rule="run_times",
            )
        ),
        "Tags": optional(tags),
        "VpcConfig": even_if_missing(VpcConfig()),
    }
)
NOTHING = Object({})
"""An empty object, as the SageMaker SDK writes it for what is not there."""
REGISTER_MODEL = Object(
    {
        "CustomerMetadataProperties": optional(MapOf(fact)),
        "InferenceSpecification": required(
            Object(
                {
                    "Containers": required(
                        ListOf(
                            Object(
                                {
                                    "Environment": optional(environment),
                                    "Image": required(image),
                                    "ModelDataUrl": required(read),
                                },
                                rule="images",
                            ),
                            rule="registration",
                        )
                    ),
                    "SupportedContentTypes": optional(ListOf(text)),
                    # Advice to whoever deploys the model: nothing starts and nothing bills.
                    "SupportedRealtimeInferenceInstanceTypes": optional(ListOf(text)),
                    "SupportedResponseMIMETypes": optional(ListOf(text)),
                    "SupportedTransformInstanceTypes": optional(ListOf(text)),
                },
                rule="registration",
            )
        ),
        "ModelApprovalStatus": required(approval_status),
        "ModelMetrics": optional(
            Object(
                {
                    "Bias": optional(NOTHING),
                    "Explainability": optional(NOTHING),
                    "ModelDataQuality": optional(NOTHING),
                    "ModelQuality": optional(
                        Object(
                            {
                                "Statistics": optional(
                                    Object({"ContentType": optional(text), "S3Uri": required(read)})
                                )
                            }
                        )
                    ),
                }
            )
        ),
        "ModelPackageDescription": optional(text),
        "ModelPackageGroupName": required(model_package_group),
        "SkipModelValidation": optional(one_of("None")),
        "Tags": optional(no_tags),
    }
)
ARGUMENTS = dict(zip(STEP_TYPES, (CONDITION, FAIL, PROCESSING, REGISTER_MODEL, TRAINING), strict=True))
"""The Arguments of each type of step."""
