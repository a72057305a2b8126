"""What offers a deployment to SageMaker Studio."""

from infra.studio.offer import StudioOffer

__all__ = ["StudioOffer"]
