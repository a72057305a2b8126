"""SageMaker's API as botocore describes it, without a client: no credentials, no region, no network."""

from __future__ import annotations

import functools

from botocore.loaders import create_loader
from botocore.model import ServiceModel


@functools.cache
def bundled_model() -> ServiceModel:
    """Load the model of SageMaker that comes with botocore."""
    return ServiceModel(create_loader().load_service_model("sagemaker", "service-2"), "sagemaker")
