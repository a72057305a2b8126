"""Measure the data path of training on one thread: images read and made ready, and features extracted.

    python -m tests.benchmarks.bench_data_path [--images 160] [--rounds 5]

Reading: training.shards and training.data give normalised batches from the shards of what Preprocess shrank;
one thread decodes. The baseline opens the files of a folder with Pillow and applies torchvision's v1
transforms, as most projects do: to the originals (500 x 375 pixels, as in CUB-200-2011), and to the very
images that are in the shards. Features: the pretrained EfficientNet-Lite0 as training runs it (channels last,
batch norms folded) against the same network as it comes (contiguous). Ours and the baseline are two processes
that work in turns, because training's settings of malloc are a whole process's.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from image_data.records import ImageRecord
from tests.benchmarks.measure import interleaved, median, show
from training.allocator import keep_memory
from training.augmentation import CentreCrop, RandomCrop
from training.backbones.efficientnet_lite import INPUT as LITE_INPUT
from training.data import Channel, Loader, Transform, batches_of
from training.fit import FEATURE_BATCH
from training.hyper_parameters import HyperParameters
from training.model import Classifier, folded, load_pretrained
from training.paths import write_json
from training.preprocess import store_image
from training.shards import ShardWriter, StoredImage

GIVEN = HyperParameters()
SIZE = GIVEN.image_size
FEATURE_IMAGES = 2 * FEATURE_BATCH


def draw(number: int, size: tuple[int, int] = (500, 375)) -> bytes:
    """Draw an image as big as a photograph of CUB: smooth colours with some grain, about 100 kB as JPEG."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(size, 3)
    grain = random.normal(0, 10, (size[1], size[0], 3))
    pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
    output = io.BytesIO()
    Image.fromarray(pixels).save(output, "JPEG", quality=90)
    return output.getvalue()


def write_images(folder: Path, count: int) -> dict[str, float]:
    """Write originals, shrunk files and shards; the mean kB of an original and of a shrunk image."""
    originals, small, shards = (folder / name for name in ("originals", "small", "shards"))
    originals.mkdir()
    small.mkdir()
    with ShardWriter(shards, "algo-1") as writer:
        for number in range(1, count + 1):
            data = draw(number)
            stored = store_image(data, short_side=256, quality=90)
            assert isinstance(stored, StoredImage)
            (originals / f"{number}.jpg").write_bytes(data)
            (small / f"{number}.jpg").write_bytes(stored.data)
            record = ImageRecord(number, f"a/{number}.jpg", f"a/{number}.jpg", 1, box=None, split=None)
            writer.add(record, 0, stored)
    write_json(shards / "classes.json", {"classes": [{"label": 0, "class_id": 1, "name": "a"}], "digest": ""})
    return {
        place.name: sum(path.stat().st_size for path in place.glob("*.jpg")) / count / 1000
        for place in (originals, small)
    }


def tuned_batches(shards: Path, transform: Transform) -> Iterator[Tensor]:
    """Read as the two phases of training do."""
    channel, loader = Channel(shards), Loader(1)
    try:
        for pixels, _labels in loader.load(
            channel, transform, batches_of(range(len(channel)), FEATURE_BATCH)
        ):
            yield LITE_INPUT.normalise(pixels)
    finally:
        loader.close()
        channel.close()


def naive_batches(folder: Path, transform: Callable[[Image.Image], Tensor]) -> Iterator[Tensor]:
    """Read as torchvision's ImageFolder and a DataLoader without workers do."""
    paths = sorted(folder.glob("*.jpg"))
    for batch in batches_of(range(len(paths)), FEATURE_BATCH):
        yield torch.stack([transform(Image.open(paths[position]).convert("RGB")) for position in batch])


def naive_transforms() -> dict[str, Callable[[Image.Image], Tensor]]:
    """Return the v1 transforms of every tutorial, with our sizes, areas and interpolation."""
    from torchvision import transforms

    bicubic, bilinear = transforms.InterpolationMode.BICUBIC, transforms.InterpolationMode.BILINEAR
    last = [transforms.ToTensor(), transforms.Normalize(LITE_INPUT.mean, LITE_INPUT.std)]
    crop = transforms.RandomResizedCrop(SIZE, scale=(0.35, 1.0), interpolation=bilinear)
    return {
        "centre crop": transforms.Compose(
            [transforms.Resize(256, bicubic), transforms.CenterCrop(SIZE), *last]
        ),
        "random crop": transforms.Compose([crop, transforms.RandomHorizontalFlip(), *last]),
    }


