"""Shards: tar files of small images with an index beside them, so that any image is one pread away.

    shard-<host>-<nnn>.tar   members <number>.jpg or <number>.ppm, in the order of the numbers
    index-<host>.json        {"images": [{id, name, class_id, label, shard, offset, size, width, ...}]}

Offsets and sizes are bytes, width, height and box pixels of the stored image. Few large objects travel
faster to and from S3 than thousands of small ones, and equal images give equal bytes, whatever order they
were read in.

Images to train with are JPEGs. Those that are only measured, validation and test, are stored pixel by pixel:
a JPEG's loss moved some probabilities by a quarter, so that what was measured was not what answers. To save
half of the bytes, a lossless format would take 5 to 13 ms for each.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from image_data.records import Box, ImageRecord
from training.job import JobError
from training.paths import write_json_list

SHARD_BYTES = 120_000_000
"""So large that the time of a request to S3 hardly counts, so small that several travel at once."""
CROP_FRACTION = 0.875
"""How much of an image's short side the network sees of its middle: what the backbones were trained with."""
SHARD_NAME = re.compile(r"shard-[\w.-]+\.tar")


def short_side(image_size: int, crop_fraction: float = CROP_FRACTION) -> int:
    """Return the pixels of a stored image's short side, whose middle is `image_size` pixels wide."""
    return round(image_size / crop_fraction)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A decoded, shrunk and encoded image; sizes in pixels, of the stored and of the original image."""

    data: bytes
    suffix: str
    width: int
    height: int
    original_width: int
    original_height: int


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where one image lies in the shards and what it shows."""

    id: int
    name: str
    class_id: int
    label: int
    shard: str
    offset: int
    size: int
    width: int
    height: int
    box: Box | None

    @classmethod
    def read(cls, document: Any, where: Path) -> IndexEntry:
        """Read an entry of an index, which must name a shard of its own folder.

        Raises:
            JobError: A member is missing, or has a value that no Preprocess step writes.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(document, dict) or document.keys() != names:
            raise JobError(f"{where}: an image must have {', '.join(sorted(names))}; it is {document!r:.200}")
        image = f"{where}: image {document['name']!r}"
        for name in ("id", "class_id", "label", "offset", "size", "width", "height"):
            if type(document[name]) is not int or document[name] < 0:
                raise JobError(f"{image}: {name} is {document[name]!r} but must be a whole number from 0 on")
        if not isinstance(document["name"], str) or not SHARD_NAME.fullmatch(str(document["shard"])):
            raise JobError(f"{image}: shard is {document['shard']!r}, which is no shard's name")
        return cls(**document)


class ShardWriter:
    """Writes the shards and the index of one split on one host.

    Images come in whatever order they were read; they wait in a file without a name until all are there.
    """

    def __init__(self, folder: Path, host: str, *, shard_bytes: int = SHARD_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._host = host
        self._shard_bytes = shard_bytes
        self._waiting: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - spans many calls
        self._entries: list[tuple[IndexEntry, str]] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._waiting:
            if kind is None:
                self._entries.sort(key=lambda item: item[0].id)
                path = self._folder / f"index-{self._host}.json"
                write_json_list(path, {}, "images", map(asdict, self._write_shards()))

    def add(self, record: ImageRecord, label: int, image: StoredImage) -> None:
        """Take one image."""
        entry = IndexEntry(
            id=record.number,
            name=record.name,
            class_id=record.class_id,
            label=label,
            shard="",
            offset=self._waiting.tell(),
            size=len(image.data),
            width=image.width,
            height=image.height,
            box=scaled(record.box, image),
        )
        self._waiting.write(image.data)
        self._entries.append((entry, image.suffix))

    def _write_shards(self) -> Iterator[IndexEntry]:
        shard: IO[bytes] | None = None
        count = 0
        try:
            for entry, suffix in self._entries:
                if shard and shard.tell() >= self._shard_bytes:
                    _end(shard)
                    shard = None
                if not shard:
                    path = self._folder / f"shard-{self._host}-{count:03d}.tar"
                    shard, count = path.open("wb"), count + 1
                self._waiting.seek(entry.offset)
                offset = _append(shard, f"{entry.id}{suffix}", self._waiting.read(entry.size))
                yield replace(entry, shard=path.name, offset=offset)
        finally:
            if shard:
                _end(shard)


def _append(shard: IO[bytes], name: str, data: bytes) -> int:
    """Append a member, and return where its bytes begin. A TarFile would keep every member in memory."""
    member = tarfile.TarInfo(name)
    member.size = len(data)  # no owner, no time: equal images, equal bytes
    shard.write(member.tobuf(tarfile.USTAR_FORMAT))
    offset = shard.tell()
    shard.write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
    return offset


def _end(shard: IO[bytes]) -> None:
    with shard:
        shard.write(bytes(2 * tarfile.BLOCKSIZE))
        shard.write(bytes(-shard.tell() % tarfile.RECORDSIZE))


def scaled(box: Box | None, image: StoredImage) -> Box | None:
    """Scale a box with its image and cut off what lies outside of it; None where nothing is left."""
    if box is None:
        return None
    across, down = image.width / image.original_width, image.height / image.original_height
    x, y, width, height = box
    left, top = max(0.0, x * across), max(0.0, y * down)
    right, bottom = min(image.width, (x + width) * across), min(image.height, (y + height) * down)
    if right <= left or bottom <= top:
        return None
    return round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)
