"""Backbones: networks that turn images into features, by the name that the hyper-parameter `backbone` has.

    efficientnet_lite0              whose weights are in the image
    resnet50, convnext_tiny, ...    torchvision's classifiers
    timm/<architecture>.<tag>       timm's networks, as timm/convnext_base.fb_in22k

All but the first need a file of weights in the channel `pretrained`. A further source of networks is a module
with a function `build`, and a line in `names` and in `build` below.
"""

from __future__ import annotations

from image_data.spelling import did_you_mean
from training.backbones import efficientnet_lite
from training.backbones.backbone import Backbone, InputFormat
from training.backbones.layers import last_stage, parameter_depths
from training.backbones.weights import load_weights
from training.job import JobError

__all__ = [
    "IN_IMAGE",
    "TIMM_NAME",
    "Backbone",
    "InputFormat",
    "build",
    "check_name",
    "last_stage",
    "load_weights",
    "names",
    "parameter_depths",
]

IN_IMAGE = efficientnet_lite.NAMES
"""The backbones whose weights the image brings."""
TIMM_NAME = r"timm/[a-z0-9_]+(\.[a-z0-9_]+)?"
"""What the names of timm's networks look like; which ones there are is its version's to say."""

# torchvision and timm are imported inside functions: two and three seconds that the default does not need.
# ruff: noqa: PLC0415


def names() -> list[str]:
    """List all backbones but timm's."""
    from training.backbones import torchvision_backbones

    return [*IN_IMAGE, *torchvision_backbones.names()]


def check_name(name: str) -> None:
    """Raise a JobError for an unknown backbone."""
    if name in IN_IMAGE:
        return
    if name.startswith("timm/"):
        from training.backbones import timm_backbones

        timm_backbones.check_name(name)
    elif name not in (known := names()):
        hint = did_you_mean(name, known) or f"; the legal names are {', '.join(known)} and timm/<name>"
        raise JobError(
            f"1 hyper-parameter is wrong: backbone is {name!r}, which is not a known backbone{hint}"
        )


def build(name: str, image_size: int | None = None, stochastic_depth: float = 0.0) -> Backbone:
    """Build a known backbone with random weights.

    Some networks are made for one image size; without one, it is that of their published weights. Stochastic
    depth is the chance of the last block to be skipped in training; a network that skips none ignores it.

    Raises:
        JobError: The network cannot take images of this size.
    """
    if name in IN_IMAGE:
        return efficientnet_lite.build(name, stochastic_depth)
    if name.startswith("timm/"):
        from training.backbones import timm_backbones

        return timm_backbones.build(name, image_size, stochastic_depth)
    from training.backbones import torchvision_backbones

    return torchvision_backbones.build(name, image_size, stochastic_depth)
