"""Tiny data sets in the layout of CUB-200-2011, drawn with Pillow: every class has its own colour."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("Black_footed_Albatross", "Crested_Auklet", "Bobolink", "Indigo Bunting", "Cardenal de Cárdenas")
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200))


def picture(label: int, number: int, size: tuple[int, int] = (80, 60)) -> bytes:
    """Draw a noisy JPEG of the class's colour; equal arguments give equal bytes."""
    width, height = size
    noise = np.random.default_rng((label, number)).integers(-30, 30, (height, width, 3))
    pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_cub(
    folder: Path, *, classes: int = 3, images: int = 12, split: bool = True, boxes: bool = True
) -> Path:
    """Write `classes` classes of `images` images each; every second image is the official test's."""
    tables: dict[str, list[str]] = {
        name: [] for name in ("classes", "images", "image_class_labels", "bounding_boxes", "train_test_split")
    }
    image_id = 0
    for label in range(classes):
        name = f"{label + 1:03d}.{NAMES[label]}"
        tables["classes"].append(f"{label + 1} {name}")
        (folder / "images" / name).mkdir(parents=True)
        for number in range(images):
            image_id += 1
            file = f"{name}/{NAMES[label]} no {number}.jpg"
            (folder / "images" / file).write_bytes(picture(label, number))
            tables["images"].append(f"{image_id} {file}")
            tables["image_class_labels"].append(f"{image_id} {label + 1}")
            tables["bounding_boxes"].append(f"{image_id} 8.0 6.0 {40 - 4 * (number // 2 % 6)}.0 30.0")
            tables["train_test_split"].append(f"{image_id} {number % 2}")
    left_out = {"train_test_split": not split, "bounding_boxes": not boxes}
    for table, lines in tables.items():
        if not left_out.get(table):
            (folder / f"{table}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def pack(folder: Path, archive: Path, *, last: Sequence[str] = ()) -> Path:
    """Pack a data set as the official archive is, with the files named in `last` at its end."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path.name in last)
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("attributes.txt"))
        for path in files:
            tar.add(path, f"CUB_200_2011/{path.relative_to(folder)}")
    return archive
