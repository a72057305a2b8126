"""A contact sheet: images of a data set as training sees them, on a page that loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from image_data import decoding
from image_data.errors import UnreadableImageError
from image_data.inspection import overlaps
from image_data.plan import Plan
from image_data.records import Box, ImageRecord
from image_data.streaming import in_order
from ops.errors import ReportError
from ops.output.page import TEMPLATES as STYLES

TEMPLATES = Path(__file__).parent / "templates"
IMAGES = 240
"""On one page, in all: of photographs these are about 2 MB, which a phone shows at once."""
THUMBNAIL = (240, 160)
"""Width and height in pixels that a thumbnail has at most."""
QUALITY = 75


@dataclass(frozen=True)
class Thumbnail:
    """An image on the page: a data URL and the size of the whole image, or why there is none."""

    file: str
    split: str
    box: Box | None
    seen: str = ""
    size: tuple[int, int] = (0, 0)
    reason: str = ""

    @property
    def name(self) -> str:
        """Return the file's name without its folders."""
        return PurePosixPath(self.file).name

    @property
    def is_stray(self) -> bool:
        """Return whether the box lies outside of the image."""
        return self.box is not None and not self.reason and not overlaps(self.box, *self.size)


@dataclass(frozen=True)
class ClassRow:
    """A class, with its number of images in all and those that are shown."""

    number: int
    name: str
    images: int
    shown: tuple[Thumbnail, ...]


def choose(plan: Plan, images_per_class: int) -> dict[int, list[ImageRecord]]:
    """Choose images of each class, evenly over their names, for as many classes as a page holds."""
    by_class: dict[int, list[ImageRecord]] = {number: [] for number in plan.classes}
    for image in plan.images:
        by_class[image.class_id].append(image)
    shown = list(plan.classes)[: max(1, IMAGES // images_per_class)]
    return {number: _spread(by_class[number], images_per_class) for number in shown}


def _spread(images: list[ImageRecord], count: int) -> list[ImageRecord]:
    count = min(count, len(images))
    return [images[place * len(images) // count] for place in range(count)]


def rows(
    plan: Plan, chosen: Mapping[int, Sequence[ImageRecord]], advance: Callable[[], None]
) -> list[ClassRow]:
    """Read the chosen images, calling `advance` after each, and return what the page shows."""

    def look(item: tuple[ImageRecord, bytes]) -> tuple[int, Thumbnail]:
        image, data = item
        return image.number, _thumbnail(image, data, plan.splits[image.number])

    found = {}
    every = [image for images in chosen.values() for image in images]
    for number, thumbnail in in_order(look, plan.data.read(every)):
        found[number] = thumbnail
        advance()
    counts = Counter(image.class_id for image in plan.images)
    return [
        ClassRow(number, plan.classes[number], counts[number], tuple(found[image.number] for image in images))
        for number, images in chosen.items()
    ]


def _thumbnail(image: ImageRecord, data: bytes, split: str) -> Thumbnail:
    try:
        whole = decoding.decode(data)
    except UnreadableImageError as error:
        return Thumbnail(image.file, split, image.box, reason=str(error))
    small = whole.copy()
    small.thumbnail(THUMBNAIL)
    encoded = base64.b64encode(decoding.encode(small, QUALITY)).decode()
    return Thumbnail(image.file, split, image.box, f"data:image/jpeg;base64,{encoded}", whole.size)


def render(plan: Plan, shown: Sequence[ClassRow]) -> str:
    """Write the page."""
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, STYLES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("preview.html").render(
        where=Path(plan.data.files.where).resolve().name,
        plan=plan,
        rows=shown,
        others=len(plan.classes) - len(shown),
    )


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """Open a page that appears at `path` when it is complete.

    Raises:
        ReportError: It cannot be written there; nothing else was done.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise ReportError(f"--output {path}: the preview is a page, so give a name that ends in .html")
    if path.is_dir():
        raise ReportError(f"--output {path} is a folder; give a file's name")
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror or error}; give another --output"
        ) from error
    finally:
        part.unlink(missing_ok=True)
