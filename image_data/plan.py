"""What Preprocess will do with a data set, decided before any image is read: the same for whoever asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_data.cub import CLASSES
from image_data.errors import DataError
from image_data.layouts import find_data_set
from image_data.records import SPLITS, TEST, TRAIN, VALIDATION, DataSet, ImageRecord
from image_data.selection import select_classes
from image_data.spelling import some
from image_data.split import assign_splits


@dataclass(frozen=True)
class Choice:
    """Which images are chosen, and how they are split where the data leaves that open."""

    class_selection: str = "all"
    annotation_file: str = CLASSES
    seed: int = 7
    validation_share: float = 0.1
    test_share: float = 0.2


@dataclass(frozen=True)
class Plan:
    """The chosen classes and images, and each image's split by its number."""

    data: DataSet
    classes: Mapping[int, str]
    images: tuple[ImageRecord, ...]
    splits: Mapping[int, str]

    def counts(self) -> dict[str, int]:
        """Return how many images each split has."""
        found = Counter(self.splits.values())
        return {split: found[split] for split in SPLITS}


def make_plan(place: Path, choice: Choice) -> Plan:
    """Read the data set at `place` and decide each chosen image's split.

    Raises:
        DataError: The data set is wrong, the chosen classes are not in it, or they have too few images.
    """
    data = find_data_set(place, choice.annotation_file)
    classes = select_classes(choice.class_selection, data.classes)
    images = data.of_classes(classes)
    splits = assign_splits(
        images,
        seed=choice.seed,
        validation_share=choice.validation_share,
        test_share=choice.test_share,
    )
    trained = {image.class_id for image in images if splits[image.number] == TRAIN}
    untrained = [name for number, name in classes.items() if number not in trained]
    if untrained:
        raise DataError(
            f"no images to train with for {some(untrained)}: give each class at least 3, or leave it out"
        )
    for split in (VALIDATION, TEST):
        if split not in splits.values():
            raise DataError(f"no images are left for {split}: give the classes more images")
    return Plan(data, classes, images, splits)
