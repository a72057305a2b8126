"""How deep the parameters of a network lie, compared with timm's own tables of its networks."""

from typing import Any

import pytest

from training import backbones
from training.backbones.backbone import WithoutMemory

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "beit_base_patch16_224",
        "convnext_atto",
        "convnextv2_atto",
        "densenet121",
        "efficientnet_b0",
        "eva02_base_patch14_224",
        "hiera_base_224",
        "mobilenetv3_large_100",
        "resnet50",
        "swin_base_patch4_window7_224",
        "vit_base_patch14_dinov2",
        "vit_tiny_patch16_224",
    ],
)
def test_the_order_is_that_of_timm(name: str) -> None:
    from timm.models import group_parameters

    with WithoutMemory():
        network: Any = backbones.build(f"timm/{name}").network
    depths = backbones.parameter_depths(network)
    groups = group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    assert depths.keys() == dict(network.named_parameters()).keys()
    assert min(depths.values()) == 0.0
    assert max(depths.values()) < 1.0
    ordered = sorted(groups.keys() & depths.keys(), key=lambda part: (groups[part], depths[part]))
    assert [depths[part] for part in ordered] == sorted(depths[part] for part in ordered)
    # Not fewer steps than timm has: what lies in another layer has another learning rate.
    assert len(set(depths.values())) >= len(set(groups.values())) - 1


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("convnext_atto", "stages.3.blocks."),
        ("mobilenetv3_large_100", "blocks.5."),
        ("regnety_002", "s4."),
        ("resnet50", "layer4."),
        ("swin_base_patch4_window7_224", "layers.3.blocks."),
        ("vit_tiny_patch16_224", "blocks.11."),
    ],
)
def test_the_last_stage_is_found_by_the_blocks(name: str, stage: str) -> None:
    with WithoutMemory():
        assert backbones.last_stage(backbones.build(f"timm/{name}").network) == stage
