"""How good the answers are, with intervals: what a few dozen test images can and cannot tell.

Shares of images (accuracy, recall of a class) have Wilson intervals; the rest is bootstrapped: the images are
drawn again with replacement, seeded, and the middle 95 % of the results is the interval. A mean over classes
leaves out a class that neither occurs nor is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of every interval in evaluation.json."""
_Z = 1.959963984540054  # the normal distribution's 97.5 % point
RESAMPLES = 1000
"""A thousand leave 25 beyond either end of a 95 % interval."""

PAIRS = 10
"""Of classes that are taken for each other: as many as somebody looks into."""
BINS = 10
"""Of calibration: fewer hide what is wrong, and with more a few dozen images leave most of them empty."""

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
"""A confusion matrix (classes, classes): rows are the truth, columns the answers."""


def confusion_matrix(truth: Sequence[int], answers: Sequence[int], class_count: int) -> Counts:
    """Count (truth, answer) pairs."""
    pairs = np.asarray(truth) * class_count + np.asarray(answers)
    return np.bincount(pairs, minlength=class_count**2).reshape(class_count, class_count)


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the Wilson score interval of a share, (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, square = successes / count, _Z**2 / count
    centre = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def per_class(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, f1 and support of every class; 0 where a denominator is 0."""
    right = np.diag(counts).astype(float)
    support, answered = counts.sum(1).astype(float), counts.sum(0).astype(float)
    return {
        "precision": _ratio(right, answered),
        "recall": _ratio(right, support),
        "f1": _ratio(2 * right, support + answered),
        "support": support,
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def summary(counts: Counts) -> dict[str, float]:
    """Return the macro and support-weighted means over the classes, and the balanced accuracy.

    Balanced accuracy is the mean recall of the classes that occur: each counts alike, however many images it
    has (K. H. Brodersen and others, The balanced accuracy and its posterior distribution, ICPR 2010).
    """
    classes = per_class(counts)
    seen = (counts.sum(0) + counts.sum(1)) > 0
    occurs = classes["support"] > 0
    weights = classes["support"] / max(1.0, classes["support"].sum())
    means = {"balanced_accuracy": float(classes["recall"][occurs].mean()) if occurs.any() else 0.0}
    for name in ("precision", "recall", "f1"):
        means[f"macro_{name}"] = float(classes[name][seen].mean()) if seen.any() else 0.0
        means[f"weighted_{name}"] = float((classes[name] * weights).sum())
    return means


def bootstrap(
    counts: Counts, measure: Callable[[Counts], dict[str, float]], seed: int
) -> dict[str, list[float]]:
    """Measure resampled confusion matrices: drawing images anew is drawing their cells anew."""
    generator = np.random.default_rng(seed)
    cells = np.flatnonzero(counts)
    total = int(counts.sum())
    draws = generator.multinomial(total, counts.ravel()[cells] / total, size=RESAMPLES)
    results: dict[str, list[float]] = {}
    for draw in draws:
        resampled = np.zeros(counts.size, dtype=np.int64)
        resampled[cells] = draw
        for name, value in measure(resampled.reshape(counts.shape)).items():
            results.setdefault(name, []).append(value)
    return results


def interval(lower: float, upper: float) -> dict[str, float]:
    """Write an interval as the documents do."""
    return {"level": LEVEL, "lower": lower, "upper": upper}


def classification_metrics(counts: Counts, names: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Build `multiclass_classification_metrics` in the shape of SageMaker's model quality."""
    total, right = int(counts.sum()), int(np.trace(counts))
    accuracy = right / total
    metrics: dict[str, Any] = {
        "accuracy": {
            "value": accuracy,
            "standard_deviation": math.sqrt(accuracy * (1 - accuracy) / total),
            "confidence_interval": interval(*wilson(right, total)),
        }
    }
    resampled = bootstrap(counts, summary, seed)
    for name, value in summary(counts).items():
        low, high = np.percentile(resampled[name], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        metrics[name] = {
            "value": value,
            "standard_deviation": float(np.std(resampled[name])),
            "confidence_interval": interval(float(low), float(high)),
        }
    metrics["confusion_matrix"] = {
        name: dict(zip(names, map(int, row), strict=True)) for name, row in zip(names, counts, strict=True)
    }
    return metrics


def log_loss(log_probabilities: Numbers, truth: Sequence[int]) -> float:
    """Return the mean of -ln(probability of the true class): 0 is best, and being surely wrong costs most."""
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def brier_score(probabilities: Numbers, truth: Sequence[int]) -> float:
    """Return the mean over the images of sum((probability - 1 if true, else 0)^2): 0 is best, 2 is worst.

    G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1950.
    """
    missed = probabilities.copy()
    missed[np.arange(len(truth)), truth] -= 1
    return float((missed**2).sum(1).mean())


def calibration(confidence: Numbers, right: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare how sure the answers are with how often they are right, by bins of equal width.

    Bin m of M holds the answers whose probability lies in ((m - 1) / M, m / M]; bins without images are left
    out. The expected calibration error is the sum over the bins of (images of the bin / all images) *
    |accuracy - mean probability|: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern
    neural networks, ICML 2017, equation 3.
    """
    edges = np.arange(BINS + 1) / BINS
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    bins = []
    for number in np.unique(place):
        inside = place == number
        bins.append(
            {
                "lower": float(edges[number]),
                "upper": float(edges[number + 1]),
                "images": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    gaps = (each["images"] * abs(each["accuracy"] - each["confidence"]) for each in bins)
    return {"expected_calibration_error": sum(gaps) / len(confidence), "bins": bins}


def confused_pairs(counts: Counts, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pairs of classes that are taken for each other most often, the most frequent first.

    Both directions count together, for what is done about them is the same: look at both classes' images, and
    add some that tell them apart. `rate` is the share of the two classes' images that it happened to.
    """
    both = np.triu(counts + counts.T, 1)
    pairs = sorted(zip(*map(np.ndarray.tolist, both.nonzero()), strict=True), key=lambda at: (-both[at], at))
    return [
        {
            "classes": [names[first], names[second]],
            "images": int(both[first, second]),
            "first_called_second": int(counts[first, second]),
            "second_called_first": int(counts[second, first]),
            "rate": float(both[first, second] / counts[[first, second]].sum()),
        }
        for first, second in pairs[:PAIRS]
    ]


def terciles(values: Numbers, right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the accuracy of the third of the images with the least values, of the middle and the last third.

    Equal values stay together, so that a group may be larger than a third, and another one empty: it is left
    out. The bounds are the least and the greatest value of a group.
    """
    place = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")
    groups = []
    for number in np.unique(place):
        inside = place == number
        correct, images = int(right[inside].sum()), int(inside.sum())
        groups.append(
            {
                "lower": float(values[inside].min()),
                "upper": float(values[inside].max()),
                "images": images,
                "accuracy": correct / images,
                "confidence_interval": interval(*wilson(correct, images)),
            }
        )
    return groups


def class_report(counts: Counts, names: Sequence[str]) -> dict[str, Any]:
    """Return every class's precision, recall with its interval, f1 and support."""
    classes = per_class(counts)
    return {
        name: {
            "precision": float(classes["precision"][label]),
            "recall": float(classes["recall"][label]),
            "f1": float(classes["f1"][label]),
            "support": int(classes["support"][label]),
            "recall_confidence_interval": interval(
                *wilson(int(counts[label, label]), int(counts[label].sum()))
            ),
        }
        for label, name in enumerate(names)
    }
