"""Every classifier of torchvision is a backbone; what a network cannot take is refused before it is built."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.training.weight_files import randomised, write_weights
from training import backbones
from training.backbones.backbone import WithoutMemory
from training.job import JobError
from training.model import Classifier

pytestmark = pytest.mark.slow

NAMES = [name for name in backbones.names() if name not in backbones.IN_IMAGE]
# As their authors call the last of the stages, or of the blocks where there are no stages.
LAST_STAGES = {
    "alexnet": "classifier.4.",
    "convnext_tiny": "features.7.",
    "densenet121": "features.denseblock4.",
    "efficientnet_b0": "features.7.",
    "efficientnet_v2_s": "features.6.",
    "googlenet": "inception5b.",
    "inception_v3": "Mixed_7c.",
    "maxvit_t": "blocks.3.",
    "mnasnet1_0": "layers.13.",
    "mobilenet_v2": "features.17.",
    "mobilenet_v3_large": "features.15.",
    "mobilenet_v3_small": "features.11.",
    "regnet_y_400mf": "trunk_output.block4.",
    "resnet18": "layer4.",
    "shufflenet_v2_x1_0": "stage4.",
    "squeezenet1_1": "features.12.",
    "swin_t": "features.7.",
    "vgg16": "classifier.3.",
    "vit_b_32": "encoder.layers.encoder_layer_11.",
}


def without_memory(name: str, **options: Any) -> Classifier:
    """Build a classifier whose parameters have shapes and no values."""
    with WithoutMemory():
        return Classifier(name, 3, 0.2, **options)


@pytest.mark.parametrize("name", NAMES)
def test_every_classifier_is_a_backbone(name: str) -> None:
    classifier = without_memory(name)
    parameters = dict(classifier.named_parameters())
    last = classifier.last_stage_parameters()
    share = sum(each.numel() for each in last.values()) / sum(each.numel() for each in parameters.values())
    assert 0.02 < share < 0.9
    if name in LAST_STAGES:
        assert next(iter(last)).startswith(f"body.{LAST_STAGES[name]}")
    depths = classifier.depths()
    assert depths.keys() == parameters.keys()
    assert {depth for part, depth in depths.items() if part.startswith("head.")} == {1.0}
    body = [depth for part, depth in depths.items() if part.startswith("body.")]
    assert body[0] == 0.0
    assert body == sorted(body)
    assert 0.5 < body[-1] < 1.0
    assert len(set(body)) >= 7


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("vit_b_16", 100, "indivisible by patch size"),
        ("inception_v3", 64, "greater than actual input size"),
        ("maxvit_t", 250, ""),
        ("alexnet", 32, ""),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(name: str, size: int, reason: str) -> None:
    message = (
        f"image-size is {size}, which backbone {name} cannot take: .*{reason}.*; its weights were trained at"
    )
    with pytest.raises(JobError, match=f"(?i){message}"):
        backbones.build(name, size)


def test_a_network_made_for_one_size_is_made_for_the_one_that_is_asked_for() -> None:
    body = Classifier("vit_b_32", 3, 0.2, image_size=64).body.eval()
    with torch.inference_mode():
        assert tuple(body(torch.zeros(1, 3, 64, 64)).shape) == (1, 768)


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t", "efficientnet_b0"])
def test_the_chance_to_be_skipped_grows_to_that_of_the_last_block(name: str) -> None:
    from torchvision.ops import StochasticDepth

    for depth in (0.0, 0.3):
        network = without_memory(name, stochastic_depth=depth)
        chances = [layer.p for layer in network.modules() if isinstance(layer, StochasticDepth)]
        assert chances == sorted(chances)
        assert (chances[0], chances[-1]) == (0.0, depth)


def published(name: str, **options: Any) -> Any:
    """Build the network as torchvision does, classes and all."""
    from torchvision import models

    return randomised(models.get_model(name, weights=None, **options))


def loaded(name: str, folder: Path, size: int) -> nn.Module:
    classifier = Classifier(name, 3, 0.2, image_size=size).eval()
    classifier.load_pretrained(folder)
    return classifier.body


@pytest.mark.parametrize(("name", "layer"), [("shufflenet_v2_x0_5", "fc"), ("mnasnet0_5", "classifier.1")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_features_are_what_the_published_network_classifies(
    tmp_path: Path, name: str, layer: str, suffix: str
) -> None:
    network = published(name)
    write_weights(tmp_path / f"{name}{suffix}", network.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(
            network.get_submodule(layer)(loaded(name, tmp_path, 64)(x)), network(x), atol=1e-4
        )


def test_weights_from_tensorflow_see_what_torchvision_converts_for_them(tmp_path: Path) -> None:
    network = published("googlenet", transform_input=True, init_weights=False)
    write_weights(tmp_path / "googlenet.pth", network.state_dict())
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    classifier = Classifier("googlenet", 3, 0.2, image_size=64).eval()
    classifier.load_pretrained(tmp_path)
    with torch.inference_mode():
        features = classifier.body(classifier.input_format.normalise(pixels))
        assert torch.allclose(network.fc(features), network((pixels / 255 - mean) / std), atol=1e-4)


def test_files_of_before_norms_counted_their_batches_are_read(tmp_path: Path) -> None:
    network = published("resnet18")
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    write_weights(tmp_path / "resnet18.pth", state)
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network.fc(loaded("resnet18", tmp_path, 32)(x)), network(x), atol=1e-4)


def test_old_names_of_densenet_are_read(tmp_path: Path) -> None:
    network = published("densenet121")
    old = OrderedDict(
        (name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."), value)
        for name, value in network.state_dict().items()
    )
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    write_weights(tmp_path / "densenet121.pth", old)
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        logits = network.classifier(loaded("densenet121", tmp_path, 32)(x))
        assert torch.allclose(logits, network(x), rtol=1e-4)


def test_a_transformer_s_positions_are_resized_and_its_old_names_read(tmp_path: Path) -> None:
    network = published("vit_b_32", image_size=64)
    old = {
        name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): value
        for name, value in network.state_dict().items()
    }
    write_weights(tmp_path / "vit_b_32.pth", old)
    same, larger = loaded("vit_b_32", tmp_path, 64), loaded("vit_b_32", tmp_path, 96)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network.heads(same(x)), network(x), atol=1e-4)
    positions = larger.get_parameter("encoder.pos_embedding")
    assert tuple(positions.shape) == (1, 1 + 9, 768)
    assert torch.equal(positions[:, 0], network.get_parameter("encoder.pos_embedding")[:, 0])
