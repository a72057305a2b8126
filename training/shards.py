"""Shards: tar files of small JPEGs with an index beside them, so that any image is one pread away.

    shard-<host>-<nnn>.tar   members <image id>.jpg
    index-<host>.json        {"images": [{id, name, class_id, label, shard, offset, size, width, ...}]}

Offsets and sizes are bytes, width, height and box pixels of the stored image. Few large objects travel
faster to and from S3 than thousands of small ones, and equal images give equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from training.cub import Box, ImageRecord
from training.paths import write_json

SHARD_BYTES = 120_000_000
"""So large that the time of a request to S3 hardly counts, so small that several travel at once."""


@dataclass(frozen=True)
class StoredImage:
    """A decoded, shrunk and encoded image; sizes in pixels, of the stored and of the original image."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    original_height: int


@dataclass(frozen=True)
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


class ShardWriter:
    """Writes the shards and the index of one split on one host."""

    def __init__(self, folder: Path, host: str, *, shard_bytes: int = SHARD_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._host = host
        self._shard_bytes = shard_bytes
        self._tar: tarfile.TarFile | None = None
        self._shards = 0
        self.entries: list[IndexEntry] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._tar:
            self._tar.close()
        if kind is None:
            entries = sorted(self.entries, key=lambda entry: entry.id)
            write_json(
                self._folder / f"index-{self._host}.json", {"images": [asdict(entry) for entry in entries]}
            )

    def add(self, record: ImageRecord, label: int, image: StoredImage) -> None:
        """Append one image to the current shard."""
        tar = self._open()
        offset = tar.offset + tarfile.BLOCKSIZE  # the header of a short name is one block
        member = tarfile.TarInfo(f"{record.image_id}.jpg")
        member.size = len(image.jpeg)  # no owner, no time: equal images, equal bytes
        tar.addfile(member, io.BytesIO(image.jpeg))
        self.entries.append(
            IndexEntry(
                id=record.image_id,
                name=record.name,
                class_id=record.class_id,
                label=label,
                shard=Path(str(tar.name)).name,
                offset=offset,
                size=len(image.jpeg),
                width=image.width,
                height=image.height,
                box=_scaled(record.box, image),
            )
        )

    def _open(self) -> tarfile.TarFile:
        if self._tar and self._tar.offset >= self._shard_bytes:
            self._tar.close()
            self._tar = None
        if not self._tar:
            path = self._folder / f"shard-{self._host}-{self._shards:03d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - spans many calls
            self._shards += 1
        return self._tar


def _scaled(box: Box | None, image: StoredImage) -> Box | None:
    if box is None:
        return None
    across, down = image.width / image.original_width, image.height / image.original_height
    x, y, width, height = box
    return round(x * across, 2), round(y * down, 2), round(width * across, 2), round(height * down, 2)
