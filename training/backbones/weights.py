"""Files of pretrained weights: found in the channel `pretrained`, read as tensors alone, fitted in."""

from __future__ import annotations

import hashlib
import pickle  # only the name of its error; nothing is unpickled here
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from image_data.spelling import some
from training.backbones.backbone import Backbone, State
from training.job import JobError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
WRAPPINGS = ("model", "state_dict")
"""Where a training script's checkpoint keeps the state dict; the first as Meta's do."""


def load_weights(backbone: Backbone, folder: Path) -> str:
    """Load the backbone's weights, its own or those in `folder`, and return their file's sha256."""
    path = backbone.packaged_weights() if backbone.packaged_weights else weights_file(folder, backbone.name)
    _fit(backbone, _read(path), path.name)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_file(folder: Path, name: str) -> Path:
    """Return the one file of weights in the channel `pretrained`, whatever its name."""
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    found = [path for path in files if path.suffix in SUFFIXES]
    if len(found) == 1:
        return found[0]
    holds = some(path.name for path in found or files) or ("nothing" if folder.is_dir() else "no such folder")
    raise JobError(
        f"backbone {name} needs its weights as exactly one file ({', '.join(SUFFIXES)}) in channel "
        f"pretrained ({folder}: {holds}); build the pipeline with --pretrained-channel and upload the file"
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise JobError(f"{path.name} is not a file of weights: {error}") from error
    except pickle.UnpicklingError as error:  # what weights_only refuses
        raise JobError(f"{path.name} holds more than tensors and is not loaded: {error}") from error
    for wrapping in WRAPPINGS:
        if isinstance(state, dict) and isinstance(state.get(wrapping), dict):
            state = state[wrapping]
    if not _is_state(state):
        raise JobError(f"{path.name} is not a state dict of tensors")
    return dict(state)


def _is_state(state: Any) -> bool:
    return (
        isinstance(state, dict)
        and bool(state)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
    )


def _fit(backbone: Backbone, state: State, file: str) -> None:
    wanted = backbone.network.state_dict()
    try:
        state = backbone.convert(state)
    # Converters look up, by name, what a file of another network does not have or has in another shape.
    except (AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
        raise _misfit(backbone, file, f"it cannot be converted ({type(error).__name__}: {error})") from error
    for name, value in wanted.items():
        if name in state and state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)} instead of {tuple(value.shape)}"
            raise _misfit(backbone, file, f"{name} has shape {shapes}")
    # Not strict, so that a network's own converters of old files run, and what does not fit is told below.
    fitted = backbone.network.load_state_dict(state, strict=False)
    left = _left(fitted.unexpected_keys, wanted, backbone.classifier)
    missing = fitted.missing_keys
    faults = [f"{len(missing)} tensors are missing, e.g. {missing[0]}"] if missing else []
    if missing or left:
        odd = left or fitted.unexpected_keys
        faults += [f"{len(odd)} are left over, e.g. {odd[0]}"] if odd else []
        raise _misfit(backbone, file, ", ".join(faults))


def _left(unexpected: list[str], wanted: State, classifier: tuple[str, ...]) -> list[str]:
    """Return the tensors that a larger network of the same kind has: further blocks, not other parts."""
    kinds = {_kind(name) for name in wanted}
    return [name for name in unexpected if _kind(name) in kinds and not name.startswith(classifier)]


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _misfit(backbone: Backbone, file: str, fault: str) -> JobError:
    return JobError(
        f"{file} does not fit the backbone {backbone.name}: {fault}; a file must be {backbone.forms}"
    )
