"""Any torchvision classifier as a backbone, by its name, with weights from the channel `pretrained`.

Imported only where such a backbone is asked for: torchvision takes two seconds to import. Its wheel has no
weights and a job under network isolation cannot download any.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from typing import Any

from torch import nn
from torchvision import models
from torchvision.ops import StochasticDepth

from training.backbones.backbone import Backbone, InputFormat, State, feature_width

CLASSES = 1000
"""Of ImageNet, which tell the classifying layer from all others."""
# Their published weights come from TensorFlow, and torchvision converts ImageNet's normalisation for them.
_TENSORFLOWS = ("googlenet", "inception_v3")


def names() -> list[str]:
    """List torchvision's classifiers."""
    listed: list[str] = models.list_models(module=models)
    return listed


def build(name: str, image_size: int | None, stochastic_depth: float) -> Backbone:
    """Build the network up to its features, for images of this size where its layers depend on it."""
    preset = next(iter(models.get_model_weights(name))).transforms()
    native_size: int = preset.crop_size[0]
    size = image_size or native_size
    create = functools.partial(_network, name, size, stochastic_depth)
    width = feature_width(name, lambda: create()[0], size, native_size)
    network, classifier = create()
    half = (0.5, 0.5, 0.5)
    mean, std = (half, half) if name in _TENSORFLOWS else (tuple(preset.mean), tuple(preset.std))
    return Backbone(
        name=name,
        network=network,
        width=width,
        native_size=native_size,
        input_format=InputFormat(mean, std),
        classifier=(f"{classifier}.",),
        convert=functools.partial(_convert, network),
        forms="torchvision's state dict of this network",
    )


def _network(name: str, size: int, stochastic_depth: float) -> tuple[nn.Module, str]:
    """Return the network without its classifying layer, and that layer's name."""
    options: dict[str, Any] = {}
    if name in _TENSORFLOWS:
        options = {"aux_logits": False, "init_weights": False}
    elif name.startswith("vit_"):
        options = {"image_size": size}
    elif name.startswith("maxvit_"):
        options = {"input_size": (size, size)}
    network: nn.Module = models.get_model(name, weights=None, **options)
    # Some constructors take a probability, others fix it; all of them spread it evenly over the blocks.
    skipped = [layer for layer in network.modules() if isinstance(layer, StochasticDepth)]
    for place, layer in enumerate(skipped):
        layer.p = stochastic_depth * place / max(1, len(skipped) - 1)
    return network, _cut_classifier(network)


def _cut_classifier(network: nn.Module) -> str:
    """Put nothing in the place of the classifying layer, and return its name."""
    name: str = [
        name
        for name, layer in network.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == CLASSES)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == CLASSES)
    ][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return name


def _convert(network: nn.Module, state: State) -> State:
    """Do what torchvision's functions do to a file before they load it."""
    if isinstance(network, models.VisionTransformer) and "encoder.pos_embedding" in state:
        resized: State = models.vision_transformer.interpolate_embeddings(
            network.image_size, network.patch_size, OrderedDict(state)
        )
        return resized
    if isinstance(network, models.DenseNet):  # names of before 2017, which may not have inner dots now
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", name): v for name, v in state.items()}
    if isinstance(network, models.MNASNet):  # it asks for the version, which a file may lack
        versioned = OrderedDict(state)
        versioned._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
        return versioned
    return state
