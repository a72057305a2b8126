"""Sample data without a download: pictures of the pipeline's eight default species, drawn by this program.

    python -m local.sample_birds DIR        # DIR/images, DIR/images.txt, ..., and DIR/CUB_200_2011.tgz

The folder has the layout of CUB-200-2011 with the same class numbers and names, so everything that reads the
one reads the other. The pictures are drawings, and say so: in README.txt, in their EXIF data and in a JPEG
comment. An accuracy reached on them says nothing about photographs.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

from local.birds.plumage import SPECIES, Species
from local.birds.portrait import Box, portrait

SEED = 7
IMAGES_PER_CLASS = 60
ARCHIVE_NAME, ARCHIVE_ROOT = "CUB_200_2011.tgz", "CUB_200_2011"
COMMENT = "drawing: made by a program (python -m local.sample_birds), not a photograph"
README = """These pictures are DRAWINGS made by a program, not photographs of birds.

They stand in for the CUB-200-2011 data set where that cannot be downloaded: the same layout, class numbers
and class names, for eight of its species. Every image carries this notice in its EXIF data
(ImageDescription) and in a JPEG comment. They are there to show that a pipeline works; an accuracy reached
on them says nothing about photographs.

Made by python -m local.sample_birds: {images} images, seed {seed}. Free to use under the project's licence.
"""

_QUALITY = 90
_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E  # EXIF tags


@dataclass(frozen=True)
class _Drawn:
    """One image of the data set: its number, species, name below images/, bytes and box."""

    number: int
    species: Species
    name: str
    jpeg: bytes
    box: Box
    train: bool


def generate(directory: Path, *, images_per_class: int = IMAGES_PER_CLASS, seed: int = SEED) -> Path:
    """Write the data set into `directory` (made if need be) and give it back.

    The same seed and versions of Pillow and numpy give the same bytes. Files of the same names are replaced.
    """
    if images_per_class < 2:
        raise ValueError(
            f"images_per_class is {images_per_class}: at least 2 are due, one to train and one to test"
        )
    drawn = []
    for image in _draw_all(images_per_class, seed):
        path = directory / "images" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.jpeg)
        drawn.append(image)
    for name, text in _annotations(drawn).items():
        (directory / name).write_text(text, encoding="ascii", newline="\n")
    readme = README.format(images=len(drawn), seed=seed)
    (directory / "README.txt").write_text(readme, encoding="ascii", newline="\n")
    return directory


def write_archive(directory: Path) -> Path:
    """Pack a generated data set as CUB_200_2011.tgz beside its files; the same files give the same bytes.

    What images.txt does not list stays out. The archive appears whole or not at all.
    """
    target = directory / ARCHIVE_NAME
    partial = target.with_suffix(".partial")
    names = [line.split()[1] for line in (directory / "images.txt").read_text("ascii").splitlines()]
    files = sorted([*directory.glob("*.txt"), *(directory / "images" / name for name in names)])
    with (
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for file in files:
            member = tarfile.TarInfo(f"{ARCHIVE_ROOT}/{file.relative_to(directory).as_posix()}")
            member.size, member.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                archive.addfile(member, content)
    return partial.replace(target)


def class_name(species: Species) -> str:
    """Give a species' name as CUB writes it: `047.American_Goldfinch`."""
    return f"{species.class_id:03d}.{species.name}"


def _draw_all(images_per_class: int, seed: int) -> Iterator[_Drawn]:
    number = 0
    for species in SPECIES:
        # Half are for training, as in CUB; which ones is a draw of its own.
        order = np.random.default_rng([seed, species.class_id]).permutation(images_per_class)
        train = set(order[: (images_per_class + 1) // 2].tolist())
        for index in range(images_per_class):
            number += 1
            made = portrait(species, np.random.default_rng([seed, species.class_id, index]))
            name = f"{class_name(species)}/{species.name}_{index + 1:04d}_drawing.jpg"
            yield _Drawn(number, species, name, _jpeg(made.picture), made.box, index in train)


def _jpeg(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_DESCRIPTION] = COMMENT
    exif[_SOFTWARE] = "python -m local.sample_birds"
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, exif=exif, comment=COMMENT)
    return buffer.getvalue()


def _annotations(drawn: list[_Drawn]) -> dict[str, str]:
    """Give the text files of CUB by name."""
    return {
        "classes.txt": _lines(f"{species.class_id} {class_name(species)}" for species in SPECIES),
        "images.txt": _lines(f"{image.number} {image.name}" for image in drawn),
        "image_class_labels.txt": _lines(f"{image.number} {image.species.class_id}" for image in drawn),
        "train_test_split.txt": _lines(f"{image.number} {int(image.train)}" for image in drawn),
        "bounding_boxes.txt": _lines(
            f"{image.number} {' '.join(f'{float(edge):.1f}' for edge in image.box)}" for image in drawn
        ),
    }


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--images-per-class", default=IMAGES_PER_CLASS, show_default=True, type=click.IntRange(2))
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0))
def main(directory: Path, images_per_class: int, seed: int) -> None:
    """Draw the sample birds into DIRECTORY, in CUB's layout, and pack them as CUB_200_2011.tgz there."""
    generate(directory, images_per_class=images_per_class, seed=seed)
    archive = write_archive(directory)
    print(f"{images_per_class * len(SPECIES)} drawings of {len(SPECIES)} species: {directory}, {archive}")


if __name__ == "__main__":
    sys.exit(main())
