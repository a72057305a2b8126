"""timm's networks: built without a connection, for the size that is asked for, with what was published."""

import socket
from typing import Any

import pytest
import timm
import torch

from training import backbones
from training.backbones import check_name
from training.backbones.backbone import WithoutMemory
from training.job import JobError
from training.model import Classifier, folded

pytestmark = pytest.mark.slow


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def refuse(*arguments: Any, **_options: Any) -> None:
        opened.append(arguments)
        raise OSError("no network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    for name in ("timm/convnext_atto.d2_in1k", "timm/vit_tiny_patch16_224.augreg_in21k"):
        check_name(name)
        Classifier(name, 3, 0.2, image_size=64)
    with pytest.raises(JobError):
        check_name("timm/no_such_network")
    assert not opened


def test_mean_deviation_and_size_are_those_of_the_published_weights() -> None:
    with WithoutMemory():
        augreg = backbones.build("timm/vit_tiny_patch16_224.augreg_in21k")
        clip = backbones.build("timm/resnet50_clip.openai")
        dinov2 = backbones.build("timm/vit_small_patch14_dinov2.lvd142m")
    assert augreg.input_format.mean == augreg.input_format.std == (0.5, 0.5, 0.5)
    assert clip.input_format.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert (augreg.native_size, dinov2.native_size) == (224, 518)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224"]
)
def test_a_network_made_for_one_size_is_made_for_the_one_that_is_asked_for(name: str) -> None:
    body = Classifier(f"timm/{name}", 3, 0.2, image_size=64).body.eval()
    with torch.inference_mode():
        assert tuple(body(torch.zeros(1, 3, 64, 64)).shape) == (1, timm.create_model(name).num_features)


@pytest.mark.parametrize(
    ("name", "size"), [("levit_128", 100), ("xcit_nano_12_p16_224", 100), ("maxvit_tiny_rw_224", 8)]
)
def test_a_size_that_a_network_cannot_take_is_refused_with_its_own(name: str, size: int) -> None:
    with pytest.raises(
        JobError, match=f"image-size is {size}, which backbone timm/{name} cannot take: .* at 224"
    ):
        backbones.build(f"timm/{name}", size)


def test_the_chance_to_be_skipped_grows_to_that_of_the_last_block() -> None:
    from timm.layers.drop import DropPath

    with WithoutMemory():
        network = backbones.build("timm/convnext_atto", stochastic_depth=0.3).network
        plain = backbones.build("timm/vgg11", stochastic_depth=0.3).network  # skips none
    chances = [layer.drop_prob for layer in network.modules() if isinstance(layer, DropPath)]
    assert chances == sorted(chances)
    assert chances[-1] == pytest.approx(0.3)
    assert not any(isinstance(layer, DropPath) for layer in plain.modules())


@pytest.mark.parametrize(
    "name", ["resnet18d", "tf_efficientnetv2_b0", "mobilenetv3_small_050", "resnetv2_18d", "levit_128"]
)
def test_a_network_folded_for_predicting_gives_the_same_features(name: str) -> None:
    size = 224 if name == "levit_128" else 64
    body = Classifier(f"timm/{name}", 3, 0.2, image_size=size).body
    generator = torch.Generator().manual_seed(0)
    for part, value in body.named_buffers():  # norms that do something
        if part.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    x = torch.randn(2, 3, size, size, generator=generator)
    with torch.inference_mode():
        plain = body.eval()(x)
        assert torch.allclose(folded(body)(x), plain, atol=1e-4 * float(plain.abs().max()))


def test_a_convolution_that_changes_its_weights_is_not_folded() -> None:
    from timm.layers.std_conv import StdConv2d

    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(4)
    norm.load_state_dict({**norm.state_dict(), "running_var": torch.full((4,), 4.0)})
    network = torch.nn.Sequential(StdConv2d(3, 4, 3), norm).eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(folded(network)(x), network(x), atol=1e-5)
