"""Write the definitions that the SageMaker SDK can write, as JSON by name.

    python -m tests.support.definitions.sdk_definitions

Run in a process of its own (test_sdk_definitions.py does): the SDK changes the environment, takes
seconds to import, and uploads files of some steps, for which moto stands in. Nothing reaches a network.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

# The offline settings come first: the SDK looks for AWS while it is imported.
import pipeline_definition.session  # noqa: F401

# isort: split

import boto3
from moto import mock_aws
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.workflow.conditions import ConditionTypeEnum
from sagemaker.core.workflow.execution_variables import ExecutionVariable, ExecutionVariables
from sagemaker.core.workflow.parameters import ParameterTypeEnum
from sagemaker.mlops.workflow.retry import SageMakerJobExceptionTypeEnum, StepExceptionTypeEnum
from sagemaker.mlops.workflow.step_dependency import TriggerCondition
from sagemaker.mlops.workflow.steps import StepTypeEnum

from tests.support.definitions.sdk_job_definitions import JobDefinitions
from tests.support.definitions.sdk_other_definitions import OtherDefinitions
from tests.support.definitions.sdk_parts import BUCKET


def vocabulary() -> dict[str, list[str]]:
    """Return the names that the SDK itself lists."""
    variables = [
        each.name for each in vars(ExecutionVariables).values() if isinstance(each, ExecutionVariable)
    ]
    exceptions = [*StepExceptionTypeEnum, *SageMakerJobExceptionTypeEnum]
    return {
        "condition types": [each.value for each in ConditionTypeEnum],
        "exception types": [each.value for each in exceptions],
        "execution variables": variables,
        "parameter types": [each.value for each in ParameterTypeEnum],
        "step types": [each.value for each in StepTypeEnum],
        "triggers": [each.value for each in TriggerCondition],
        # Its AutoMLStep takes nothing but what this method of a session gives.
        "step types without arguments": [] if hasattr(Session, "auto_ml") else ["AutoML"],
    }


def write(folder: Path) -> dict[str, dict[str, Any]]:
    """Write every definition, by the name of the method that makes it, and why any could not be written."""
    written: dict[str, Any] = {}
    graphs: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for makers in (JobDefinitions(folder), OtherDefinitions(folder)):
        for name in vars(type(makers)):
            if name.startswith("_"):
                continue
            try:
                makers.graph = {}
                written[name] = getattr(makers, name)()
                graphs[name] = makers.graph
            except Exception:  # noqa: BLE001 - reported, and failed by the test
                errors[name] = traceback.format_exc()[-2000:]
    return {"definitions": written, "graphs": graphs, "errors": errors, "vocabulary": vocabulary()}


def main() -> None:
    """Write all of it to standard output."""
    with mock_aws(), tempfile.TemporaryDirectory() as folder:
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
        sys.stdout.write(json.dumps(write(Path(folder))))


if __name__ == "__main__":
    os.environ.pop("AWS_ENDPOINT_URL", None)
    main()