def consume(batches: Iterator[Tensor]) -> None:
    """Read to the end, and make sure that the batches are what the network takes."""
    for batch in batches:
        assert batch.dtype == torch.float32
        assert batch.shape[1:] == (3, SIZE, SIZE)


def reading(folder: Path, tuned: bool) -> dict[str, Callable[[], Any]]:
    """Return what reads every image once, by crop and by where the images are."""
    if tuned:
        crops: dict[str, Transform] = {
            "centre crop": CentreCrop(SIZE, LITE_INPUT.crop_fraction),
            "random crop": RandomCrop(SIZE, GIVEN.seed, 0, GIVEN.crop_area, GIVEN.box_share),
        }
        return {
            f"{name}, shards": partial(lambda crop: consume(tuned_batches(folder / "shards", crop)), crop)
            for name, crop in crops.items()
        }
    return {
        f"{name}, {place}": partial(
            lambda path, t: consume(naive_batches(path, t)), folder / place, transform
        )
        for name, transform in naive_transforms().items()
        for place in ("originals", "small")
    }


def features(tuned: bool) -> Callable[[], Any]:
    """Return what extracts the features of FEATURE_IMAGES images."""
    classifier = Classifier(GIVEN.backbone, 2, GIVEN.dropout).eval()
    load_pretrained(classifier, GIVEN.backbone, Path())
    batch = torch.rand(FEATURE_BATCH, 3, SIZE, SIZE) * 2 - 1
    body = classifier.body
    if tuned:
        body, batch = folded(body), batch.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(FEATURE_IMAGES // FEATURE_BATCH):
                body(batch)

    return run


def serve(pipe: Connection, folder: Path, count: int, tuned: bool) -> None:
    """Do what is asked for, with training's settings or with none, and answer with images a second."""
    torch.set_num_threads(1)
    if tuned:
        keep_memory()
        torch.use_deterministic_algorithms(True)
    tasks = {name: (count, task) for name, task in reading(folder, tuned).items()}
    tasks["features"] = (FEATURE_IMAGES, features(tuned))
    for _, task in tasks.values():
        task()
    pipe.send(list(tasks))
    while name := pipe.recv():
        images, task = tasks[name]
        started = time.perf_counter()
        task()
        pipe.send(images / (time.perf_counter() - started))


def measure(folder: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Return images a second of everything, from two processes that work in turns."""
    context = multiprocessing.get_context("spawn")
    measures: dict[str, Callable[[], float]] = {}
    running = []
    for kind, tuned in (("naive", False), ("tuned", True)):
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, folder, count, tuned), daemon=True)
        process.start()
        running.append((here, process))
        for task in here.recv():
            measures[f"{kind} {task}"] = partial(ask, here, task)
    values = interleaved(rounds, measures)
    for pipe, process in running:
        pipe.send("")
        process.join()
    return values


def ask(pipe: Connection, task: str) -> float:
    """Have a process do a task."""
    pipe.send(task)
    answer: float = pipe.recv()
    return answer


def rows(values: dict[str, list[float]], pairs: Sequence[tuple[str, str, str]]) -> list[tuple[str, ...]]:
    """Return the table: what, the baseline's and our images a second, and the ratio."""
    table: list[tuple[str, ...]] = []
    for title, baseline, ours in pairs:
        before, now = median(values[baseline]), median(values[ours])
        table.append((title, f"{before:.0f}", f"{now:.0f}", f"{now / before:.2f}"))
    return table


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=160, help="how many are generated and read")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = write_images(Path(name), options.images)
        values = measure(Path(name), options.images, options.rounds)
    crops, title = ("centre crop", "random crop"), "{}: shards, folder of {}"
    pairs = [
        (title.format(crop, place), f"naive {crop}, {place}", f"tuned {crop}, shards")
        for place in ("originals", "small")
        for crop in crops
    ]
    pairs.append(("features: tuned, as it comes", "naive features", "tuned features"))
    show(
        f"Images a second on one thread, medians of {options.rounds}",
        ("what: ours, baseline", "baseline", "ours", "ratio"),
        rows(values, pairs),
        (
            f"{options.images} generated images; an original {sizes['originals']:.0f} kB, a small one "
            f"{sizes['small']:.0f} kB; torch {torch.__version__}, batches of {FEATURE_BATCH} x {SIZE} pixels",
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
