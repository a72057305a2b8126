"""What the pipeline role asks for when it starts a job of the shipped definition."""

from __future__ import annotations

from tests.support.iam.rights import Context
from tests.support.iam.role_table import DATA_KEY, SAGEMAKER

TRAINING_JOB = f"{SAGEMAKER}:training-job/pipelines-abc123-trainspot-x1"
PROCESSING_JOB = f"{SAGEMAKER}:processing-job/pipelines-abc123-preprocess-x1"
BOUNDED: Context = {
    "sagemaker:NetworkIsolation": "true",
    "sagemaker:InterContainerTrafficEncryption": "true",
    "sagemaker:MaxRuntimeInSeconds": "14400",
    "sagemaker:OutputKmsKeyArn": DATA_KEY,
}
TRAIN: Context = {**BOUNDED, "sagemaker:InstanceTypes": ["ml.c5.4xlarge"]}
PROCESS: Context = {**BOUNDED, "sagemaker:InstanceTypes": ["ml.m5.xlarge"]}


def without(context: Context, key: str) -> Context:
    return {name: value for name, value in context.items() if name != key}
