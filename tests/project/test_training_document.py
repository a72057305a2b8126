"""What docs/training.md shows of code works as it stands there."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from image_data import files, records
from image_data.errors import DataError
from image_data.files import FolderFiles
from tests.support.training.cub_layout import picture
from tools.reference import DOCS
from training import augmentation, backbones, hyper_parameters
from training.backbones import backbone
from training.shards import IndexEntry

TEXT = (DOCS / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def run(code: str, *modules: Any) -> dict[str, Any]:
    """Run the one example that has this text with the names of these modules, and return its own."""
    [block] = [each for each in BLOCKS if code in each]
    names: dict[str, Any] = {}
    for module in modules:
        names |= vars(module)
    exec(compile(block, "docs/training.md", "exec", dont_inherit=True), names)  # noqa: S102 - our own
    return names


def test_the_backbone_takes_its_weights_and_gives_features(tmp_path: Path) -> None:
    example = run("bird_net", backbone)
    [name] = example["NAMES"]
    first, second = example["build"](name), example["build"](name)
    torch.save({**first.network.state_dict(), "fc.weight": torch.zeros(7, 128)}, tmp_path / "weights.pth")
    backbones.load_weights(second, tmp_path)
    images = torch.zeros(2, 3, 64, 64)
    features = second.network(images)
    assert features.shape == (2, second.width)
    assert torch.equal(features, first.network(images))
    depths = backbones.parameter_depths(second.network)
    assert len(set(depths.values())) == sum(isinstance(each, nn.Conv2d) for each in second.network.modules())
    assert any(name.startswith(backbones.last_stage(second.network)) for name in depths)


def test_the_augmentation_is_drawn_by_epoch_and_image() -> None:
    greyscale = run("class Greyscale", dataclasses, hyper_parameters, augmentation)["Greyscale"]
    pixels = torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))

    def is_grey(image: int, epoch: int = 0, probability: float = 0.5) -> bool:
        shown: Tensor = greyscale(probability, 7, epoch)(pixels, entry(image))
        assert shown.shape == pixels.shape
        assert shown.dtype == torch.uint8
        return bool((shown == shown[:1]).all())

    assert [is_grey(image, probability=1) for image in range(8)] == [True] * 8
    assert [is_grey(image, probability=0) for image in range(8)] == [False] * 8
    drawn = [is_grey(image) for image in range(32)]
    assert drawn == [is_grey(image) for image in range(32)]
    assert 8 < sum(drawn) < 24
    assert drawn != [is_grey(image, epoch=1) for image in range(32)]


def entry(number: int) -> IndexEntry:
    """Return what is known of an image."""
    numbers = {each.name: 8 for each in dataclasses.fields(IndexEntry) if each.type == "int"}
    known = {"id": number, "name": f"{number}.jpg", "shard": "shard-a-000.tar", "box": None}
    return IndexEntry(**{**numbers, **known})  # type: ignore[arg-type]


def test_the_layout_reads_its_list(tmp_path: Path) -> None:
    layout = run("labels.txt", records, files)
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(picture(0, number))

    def read(*lines: str) -> Any:
        (tmp_path / "labels.txt").write_text("".join(f"{line}\n" for line in lines))
        found = FolderFiles(tmp_path)
        return layout["read"](found, found.scan(lambda name: name == layout["LIST"]))

    data = read("0.jpg\tBobolink", "1.jpg\tCardinal", "2.jpg\tBobolink")
    assert data.classes == {1: "Bobolink", 2: "Cardinal"}
    assert [image.class_id for image in data.images] == [1, 2, 1]
    with pytest.raises(DataError, match="line 1: write a path, a tab and a class"):
        read("0.jpg Bobolink")
    with pytest.raises(DataError, match=r"3\.jpg"):
        read("0.jpg\tBobolink", "3.jpg\tCardinal")
