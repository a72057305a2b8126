"""Models that nobody trained: their description, and their two files packed as SageMaker packs them."""

import dataclasses
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.artifact import ModelDescription
from training.backbones.efficientnet_lite import INPUT as LITE_INPUT


def description(classes: Sequence[str], image_size: int = 32, **changes: Any) -> ModelDescription:
    """Describe an EfficientNet-Lite0 of these classes, numbered from one as CUB's are."""
    described = ModelDescription(
        backbone="efficientnet_lite0",
        image_size=image_size,
        classes=[{"label": n, "class_id": n + 1, "name": name} for n, name in enumerate(classes)],
        mean=list(LITE_INPUT.mean),
        std=list(LITE_INPUT.std),
        interpolation=LITE_INPUT.interpolation,
        crop_fraction=LITE_INPUT.crop_fraction,
        dropout=0.2,
        temperature=1.0,
        data_digest="0" * 64,
        pretrained_digest="1" * 64,
        code_digest="2" * 64,
        hyper_parameters={},
        torch="",
        torchvision="",
    )
    return dataclasses.replace(described, **changes)


def pack(folder: Path, archive: Path) -> Path:
    """Pack a model's files; not compressed, for that takes longer than the test."""
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return archive
