"""The classifier: a backbone that gives features, and a head that tells the classes apart."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training import efficientnet_lite
from training.shards import CROP_FRACTION


@dataclass(frozen=True)
class InputFormat:
    """What a backbone expects of its images; pixels are scaled to 0..1 and then normalised."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_fraction: float = CROP_FRACTION
    interpolation: str = "bicubic"

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn a uint8 batch (n, 3, size, size) into the floats that the backbone was trained on."""
        mean = pixels.new_tensor(self.mean, dtype=torch.float32).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.std, dtype=torch.float32).view(1, 3, 1, 1)
        return (pixels.float() - mean * 255) / (std * 255)


# What the weights were trained with: EfficientNet-Lite on pixels from -1 to 1, torchvision's on ImageNet's
# mean and deviation of each colour.
LITE_INPUT = InputFormat(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
IMAGENET_INPUT = InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Classifier(nn.Module):
    """Normalised images (batch, 3, size, size) to logits (batch, classes)."""

    def __init__(self, backbone: str, class_count: int, dropout: float) -> None:
        super().__init__()
        self.body, features, self._last_stage, self.input_format = _build_body(backbone)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, class_count))
        for parameter in self.head.parameters():  # nothing to draw: logits begin at zero
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.body(x))
        return logits

    def head_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the first phase trains."""
        return {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def last_stage_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that fine-tuning trains: the last stage and what comes behind it."""
        named = [(f"body.{name}", parameter) for name, parameter in self.body.named_parameters()]
        first = next(i for i, (name, _) in enumerate(named) if name.startswith(f"body.{self._last_stage}"))
        return dict(named[first:])

    def freeze_all_but(self, trained: dict[str, nn.Parameter]) -> None:
        """Let only these parameters learn; autograd then stores nothing for the layers before them."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trained)


def _build_body(backbone: str) -> tuple[nn.Module, int, str, InputFormat]:
    if backbone == efficientnet_lite.NAME:
        network = efficientnet_lite.EfficientNetLite0()
        return network, efficientnet_lite.FEATURES, efficientnet_lite.LAST_STAGE, LITE_INPUT
    from training import torchvision_backbones  # noqa: PLC0415 - two seconds that the default does not need

    return *torchvision_backbones.build(backbone), IMAGENET_INPUT


def folded(network: nn.Module) -> nn.Module:
    """Copy a network for predicting only, every batch norm folded into the convolution before it.

    About 14 % faster on a CPU; the answers differ in their last bits.
    """
    network = copy.deepcopy(network).eval()
    for layers in [layer for layer in network.modules() if isinstance(layer, nn.Sequential)]:
        for place, (first, second) in enumerate(pairwise(list(layers))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                layers[place], layers[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network.to(memory_format=torch.channels_last)


def check_backbone(backbone: str) -> None:
    """Raise a JobError for an unknown backbone."""
    if backbone != efficientnet_lite.NAME:
        from training import torchvision_backbones  # noqa: PLC0415 - as above

        torchvision_backbones.check_name(backbone)


def load_pretrained(classifier: Classifier, backbone: str, folder: Path) -> str:
    """Load the backbone's ImageNet weights and return their sha256.

    EfficientNet-Lite0 brings its own; any other one finds them in `folder`, the channel `pretrained`.
    """
    if isinstance(classifier.body, efficientnet_lite.EfficientNetLite0):
        efficientnet_lite.load_imagenet_weights(classifier.body)
        return efficientnet_lite.WEIGHTS_SHA256
    from training import torchvision_backbones  # noqa: PLC0415 - as above

    path = torchvision_backbones.weights_file(folder, backbone)
    torchvision_backbones.load_weights(classifier.body, path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def choose_device() -> torch.device:
    """Take the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
