"""The training image: taken as it is, built on the deploying machine, or built by AWS."""

from infra.image.training_image import ASSET, TrainingImage

__all__ = ["ASSET", "TrainingImage"]
