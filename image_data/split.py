"""Who trains, who validates, who tests: the official split, or a seeded one that keeps the classes' shares.

Every choice ranks the images of a class by a hash of (seed, purpose, name). It depends on nothing else: not
on the order of the files, the number of instances or the random generator of a library.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from image_data.records import TEST, TRAIN, VALIDATION, ImageRecord


def assign_splits(
    images: Iterable[ImageRecord], *, seed: int, validation_share: float, test_share: float
) -> dict[int, str]:
    """Return the split of every image, by its number.

    What the data says stays: its test images are tested, and its validation images validate. Where it has no
    test images, `test_share` of every class's train images is tested; where it has no validation images,
    `validation_share` of what is left of them validates. A class of two images or more keeps at least one.
    """
    every = list(images)
    given = {image.split for image in every}
    by_class: dict[int, list[ImageRecord]] = defaultdict(list)
    splits: dict[int, str] = {}
    for image in every:
        splits[image.number] = image.split or TRAIN
        if splits[image.number] == TRAIN:
            by_class[image.class_id].append(image)
    for members in by_class.values():
        tested = set() if TEST in given else _pick(members, seed, TEST, test_share)
        rest = [image for image in members if image not in tested]
        validated = set() if VALIDATION in given else _pick(rest, seed, VALIDATION, validation_share)
        splits |= dict.fromkeys((image.number for image in tested), TEST)
        splits |= dict.fromkeys((image.number for image in validated), VALIDATION)
    return splits


def _pick(members: list[ImageRecord], seed: int, purpose: str, share: float) -> set[ImageRecord]:
    count = min(max(1, round(share * len(members))), len(members) - 1) if share and members else 0
    return set(sorted(members, key=lambda image: _rank(seed, purpose, image.name))[:count])


def _rank(seed: int, purpose: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()
