"""Where a convolutional network looked: Grad-CAM, drawn over what it was shown.

R. R. Selvaraju and others, Grad-CAM: visual explanations from deep networks via gradient-based localization,
ICCV 2017: the channels of the last feature map, weighted by how much each raises the class's logit on average
over the map; what lowers it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SHARES = (0.0, 0.35, 0.7, 1.0)
COLOURS = ((30, 10, 90), (200, 30, 110), (250, 150, 30), (255, 245, 160))
"""Of a little and of much heat: they differ in brightness, too, for eyes that do not tell the hues apart."""
COVER = 0.65
"""How much of a pixel the hottest colour covers: what lies beneath must stay in sight."""


@dataclass(frozen=True)
class FeatureMap:
    """A network's last map of features over places: the module that makes it, and where its channels are."""

    module: nn.Module
    name: str
    channels_last: bool


def last_feature_map(network: nn.Module, image: Tensor) -> FeatureMap | None:
    """Return the last feature map on a network's way from an image (1, 3, h, w), or None where it has none.

    It is the last output with four dimensions and more than one place. Tokens (three dimensions) that come
    after it have mixed the places up: a vision transformer's only map is the one that cuts it into tokens.
    """
    made: list[tuple[str, nn.Module, torch.Size]] = []

    def keep(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                made.append((name, module, output.shape))

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in network.named_modules() if name]
    try:
        with torch.inference_mode():
            network(image)
    finally:
        for each in hooks:
            each.remove()
    # The head makes no maps, but its input tells how many channels the body's have.
    width = next((shape[1] for _, _, shape in reversed(made[:-1]) if len(shape) == 2), None)
    for name, module, shape in reversed(made):
        if len(shape) == 3:
            return None
        if len(shape) == 4:
            last = shape[3] == width != shape[1]
            if (shape[1] * shape[2] if last else shape[2] * shape[3]) > 1:
                return FeatureMap(module, name, last)
    return None


def heat(network: nn.Module, feature_map: FeatureMap, image: Tensor, label: int) -> Tensor:
    """Return how much each place of a normalised image (1, 3, h, w) speaks for a label: (h, w), from 0 to 1.

    All of it is 0 where no place does.
    """
    with _leaf(feature_map) as kept, torch.enable_grad():
        score = network(image)[0, label]
    features = kept[-1]
    (gradient,) = torch.autograd.grad(score, features)
    features = features.detach()
    if feature_map.channels_last:
        features, gradient = features.permute(0, 3, 1, 2), gradient.permute(0, 3, 1, 2)
    weights = gradient.mean((2, 3), keepdim=True)
    places = (weights * features).sum(1, keepdim=True).relu()
    top = places.max()
    scaled = places / top if top > 0 else places
    return functional.interpolate(scaled.float(), size=image.shape[2:], mode="bilinear")[0, 0].cpu()


@contextmanager
def _leaf(feature_map: FeatureMap) -> Iterator[list[Tensor]]:
    """Cut the network at its feature map, so that gradients are computed behind it and nowhere else."""
    kept: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # a layer behind it may write into its input

    hook = feature_map.module.register_forward_hook(cut)
    try:
        yield kept
    finally:
        hook.remove()


def overlay(pixels: Tensor, heated: Tensor) -> Tensor:
    """Draw heat (h, w) over uint8 pixels (3, h, w)."""
    share = heated.numpy()
    colours = np.stack([np.interp(share, SHARES, channel) for channel in zip(*COLOURS, strict=True)], axis=-1)
    cover = COVER * share[..., None]
    drawn = pixels.permute(1, 2, 0).numpy() * (1 - cover) + colours * cover
    return torch.from_numpy(drawn.round().astype(np.uint8)).permute(2, 0, 1)
