"""The SDK's ModelTrainer for an image that holds its code, and for a role that is a pipeline parameter."""

from typing import Any

from sagemaker.train import ModelTrainer


class ImageTrainer(ModelTrainer):  # type: ignore[misc]  # the SDK is untyped
    """A ModelTrainer that runs the image's own entry point.

    ModelTrainer sets an entry point only for code that it uploads itself, wrapped in a shell that never
    passes SIGTERM on; and its role must be a string. Both are set in the request instead.
    """

    entrypoint: list[str]
    role_parameter: Any

    def _create_training_job_args(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        request: dict[str, Any] = super()._create_training_job_args(*args, **kwargs)
        request["AlgorithmSpecification"]["ContainerEntrypoint"] = self.entrypoint
        request["RoleArn"] = self.role_parameter
        return request
