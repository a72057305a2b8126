"""Who trains, who validates, who tests: the official split, or a seeded one that keeps the classes' shares.

Every choice ranks the images of a class by a hash of (seed, purpose, name). It depends on nothing else: not
on the order of the files, the number of instances or the random generator of a library.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from training.cub import ImageRecord

SPLITS = ("train", "validation", "test")


def assign_splits(
    images: Iterable[ImageRecord], *, seed: int, validation_share: float, test_share: float
) -> dict[int, str]:
    """Return every image number its split.

    Where the data set has its own split, test is exactly that one's test and validation is carved out of its
    train; otherwise `test_share` of every class is tested. A class of two train images or more validates
    at least one of them and trains with at least one.
    """
    by_class: dict[int, list[ImageRecord]] = defaultdict(list)
    for image in images:
        by_class[image.class_id].append(image)
    splits: dict[int, str] = {}
    for members in by_class.values():
        tested = _tested(members, seed, test_share)
        rest = [image for image in members if image not in tested]
        validated = _pick(rest, seed, "validation", validation_share)
        splits |= {image.image_id: "train" for image in rest}
        splits |= {image.image_id: "validation" for image in validated}
        splits |= {image.image_id: "test" for image in tested}
    return splits


def _tested(members: list[ImageRecord], seed: int, share: float) -> set[ImageRecord]:
    if members[0].official_train is None:
        return _pick(members, seed, "test", share)
    return {image for image in members if not image.official_train}


def _pick(members: list[ImageRecord], seed: int, purpose: str, share: float) -> set[ImageRecord]:
    count = min(max(1, round(share * len(members))), len(members) - 1) if share and members else 0
    return set(sorted(members, key=lambda image: _rank(seed, purpose, image.name))[:count])


def _rank(seed: int, purpose: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()
