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
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from tests.benchmarks.folds import FOLDS, corrected_interval, folds
from tests.benchmarks.measure import median, show
from tests.benchmarks.shards import Shards, write_channel
from training import fit
from training.artifact import read_artifact
from training.data import Channel
from training.evaluate import predict
from training.job import StopRequest
from training.paths import Paths

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


def train_and_measure(
    shards: Shards, folder: Path, parts: Mapping[str, Sequence[int]], recipe: Mapping[str, str]
) -> tuple[float, float]:
    """Train one model in `folder`; return its accuracy on the images held out, and the training's seconds."""
    paths = Paths(folder)
    write_channel(shards.learned, parts["train"], paths.channel("train"))
    write_channel(shards.measured, parts["validation"], paths.channel("validation"))
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        fit.run(paths, recipe, StopRequest())
    seconds = time.perf_counter() - started
    held_out = paths.processing_input("test")
    write_channel(shards.measured, parts["test"], held_out)
    test = Channel(held_out)
    classifier, description = read_artifact(paths.model)
    answers = predict(classifier, description, test).argmax(1)
    accuracy = (answers == test.labels()).float().mean().item()
    test.close()
    return accuracy, seconds


def compare(
    shards: Shards, recipes: Mapping[str, Mapping[str, str]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], tuple[int, int]]:
    """Return accuracies, seconds, and the images of a fold: the fewest learned from, the most held out."""
    accuracies: dict[str, list[float]] = {name: [] for name in recipes}
    seconds: dict[str, list[float]] = {name: [] for name in recipes}
    labels = Channel(shards.learned).labels().numpy().astype(np.int64)
    sizes = (len(labels), 0)
    for fold, (rest, test) in enumerate(folds(labels, repeats)):
        train, validation = train_test_split(rest, test_size=0.1, stratify=labels[rest], random_state=fold)
        sizes = min(sizes[0], len(train)), max(sizes[1], len(test))  # the interval errs to the wide side
        parts = {"train": sorted(train), "validation": sorted(validation), "test": test}
        for name, recipe in recipes.items():
            with tempfile.TemporaryDirectory() as folder:
                given = {**recipe, "seed": str(fold)}
                accuracy, took = train_and_measure(shards, Path(folder), parts, given)
            accuracies[name].append(accuracy)
            seconds[name].append(took)
        told = ", ".join(
            f"{name} {accuracies[name][-1]:.4f} in {seconds[name][-1]:.1f} s" for name in recipes
        )
        print(f"fold {fold + 1} of {FOLDS * repeats}: {told}", file=sys.stderr, flush=True)
    return accuracies, seconds, sizes


def show_table(
    accuracies: Mapping[str, Sequence[float]],
    seconds: Mapping[str, Sequence[float]],
    sizes: tuple[int, int],
    image_size: int,
) -> None:
    """Print what `compare` returned, with the differences to the frozen network."""
    (train, test), rows, lowest = sizes, [], 0.0
    for name in accuracies:
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
    show(
        f"Images of {image_size} px, {len(accuracies[REFERENCE]) // FOLDS} x {FOLDS} folds",
        ["recipe", "accuracy", "sd", "difference", "95 % interval", "seconds", "ratio"],
        rows,
        [
            f"differences are to {REFERENCE}, fold by fold; sd is over the folds",
            f"a fold learns from at least {train} images and is measured by at most {test}",
            f"{WHOLE} against {REFERENCE}: a loss of more than {MARGIN:.2f} is "
            f"{'ruled out' if lowest >= -MARGIN else 'not ruled out'} (lower end {lowest:+.3f})",
        ],
    )


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
        shards = Shards(given.data, Path(folder), given.image_size)
        accuracies, seconds, sizes = compare(shards, recipes, given.repeats)
    show_table(accuracies, seconds, sizes, given.image_size)


if __name__ == "__main__":
    main()
