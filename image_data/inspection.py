"""What only the images tell: which cannot be read, which are the same, which boxes lie beside them.

Some of it is only named, in the manifest and in what people are told; above a share of the images it is an
error, because a model would be trained or measured on something else than somebody thinks.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from image_data import decoding
from image_data.errors import DataError, UnreadableImageError
from image_data.plan import Plan
from image_data.records import Box, ImageRecord
from image_data.spelling import some
from image_data.streaming import in_order

UNREADABLE_SHARE = 0.05
"""Of the images: more broken ones are a broken copy of the data, not a few bad files."""
DUPLICATE_SHARE = 0.01
"""Of the images that are tested, trained or labelled twice over: a tested image that was trained on lifts the
accuracy by what it weighs, and a point is less than the accuracy's own interval."""
BOX_SHARE = 0.01
"""Of the boxes: more of them beside their images are another image size's, or another unit's."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that cannot be decoded."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duplicates:
    """Images of the same bytes under several labels or in several splits."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]


@dataclass
class Inspection:
    """What was found while the images of a plan were read; `add` every one of them, then `check`."""

    plan: Plan
    unreadable: list[Unreadable] = field(default_factory=list)
    stray_boxes: list[str] = field(default_factory=list)
    read: int = 0
    """How many images were decoded or found unreadable."""
    digests: dict[int, bytes] = field(default_factory=dict)
    """The sha256 of every image's bytes, by its number."""
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Width and height of every image that was decoded, by its number."""
    _broken: Counter[tuple[int, str]] = field(default_factory=Counter)
    _broken_numbers: list[int] = field(default_factory=list)

    def add_bytes(self, image: ImageRecord, digest: bytes) -> None:
        """Take note of what an image's bytes hash to."""
        self.digests[image.number] = digest

    def add_readable(self, image: ImageRecord, width: int, height: int) -> None:
        """Take note of an image's size in pixels, as shown."""
        self.read += 1
        self.sizes[image.number] = width, height
        if image.box and not overlaps(image.box, width, height):
            self.stray_boxes.append(image.name)

    def add_unreadable(self, image: ImageRecord, reason: str) -> None:
        """Take note that an image cannot be decoded."""
        self.read += 1
        self.unreadable.append(Unreadable(image.name, reason))
        self._broken_numbers.append(image.number)
        self._broken[image.class_id, self.plan.splits[image.number]] += 1

    def duplicates(self) -> list[Duplicates]:
        """Return the images whose bytes are under several labels or in several splits, by name.

        Those that cannot be read are none: nobody trains on them, and empty files are all equal.
        """
        found = []
        broken = {self.digests[number] for number in self._broken_numbers}
        same: dict[bytes, list[ImageRecord]] = defaultdict(list)
        for image in self.plan.images:
            same[self.digests[image.number]].append(image)
        for digest, images in same.items():
            if len(images) > 1 and digest not in broken:
                labels = sorted({self.plan.classes[image.class_id] for image in images})
                splits = sorted({self.plan.splits[image.number] for image in images})
                if len(labels) > 1 or len(splits) > 1:
                    names = tuple(sorted(image.name for image in images))
                    found.append(Duplicates(names, tuple(labels), tuple(splits)))
        return sorted(found, key=lambda each: each.names)

    def reasons(self) -> list[str]:
        """Return how many images cannot be read for each reason, the most frequent first."""
        counts = Counter(image.reason for image in self.unreadable)
        return [f"{count:,} {reason}" for reason, count in counts.most_common()]

    def warnings(self) -> list[str]:
        """Return what is let pass, in a sentence each."""
        told = [f"unreadable image {image.name!r}: {image.reason}" for image in self.unreadable]
        told += [
            f"the same bytes {'in several splits' if len(each.splits) > 1 else 'under several labels'}: "
            + some(map(repr, each.names))
            for each in self.duplicates()
        ]
        return told + [f"the box of {name!r} lies outside of it and is left out" for name in self.stray_boxes]

    def check(self, unreadable_share: float = UNREADABLE_SHARE) -> None:
        """Raise DataError where what was found is too much to train on."""
        self._check_unreadable(unreadable_share)
        self._check_classes()
        self._check_duplicates()
        boxes = sum(image.box is not None for image in self.plan.images)
        if len(self.stray_boxes) > BOX_SHARE * boxes:
            raise DataError(
                f"{len(self.stray_boxes):,} of {boxes:,} boxes lie outside of their images, more than "
                f"{BOX_SHARE:.0%} ({some(sorted(self.stray_boxes), 3)}): give them in pixels of the images"
            )

    def _check_unreadable(self, share: float) -> None:
        broken = len(self.unreadable)
        if broken > share * self.read:
            first = min(self.unreadable, key=lambda image: image.name)
            raise DataError(
                f"{broken:,} of {self.read:,} images cannot be read, more than {share:.0%}; "
                f"the first is {first.name!r}: {first.reason}. Repair them, or take them out of the data"
                + (f". In all: {some(self.reasons())}" if broken > 1 else "")
            )

    def _check_classes(self) -> None:
        images = Counter((image.class_id, self.plan.splits[image.number]) for image in self.plan.images)
        splits = Counter(self.plan.splits.values())
        for split, broken in _by_split(self._broken).items():
            if broken == splits[split]:
                raise DataError(f"none of the {broken:,} {split} images can be read")
        lost = sorted(
            self.plan.classes[class_id]
            for (class_id, split), broken in self._broken.items()
            if split == "train" and broken == images[class_id, split]
        )
        if lost:
            raise DataError(
                f"none of the images to train with can be read for {some(lost)}: repair them, or leave the "
                "class out"
            )

    def _check_duplicates(self) -> None:
        duplicates = self.duplicates()
        count = sum(len(each.names) for each in duplicates)
        if count > DUPLICATE_SHARE * len(self.plan.images):
            first = duplicates[0]
            where = (
                f"labelled {' and '.join(first.labels)}"
                if len(first.labels) > 1
                else f"in {' and '.join(first.splits)}"
            )
            raise DataError(
                f"{count:,} of {len(self.plan.images):,} images have the same bytes as another one with "
                f"another label or in another split, more than {DUPLICATE_SHARE:.0%}; the first are "
                f"{some(map(repr, first.names), 3)}, {where}: leave one of each in the data"
            )


def inspect(plan: Plan, advance: Callable[[], None]) -> Inspection:
    """Read every image of a plan to its end, calling `advance` after each, and return what was found."""
    inspection = Inspection(plan)

    def look(item: tuple[ImageRecord, bytes]) -> tuple[ImageRecord, bytes, tuple[int, int] | str]:
        image, data = item
        try:
            found: tuple[int, int] | str = decoding.check(data)
        except UnreadableImageError as error:
            found = str(error)
        return image, hashlib.sha256(data).digest(), found

    for image, digest, found in in_order(look, plan.data.read(plan.images)):
        inspection.add_bytes(image, digest)
        if isinstance(found, str):
            inspection.add_unreadable(image, found)
        else:
            inspection.add_readable(image, *found)
        advance()
    return inspection


def _by_split(broken: Mapping[tuple[int, str], int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (_class_id, split), count in broken.items():
        counts[split] += count
    return dict(counts)


def overlaps(box: Box, width: int, height: int) -> bool:
    """Return whether a box covers a part of an image of that size."""
    x, y, across, down = box
    return x < width and y < height and x + across > 0 and y + down > 0
