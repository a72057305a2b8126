"""Grad-CAM: the heat is what its paper's formula gives, for every kind of network that has a feature map."""

import pytest
import torch
from torch import Tensor, nn

from training.evaluation.gradcam import COLOURS, COVER, heat, last_feature_map, overlay
from training.model import Classifier, folded

SIZE = 64


class Tiny(nn.Module):
    """Two features at each place, averaged, and classes that are weighted sums of them."""

    def __init__(self, weights: list[list[float]], *, overwrite: bool = False) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        self.after = nn.ReLU(inplace=True) if overwrite else nn.Identity()
        self.head = nn.Linear(2, len(weights), bias=False)
        with torch.no_grad():
            # The first feature is the red of a place, the second its blue.
            self.features.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None])
            self.head.weight.copy_(torch.tensor(weights))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.after(self.features(x)).mean((2, 3)))
        return logits


def two_lights() -> Tensor:
    """Return an image with a red place at the left top and a blue one half as bright at the right bottom."""
    image = torch.zeros(1, 3, 8, 8)
    image[0, 0, 1, 1], image[0, 2, 6, 6] = 1.0, 0.5
    return image


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_heat_is_the_weighted_sum_of_the_features_without_what_speaks_against(overwrite: bool) -> None:
    network, image = Tiny([[2.0, 1.0], [-1.0, 3.0]], overwrite=overwrite).requires_grad_(False), two_lights()
    found = last_feature_map(network, image)
    assert found
    assert not found.channels_last
    if not overwrite:
        assert found.name == "after"
    both = heat(network, found, image, 0)
    # d logit / d feature is the weight over 64 places, for each; what is left is the ratio of the two.
    assert both[1, 1] == pytest.approx(1.0)
    assert both[6, 6] == pytest.approx(0.5 * 1 / 2)
    blue = heat(network, found, image, 1)
    assert blue[6, 6] == pytest.approx(1.0)
    assert blue[1, 1] == 0, "red speaks against the second class"
    assert both.shape == (8, 8)


def test_where_nothing_speaks_for_a_class_nothing_is_hot() -> None:
    network, image = Tiny([[-1.0, -1.0]]).requires_grad_(False), two_lights()
    found = last_feature_map(network, image)
    assert found
    assert heat(network, found, image, 0).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        ("efficientnet_lite0", "body.top"),
        ("resnet18", "body.layer4"),
        ("densenet121", "body.features"),
        ("convnext_tiny", "body.features"),
        ("swin_t", "body.permute"),
        ("vit_b_16", None),
    ],
)
def test_the_last_map_of_a_network_is_found_and_a_transformer_of_tokens_has_none(
    backbone: str, layer: str | None
) -> None:
    torch.manual_seed(1)
    network = folded(Classifier(backbone, 3, 0.0)).requires_grad_(False)
    size = 224 if backbone == "vit_b_16" else SIZE
    image = torch.randn(1, 3, size, size)
    before = network(image)
    found = last_feature_map(network, image)
    assert (found.name if found else None) == layer
    if found:
        assert heat(network, found, image, 0).shape == (size, size)
    assert torch.equal(network(image), before), "a hook was left behind"


def test_channels_may_come_last() -> None:
    class Last(Tiny):
        def __init__(self) -> None:
            super().__init__([[2.0, 1.0]])
            self.turn = Turn()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.pool(self.turn(self.features(x))))
            return logits

        def pool(self, x: Tensor) -> Tensor:
            return self.after(x.mean((1, 2)))  # type: ignore[no-any-return]

    network, image = Last().requires_grad_(False), two_lights()
    found = last_feature_map(network, image)
    assert found
    assert (found.name, found.channels_last) == ("turn", True)
    assert heat(network, found, image, 0)[6, 6] == pytest.approx(0.25)


class Turn(nn.Module):
    """Puts channels last, as some networks have them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, height, width, channels)."""
        return x.permute(0, 2, 3, 1)


def test_the_picture_shows_heat_over_the_image_and_the_image_where_there_is_none() -> None:
    pixels = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    heated = torch.zeros(4, 4)
    heated[0, 0] = 1.0
    drawn = overlay(pixels, heated)
    assert (drawn.dtype, drawn.shape) == (torch.uint8, (3, 4, 4))
    assert torch.equal(drawn[:, 1:], pixels[:, 1:])
    assert drawn[:, 0, 0].tolist() == [round(100 * (1 - COVER) + COVER * each) for each in COLOURS[-1]]
