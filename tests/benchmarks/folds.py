"""Cross-validation for the benchmarks of accuracy: equal folds, and what a difference is worth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats  # type: ignore[import-untyped]
from sklearn.model_selection import RepeatedStratifiedKFold

FOLDS = 5


def folds(labels: npt.NDArray[np.int64], repeats: int) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the positions to learn from and those held out, five folds a repeat, always the same."""
    split = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=0)
    for learned, held_out in split.split(labels, labels):
        yield learned.tolist(), held_out.tolist()


def corrected_interval(differences: Sequence[float], train: float, test: float) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference, corrected for what the folds share.

    Folds share training images and are not independent: the variance is (1/J + test/train) s^2 of J folds,
    with Student's t of J - 1 degrees of freedom. This is the corrected resampled t-test of Nadeau and Bengio,
    "Inference for the generalization error", Machine Learning 52, 2003.
    """
    count = len(differences)
    variance = (1 / count + test / train) * statistics.variance(differences)
    half = float(stats.t.ppf(0.975, count - 1)) * math.sqrt(variance)
    mean = statistics.fmean(differences)
    return mean - half, mean + half
