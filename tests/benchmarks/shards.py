"""All images of a data set in shards that are written once, and channels of some of them that are cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from image_data.layouts import find_data_set
from training.data import Channel
from training.manifest import class_list
from training.paths import write_json, write_json_list
from training.preprocess import store_image
from training.shards import ShardWriter, StoredImage, short_side

QUALITY = 90
"""Of the JPEGs to learn from: Preprocess's default."""


class Shards:
    """A data set's images, once as training sees them and once as evaluation does."""

    def __init__(self, data: Path, folder: Path, image_size: int) -> None:
        self.learned, self.measured = folder / "learned", folder / "measured"
        found, side = find_data_set(data), short_side(image_size)
        labels = {number: label for label, number in enumerate(sorted(found.classes))}
        for place, quality in ((self.learned, QUALITY), (self.measured, None)):
            with ShardWriter(place, "all") as writer:
                for record, content in found.read(found.images):
                    stored = store_image(content, short_side=side, quality=quality)
                    if not isinstance(stored, StoredImage):
                        raise SystemExit(f"{record.name} of {data} cannot be read: {stored}")
                    writer.add(record, labels[record.class_id], stored)
            classes = class_list(found.classes)
            write_json(place / "classes.json", {"classes": classes, "digest": str(data), "short_side": side})


def write_channel(source: Path, positions: Sequence[int], target: Path) -> None:
    """Make a channel of some of a folder's images: its own index beside links to the same shards."""
    target.mkdir(parents=True)
    for path in (*source.glob("shard-*.tar"), source / "classes.json"):
        (target / path.name).hardlink_to(path)  # a channel follows no symbolic links
    entries = Channel(source).entries
    write_json_list(target / "index-all.json", {}, "images", (asdict(entries[place]) for place in positions))
