"""Files of pretrained weights that nobody trained, in the forms in which others publish theirs."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a value that shows in the output; some begin as zeros or near them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            inputs = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(noise / inputs**0.5 + (1 if parameter.ndim == 1 else 0))
    return network.eval()


def write_weights(path: Path, state: Mapping[str, Tensor]) -> Path:
    """Write a state dict as its suffix says, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path
