"""Two models on the same test images: whose mistakes they are, and what the difference is worth."""

from __future__ import annotations

import csv
import io
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import error_code
from ops.executions.evaluations import Evaluation, beside, open_object

COLUMNS = ("id", "image", "true", "predicted")
OF_TRUTH = "probability_of_true"
SIZE_LIMIT = 64 << 20  # bytes; the rows of half a million images
Z = 1.959963984540054  # the normal distribution's 97.5 % point

LEAST = 5e-324
"""The least probability that a number can be: of a class that the model held for impossible, 0 is written."""
RESAMPLES = 1000
"""Of the bootstrap, where there are up to ten thousand images."""
FEWEST, MOST_DRAWS = 200, 10_000_000
"""Of many images fewer are drawn again: they take seconds, and a metric of many hardly varies."""
SEED = 7
"""Any number would do: the same answers have the same interval."""


@dataclass(frozen=True)
class Answer:
    """What a model answered for one test image."""

    true: str
    predicted: str
    of_truth: float | None = None
    """The probability of the true class; None where it is not known."""

    @property
    def right(self) -> bool:
        """Return whether the answer is right."""
        return self.true == self.predicted


Answers = Mapping[tuple[str, str], Answer]
"""The model's answer for each test image, by its id and its name."""


@dataclass(frozen=True)
class MetricDifference:
    """A metric of the second model less the first's, and its 95 % interval by a paired bootstrap."""

    metric: str
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Difference:
    """What a second model is to a first one on the same images."""

    images: int
    only_first: int
    """Images that the first alone called by their name."""
    only_second: int
    accuracy: float
    """The second's accuracy less the first's."""
    lower: float
    upper: float
    p_value: float
    metrics: tuple[MetricDifference, ...] = ()
    """Of the metrics that are no share of the images."""


def read_answers(s3: Any, evaluation: Evaluation) -> Answers:
    """Read predictions.csv from beside an evaluation.json.

    Raises:
        ValueError: There is none, it cannot be read, or it is not what evaluate writes.
    """
    name = evaluation.predictions_file
    if name is None:
        raise ValueError("its evaluation has no predictions.csv")
    try:
        answer = open_object(s3, beside(evaluation.url, name))
    except ClientError as error:
        raise ValueError(f"its predictions.csv cannot be read: {error_code(error)}") from error
    if answer["ContentLength"] > SIZE_LIMIT:
        raise ValueError(f"its predictions.csv has {answer['ContentLength']} bytes, more than are read")
    answers = parse_answers(answer["Body"].read())
    if len(answers) != evaluation.images:
        raise ValueError(
            f"its predictions.csv has {len(answers):,} images and its evaluation.json {evaluation.images}"
        )
    return answers


