"""What preprocess says about its data: the classes, the split, and a digest that names all of it.

    manifest.json          from the first host: every chosen image with the sha256 of its original bytes
    manifest-<host>.json   from the other hosts: what they could not read of their share
    classes.json           beside the shards of every split: what training sees of the manifest

`digest` names what was read of the data; `input_digest` is the deployment's, of the objects that were there.
`width` and `height` are not known for an image that another host decodes; they are null there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.cub import ImageRecord
from training.split import SPLITS

VERSION = 1
"""Of the members of manifest.json and what they mean."""


@dataclass(frozen=True)
class Unreadable:
    """A listed image that could not be decoded."""

    name: str
    reason: str


@dataclass(frozen=True)
class ManifestImage:
    """One chosen image: its split and what its original bytes hash to."""

    id: int
    name: str
    class_id: int
    split: str
    sha256: str
    width: int | None
    height: int | None


def class_list(classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """Number the chosen classes from 0 in the order of their class numbers."""
    return [
        {"label": label, "class_id": number, "name": classes[number]}
        for label, number in enumerate(sorted(classes))
    ]


def data_digest(classes: Mapping[int, str], images: Iterable[tuple[str, ImageRecord, str]]) -> str:
    """Hash the classes and, in whatever order they come, (sha256 of the original bytes, image, split)."""
    digest = hashlib.sha256()
    for number in sorted(classes):
        digest.update(f"{number}\0{classes[number]}\n".encode())
    for line in sorted(
        f"{sha256}\0{image.class_id}\0{split}\0{image.image_id}" for sha256, image, split in images
    ):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def manifest(
    classes: Mapping[int, str], images: list[ManifestImage], unreadable: list[Unreadable], digest: str
) -> dict[str, Any]:
    """Build the manifest document."""
    counts = Counter(image.split for image in images)
    return {
        "version": VERSION,
        "classes": class_list(classes),
        "splits": {split: {"images": counts[split]} for split in SPLITS},
        "images": [asdict(image) for image in images],
        "unreadable": [asdict(image) for image in unreadable],
        "digest": digest,
    }
