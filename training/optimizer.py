"""How weights learn: AdamW with a rate for each depth, the rate's course over the steps, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.hyper_parameters import HyperParameters

DEPTHS = 12
"""Layers in which the published recipes of layer-wise decay count, whatever the network's: BEiT, ConvNeXt."""


def _plain(method: Any) -> Callable[..., Any]:
    """Return a method without PyTorch's wrapper, which tells the compiler to leave it alone."""
    plain: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return plain


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, for what is not compiled.

    PyTorch wraps these methods for `torch.compile`, and the wrappers import the compiler, which takes a
    second of every training's start. The steps are the same to the bit.
    """

    add_param_group = _plain(torch.optim.AdamW.add_param_group)
    zero_grad = _plain(torch.optim.AdamW.zero_grad)
    state_dict = _plain(torch.optim.AdamW.state_dict)
    load_state_dict = _plain(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.AdamW.step))


def make_optimizer(
    trained: Mapping[str, nn.Parameter], depths: Mapping[str, float], hyper_parameters: HyperParameters
) -> AdamW:
    """Group the parameters by depth, and decay weights but neither biases nor norms.

    `depths` are from 0 at the stem to 1 at the head. Each group's share of the rate is its `scale`.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        scale = hyper_parameters.layer_decay ** (DEPTHS * (1 - depths[name]))
        decay = hyper_parameters.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return AdamW(
        [
            {"params": parameters, "weight_decay": decay, "scale": scale}
            for (scale, decay), parameters in groups.items()
        ],
        lr=0.0,
    )


def set_learning_rate(optimizer: AdamW, rate: float) -> None:
    """Set the rate of every group to its share of this one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def schedule(step: int, steps: int, warm_up: float) -> float:
    """Return the share of the learning rate at a phase's step: a short linear rise, then half a cosine."""
    warm = max(1, round(warm_up * steps)) if warm_up else 0
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def averaged(network: nn.Module, decay: float) -> Any:
    """Return an `AveragedModel` of the network: an exponential moving average of its weights.

    The decay is less at first, (1 + n) / (10 + n) after n steps, or the average of a short training would be
    its beginning.
    """
    from torch.optim.swa_utils import AveragedModel  # noqa: PLC0415 - imports what only this needs

    def average(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        share = 1 - min(decay, (1 + steps) / (10 + steps))
        for mean, weight in zip(averages, weights, strict=True):
            mean.lerp_(weight, share)

    return AveragedModel(network, multi_avg_fn=average)
