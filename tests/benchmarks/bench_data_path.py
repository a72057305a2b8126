"""Measure the data path of training on one thread: images read and made ready, features, and both together.

    python -m tests.benchmarks.bench_data_path [--images 160] [--rounds 5]

Reading: training.shards and training.data give normalised batches from the shards of what Preprocess shrank;
one thread decodes. The baseline opens the files of a folder with Pillow and applies torchvision's v1
transforms, as most projects do: to the originals (500 x 375 pixels, as in CUB-200-2011), and to the very
images that are in the shards. Features: the pretrained EfficientNet-Lite0 as training runs it (channels last,
batch norms and activations folded) against timm's network of the same weights as it comes (contiguous, under
torch.no_grad), whose features must be equal. Ours and the baseline are two processes that work in turns,
because training's settings of malloc are a whole process's. Both have what their processor takes, so that
what else the machine does counts for neither: `--clock wall` has seconds by the clock instead.
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
from torch import Tensor, nn

from image_data.records import ImageRecord
from tests.benchmarks.measure import interleaved, median, show
from training.augmentation import CentreCrop, RandomCrop
from training.backbones.efficientnet_lite import FEATURES as LITE_FEATURES
from training.backbones.efficientnet_lite import INPUT as LITE_INPUT
from training.data import Channel, Loader, Transform, batches_of
from training.fit import FEATURE_BATCH, set_up_torch
from training.hyper_parameters import parse_hyper_parameters
from training.model import Classifier, folded
from training.paths import write_json
from training.preprocess import store_image
from training.shards import ShardWriter, StoredImage

GIVEN = parse_hyper_parameters({}, has_gpu=False)
SIZE = GIVEN.image_size
FEATURE_IMAGES = 2 * FEATURE_BATCH
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}


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


def network_as_it_comes(body: nn.Module) -> nn.Module:
    """Return timm's EfficientNet-Lite0 with our weights, which are in the same order."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    names, values = network.state_dict(), body.state_dict().values()
    network.load_state_dict(dict(zip(names, values, strict=True)))
    images = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(network(images), folded(body)(images), atol=1e-4), "the networks differ"
    return network


def extractor(tuned: bool) -> Callable[[Tensor], Tensor]:
    """Return what gives the features of a batch."""
    classifier = Classifier(GIVEN.backbone, 2, GIVEN.dropout).eval()
    classifier.load_pretrained(Path())
    network = folded(classifier.body) if tuned else network_as_it_comes(classifier.body)
    grad_mode = torch.inference_mode if tuned else torch.no_grad

    def extract(batch: Tensor) -> Tensor:
        with grad_mode():
            features: Tensor = network(batch)
        return features

    return extract


def feature_tasks(folder: Path, count: int, tuned: bool) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Return what extracts features, of images at hand and from the disk, and of how many."""
    extract = extractor(tuned)
    batch = torch.rand(FEATURE_BATCH, 3, SIZE, SIZE) * 2 - 1
    if tuned:
        batch = batch.contiguous(memory_format=torch.channels_last)
        crop = CentreCrop(SIZE, LITE_INPUT.crop_fraction)
        batches = partial(tuned_batches, folder / "shards", crop)
    else:
        batches = partial(naive_batches, folder / "originals", naive_transforms()["centre crop"])

    def at_hand() -> None:
        for _ in range(FEATURE_IMAGES // FEATURE_BATCH):
            extract(batch)

    def from_disk() -> None:
        found = torch.cat([extract(each) for each in batches()])
        assert found.shape == (count, LITE_FEATURES)

    return {"features": (FEATURE_IMAGES, at_hand), "end to end": (count, from_disk)}


def serve(pipe: Connection, folder: Path, count: int, tuned: bool, clock: str) -> None:
    """Do what is asked for, with training's settings or with none, and answer with images a second."""
    torch.set_num_threads(1)
    if tuned:
        set_up_torch(torch.device("cpu"))
    tasks = {name: (count, task) for name, task in reading(folder, tuned).items()}
    tasks |= feature_tasks(folder, count, tuned)
    for _, task in tasks.values():
        task()
    now = CLOCKS[clock]
    pipe.send(list(tasks))
    while name := pipe.recv():
        images, task = tasks[name]
        started = now()
        task()
        pipe.send(images / (now() - started))


def measure(folder: Path, count: int, rounds: int, clock: str) -> dict[str, list[float]]:
    """Return images a second of everything, from two processes that work in turns."""
    context = multiprocessing.get_context("spawn")
    measures: dict[str, Callable[[], float]] = {}
    running = []
    for kind, tuned in (("naive", False), ("tuned", True)):
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, folder, count, tuned, clock), daemon=True)
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
    parser.add_argument("--clock", choices=CLOCKS, default="processor", help="whose seconds are counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = write_images(Path(name), options.images)
        values = measure(Path(name), options.images, options.rounds, options.clock)
    crops, title = ("centre crop", "random crop"), "{}: shards, folder of {}"
    pairs = [
        (title.format(crop, place), f"naive {crop}, {place}", f"tuned {crop}, shards")
        for place in ("originals", "small")
        for crop in crops
    ]
    pairs += [
        ("features: folded network, as it comes", "naive features", "tuned features"),
        ("features from shards, from folder of originals", "naive end to end", "tuned end to end"),
    ]
    show(
        f"Images a second on one thread, {options.clock} time, medians of {options.rounds}",
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
