"""Measure training on NVIDIA GPUs: bf16 against fp32, and all GPUs of the machine against one.

    python -m tests.benchmarks.gpu [--backbone resnet50 ...] [--train NAME[=WEIGHTS]] [--accuracy 0.95]

Steps: images a second of the whole network's training steps with the GPU profile, from the copy of the pixels
to the optimizer and the averaged weights, on one GPU. The weights are random and no image is decoded. What
fp32 means is PyTorch's default, in which convolutions may use TF32.

Trainings: `python -m training.train` on drawings (local/sample_data.py), the GPU profile without its head
phase, once in fp32 and once in bf16 on one GPU, and once in bf16 on all of them where there are several, all
with the same global batch. Seconds to the accuracy are those from the process's start to the first epoch that
reaches it on the validation channel; images a second are those between the first epoch's end and the last's,
with decoding and validation. The drawings are easy: the accuracy says nothing about photographs.

Where PyTorch finds no GPU or one without bf16, it says so and exits with code 2.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from local import sample_data
from tests.benchmarks.measure import interleaved, median, show
from tests.benchmarks.shards import Shards, write_channel
from training.backbones import check_name
from training.checkpoint import CheckpointStore
from training.data import Channel, Loader, Transform
from training.fit import Fit, TrainingContext, set_up_torch
from training.hyper_parameters import parse_hyper_parameters
from training.job import StopRequest
from training.model import Classifier
from training.paths import BASE_VARIABLE, Paths, write_json

NO_GPU = 2
ROOT = Path(__file__).resolve().parents[2]
BACKBONES = ("resnet50", "timm/convnext_tiny")
WARM_UP = 5
"""Steps before the clock starts, in which cuDNN chooses and memory is laid out."""
EPOCH = re.compile(r"epoch=(\d+)/\d+ .* validation_accuracy=([\d.]+)")


class SameImage(Loader):
    """Hands out one image for all, so that nothing is decoded, and takes the time of the steps on `train`."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(threads=1)
        self._device = device
        self.images_per_second = 0.0

    def load(
        self, channel: Channel, transform: Transform, batches: Iterable[Sequence[int]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield as many images as there are; the next batch is asked for when a step has been started."""
        parts, labels, pixels = (
            list(batches),
            channel.labels(),
            transform(channel.pixels(0), channel.entries[0]),
        )
        started = 0.0
        for number, part in enumerate(parts):
            if number in (WARM_UP, len(parts) - 1):
                self._synchronise()
            if number == WARM_UP:
                started = time.perf_counter()
            if number == len(parts) - 1 > WARM_UP and channel.folder.name == "train":
                images = sum(map(len, parts[WARM_UP:number]))
                self.images_per_second = images / (time.perf_counter() - started)
            rows = torch.stack([pixels.permute(1, 2, 0)] * len(part))  # in memory as the loader has them
            yield rows.permute(0, 3, 1, 2), labels[list(part)]

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@dataclass(frozen=True)
class Sizes:
    """How large a step is, and how many are measured."""

    image_size: int
    batch_size: int
    steps: int


def step_rate(shards: Shards, backbone: str, precision: str, sizes: Sizes, device: torch.device) -> float:
    """Return images a second of training steps on the whole network, with random weights."""
    strings = {
        "backbone": backbone,
        "profile": "gpu",
        "precision": precision,
        "epochs": "0",
        "fine-tune-epochs": "1",
        "image-size": str(sizes.image_size),
        "batch-size": str(sizes.batch_size),
    }
    hyper_parameters = parse_hyper_parameters(strings)
    count = len(Channel(shards.learned).entries)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        needed = (WARM_UP + sizes.steps + 1) * sizes.batch_size
        for name, images in (("train", needed), ("validation", 1)):
            write_channel(shards.learned, [place % count for place in range(images)], Path(folder) / name)
        train, validation = (Channel(Path(folder) / name) for name in ("train", "validation"))
        classifier = Classifier(
            backbone,
            len(train.classes),
            hyper_parameters.dropout,
            hyper_parameters.stochastic_depth,
            hyper_parameters.image_size,
        )
        classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        loader = SameImage(device)
        context = TrainingContext(
            classifier, train, validation, hyper_parameters, loader, StopRequest(), device
        )
        try:
            Fit(context, CheckpointStore(Path(folder) / "checkpoints", "run")).run()
        finally:
            loader.close()
            train.close()
            validation.close()
    return loader.images_per_second


@dataclass(frozen=True)
class LoggedTraining:
    """What a training's log says: when each epoch ended, in seconds from the start, and how good it was."""

    images: int
    epochs: tuple[tuple[float, float], ...]

    def seconds_to(self, accuracy: float) -> float | None:
        """Return the seconds to the first epoch that reached a validation accuracy, None where none did."""
        return next((seconds for seconds, reached in self.epochs if reached >= accuracy), None)

    @property
    def images_per_second(self) -> float:
        """Return the rate between the first epoch's end and the last one's."""
        return self.images * (len(self.epochs) - 1) / (self.epochs[-1][0] - self.epochs[0][0])


def preprocess(folder: Path, images_per_class: int, image_size: int) -> Path:
    """Draw a data set, run Preprocess on it, and return the folder of its outputs."""
    paths = Paths(folder)
    sample_data.generate(paths.processing_input("data"), images_per_class=images_per_class)
    command = [sys.executable, "-m", "training.preprocess", "--image-size", str(image_size)]
    subprocess.run(command, check=True, cwd=ROOT, env=_environment(folder), stdout=subprocess.DEVNULL)
    return paths.processing_output("train").parent


def train(
    folder: Path, outputs: Path, strings: Mapping[str, str], weights: Path | None = None, **variables: str
) -> LoggedTraining:
    """Train in `folder` as a job does, with these variables in its environment, and read its log."""
    paths = Paths(folder)
    for name in ("train", "validation"):
        paths.channel(name).parent.mkdir(parents=True, exist_ok=True)
        paths.channel(name).symlink_to(outputs / name)
    if weights:
        paths.channel("pretrained").mkdir()
        shutil.copy(weights, paths.channel("pretrained"))
    write_json(paths.hyper_parameters, strings)
    variables |= {"MASTER_ADDR": "localhost"}
    command, epochs = [sys.executable, "-m", "training.train"], []
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(folder) | variables, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            if found := EPOCH.match(line):
                epochs.append((time.perf_counter() - started, float(found[2])))
    if process.returncode:
        raise SystemExit(f"the training with {json.dumps(strings)} ended with code {process.returncode}")
    return LoggedTraining(len(Channel(paths.channel("train"))), tuple(epochs))


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, BASE_VARIABLE: str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def show_steps(backbones: Sequence[str], sizes: Sizes, rounds: int, device: torch.device) -> None:
    """Measure and print what bf16 brings to a step."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = sample_data.generate(Path(folder) / "data", images_per_class=2)
        shards = Shards(data, Path(folder) / "shards", sizes.image_size)
        for backbone in backbones:
            measures = {
                precision: partial(step_rate, shards, backbone, precision, sizes, device)
                for precision in ("fp32", "bf16")
            }
            rates = {name: median(values) for name, values in interleaved(rounds, measures).items()}
            row = [f"{rates['fp32']:.1f}", f"{rates['bf16']:.1f}", f"{rates['bf16'] / rates['fp32']:.2f}"]
            rows.append([backbone, *row])
    show(
        f"Steps of {sizes.batch_size} images of {sizes.image_size} px, images/s",
        ["backbone", "fp32", "bf16", "ratio"],
        rows,
        [_device_name(device)],
    )


def show_trainings(
    backbone: str,
    weights: Path | None,
    sizes: Sizes,
    *,
    accuracy: float,
    epochs: int,
    images_per_class: int,
    gpus: Sequence[str],
) -> None:
    """Measure and print how long trainings take to an accuracy: on one GPU and on all, or on the CPU."""
    kinds = [("fp32", gpus[:1]), ("bf16", gpus[:1])] + ([("bf16", gpus)] if len(gpus) > 1 else [])
    rows: list[list[str]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        outputs = preprocess(Path(folder) / "preprocess", images_per_class, sizes.image_size)
        for number, (precision, used) in enumerate(kinds):
            strings = {
                "backbone": backbone,
                "profile": "gpu",
                "precision": precision,
                "epochs": "0",
                "fine-tune-epochs": str(epochs),
                "image-size": str(sizes.image_size),
                "batch-size": str(sizes.batch_size),
            }
            place = Path(folder) / f"training-{number}"
            done = train(place, outputs, strings, weights, CUDA_VISIBLE_DEVICES=",".join(used))
            seconds, rate = done.seconds_to(accuracy), done.images_per_second
            slowest = slowest or rate
            reached = "not reached" if seconds is None else f"{seconds:.1f}"
            best = max(each for _, each in done.epochs)
            name = f"{precision}, {f'{len(used)} x GPU' if used else 'CPU'}"
            rows.append([name, reached, f"{best:.3f}", f"{rate:.1f}", f"{rate / slowest:.2f}"])
    show(
        f"{backbone}, {done.images} drawings to train with, {epochs} epochs, global batch {sizes.batch_size}",
        ["training", f"seconds to {accuracy:g}", "best accuracy", "images/s", "ratio"],
        rows,
        ["of the validation channel; ratios are to the first row"],
    )


def visible_gpus() -> list[str]:
    """Name the GPUs that PyTorch finds as CUDA_VISIBLE_DEVICES does."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return given.split(",")[:count] if given else [str(number) for number in range(count)]


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "on the CPU"


def lacking() -> str:
    """Say what this machine lacks, empty where it lacks nothing."""
    if not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU here"
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return f"{torch.cuda.get_device_name()} has no bf16"
    return ""


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; unknown backbones are told before anything is measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("--backbone", action="append", metavar="NAME", help=f"of the steps; else {', '.join(BACKBONES)}")
    add("--train", default="efficientnet_lite0", metavar="NAME[=WEIGHTS]", help="backbone of the trainings")
    add("--accuracy", type=float, default=0.95, help="of the validation channel, from 0 to 1")
    add("--image-size", type=int, default=224, help="pixels")
    add("--batch-size", type=int, default=64, help="images of all GPUs together")
    add("--steps", type=int, default=50, help="that are measured in each round")
    add("--rounds", type=int, default=3, help="of the steps in both precisions")
    add("--epochs", type=int, default=15, help="of each training")
    add("--images-per-class", type=int, default=240, help="of the drawings' 8 classes")
    given = parser.parse_args(argv)
    for name, least in (
        ("image_size", 32),
        ("batch_size", 1),
        ("steps", 1),
        ("rounds", 1),
        ("epochs", 2),
        ("images_per_class", 4),
    ):
        if getattr(given, name) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    if not 0 < given.accuracy <= 1:
        parser.error("--accuracy must be above 0 and at most 1")
    given.backbone = given.backbone or list(BACKBONES)
    given.train, _, weights = given.train.partition("=")
    given.weights = Path(weights).resolve() if weights else None
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit code."""
    given = read_arguments(argv)
    if lack := lacking():
        print(f"nothing was measured: {lack}; run this on a machine whose GPU has bf16", file=sys.stderr)
        return NO_GPU
    for backbone in (*given.backbone, given.train):
        check_name(backbone)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as training.train
    device = torch.device("cuda")
    set_up_torch(device)
    sizes = Sizes(given.image_size, given.batch_size, given.steps)
    show_steps(given.backbone, sizes, given.rounds, device)
    torch.cuda.empty_cache()
    show_trainings(
        given.train,
        given.weights,
        sizes,
        accuracy=given.accuracy,
        epochs=given.epochs,
        images_per_class=given.images_per_class,
        gpus=visible_gpus(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
