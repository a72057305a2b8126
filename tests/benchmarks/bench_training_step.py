"""Measure a step of whole-network training on one thread, and compare how the loss falls.

    python -m tests.benchmarks.bench_training_step [--images 32] [--rounds 3]

Ours is training.fit's loop (`fine-tune-layers` all, fp32), step by step: loading, Fit's step, its schedule.
The baseline is the plain loop of references: timm's EfficientNet-Lite0 as it comes (contiguous, in a process
without training's settings of malloc), `zero_grad`, forward, `cross_entropy`, `backward`, `torch.optim.AdamW`
with ours' parameter groups. Both start from the same weights and see the same batches in the same order: the
middle of each image, no dropout. Batch norm is frozen in both, as it is by default, or trained in both.

A round is an epoch, of one after the other; every round goes on from the last one. The losses of all steps
must agree within TOLERANCE.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from image_data.records import ImageRecord
from tests.benchmarks.bench_data_path import CLOCKS, draw, network_as_it_comes
from tests.benchmarks.measure import interleaved, median, show
from training.augmentation import CentreCrop
from training.checkpoint import CheckpointStore
from training.data import Channel, Loader, batches_of, shuffled
from training.fit import Fit, TrainingContext, load_data, set_up_torch
from training.hyper_parameters import HyperParameters, parse_hyper_parameters
from training.job import StopRequest
from training.model import Classifier
from training.optimizer import make_optimizer, schedule
from training.paths import Paths, write_json
from training.preprocess import store_image
from training.shards import ShardWriter, StoredImage

CLASSES = 6
TOLERANCE = 0.02
"""Of a step's loss, by the baseline's: both add up the same numbers, in another order."""
NORMS = ("frozen", "trained")


def hyper_parameters(norm: str, rounds: int) -> HyperParameters:
    """Return those of both: the default's rate and batch, with nothing that is drawn at random."""
    given = {
        "epochs": "0",
        "fine-tune-epochs": str(rounds + 1),  # the first one is not measured
        "fine-tune-layers": "all",
        "batch-norm": norm,
        "precision": "fp32",
        "augmentation": "none",
        "dropout": "0",
    }
    return parse_hyper_parameters(given, has_gpu=False)


def write_channels(base: Path, count: int) -> None:
    """Write images of some classes as Preprocess leaves them: `count` to train on, and one to validate."""
    for name, images in (("train", count), ("validation", CLASSES)):
        folder = Paths(base).channel(name)
        with ShardWriter(folder, "algo-1") as writer:
            for number in range(1, images + 1):
                label = number % CLASSES
                stored = store_image(draw(number), short_side=256, quality=90)
                assert isinstance(stored, StoredImage)
                path = f"{label}/{number}.jpg"
                writer.add(ImageRecord(number, path, path, label + 1, box=None, split=None), label, stored)
        classes = [{"label": each, "class_id": each + 1, "name": str(each)} for each in range(CLASSES)]
        write_json(folder / "classes.json", {"classes": classes, "digest": ""})


class RecordedFit(Fit):
    """Fit, which also tells the loss of every step, and validates nothing: a step is what is measured."""

    def __init__(self, context: TrainingContext, store: CheckpointStore) -> None:
        super().__init__(context, store)
        self.losses: list[float] = []
        self._start_phase(None)

    def one_epoch(self) -> None:
        """Take the steps of an epoch as `train_one_epoch` does."""
        settings, epoch = self.context.hyper_parameters, self.step // self.steps_per_epoch
        batches = batches_of(shuffled(len(self.context.train), settings.seed, epoch), settings.batch_size)
        parts = [self._parts(batch) for batch in batches]
        inputs = self.phase.batches(epoch, [part for batch in parts for part in batch])
        self.phase.train_mode()
        for batch, mine in zip(batches, parts, strict=True):
            before = self._loss.item()
            self._learn(batch, mine, inputs)
            self.losses.append((self._loss.item() - before) / len(batch))


def our_epochs(base: Path, settings: HyperParameters) -> Iterator[list[float]]:
    """Train an epoch each time, and yield the losses of its steps."""
    set_up_torch(torch.device("cpu"))
    train, validation = load_data(Paths(base))
    classifier = Classifier(settings.backbone, CLASSES, settings.dropout, settings.stochastic_depth)
    classifier.load_pretrained(Path())
    classifier.to(memory_format=torch.channels_last)
    cpu = torch.device("cpu")
    context = TrainingContext(classifier, train, validation, settings, Loader(1), StopRequest(), cpu)
    fit = RecordedFit(context, CheckpointStore(base / "no-checkpoints", "run"))
    while True:
        fit.losses.clear()
        fit.one_epoch()
        yield list(fit.losses)


