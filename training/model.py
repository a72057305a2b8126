"""The classifier: a backbone that gives features, and a head that tells the classes apart."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training import backbones
from training.backbones.efficientnet_lite import SameConv


class Classifier(nn.Module):
    """Normalised images (batch, 3, size, size) to logits (batch, classes).

    Without an image size, it is that of the backbone's published weights; most take images of others too.
    """

    def __init__(
        self,
        backbone: str,
        class_count: int,
        dropout: float,
        stochastic_depth: float = 0.0,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self._backbone = backbones.build(backbone, image_size, stochastic_depth)
        self.body = self._backbone.network
        self.input_format = self._backbone.input_format
        self.width = self._backbone.width
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.width, class_count))
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
        depths = backbones.parameter_depths(self.body)
        stage = backbones.last_stage(self.body)
        start = min(depth for name, depth in depths.items() if name.startswith(stage))
        return {f"body.{name}": each for name, each in self.body.named_parameters() if depths[name] >= start}

    def depths(self) -> dict[str, float]:
        """Return how deep every parameter lies, from 0.0 at the stem to 1.0 at the head.

        A learning rate that falls from the head to the stem is a power of 1 - depth.
        """
        body = {f"body.{name}": depth for name, depth in backbones.parameter_depths(self.body).items()}
        return body | dict.fromkeys(self.head_parameters(), 1.0)

    def load_pretrained(self, folder: Path) -> str:
        """Load the backbone's weights, those of the image or else those in `folder`; return their sha256."""
        return backbones.load_weights(self._backbone, folder)

    def freeze_all_but(self, trained: dict[str, nn.Parameter]) -> None:
        """Let only these parameters learn; autograd then stores nothing for the layers before them."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trained)


class FusedConv(nn.Module):
    """A convolution and the activation behind it in one pass, where a CPU predicts."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.ReLU | nn.ReLU6) -> None:
        super().__init__()
        self.convolution, self.activation = convolution, activation
        is_relu6 = isinstance(activation, nn.ReLU6)
        self._fused: tuple[str, list[float]] = ("hardtanh", [0.0, 6.0]) if is_relu6 else ("relu", [])

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of (batch, channels, height, width)."""
        layer = self.convolution
        if torch.is_grad_enabled() or not _has_onednn(x):
            activated: Tensor = self.activation(layer(x))
            return activated
        weight, padding = layer.weight, layer.padding
        if isinstance(layer, SameConv):
            x, weight, padding = layer.padded(x, weight)
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(  # of `torch.compile`; autograd lacks it
            x, weight, layer.bias, padding, layer.stride, layer.dilation, layer.groups, *self._fused, ""
        )
        return fused


def _has_onednn(x: Tensor) -> bool:
    library: Any = torch.backends.mkldnn  # untyped
    enabled = bool(library.is_available() and library.enabled)
    return enabled and x.device.type == "cpu" and x.dtype == torch.float32


def folded(network: nn.Module) -> nn.Module:
    """Copy a network for predicting only: batch norms and ReLUs become parts of the convolutions before them.

    The answers differ in their last bits.
    """
    network = copy.deepcopy(network).eval()
    for layers in [layer for layer in network.modules() if isinstance(layer, nn.Sequential)]:
        for place, (first, second) in enumerate(pairwise(list(layers))):
            # Not their subclasses: timm's may hold an activation, too, or change their weights in forward.
            if (
                isinstance(first, nn.Conv2d)
                and isinstance(second, nn.BatchNorm2d)
                and _are_plain(first, second)
            ):
                layers[place], layers[place + 1] = _fused(fuse_conv_bn_eval(first, second), layers, place + 2)
    return network.to(memory_format=torch.channels_last)


def _fused(convolution: nn.Conv2d, layers: nn.Sequential, place: int) -> tuple[nn.Module, nn.Module]:
    """Return the convolution, with the activation behind it where it can have it, and its norm's stand-in."""
    activation = layers[place] if place < len(layers) else None
    can = type(activation) in (nn.ReLU, nn.ReLU6) and convolution.padding_mode == "zeros"
    if not can or isinstance(convolution.padding, str):
        return convolution, nn.Identity()
    layers[place] = nn.Identity()
    return FusedConv(convolution, activation), nn.Identity()  # type: ignore[arg-type]


def _are_plain(*layers: nn.Module) -> bool:
    return all(type(layer) in (nn.Conv2d, SameConv, nn.BatchNorm2d) for layer in layers)


def choose_device() -> torch.device:
    """Take the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
