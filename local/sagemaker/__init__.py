"""SageMaker for one machine: its API, pipelines, jobs and model registry; the engine below runs them."""

from local.engine.jobs.session import JobSettings
from local.sagemaker.errors import ServiceError
from local.sagemaker.required_permissions import Requirement, requirements
from local.sagemaker.service import SageMaker

__all__ = ["JobSettings", "Requirement", "SageMaker", "ServiceError", "requirements"]
