"""Any torchvision classifier as a backbone, by its name, with weights from the channel `pretrained`.

Imported only where such a backbone is asked for: torchvision takes two seconds to import. Its wheel has no
weights and a job under network isolation cannot download any.
"""

from __future__ import annotations

import pickle  # only the name of its error; nothing is unpickled here
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torchvision import models

from image_data.spelling import did_you_mean
from training.job import JobError

SUFFIXES = (".safetensors", ".pth")

# Where each family keeps its last stage; these parameters and all behind them are fine-tuned.
_LAST_STAGES = (
    (("resnet", "resnext", "wide_resnet"), "layer4."),
    (("regnet",), "trunk_output.block4."),
    (("densenet",), "features.denseblock4."),
    (("mobilenet_v2",), "features.17."),
    (("mobilenet_v3_large",), "features.15."),
    (("mobilenet_v3_small",), "features.11."),
    (("efficientnet_v2_s",), "features.6."),
    (("efficientnet",), "features.7."),
    (("convnext", "swin"), "features.7."),
    (("vit_b",), "encoder.layers.encoder_layer_11."),
    (("vit_l",), "encoder.layers.encoder_layer_23."),
    (("shufflenet",), "stage4."),
)


def names() -> list[str]:
    """List the backbones of torchvision that have a known last stage and one classifying layer."""
    return [name for name in models.list_models(module=models) if _last_stage(name)]


def _last_stage(name: str) -> str | None:
    return next((prefix for families, prefix in _LAST_STAGES if name.startswith(families)), None)


def check_name(name: str) -> None:
    """Raise a JobError for a backbone that torchvision or this project does not have."""
    known = ["efficientnet_lite0", *names()]
    if name not in known:
        hint = did_you_mean(name, known) or f"; the legal names are {', '.join(known)}"
        raise JobError(
            f"1 hyper-parameter is wrong: backbone is {name!r}, which is not a known backbone{hint}"
        )


def build(name: str) -> tuple[nn.Module, int, str]:
    """Build the network up to its features; return it, the features' width and its last stage's prefix."""
    network: nn.Module = models.get_model(name, weights=None)
    layer, features = _cut_classifier(network)
    prefix = _last_stage(name)
    if prefix is None or not any(key.startswith(prefix) for key, _ in network.named_parameters()):
        raise JobError(
            f"backbone {name}: its last stage {prefix} is not where it is known to be (layer {layer})"
        )
    return network, features, prefix


def _cut_classifier(network: nn.Module) -> tuple[str, int]:
    """Put nothing in the place of the last linear layer; give its name and the width of its input."""
    name, layer = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][
        -1
    ]
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return name, layer.in_features


def weights_file(folder: Path, name: str) -> Path:
    """Find the one weights file of this backbone in the channel `pretrained`."""
    wanted = [f"{name}{suffix}" for suffix in SUFFIXES]
    found = [folder / file for file in wanted if (folder / file).is_file()]
    if len(found) == 1:
        return found[0]
    listed = (
        ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "no such folder"
    )
    raise JobError(
        f"backbone {name} needs its weights as exactly one of {' or '.join(wanted)} in channel pretrained "
        f"({folder}: {listed or 'empty'}); build the pipeline with --pretrained-channel and upload the file"
    )


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a state dict as torchvision saves it; the classifier's own weights are left out."""
    state = _read(path)
    wanted = network.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    if missing:
        raise JobError(
            f"{path.name} does not fit the backbone: {len(missing)} tensors are missing, e.g. {missing[0]}"
        )
    wrong = [key for key, value in wanted.items() if state[key].shape != value.shape]
    if wrong:
        shapes = f"{tuple(state[wrong[0]].shape)} instead of {tuple(wanted[wrong[0]].shape)}"
        raise JobError(f"{path.name} does not fit the backbone: {wrong[0]} has shape {shapes}")
    network.load_state_dict({key: state[key] for key in wanted})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise JobError(f"{path.name} is not a file of weights: {error}") from error
    except pickle.UnpicklingError as error:  # what weights_only refuses
        raise JobError(f"{path.name} holds more than tensors and is not loaded: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise JobError(f"{path.name} is not a state dict of tensors")
    return state
