"""Measure what fine-tuning is worth on a data set: of the last stage, and of the whole network.

    python -m tests.benchmarks.bench_whole_network DATA [--repeats 5] [--image-size 224]

DATA is a folder that Preprocess takes; all of its images are used, whatever split they belong to. Each of
5-fold cross-validation's folds is trained by `training.fit.run` once with each of these, in turns:

    frozen              the laptop's profile with fine-tune-epochs 0
    last stage          the laptop's profile as it is
    last stage, no box  the same with box-share 0: crops that need not keep a part of the bounding box
    whole               the GPU's profile in fp32: 5 epochs of all layers in batches of 16 instead of 30 in
                        batches of 64, for hundreds of images and not thousands

The images are encoded once, those to learn from as JPEGs and those to measure with exactly, as Preprocess
does; a fold's channels are links to the shards with an index of their own. A tenth of what a fold learns from
is its validation channel, which the temperature is fitted on. The images held out meet the trained model
only, as the evaluation's step asks it. All trainings of a fold have its number as their seed.

Accuracies are paired by fold, and the interval of their difference is corrected for what folds share
(folds.py). Seconds are those of a whole training in this process, its features included, imports not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from image_data.layouts import find_data_set
from tests.benchmarks.folds import FOLDS, corrected_interval, folds
from tests.benchmarks.measure import median, show
from training import fit
from training.artifact import read_artifact
from training.data import Channel
from training.evaluate import predict
from training.job import StopRequest
from training.manifest import class_list
from training.paths import Paths, write_json, write_json_list
from training.preprocess import store_image
from training.shards import ShardWriter, StoredImage, short_side

REFERENCE, WHOLE = "frozen", "whole"
LAPTOP = {"profile": "laptop"}
RECIPES: Mapping[str, Mapping[str, str]] = {
    REFERENCE: LAPTOP | {"fine-tune-epochs": "0"},
    "last stage": LAPTOP,
    "last stage, no box": LAPTOP | {"box-share": "0"},
    WHOLE: {"profile": "gpu", "precision": "fp32", "fine-tune-epochs": "5", "batch-size": "16"},
}
MARGIN = 0.02
"""What whole-network training may lose to the frozen backbone."""
QUALITY = 90
"""Of the JPEGs to learn from: Preprocess's default."""


class Images:
    """All images of a data set in shards, once as training sees them and once as evaluation does."""

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
        self.labels = Channel(self.learned).labels().numpy().astype(np.int64)

    @staticmethod
    def write_channel(source: Path, positions: Sequence[int], target: Path) -> None:
        """Make a channel of some images: its own index beside links to the same shards."""
        target.mkdir(parents=True)
        for path in (*source.glob("shard-*.tar"), source / "classes.json"):
            (target / path.name).hardlink_to(path)  # a channel follows no symbolic links
        entries = Channel(source).entries
        write_json_list(
            target / "index-all.json", {}, "images", (asdict(entries[place]) for place in positions)
        )


def train_and_measure(
    images: Images, folder: Path, parts: Mapping[str, Sequence[int]], recipe: Mapping[str, str]
) -> tuple[float, float]:
    """Train one model in `folder`; return its accuracy on the images held out, and the training's seconds."""
    paths = Paths(folder)
    images.write_channel(images.learned, parts["train"], paths.channel("train"))
    images.write_channel(images.measured, parts["validation"], paths.channel("validation"))
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        fit.run(paths, recipe, StopRequest())
    seconds = time.perf_counter() - started
    held_out = paths.processing_input("test")
    images.write_channel(images.measured, parts["test"], held_out)
    test = Channel(held_out)
    classifier, description = read_artifact(paths.model)
    answers = predict(classifier, description, test).argmax(1)
    accuracy = (answers == test.labels()).float().mean().item()
    test.close()
    return accuracy, seconds


def compare(
    images: Images, recipes: Mapping[str, Mapping[str, str]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], tuple[int, int]]:
    """Return accuracies and seconds of every recipe by fold, and how many images taught and tested one."""
    accuracies: dict[str, list[float]] = {name: [] for name in recipes}
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    sizes = (0, 0)
    for fold, (rest, test) in enumerate(folds(images.labels, repeats)):
        train, validation = train_test_split(
            rest, test_size=0.1, stratify=images.labels[rest], random_state=fold
        )
        sizes = len(train), len(test)
        parts = {"train": sorted(train), "validation": sorted(validation), "test": test}
        for name, recipe in recipes.items():
            with tempfile.TemporaryDirectory() as folder:
                given = {**recipe, "seed": str(fold)}
                accuracy, took = train_and_measure(images, Path(folder), parts, given)
            accuracies[name].append(accuracy)
            seconds[name].append(took)
        told = ", ".join(
            f"{name} {accuracies[name][-1]:.4f} in {seconds[name][-1]:.1f} s" for name in recipes
        )
        print(f"fold {fold + 1} of {FOLDS * repeats}: {told}", file=sys.stderr, flush=True)
    return accuracies, seconds, sizes


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a folder that Preprocess takes")
    parser.add_argument("--repeats", type=int, default=5, help="of 5-fold cross-validation")
    parser.add_argument("--image-size", type=int, default=224, help="pixels")
    given = parser.parse_args()
    size = {"image-size": str(given.image_size)}
    recipes = {name: {**recipe, **size} for name, recipe in RECIPES.items()}
    with tempfile.TemporaryDirectory() as folder:
        images = Images(given.data, Path(folder), given.image_size)
        accuracies, seconds, (train, test) = compare(images, recipes, given.repeats)
    rows, lowest = [], 0.0
    for name in recipes:
        row = [name, f"{statistics.fmean(accuracies[name]):.3f}", f"{statistics.stdev(accuracies[name]):.3f}"]
        if name == REFERENCE:
            row += ["", ""]
        else:
            pairs = zip(accuracies[name], accuracies[REFERENCE], strict=True)
            differences = [mine - reference for mine, reference in pairs]
            low, high = corrected_interval(differences, train, test)
            row += [f"{statistics.fmean(differences):+.3f}", f"{low:+.3f} to {high:+.3f}"]
            lowest = low if name == WHOLE else lowest
        ratio = median([a / b for a, b in zip(seconds[name], seconds[REFERENCE], strict=True)])
        rows.append([*row, f"{median(seconds[name]):.1f}", f"{ratio:.1f}"])
    holds = "is shown" if lowest >= -MARGIN else "is not shown"
    show(
        f"{len(images.labels)} images at {given.image_size} px, {given.repeats} x {FOLDS} folds",
        ["recipe", "accuracy", "sd", "difference", "95 % interval", "seconds", "ratio"],
        rows,
        [
            f"differences are to {REFERENCE}, fold by fold; sd is over the folds",
            f"a fold learns from {train} images and is measured by {test}",
            f"{WHOLE} against {REFERENCE}: a loss of more than {MARGIN:.2f} is "
            f"{'ruled out' if lowest >= -MARGIN else 'not ruled out'} (lower end {lowest:+.3f})",
        ],
    )


if __name__ == "__main__":
    main()
