"""AdamW as PyTorch has it, without the compiler that it imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


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
