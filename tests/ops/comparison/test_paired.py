"""Two models on the same images: counts, interval and p-value are what their sources say."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from ops.comparison.paired import Answers, difference, mcnemar, parse_answers, unpaired
from ops.executions.evaluations import Evaluation


def answers(right: str) -> Answers:
    """One image for each character: 1 is right."""
    return {(str(n), f"{n}.jpg"): ("a", "a" if each == "1" else "b") for n, each in enumerate(right)}


def test_images_that_one_alone_got_right_are_counted() -> None:
    found = difference(answers("111100"), answers("110011"))
    assert (found.images, found.only_first, found.only_second) == (6, 2, 2)
    assert found.accuracy == 0
    better = difference(answers("1000"), answers("1110"))
    assert (better.only_first, better.only_second, better.accuracy) == (0, 2, 0.5)


@pytest.mark.parametrize(("one", "other"), [*itertools.product((0, 1, 3, 10, 40), repeat=2)])
def test_the_p_value_is_the_binomial_test_of_a_fair_coin(one: int, other: int) -> None:
    count, few = one + other, min(one, other)
    # Independent: all splits that are at most as likely as the one seen.
    seen = math.comb(count, few)
    total = sum(
        Fraction(math.comb(count, k), 2**count) for k in range(count + 1) if math.comb(count, k) <= seen
    )
    assert mcnemar(one, other) == pytest.approx(float(total))
    assert mcnemar(one, other) == mcnemar(other, one)


def test_the_interval_is_that_of_bonett_and_price() -> None:
    # 100 images, 15 and 5: proportions of (b + 1) / (n + 2), by hand.
    found = difference(answers("1" * 5 + "0" * 15 + "1" * 80), answers("0" * 5 + "1" * 15 + "1" * 80))
    gained, lost = 16 / 102, 6 / 102
    half = 1.959964 * math.sqrt((gained + lost - (gained - lost) ** 2) / 102)
    assert found.accuracy == pytest.approx(0.1)
    assert (found.lower, found.upper) == pytest.approx((gained - lost - half, gained - lost + half), abs=1e-6)
    assert found.lower > 0
    assert found.p_value == pytest.approx(0.0414, abs=1e-4)


def test_equal_models_are_not_told_apart() -> None:
    found = difference(answers("110"), answers("110"))
    assert (found.accuracy, found.p_value) == (0, 1)
    assert found.lower < 0 < found.upper


def test_names_with_commas_quotes_and_line_ends_are_read() -> None:
    body = 'id,image,true,predicted,probability\r\n7,"a, ""b""\nc.jpg",Élan,x,0.5\r\n'.encode()
    assert parse_answers(body) == {("7", 'a, "b"\nc.jpg'): ("Élan", "x")}


@pytest.mark.parametrize("body", [b"", b"id,image\n1,2\n", b"\xff\xfe", b'id,image,true,predicted\n"1'])
def test_what_is_no_predictions_csv_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"predictions\.csv"):
        parse_answers(body)


def test_the_p_value_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")  # comes with SageMaker's SDK
    for one, other in itertools.product(range(20), (1, 2, 7, 19, 300)):
        assert mcnemar(one, other) == pytest.approx(stats.binomtest(one, one + other).pvalue)


def test_tens_of_thousands_of_images_have_a_p_value() -> None:
    assert mcnemar(40_000, 40_000) == 1.0
    assert mcnemar(30_000, 50_000) == 0.0


def measured(right: int, images: int) -> Evaluation:
    metrics = {"accuracy": {"value": right / images}}
    document = {"dataset": {"item_count": images}, "multiclass_classification_metrics": metrics}
    return Evaluation("Spot", document, b"")


def test_the_interval_of_other_images_is_the_published_one() -> None:
    # Newcombe, Statistics in Medicine 17, 1998, 873: 56/70 - 48/80 by method 10.
    assert unpaired(measured(48, 80), measured(56, 70)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert unpaired(measured(48, 80), measured(800, 80)) is None
