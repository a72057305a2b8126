"""What a backbone is to the rest of training, and how one is checked before anything expensive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from training.job import JobError
from training.shards import CROP_FRACTION

State = Mapping[str, Tensor]
"""The tensors of a network or of a file of weights, by their names."""


@dataclass(frozen=True)
class InputFormat:
    """What a backbone expects of its images; pixels are scaled to 0..1 and then normalised.

    The interpolation and the crop are Preprocess', whatever a network was first trained with: the images are
    scaled before a job knows its backbone, training adapts to them, and what answers sees what was measured.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_fraction: float = CROP_FRACTION
    interpolation: str = "bicubic"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn a uint8 batch (n, 3, size, size) into the floats that the backbone was trained on."""
        mean = pixels.new_tensor(self.mean, dtype=torch.float32).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.std, dtype=torch.float32).view(1, 3, 1, 1)
        return (pixels.float() - mean * 255) / (std * 255)


@dataclass(frozen=True)
class Backbone:
    """A network that maps normalised images (n, 3, size, size) to features (n, width)."""

    name: str
    network: nn.Module
    width: int
    native_size: int
    """The image-size that its published weights were trained at."""
    input_format: InputFormat
    classifier: tuple[str, ...] = ()
    """Prefixes of the tensors in a file of weights that the network goes without: its old classes."""
    convert: Callable[[State], State] = lambda state: state
    """Renames a file's tensors to the network's own names; leaves alone what it does not know."""
    forms: str = "a state dict"
    """The files that `convert` understands, for whoever brought another one."""
    packaged_weights: Callable[[], Path] | None = None
    """Returns the file of weights that is installed with it; without one, they come from a channel."""


def feature_width(name: str, build: Callable[[], nn.Module], image_size: int, native_size: int) -> int:
    """Return how many features the network gives for images of this size.

    It is built and run without memory or arithmetic, which takes a moment for the largest network too.

    Raises:
        JobError: It cannot take images of this size.
    """
    try:
        with WithoutMemory():
            network = build().to("meta").eval()
        with torch.device("meta"), torch.inference_mode():
            features = network(torch.zeros(1, 3, image_size, image_size))
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise JobError(
            f"image-size is {image_size}, which backbone {name} cannot take: {reason[0]}; its weights were "
            f"trained at {native_size}"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or not features.shape[1]:
        raise JobError(f"backbone {name} does not map an image to one row of features; choose another one")
    return features.shape[1]


_FACTORIES = (torch.empty, torch.ones, torch.zeros)


class WithoutMemory(TorchFunctionMode):
    """Where it is active, layers get tensors without memory, on PyTorch's meta device.

    `with torch.device("meta")` would take the values of all tensors, from which some networks compute how
    many channels they have.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function, with another device where it is one that layers make theirs with."""
        kwargs = kwargs or {}
        if func in _FACTORIES:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)
