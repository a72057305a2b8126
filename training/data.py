"""The data as training and evaluation see it: shards read with pread, and batches that can be repeated.

Every random draw is a function of (seed, what for, epoch, image), never of what was drawn before, so a
training job that is resumed in the middle of an epoch sees exactly the batches it would have seen.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from image_data import decoding
from image_data.errors import UnreadableImageError
from image_data.spelling import some
from training.job import JobError
from training.paths import read_json
from training.shards import IndexEntry

Transform = Callable[[Tensor, IndexEntry], Tensor]
"""Takes uint8 pixels (3, height, width) and what is known of the image, returns uint8 (3, size, size)."""

READ_AHEAD = 2
"""Batches that are decoded while the model is busy with another one."""


class Channel:
    """The images of one split, in the order of their numbers whatever host wrote them."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise JobError(f"channel {folder.name} is missing: {folder} is not a folder")
        path = folder / "classes.json"
        document = read_json(path, f"the list of classes of {folder.name}")
        self.folder = folder
        self.classes: list[dict[str, Any]] = _classes(document, path)
        self.digest: str = str(document.get("digest"))
        self.short_side = document.get("short_side")
        entries = (entry for path in sorted(folder.glob("index-*.json")) for entry in _entries(path))
        self.entries = sorted(entries, key=lambda entry: entry.id)
        odd = next((entry for entry in self.entries if entry.label >= len(self.classes)), None)
        if odd:
            raise JobError(f"{folder}: image {odd.name!r} has label {odd.label}, which {path.name} has not")
        if not self.entries:
            raise JobError(f"channel {folder.name} holds no images: {folder} has no index with entries")
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def labels(self) -> Tensor:
        """Return every image's label, shape (images,)."""
        return torch.tensor([entry.label for entry in self.entries])

    def pixels(self, position: int) -> Tensor:
        """Decode the image at this position: uint8, shape (3, height, width)."""
        entry = self.entries[position]
        data = os.pread(self._open(entry.shard), entry.size, entry.offset)
        try:
            decoded = decoding.decode_stored(data)
        except UnreadableImageError as error:
            where = f"{self.folder / entry.shard}, bytes {entry.offset} to {entry.offset + entry.size}"
            raise JobError(
                f"{where}: image {entry.name!r} cannot be read: {error}; run Preprocess again"
            ) from error
        return torch.from_numpy(np.array(decoded)).permute(2, 0, 1)

    def _open(self, shard: str) -> int:
        if shard not in self._files:
            try:
                # Not through a link, which may lead out of the job's folder.
                self._files[shard] = os.open(self.folder / shard, os.O_RDONLY | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    raise
                raise JobError(f"channel {self.folder.name} has no {shard}, which its index names") from error
        return self._files[shard]

    def close(self) -> None:
        """Close the shards."""
        while self._files:
            os.close(self._files.popitem()[1])


def _classes(document: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    classes = document.get("classes")
    if not isinstance(classes, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) and each.get("label") == label
        for label, each in enumerate(classes)
    ):
        raise JobError(f"{path} does not list the classes as Preprocess does; run Preprocess again")
    return classes


def _entries(path: Path) -> Iterator[IndexEntry]:
    images = read_json(path, "the index of shards").get("images")
    if not isinstance(images, list):
        raise JobError(f"{path} does not list images as Preprocess does; run Preprocess again")
    return (IndexEntry.read(entry, path) for entry in images)


def check_every_class(channel: Channel) -> None:
    """Refuse a channel that has no image of one of its classes."""
    seen = {entry.label for entry in channel.entries}
    lost = [str(each["name"]) for each in channel.classes if each["label"] not in seen]
    if lost:
        raise JobError(
            f"channel {channel.folder.name} holds no images of {some(lost)}, which cannot be learned"
        )


def check_same_data(first: Channel, second: Channel) -> None:
    """Refuse two channels that do not come from the same Preprocess step."""
    if first.classes != second.classes or first.digest != second.digest:
        raise JobError(
            f"channels {first.folder.name} and {second.folder.name} come from different data "
            f"({first.digest[:12]} and {second.digest[:12]}): give both from one Preprocess step"
        )


def derive_seed(*parts: object) -> int:
    """Hash the parts to a seed of 63 bits, the same on every machine and in every version."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]) >> 1


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """Order the positions of one epoch."""
    return random.Random(derive_seed(seed, "order", epoch)).sample(range(count), count)  # noqa: S311 - not a secret


def batches_of(order: Sequence[int], batch_size: int, first_batch: int = 0) -> list[Sequence[int]]:
    """Cut an epoch's order into batches, leaving out those before `first_batch`; the last may be smaller."""
    starts = range(first_batch * batch_size, len(order), batch_size)
    return [order[start : start + batch_size] for start in starts]


class Loader:
    """Decodes batches in threads ahead of their use; Pillow and torch release Python's lock meanwhile."""

    def __init__(self, threads: int | None = None) -> None:
        # As many as the network has.
        self._pool = ThreadPoolExecutor(
            threads or min(8, torch.get_num_threads()), thread_name_prefix="decode"
        )

    def load(
        self, channel: Channel, transform: Transform, batches: Iterable[Sequence[int]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield uint8 images (batch, 3, size, size), channels last, and labels (batch,), in order."""

        def one(position: int) -> Tensor:
            return transform(channel.pixels(position), channel.entries[position])

        waiting: deque[tuple[list[Future[Tensor]], Tensor]] = deque()
        labels = channel.labels()
        try:
            for batch in batches:
                waiting.append(
                    ([self._pool.submit(one, position) for position in batch], labels[list(batch)])
                )
                if len(waiting) > READ_AHEAD:
                    yield _finish(*waiting.popleft())
            while waiting:
                yield _finish(*waiting.popleft())
        finally:  # left early: what nobody waits for is not decoded
            for futures, _ in waiting:
                for future in futures:
                    future.cancel()

    def close(self) -> None:
        """Stop the threads, dropping what nobody waits for any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _finish(parts: list[Future[Tensor]], labels: Tensor) -> tuple[Tensor, Tensor]:
    # Stacked as rows of pixels and then seen as channels: channels_last without a second copy.
    rows = torch.stack([part.result().permute(1, 2, 0) for part in parts])
    return rows.permute(0, 3, 1, 2), labels
