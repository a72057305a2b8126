"""The layout of CUB-200-2011: text files that list classes, images, labels, boxes and the official split.

classes.txt (or another name)    <class id> <class name>
images.txt                       <image id> <path below images/>
image_class_labels.txt           <image id> <class id>
bounding_boxes.txt (optional)    <image id> <x> <y> <width> <height>   in pixels of the original
train_test_split.txt (optional)  <image id> <1 = train, 0 = test>
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from training.job import JobError

IMAGES, LABELS, BOXES, SPLIT = (
    "images.txt",
    "image_class_labels.txt",
    "bounding_boxes.txt",
    "train_test_split.txt",
)
REQUIRED = (IMAGES, LABELS)
OPTIONAL = (BOXES, SPLIT)

Box = tuple[float, float, float, float]
Value = TypeVar("Value")


@dataclass(frozen=True)
class ImageRecord:
    """One listed image; `official_train` is None where the data set has no train_test_split.txt."""

    image_id: int
    name: str
    class_id: int
    box: Box | None
    official_train: bool | None


@dataclass(frozen=True)
class Annotations:
    """The classes by number and every listed image in the order of its number."""

    classes: Mapping[int, str]
    images: tuple[ImageRecord, ...]

    def of_classes(self, class_ids: Iterable[int]) -> tuple[ImageRecord, ...]:
        """Keep the images of these classes."""
        wanted = frozenset(class_ids)
        return tuple(image for image in self.images if image.class_id in wanted)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the closest known word, or nothing."""
    # The Lambda has a function of this name too; the container holds no code but this package.
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def read_annotations(texts: Mapping[str, str], classes_file: str) -> Annotations:
    """Read the text files of a data set, given by their names, or say which line is wrong."""
    classes = _table(texts, classes_file, lambda rest: rest)
    _check_names(classes, classes_file)
    names = _table(texts, IMAGES, _image_name)
    labels = _table(texts, LABELS, int)
    boxes = _table(texts, BOXES, _box) if BOXES in texts else {}
    split = _table(texts, SPLIT, _is_train) if SPLIT in texts else None
    _check_numbers(names, labels, split, classes, classes_file)
    records = (
        ImageRecord(
            number, names[number], labels[number], boxes.get(number), split[number] if split else None
        )
        for number in sorted(names)
    )
    return Annotations(classes, tuple(records))


def _table(texts: Mapping[str, str], name: str, parse: Callable[[str], Value]) -> dict[int, Value]:
    """Read lines of a number and the rest; the rest may hold spaces."""
    table: dict[int, Value] = {}
    for line_number, line in enumerate(texts[name].splitlines(), start=1):
        if not line.strip():
            continue
        first, _, rest = line.strip().partition(" ")
        try:
            number, value = int(first), parse(rest.strip())
        except ValueError as error:
            raise JobError(
                f"{name}, line {line_number}: {line!r} is not as CUB-200-2011 writes it"
            ) from error
        if number in table:
            raise JobError(f"{name}, line {line_number}: number {number} is listed twice")
        table[number] = value
    if not table:
        raise JobError(f"{name} lists nothing")
    return table


def _image_name(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(text)
    return text


def _box(text: str) -> Box:
    x, y, width, height = map(float, text.split())
    return x, y, width, height


def _is_train(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _check_names(classes: Mapping[int, str], classes_file: str) -> None:
    by_name: dict[str, int] = {}
    for number, name in classes.items():
        if not name or name in by_name:  # reports tell the classes apart by their names
            problem = f"the same name as class {by_name[name]}, {name!r}" if name else "no name"
            raise JobError(
                f"{classes_file}: class {number} has {problem}; every class needs a name of its own"
            )
        by_name[name] = number


def _check_numbers(
    names: Mapping[int, str],
    labels: Mapping[int, int],
    split: Mapping[int, bool] | None,
    classes: Mapping[int, str],
    classes_file: str,
) -> None:
    for file, table in ((LABELS, labels), (SPLIT, split)):
        missing = [] if table is None else sorted(names.keys() - table.keys())
        if missing:
            raise JobError(f"{file} has no line for {_some(missing)} of {IMAGES}")
    unknown = sorted(set(labels.values()) - classes.keys())
    if unknown:
        raise JobError(f"{LABELS} names class {_some(unknown)}, which {classes_file} does not list")


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"
