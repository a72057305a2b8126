"""What every layout says: the classes by number, and each image's file, class, split and box."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from image_data.errors import DataError
from image_data.files import MAX_TEXT_BYTES, Files
from image_data.spelling import some

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "holdout"), TEST),
}
"""How people call the splits, in small letters."""

Box = tuple[float, float, float, float]
"""x, y of the upper left corner, width and height, in pixels of the image as shown."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image: its number from 1, its name, which no layout changes, and its file's name in the data set.

    `split` is None where the data set leaves it open.
    """

    number: int
    name: str
    file: str
    class_id: int
    box: Box | None
    split: str | None


@dataclass(frozen=True)
class DataSet:
    """The classes by number and every image in the order of the names; `lists` are the files that say so."""

    files: Files
    layout: str
    classes: Mapping[int, str]
    images: tuple[ImageRecord, ...]
    lists: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of_classes(self, class_ids: Iterable[int]) -> tuple[ImageRecord, ...]:
        """Return the images of these classes."""
        wanted = frozenset(class_ids)
        return tuple(image for image in self.images if image.class_id in wanted)

    def read(self, images: Collection[ImageRecord]) -> Iterator[tuple[ImageRecord, bytes]]:
        """Yield each image's bytes once, in whatever order the files have."""
        by_file = {image.file: image for image in images}
        for name, data in self.files.read(by_file):
            yield by_file[name], data


@dataclass(frozen=True, slots=True)
class Listed:
    """An image as a layout lists it, before it has a number."""

    name: str
    file: str
    class_name: str
    box: Box | None = None
    split: str | None = None


def data_set(
    files: Files,
    layout: str,
    listed: Iterable[Listed],
    *,
    lists: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    numbers: Mapping[str, int] | None = None,
) -> DataSet:
    """Number the images in the order of their names, and the classes where `numbers` does not.

    The same images with the same names are the same data set, however they are laid out.
    """
    images = sorted(listed, key=lambda image: image.name)
    for first, second in pairwise(images):
        if first.name == second.name:
            raise DataError(f"{files.where}: {first.name!r} is listed twice; leave one of the two")
    numbers = numbers or class_numbers({image.class_name for image in images})
    _check_class_names(files, numbers)
    _check_boxes(files, [image.box for image in images if image.box])
    records = (
        ImageRecord(number, image.name, image.file, numbers[image.class_name], image.box, image.split)
        for number, image in enumerate(images, start=1)
    )
    classes = {number: name for name, number in sorted(numbers.items(), key=lambda item: item[1])}
    return DataSet(files, layout, classes, tuple(records), lists, (*notes, *_alike(classes.values())))


def _check_class_names(files: Files, names: Iterable[str]) -> None:
    for name in names:
        if any(unicodedata.category(character) == "Cc" for character in name):
            raise DataError(f"{files.where}: class {name!r} has a control character in its name; rename it")


def _check_boxes(files: Files, boxes: Collection[Box]) -> None:
    """Raise DataError where all boxes lie within one pixel: some tools write shares of the image."""
    if boxes and all(x + width <= 1 and y + height <= 1 for x, y, width, height in boxes):
        raise DataError(
            f"{files.where}: every box lies within one pixel; give pixels, not shares of the image"
        )


def _alike(names: Iterable[str]) -> tuple[str, ...]:
    """Return the note about classes that may be one, with a capital letter or without."""
    by_lower: dict[str, list[str]] = {}
    for name in names:
        by_lower.setdefault(name.lower(), []).append(name)
    alike = [" and ".join(each) for each in by_lower.values() if len(each) > 1]
    return (f"classes whose names differ in capital letters only: {some(alike, 3)}",) if alike else ()


def class_numbers(names: Collection[str]) -> dict[str, int]:
    """Number classes as their names begin (`013.Bobolink`), as they are numbers, or from 1 in order."""
    for pattern in (r"(\d{1,9})\.", r"(\d{1,9})$"):
        found = {name: re.match(pattern, name) for name in names}
        numbers = {name: int(match[1]) for name, match in found.items() if match}
        if len(set(numbers.values())) == len(names):
            return numbers
    return {name: number for number, name in enumerate(sorted(names), start=1)}


def composed(name: str) -> str:
    """Write accents in one way (NFC): Macs write them in another one (NFD) than lists do."""
    return unicodedata.normalize("NFC", name)


def common_folder(names: list[str]) -> str:
    """Return the folder that all of these files are below, with a slash at its end, or nothing."""
    folders = {name.rpartition("/")[0] for name in names}
    if "" in folders:
        return ""
    common = os.path.commonpath([f"/{folder}" for folder in folders]).removeprefix("/")
    return f"{common}/" if common else ""


def by_composed_name(names: Iterable[str], where: str) -> dict[str, str]:
    """Map each name as lists write it to the file's own."""
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(composed(name), name)
        if other != name:
            raise DataError(f"{where} has {name!r} twice, with its accents written in two ways; leave one")
    return found


def absent(names: Collection[str], present: Mapping[str, str], where: str, listed_in: str) -> DataError:
    """Return the error for images that are listed and are not there, with what is there instead."""
    by_lower = {name.lower(): name for name in present}
    shown = [
        repr(name) + (f" (there is {by_lower[name.lower()]!r})" if name.lower() in by_lower else "")
        for name in names
    ]
    noun = "image is" if len(shown) == 1 else "images are"
    return DataError(f"{len(shown):,} {noun} listed in {listed_in} but not in {where}: {some(shown, 3)}")


def unlisted(count: int, listed_in: str) -> tuple[str, ...]:
    """Return the note about files that no list names."""
    if count <= 0:
        return ()
    what = "1 file is" if count == 1 else f"{count:,} files are"
    return (f"{what} not listed in {listed_in} and left out",)


def read_box(numbers: Iterable[str]) -> Box:
    """Read a box of x, y, width and height.

    Raises:
        ValueError: It is no box: a number is missing, not finite, or a side is not above 0.
    """
    x, y, width, height = map(float, numbers)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("a box needs four finite numbers")
    if width <= 0 or height <= 0:
        raise ValueError(f"a box of {width:g} x {height:g} pixels is none")
    return x, y, width, height


def text_of(data: bytes, name: str) -> str:
    """Decode a list, which must be UTF-8 and no longer than lists are."""
    if len(data) > MAX_TEXT_BYTES:
        raise DataError(f"{name} has more than the {MAX_TEXT_BYTES:,} bytes that a list may have")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text: {error}; save it as UTF-8") from error
    if "\0" in text:
        raise DataError(f"{name} is not text: it holds zero bytes; save it as UTF-8")
    return text
