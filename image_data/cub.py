"""The layout of CUB-200-2011: text files that list classes, images, labels, boxes and the official split.

classes.txt (or another name)    <class id> <class name>
images.txt                       <image id> <path below images/>
image_class_labels.txt           <image id> <class id>
bounding_boxes.txt (optional)    <image id> <x> <y> <width> <height>   in pixels of the image as shown
train_test_split.txt (optional)  <image id> <1 = train, 0 = test>
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

from image_data.errors import DataError
from image_data.files import Files, Scan
from image_data.records import (
    TEST,
    TRAIN,
    DataSet,
    Listed,
    absent,
    by_composed_name,
    composed,
    data_set,
    read_box,
    text_of,
    unlisted,
)
from image_data.spelling import did_you_mean, some

LAYOUT = "CUB-200-2011"
IMAGES, LABELS, BOXES, SPLIT = (
    "images.txt",
    "image_class_labels.txt",
    "bounding_boxes.txt",
    "train_test_split.txt",
)
CLASSES = "classes.txt"
REQUIRED = (IMAGES, LABELS)
OPTIONAL = (BOXES, SPLIT)

Value = TypeVar("Value")


def roots(names: tuple[str, ...]) -> list[str]:
    """Return the folders that hold CUB's lists, each "" or with a slash at its end."""
    return sorted({name.removesuffix(each) for name in names for each in REQUIRED if _is_called(name, each)})


def _is_called(name: str, file: str) -> bool:
    return posixpath.basename(name) == file


def read(files: Files, scan: Scan, root: str, classes_file: str) -> DataSet:
    """Read the data set below `root`, or say which line of which list is wrong.

    Raises:
        DataError: A list is missing or wrong, or an image is not there.
    """
    lists = _lists(files, scan, root, classes_file)
    texts = {name: text_of(scan.texts[root + name], name) for name in lists}
    classes = _table(texts, classes_file, composed)
    _check_names(classes, classes_file)
    names = _table(texts, IMAGES, _image_name)
    labels = _table(texts, LABELS, int)
    boxes = _table(texts, BOXES, lambda rest: read_box(rest.split())) if BOXES in texts else {}
    split = _table(texts, SPLIT, _is_train) if SPLIT in texts else None
    _check_numbers(names, labels, split, classes, classes_file)
    images = f"{root}images/"
    present = by_composed_name(
        (name.removeprefix(images) for name in scan.names if name.startswith(images)), files.where
    )
    missing = sorted(name for name in names.values() if name not in present)
    if missing:
        raise absent(missing, present, f"{files.where}, {images}", IMAGES)
    listed = (
        Listed(
            name,
            images + present[name],
            classes[labels[number]],
            boxes.get(number),
            None if split is None else TRAIN if split[number] else TEST,
        )
        for number, name in names.items()
    )
    return data_set(
        files,
        LAYOUT,
        listed,
        lists=tuple(root + name for name in lists),
        notes=unlisted(len(present) - len(names), IMAGES),
        numbers={name: number for number, name in classes.items()},
    )


def _lists(files: Files, scan: Scan, root: str, classes_file: str) -> list[str]:
    where = f"{files.where}, {root}" if root else files.where
    beside = sorted(name.removeprefix(root) for name in scan.names if name.startswith(root))
    present = [name for name in beside if "/" not in name]
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        raise DataError(f"{where} is not a whole CUB-200-2011 data set: {' and '.join(missing)} missing")
    if classes_file not in present:
        hint = did_you_mean(classes_file, present)
        raise DataError(
            f"AnnotationFileName {classes_file!r} is not in {where}, which has {', '.join(present)}{hint}"
        )
    return [classes_file, *REQUIRED, *(name for name in OPTIONAL if name in present)]


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
            hint = "; it has a tab, where CUB has a space" if "\t" in line else ""
            raise DataError(
                f"{name}, line {line_number}: {line!r} is not as CUB-200-2011 writes it{hint}"
            ) from error
        if number in table:
            raise DataError(f"{name}, line {line_number}: number {number} is listed twice")
        table[number] = value
    if not table:
        raise DataError(f"{name} lists nothing")
    return table


def _image_name(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(text)
    return composed(text.removeprefix("./"))


def _is_train(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _check_names(classes: Mapping[int, str], classes_file: str) -> None:
    by_name: dict[str, int] = {}
    for number, name in classes.items():
        if not name or name in by_name:  # reports tell the classes apart by their names
            problem = f"the same name as class {by_name[name]}, {name!r}" if name else "no name"
            raise DataError(
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
            raise DataError(f"{file} has no line for {some(missing)} of {IMAGES}")
    unknown = sorted(set(labels.values()) - classes.keys())
    if unknown:
        raise DataError(f"{LABELS} names class {some(unknown)}, which {classes_file} does not list")