def plain_epochs(base: Path, settings: HyperParameters) -> Iterator[list[float]]:
    """Do the same as a reference's loop does."""
    channel = Channel(Paths(base).channel("train"))
    ours = Classifier(settings.backbone, CLASSES, 0.0)
    ours.load_pretrained(Path())
    network = nn.Sequential(network_as_it_comes(ours.body), ours.head)
    # The decay and the rate of every parameter, by the same names: timm's are in our order.
    names = [name for name, _ in ours.named_parameters()]
    trained = dict(zip(names, network.parameters(), strict=True))
    groups = make_optimizer(trained, ours.depths(), settings).param_groups
    plain = [{key: group[key] for key in ("params", "weight_decay")} for group in groups]
    optimizer = torch.optim.AdamW(plain, lr=0.0)
    crop = CentreCrop(settings.image_size, ours.input_format.crop_fraction)
    labels = channel.labels()
    per_epoch = len(batches_of(range(len(channel)), settings.batch_size))
    step = 0
    for epoch in range(settings.fine_tune_epochs):
        network.train()
        if settings.batch_norm == "frozen":
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        losses = []
        for batch in batches_of(shuffled(len(channel), settings.seed, epoch), settings.batch_size):
            images = torch.stack([crop(channel.pixels(each)).contiguous() for each in batch])
            for group in optimizer.param_groups:
                group["lr"] = settings.fine_tune_learning_rate * schedule(
                    step, settings.fine_tune_epochs * per_epoch, settings.warm_up
                )
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                network(ours.input_format.normalise(images)),
                labels[list(batch)],
                label_smoothing=settings.label_smoothing,
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            step += 1
        yield losses


def serve(pipe: Connection, base: Path, settings: HyperParameters, clock: str, tuned: bool) -> None:
    """Train an epoch when asked to, and answer with images a second and the losses."""
    torch.set_num_threads(1)
    epochs = (our_epochs if tuned else plain_epochs)(base, settings)
    images = len(Channel(Paths(base).channel("train")))
    now = CLOCKS[clock]
    while pipe.recv():
        started = now()
        losses = next(epochs)
        pipe.send((images / (now() - started), losses))


class Trainer:
    """A process that trains an epoch when asked to."""

    def __init__(self, *how: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, *how), daemon=True)
        self._process.start()
        self.losses: list[float] = []

    def epoch(self) -> float:
        """Return images a second of the next epoch."""
        self._pipe.send(True)
        rate, losses = self._pipe.recv()
        self.losses += losses
        return float(rate)

    def close(self) -> None:
        """End the process."""
        self._pipe.send(False)
        self._process.join()


def compare(base: Path, norm: str, rounds: int, clock: str) -> tuple[float, float, float, list[float]]:
    """Return the medians of the baseline and of ours, the biggest difference of a loss, and our losses."""
    settings = hyper_parameters(norm, rounds)
    trainers = {name: Trainer(base, settings, clock, name == "ours") for name in ("plain", "ours")}
    for trainer in trainers.values():
        trainer.epoch()
    measures: dict[str, Callable[[], float]] = {
        name: partial(Trainer.epoch, trainer) for name, trainer in trainers.items()
    }
    values = interleaved(rounds, measures)
    for trainer in trainers.values():
        trainer.close()
    plain, ours = (Tensor(trainers[name].losses) for name in ("plain", "ours"))
    apart = ((ours - plain).abs() / plain).max().item()
    return median(values["plain"]), median(values["ours"]), apart, trainers["ours"].losses


def main() -> int:
    """Measure and print the table; 1 where the losses are too far apart."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=32, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs that are measured, behind a first one")
    parser.add_argument("--clock", choices=CLOCKS, default="processor", help="whose seconds are counted")
    options = parser.parse_args()
    rows, notes, too_far = [], [], False
    with tempfile.TemporaryDirectory() as name:
        write_channels(Path(name), options.images)
        for norm in NORMS:
            plain, ours, apart, losses = compare(Path(name), norm, options.rounds, options.clock)
            rows.append(
                (f"whole network, batch norm {norm}", f"{plain:.2f}", f"{ours:.2f}", f"{ours / plain:.2f}")
            )
            notes.append(
                f"{norm}: the loss falls from {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} "
                f"steps; the two differ by at most {100 * apart:.3f} % ({100 * TOLERANCE:g} % are allowed)"
            )
            too_far |= not apart <= TOLERANCE
    settings = hyper_parameters(NORMS[0], options.rounds)
    batch = f"batches of {settings.batch_size} x {settings.image_size} pixels; torch {torch.__version__}"
    show(
        f"Images a second of training on one thread, {options.clock} time, medians of {options.rounds}",
        ("what", "plain loop", "ours", "ratio"),
        rows,
        (*notes, batch),
    )
    return int(too_far)


if __name__ == "__main__":
    sys.exit(main())
