"""The same photographs laid out in every way that is read, and packed in every archive."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

Photos = Mapping[str, bytes]
"""Bytes by name, `<number>.<class>/<file>`."""
Splits = Mapping[str, str]
"""train, validation or test by name; empty where the data leaves it open."""
Boxes = Mapping[str, tuple[float, float, float, float]]


def class_of(name: str) -> str:
    return name.partition("/")[0]


def _write(folder: Path, photos: Photos, place: Callable[[str], str]) -> None:
    for name, data in photos.items():
        path = folder / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def as_cub(folder: Path, photos: Photos, splits: Splits, boxes: Boxes) -> None:
    _write(folder, photos, lambda name: f"images/{name}")
    classes = sorted({class_of(name) for name in photos})
    ids = {name: number for number, name in enumerate(sorted(photos, reverse=True), start=1)}
    tables = {
        "classes": [f"{int(name[:3])} {name}" for name in classes],
        "images": [f"{number} {name}" for name, number in ids.items()],
        "image_class_labels": [f"{number} {int(name[:3])}" for name, number in ids.items()],
    }
    if splits:
        tables["train_test_split"] = [
            f"{number} {int(splits[name] == 'train')}" for name, number in ids.items()
        ]
    if boxes:
        tables["bounding_boxes"] = [f"{ids[name]} {' '.join(map(str, box))}" for name, box in boxes.items()]
    for table, lines in tables.items():
        (folder / f"{table}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def as_class_folders(folder: Path, photos: Photos, splits: Splits, boxes: Boxes) -> None:
    assert not boxes
    _write(folder, photos, lambda name: f"{splits[name]}/{name}" if splits else name)


def _rows(photos: Photos, splits: Splits, boxes: Boxes) -> list[list[str]]:
    header = ["path", "label"] + ["split"] * bool(splits) + ["x", "y", "width", "height"] * bool(boxes)
    rows = [
        [name, class_of(name), *([splits[name]] if splits else []), *map(str, boxes.get(name, ()))]
        for name in sorted(photos, reverse=True)
    ]
    return [header, *(row + [""] * (len(header) - len(row)) for row in rows)]


def as_csv(folder: Path, photos: Photos, splits: Splits, boxes: Boxes) -> None:
    _write(folder, photos, str)
    lines = [",".join(row) for row in _rows(photos, splits, boxes)]
    (folder / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def as_tsv(folder: Path, photos: Photos, splits: Splits, boxes: Boxes) -> None:
    _write(folder, photos, lambda name: f"pictures/{name}")
    rows = _rows(photos, splits, boxes)
    lines = ["\t".join(rows[0]), *("\t".join([rf"pictures\{row[0]}", *row[1:]]) for row in rows[1:])]
    (folder / "list.tsv").write_text("\r\n".join(lines), encoding="utf-8")


def as_manifest(folder: Path, photos: Photos, splits: Splits, boxes: Boxes) -> None:
    assert not boxes
    _write(folder, photos, str)
    lines = [
        json.dumps(
            {
                "source-ref": f"s3://somebody/labelled/{name}",
                "species": int(name[:3]),
                "species-metadata": {
                    "class-name": class_of(name),
                    "type": "groundtruth/image-classification",
                },
                **({"split": splits[name]} if splits else {}),
            }
        )
        for name in photos
    ]
    (folder / "output.manifest").write_text("\n".join(lines), encoding="utf-8")


LAYOUTS = {
    "cub": as_cub,
    "class folders": as_class_folders,
    "csv": as_csv,
    "tsv": as_tsv,
    "manifest": as_manifest,
}


def pack(folder: Path, archive: Path, *, inside: str = "") -> Path:
    """Pack a folder by the archive's suffix, below its folder `inside`, the last file first."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    names = [inside + path.relative_to(folder).as_posix() for path in files]
    suffix = archive.name.lower().partition(".")[2]
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path, name in zip(files, names, strict=True):
                file.write(path, name)
        return archive
    modes = {"tar": "w", "tgz": "w:gz", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
    with tarfile.open(archive, modes[suffix]) as tar:  # type: ignore[call-overload]
        for path, name in zip(files, names, strict=True):
            tar.add(path, name)
    return archive
