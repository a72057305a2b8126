"""Which backbones there are, what a wrong name is answered with, and what asking for one costs."""

import subprocess
import sys

import pytest

from training import backbones
from training.backbones import check_name
from training.job import JobError

IMPORTS = """
import sys
from pathlib import Path
from training import artifact, fit, model
from training.backbones import check_name
from training.model import Classifier
check_name("efficientnet_lite0")
classifier = Classifier("efficientnet_lite0", 3, 0.2, image_size=32)
classifier.load_pretrained(Path())
print(sorted({"timm", "torchvision"} & sys.modules.keys()))
"""


def test_the_default_backbone_imports_neither_torchvision_nor_timm() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_listed_names_are_legal() -> None:
    names = backbones.names()
    assert names[0] == "efficientnet_lite0"
    assert {"resnet50", "vgg16", "googlenet", "squeezenet1_1", "maxvit_t", "vit_h_14"} <= set(names)
    for name in names:
        check_name(name)


@pytest.mark.parametrize(
    "name", ["timm/convnext_base.fb_in22k", "timm/vit_base_patch14_dinov2.lvd142m", "timm/resnet50"]
)
def test_timm_s_names_are_legal_with_and_without_a_tag(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "did you mean resnet18"),
        ("efficientnet_lite", "did you mean efficientnet_lite0"),
        (
            '"efficientnet_lite0"',
            "did you mean efficientnet_lite0",
        ),  # as the SDK encodes its estimators' texts
        ("timm/convnext_bas", "no network of timm .*; did you mean timm/convnext_base"),
        (
            "timm/resnet50.in22k",
            r"no weights of resnet50 named in22k; the legal names are timm/resnet50, timm/resn",
        ),
        ("timm/hf-hub:someone/model", "no network of timm"),
        ("timm/", "no network of timm"),
        ("timm/resnet50.", "no weights of resnet50 named ; the legal names are timm/resnet50, timm/resn"),
        ("xxxxxxxxxxxx", "the legal names are efficientnet_lite0, alexnet.*and timm/<name>"),
    ],
)
def test_an_unknown_backbone_is_refused_with_what_to_write_instead(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        check_name(name)