def parse_answers(body: bytes) -> Answers:
    """Return the answers of a predictions.csv.

    Raises:
        ValueError: It is not what evaluate writes.
    """
    try:
        reader = csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise ValueError(f"its predictions.csv has no columns {', '.join(COLUMNS)}")
        rows = [([row[name] for name in COLUMNS], row.get(OF_TRUTH)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"its predictions.csv is damaged: {error}") from error
    answers: dict[tuple[str, str], Answer] = {}
    for number, (row, of_truth) in enumerate(rows, 1):
        if None in row:
            raise ValueError(f"its predictions.csv is damaged: row {number} ends too early")
        if (row[0], row[1]) in answers:
            raise ValueError(
                f"its predictions.csv is damaged: row {number} has an image that another row has"
            )
        answers[row[0], row[1]] = Answer(row[2], row[3], _share(of_truth))
    return answers


def _share(text: str | None) -> float | None:
    try:
        share = float(text or "")
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def why_not_paired(first: Evaluation, second: Evaluation, answers: tuple[Answers, Answers]) -> str | None:
    """Say why two evaluations are not of the same images; None where they are."""
    if first.data_digest is None or first.data_digest != second.data_digest:
        return "the test images are of different data"
    one, other = answers
    if one.keys() != other.keys() or any(one[each].true != other[each].true for each in one):
        return "the test images differ, although their data has one digest"
    return None if one else "there are no test images"


def difference(first: Answers, second: Answers) -> Difference:
    """Compare the second model's answers with the first's, image by image.

    The interval is the adjusted Wald interval for paired proportions of Bonett and Price (Journal of
    Educational and Behavioral Statistics 37, 2012), the p-value that of McNemar's exact test: how likely
    so uneven a split of the images that one alone got right is, where both models are equally good.
    """
    right = [(first[each].right, second[each].right) for each in first]
    only_first = sum(one and not other for one, other in right)
    only_second = sum(other and not one for one, other in right)
    images = len(right)
    gained, lost = (only_second + 1) / (images + 2), (only_first + 1) / (images + 2)
    middle = gained - lost
    half = Z * math.sqrt((gained + lost - middle**2) / (images + 2))
    return Difference(
        images=images,
        only_first=only_first,
        only_second=only_second,
        accuracy=(only_second - only_first) / images,
        lower=max(-1.0, middle - half),
        upper=min(1.0, middle + half),
        p_value=mcnemar(only_first, only_second),
        metrics=metric_differences(first, second),
    )


def metric_differences(first: Answers, second: Answers) -> tuple[MetricDifference, ...]:
    """Return the second model's macro F1, balanced accuracy and log loss less the first's.

    The interval is a paired bootstrap's: the images are drawn again with replacement, seeded, the same ones
    for both models, and the middle 95 % of the differences is the interval (B. Efron, R. Tibshirani, An
    introduction to the bootstrap, 1993, chapter 13). Without probabilities there is no log loss.
    """
    pairs = [(first[each], second[each]) for each in first]
    numbers = {name: number for number, name in enumerate(sorted(_names(pairs)))}
    truth = [numbers[one.true] for one, _ in pairs]
    answers = [[numbers[pair[which].predicted] for pair in pairs] for which in (0, 1)]
    losses = [_loss(one, other) for one, other in pairs]
    known = [loss for loss in losses if loss is not None]

    def measure(drawn: Sequence[int]) -> list[float]:
        true = Counter(map(truth.__getitem__, drawn))
        means = [_means(true, truth, answered, drawn) for answered in answers]
        found = [means[1][name] - means[0][name] for name in (0, 1)]
        return [*found, math.fsum(map(known.__getitem__, drawn)) / len(drawn)] if complete else found

    complete = len(known) == len(losses)
    everything = range(len(pairs))
    seen = measure(everything)
    generator = random.Random(SEED)  # noqa: S311 - not a secret
    times = max(FEWEST, min(RESAMPLES, MOST_DRAWS // len(pairs)))
    drawn = [measure(generator.choices(everything, k=len(pairs))) for _ in range(times)]
    names = ("macro_f1", "balanced_accuracy", "log_loss")
    return tuple(
        MetricDifference(name, value, *_middle(sorted(each)))
        for name, value, each in zip(names, seen, zip(*drawn, strict=True), strict=False)
    )


def _names(pairs: Sequence[tuple[Answer, Answer]]) -> set[str]:
    return {name for one, other in pairs for name in (one.true, one.predicted, other.predicted)}


def _loss(one: Answer, other: Answer) -> float | None:
    """Return how much more the second model's answer costs, in natural logarithms."""
    if one.of_truth is None or other.of_truth is None:
        return None
    return math.log(max(one.of_truth, LEAST)) - math.log(max(other.of_truth, LEAST))


def _means(
    true: Counter[int], truth: Sequence[int], answered: Sequence[int], drawn: Sequence[int]
) -> tuple[float, float]:
    """Return macro F1 and balanced accuracy of the drawn images, over the classes that evaluate counts."""
    answers = Counter(map(answered.__getitem__, drawn))
    right = Counter(truth[each] for each in drawn if truth[each] == answered[each])
    classes = true.keys() | answers.keys()
    f1 = math.fsum(2 * right[each] / (true[each] + answers[each]) for each in classes) / len(classes)
    return f1, math.fsum(right[each] / count for each, count in true.items()) / len(true)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of sorted values, between two of them in proportion."""

    def at(share: float) -> float:
        place = share * (len(values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(values) - 1)
        return values[below] + (values[above] - values[below]) * (place - below)

    return at(0.025), at(0.975)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: a binomial test of a fair coin."""
    count = only_first + only_second
    # By logarithms: the binomial coefficients of ten thousand images take seconds as whole numbers.
    whole = math.lgamma(count + 1) - count * math.log(2)
    tail = math.fsum(
        math.exp(whole - math.lgamma(each + 1) - math.lgamma(count - each + 1))
        for each in range(min(only_first, only_second) + 1)
    )
    return min(1.0, 2 * tail)


def unpaired(first: Evaluation, second: Evaluation) -> tuple[float, float, float] | None:
    """Return the second's accuracy less the first's on other images, and its 95 % interval.

    R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17, 1998, 873, method 10. None where an evaluation has no accuracy or no count of images.
    """
    shares = []
    for each in (first, second):
        accuracy, images = each.metric("accuracy"), each.images
        if accuracy is None or images is None or not 0 <= accuracy <= 1 or images <= 0:
            return None
        shares.append((accuracy, *_wilson(accuracy, images)))
    (one, one_low, one_high), (other, other_low, other_high) = shares
    middle = other - one
    lower = middle - math.hypot(other - other_low, one_high - one)
    return middle, lower, middle + math.hypot(other_high - other, one - one_low)


def _wilson(share: float, images: int) -> tuple[float, float]:
    square = Z**2 / images
    centre = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / images + square / (4 * images))
    return centre - half, centre + half
