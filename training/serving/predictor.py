"""The model with its input's preparation: encoded images to classes with their probabilities.

Images are decoded in threads; one thread runs the network, which uses every core. What has been decoded while
the network was busy goes through it together, and so does what is being decoded at the moment, for decoding
and the network would only take the cores from each other. Nothing waits for requests that may come.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from starlette.exceptions import HTTPException
from torch import Tensor

from image_data import decoding
from image_data.errors import UnreadableImageError
from training.allocator import return_memory
from training.artifact import ModelDescription
from training.augmentation import CentreCrop
from training.calibration import tempered
from training.model import Classifier, choose_device, folded
from training.shards import short_side

Answer = list[dict[str, Any]]
"""The most probable classes of one image, best first."""

T = TypeVar("T")

TOP = 5
"""The classes of an answer, as many as top-5 accuracy counts."""
BATCH_PIXELS = 8 * 224 * 224
"""What goes through the network at once: more is not faster on a CPU, and costs memory for each pixel."""
PIXEL_BYTES, WEBP_PIXEL_BYTES = 10, 16
"""What decoding takes for a pixel, at most; WebP's decoder keeps pictures of its own."""
DECODING_BYTES = decoding.MAX_PIXELS * PIXEL_BYTES
"""Of all images that are being decoded, 640 MB: one of the largest, or some smaller ones."""
LARGE_PIXELS = 4_000_000
"""A larger image is not waited for, and its memory is returned: kept for each thread, it would add up."""


class Predictor:
    """The network, how its images are prepared, and how its answers read; each method for threads."""

    def __init__(self, classifier: Classifier, description: ModelDescription) -> None:
        self._device = choose_device()
        # As in evaluate: the same arithmetic.
        self._network = folded(classifier.to(self._device))
        self._input = description.input_format
        self._temperature = description.temperature
        self._size = description.image_size
        self._crop = CentreCrop(self._size, self._input.crop_fraction)
        self._classes = sorted(description.classes, key=lambda entry: int(entry["label"]))
        self.batch = max(1, BATCH_PIXELS // self._size**2)

    def memory(self, data: bytes) -> int:
        """Return how many bytes decoding will take, by what the image says of itself."""
        try:
            with Image.open(io.BytesIO(data), formats=decoding.FORMATS) as image:
                (width, height), kind = image.size, image.format
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _too_many_pixels("an image", decoding.MAX_PIXELS) from error
        except (OSError, SyntaxError, ValueError):
            return DECODING_BYTES  # decoding says what is wrong; or it is a PNG whose text Pillow refuses
        pixel = WEBP_PIXEL_BYTES if kind == "WEBP" else PIXEL_BYTES
        if width * height * pixel > DECODING_BYTES:
            raise _too_many_pixels("a WebP image", DECODING_BYTES // pixel)
        scaled = (
            short_side(self._size, self._input.crop_fraction) ** 2 * max(width, height) // min(width, height)
        )
        return width * height * pixel + scaled * PIXEL_BYTES

    def prepare(self, data: bytes) -> Tensor:
        """Decode an image to what the network is shown: uint8, shape (3, size, size)."""
        try:
            shrunk = decoding.shrunk(data, short_side(self._size, self._input.crop_fraction))
        except UnreadableImageError as error:
            raise HTTPException(400, f"not a usable image: {error}") from error
        width, height = shrunk.original_size
        if width * height > LARGE_PIXELS:
            return_memory()
        return self._crop(torch.from_numpy(np.array(shrunk.image)).permute(2, 0, 1))

    def classify(self, images: Sequence[Tensor]) -> list[Answer]:
        """Run the network on prepared images."""
        rows = torch.stack([image.permute(1, 2, 0) for image in images]).to(self._device)
        with torch.inference_mode():
            logits = self._network(self._input.normalise(rows.permute(0, 3, 1, 2)))
            # As in evaluate: probabilities by the temperature that was fitted on validation images.
            best = tempered(logits.cpu(), self._temperature).softmax(1).topk(min(TOP, len(self._classes)))
        return [
            [
                {
                    "class": self._classes[label]["name"],
                    "class_id": self._classes[label]["class_id"],
                    "probability": round(probability, 6),
                }
                for probability, label in zip(probabilities, labels, strict=True)
            ]
            for probabilities, labels in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]


def _too_many_pixels(what: str, limit: int) -> HTTPException:
    return HTTPException(413, f"{what} may have at most {limit:,} pixels")


class Queue:
    """What waits for the predictor: each image for its share of memory, then for the network."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._decoders = ThreadPoolExecutor(_cores(), thread_name_prefix="decode")
        self._network = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._budget = Budget(DECODING_BYTES)
        self._prepared: list[tuple[Tensor, asyncio.Future[Answer]]] = []
        self._small = 0  # images that are being decoded, which takes less long than the network
        self._running: asyncio.Task[None] | None = None

    async def answer(self, data: bytes) -> Answer:
        """Return the most probable classes of an encoded image."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        memory = self._predictor.memory(data)
        is_small = memory <= LARGE_PIXELS * PIXEL_BYTES
        async with self._budget.spend(memory):
            self._small += is_small
            try:
                self._prepared.append((await self.in_thread(self._predictor.prepare, data), future))
            finally:
                self._small -= is_small
                if self._running is None:
                    self._running = asyncio.create_task(self._run())
        return await future

    async def in_thread(self, work: Callable[[bytes], T], data: bytes) -> T:
        """Do what takes long where it does not hold up other requests."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, data)

    async def _run(self) -> None:
        """Run the network on what is prepared, together with what is so in a moment."""
        loop = asyncio.get_running_loop()
        while self._prepared and (not self._small or len(self._prepared) >= self._predictor.batch):
            batch = self._prepared[: self._predictor.batch]
            del self._prepared[: self._predictor.batch]
            images = [image for image, _ in batch]
            try:
                answers = await loop.run_in_executor(self._network, self._predictor.classify, images)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is these requests' answer
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # its request was given up
                    future.set_result(answer)
        self._running = None


class Budget:
    """An amount that is spent and comes back; first come, first served."""

    def __init__(self, amount: int) -> None:
        self._amount = self._left = amount
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @asynccontextmanager
    async def spend(self, amount: int) -> AsyncIterator[None]:
        """Wait until so much is left; what is more than all waits for all."""
        amount = min(amount, self._amount)
        async with self._turn:
            while self._left < amount:
                self._returned.clear()
                await self._returned.wait()
            self._left -= amount
        try:
            yield
        finally:
            self._left += amount
            self._returned.set()


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
