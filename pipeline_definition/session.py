"""The SageMaker SDK without AWS: import this module before the first `sagemaker` import.

The SDK makes a client while it is imported, asks IAM about roles, EC2 for credentials, S3 for a default
bucket, and reports its use. To build a definition none of that is needed, so all of it is switched off:
the build opens no connection and gives the same bytes on every machine.
"""

import logging
import os
import warnings
from typing import Any

import boto3

REGION = "us-east-1"
"""Some region is needed to make a client; it does not show in the definition."""
PLACEHOLDER_ROLE = "arn:aws:iam::000000000000:role/given-at-start"
"""Where the SDK wants a role of its own; the ExecutionRoleArn parameter takes its place."""
NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}

os.environ.pop("AWS_PROFILE", None)
os.environ.update(
    AWS_ACCESS_KEY_ID="none",
    AWS_SECRET_ACCESS_KEY="none",  # noqa: S106 - nothing is signed
    AWS_DEFAULT_REGION=REGION,
    AWS_EC2_METADATA_DISABLED="true",
    SAGEMAKER_VALIDATE_ROLE="false",
)
# It warns at length that no job starts and that job names are left out: that is the intention.
logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", message="Running within a PipelineSession")


def offline_session() -> Any:
    """Make a PipelineSession that calls nothing."""
    from sagemaker.core.config.config_manager import SageMakerConfig  # noqa: PLC0415 - after the settings
    from sagemaker.core.workflow.pipeline_context import PipelineSession  # noqa: PLC0415

    # The SDK checks its configuration, and the schema of it, again at each of hundreds of look-ups: two
    # thirds of a build. The one below is checked when the session is made, by another function.
    SageMakerConfig.validate_sagemaker_config = staticmethod(lambda _: None)
    return PipelineSession(
        boto_session=boto3.Session(region_name=REGION),
        default_bucket="given-at-start",
        sagemaker_config=NO_TELEMETRY,
    )
