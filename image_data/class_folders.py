"""The layout of torchvision's ImageFolder: a folder for each class, below train, val and test or not.

birds/Bobolink/a.jpg                 train/Bobolink/a.jpg
birds/Bobolink/more/b.jpg            val/Bobolink/b.jpg
birds/Cardinal/c.jpg                 test/Cardinal/c.jpg
"""

from __future__ import annotations

from collections import Counter

from image_data.errors import DataError
from image_data.files import Files, Scan, is_image, suffix_of
from image_data.records import (
    SPLIT_NAMES,
    TRAIN,
    DataSet,
    Listed,
    by_composed_name,
    common_folder,
    composed,
    data_set,
)
from image_data.spelling import some

LAYOUT = "class folders"
HOW = "put each class's images into a folder of its name, or list them in a table"


def read(files: Files, scan: Scan) -> DataSet:
    """Read the classes from the names of folders.

    Raises:
        DataError: There are no images, no folders of classes, or images in none of them.
    """
    images = [name for name in scan.names if is_image(name)]
    if not images:
        raise DataError(f"{files.where} holds no images but {some(scan.names)}; {HOW}")
    root = common_folder(images)
    names = [name.removeprefix(root) for name in images]
    splits = _splits(files, {name.partition("/")[0] for name in names if "/" in name})
    depth = 2 if splits else 1  # folders above an image
    loose = [name for name in names if name.count("/") < depth]
    if loose:
        place = files.where + (f", {root}" if root else "")
        if len(loose) == len(names):
            noun = "image" if len(names) == 1 else "images"
            raise DataError(f"{place} holds {len(names):,} {noun} but no folders of classes; {HOW}")
        raise DataError(
            f"{place}: {len(loose):,} of {len(names):,} images lie in no class's folder "
            f"({some(loose, 3)}); {HOW}, or take them out"
        )
    listed = _without_split(names) if splits else dict(zip(names, names, strict=True))
    by_composed_name(listed, files.where)
    return data_set(
        files,
        LAYOUT,
        (
            Listed(
                composed(listed[name]),
                root + name,
                composed(name.split("/")[depth - 1]),
                split=splits[name.partition("/")[0]] if splits else None,
            )
            for name in names
        ),
        notes=_notes(scan, images),
    )


def _splits(files: Files, folders: set[str]) -> dict[str, str]:
    """Map the folders of the first level to splits, or nothing where they are classes."""
    known = {folder: SPLIT_NAMES[folder.lower()] for folder in folders if folder.lower() in SPLIT_NAMES}
    others = sorted(folders - known.keys())
    if TRAIN not in known.values():
        if len(set(known.values())) > 1 and not others:
            raise DataError(
                f"{files.where} has {' and '.join(sorted(known))}, which are splits, and no train: add "
                "it, or rename them if they are classes"
            )
        return {}
    if others:
        raise DataError(
            f"{files.where} has {some(sorted(known))}, which are splits, beside {some(others)}: "
            "put the classes' folders below the splits, or take one of the two out"
        )
    twice = [split for split, count in Counter(known.values()).items() if count > 1]
    if twice:
        names = " and ".join(sorted(folder for folder, split in known.items() if split in twice))
        raise DataError(f"{files.where} has {names}, which mean one split; leave one of them")
    return known


def _without_split(names: list[str]) -> dict[str, str]:
    """Take the split's folder off, so that a name does not change with it, unless two would be the same."""
    shorter = {name: name.partition("/")[2] for name in names}
    return shorter if len(set(shorter.values())) == len(names) else dict(zip(names, names, strict=True))


def _notes(scan: Scan, images: list[str]) -> tuple[str, ...]:
    others = Counter(suffix_of(name) or "no suffix" for name in scan.names)
    others -= Counter(suffix_of(name) or "no suffix" for name in images)
    if not others:
        return ()
    kinds = some(f"{count:,} {suffix}" for suffix, count in others.most_common())
    count = others.total()
    what = "1 file is no image and is" if count == 1 else f"{count:,} files are no images and are"
    return (f"{what} left out: {kinds}",)
