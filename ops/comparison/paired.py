"""Two models on the same test images: whose mistakes they are, and what the difference is worth."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import error_code
from ops.executions.evaluations import Evaluation, beside, open_object

COLUMNS = ("id", "image", "true", "predicted")
SIZE_LIMIT = 64 << 20  # bytes; the rows of half a million images
Z = 1.959963984540054  # the normal distribution's 97.5 % point

Answers = Mapping[tuple[str, str], tuple[str, str]]
"""The true class and the model's answer of each test image, by its id and its name."""


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
        rows = [[row[name] for name in COLUMNS] for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"its predictions.csv is damaged: {error}") from error
    answers: dict[tuple[str, str], tuple[str, str]] = {}
    for number, row in enumerate(rows, 1):
        if None in row:
            raise ValueError(f"its predictions.csv is damaged: row {number} ends too early")
        if (row[0], row[1]) in answers:
            raise ValueError(
                f"its predictions.csv is damaged: row {number} has an image that another row has"
            )
        answers[row[0], row[1]] = (row[2], row[3])
    return answers


def why_not_paired(first: Evaluation, second: Evaluation, answers: tuple[Answers, Answers]) -> str | None:
    """Say why two evaluations are not of the same images; None where they are."""
    if first.data_digest is None or first.data_digest != second.data_digest:
        return "the test images are of different data"
    one, other = answers
    if one.keys() != other.keys() or any(one[each][0] != other[each][0] for each in one):
        return "the test images differ, although their data has one digest"
    return None if one else "there are no test images"


def difference(first: Answers, second: Answers) -> Difference:
    """Compare the second model's answers with the first's, image by image.

    The interval is the adjusted Wald interval for paired proportions of Bonett and Price (Journal of
    Educational and Behavioral Statistics 37, 2012), the p-value that of McNemar's exact test: how likely
    so uneven a split of the images that one alone got right is, where both models are equally good.
    """
    right = [(first[each][1] == first[each][0], second[each][1] == second[each][0]) for each in first]
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
    )


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
