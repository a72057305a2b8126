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
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from image_data.inspection import Inspection
from image_data.plan import Plan
from image_data.records import SPLITS

VERSION = 1
"""Of the members of manifest.json and what they mean."""


def class_list(classes: Mapping[int, str]) -> list[dict[str, Any]]:
    """Number the chosen classes from 0 in the order of their class numbers."""
    return [
        {"label": label, "class_id": number, "name": classes[number]}
        for label, number in enumerate(sorted(classes))
    ]


def data_digest(plan: Plan, inspection: Inspection) -> str:
    """Hash the classes and every image's original bytes, class, split and number."""
    digest = hashlib.sha256()
    for number in sorted(plan.classes):
        digest.update(f"{number}\0{plan.classes[number]}\n".encode())
    for image in plan.images:
        sha256 = inspection.digests[image.number].hex()
        digest.update(f"{sha256}\0{image.class_id}\0{plan.splits[image.number]}\0{image.number}\n".encode())
    return digest.hexdigest()


def head(plan: Plan, inspection: Inspection, digest: str, input_digest: str) -> dict[str, Any]:
    """Return the members of manifest.json but for the images."""
    unreadable = {image.name for image in inspection.unreadable}
    counts = Counter(plan.splits[image.number] for image in plan.images if image.name not in unreadable)
    return {
        "version": VERSION,
        "layout": plan.data.layout,
        "classes": class_list(plan.classes),
        "splits": {split: {"images": counts[split]} for split in SPLITS},
        "unreadable": [asdict(image) for image in inspection.unreadable],
        "unreadable_reasons": dict(Counter(image.reason for image in inspection.unreadable)),
        "duplicates": [asdict(each) for each in inspection.duplicates()],
        "boxes_outside_their_images": sorted(inspection.stray_boxes),
        "digest": digest,
        "input_digest": input_digest,
    }


def images(plan: Plan, inspection: Inspection) -> Iterator[dict[str, Any]]:
    """Yield what manifest.json says of each image that can be read."""
    unreadable = {image.name for image in inspection.unreadable}
    for image in plan.images:
        if image.name not in unreadable:
            width, height = inspection.sizes.get(image.number, (None, None))
            yield {
                "id": image.number,
                "name": image.name,
                "class_id": image.class_id,
                "split": plan.splits[image.number],
                "sha256": inspection.digests[image.number].hex(),
                "width": width,
                "height": height,
            }
