"""Two models on the same images: counts, interval and p-value are what their sources say."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from fractions import Fraction

import pytest

from ops.comparison.paired import (
    Answer,
    Answers,
    difference,
    mcnemar,
    metric_differences,
    parse_answers,
    unpaired,
)
from ops.executions.evaluations import Evaluation


def answers(right: str) -> Answers:
    """One image for each character: 1 is right."""
    return {(str(n), f"{n}.jpg"): Answer("a", "a" if each == "1" else "b") for n, each in enumerate(right)}


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
    assert parse_answers(body) == {("7", 'a, "b"\nc.jpg'): Answer("Élan", "x")}


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


CLASSES = ("a", "b", "c", "d")


def drawn(seed: int, images: int, skill: float) -> Answers:
    """Draw answers of some skill; the true classes are the same for every seed."""
    classes, luck = random.Random(1), random.Random(seed)
    found = {}
    for number in range(images):
        true = classes.choice(CLASSES)
        predicted = true if luck.random() < skill else luck.choice(CLASSES)
        found[str(number), f"{number}.jpg"] = Answer(true, predicted, luck.uniform(0.01, 0.9))
    return found


def test_other_metrics_differ_by_what_scikit_learn_says() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = drawn(2, 120, 0.6), drawn(3, 120, 0.8)

    def measured(answers: Answers) -> list[float]:
        true, predicted = zip(*((each.true, each.predicted) for each in answers.values()), strict=True)
        loss = -sum(math.log(each.of_truth or 0) for each in answers.values()) / len(answers)
        f1 = metrics.f1_score(true, predicted, average="macro")
        return [f1, metrics.balanced_accuracy_score(true, predicted), loss]

    found = metric_differences(first, second)
    assert [each.metric for each in found] == ["macro_f1", "balanced_accuracy", "log_loss"]
    expected = [after - before for before, after in zip(measured(first), measured(second), strict=True)]
    assert [each.value for each in found] == pytest.approx(expected)
    for each in found:
        assert each.lower < each.value < each.upper
    better = found[0]
    assert better.lower > 0, "0.8 is better than 0.6 on 120 images"
    assert better.upper - better.lower < 0.3


def test_the_interval_is_as_wide_as_the_mean_s_theory_says() -> None:
    """The log loss is a mean over images, whose difference has a known deviation."""
    first, second = drawn(2, 400, 0.6), drawn(3, 400, 0.8)
    losses = [math.log(first[each].of_truth or 0) - math.log(second[each].of_truth or 0) for each in first]
    half = 1.96 * statistics.stdev(losses) / math.sqrt(len(losses))
    loss = metric_differences(first, second)[2]
    assert (loss.upper - loss.lower) / 2 == pytest.approx(half, rel=0.1)


def test_the_same_images_are_drawn_for_both_models() -> None:
    answers = drawn(2, 60, 0.6)
    for each in metric_differences(answers, answers):
        assert (each.value, each.lower, each.upper) == (0, 0, 0)
    first, second = drawn(2, 60, 0.6), drawn(3, 60, 0.8)
    for one, other in zip(metric_differences(first, second), metric_differences(second, first), strict=True):
        assert (one.value, one.lower, one.upper) == pytest.approx((-other.value, -other.upper, -other.lower))


def test_without_probabilities_there_is_no_log_loss_and_an_impossible_class_has_one() -> None:
    found = metric_differences(answers("1100"), answers("1110"))
    assert [each.metric for each in found] == ["macro_f1", "balanced_accuracy"]
    one = {("1", "a"): Answer("a", "b", 0.0)}
    (*_, loss) = metric_differences(one, {("1", "a"): Answer("a", "a", 1.0)})
    assert loss.value == pytest.approx(math.log(5e-324))


def test_probabilities_are_read_where_they_are_any() -> None:
    head = "id,image,true,predicted,probability_of_true\n"
    body = f"{head}1,a,x,x,1.5e-12\n2,b,x,y,-1\n3,c,x,y,\n4,d,x,y,nan\n".encode()
    assert [each.of_truth for each in parse_answers(body).values()] == [1.5e-12, None, None, None]


@pytest.mark.slow
def test_thousands_of_images_take_seconds() -> None:
    first, second = drawn(2, 20_000, 0.6), drawn(3, 20_000, 0.8)
    started = time.monotonic()
    macro, *_ = metric_differences(first, second)
    assert time.monotonic() - started < 60
    assert macro.lower < macro.value < macro.upper
