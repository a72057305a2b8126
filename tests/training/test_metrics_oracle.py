"""The metrics are scikit-learn's, for answers drawn at random, and slices are what a loop says."""

import itertools
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from training.evaluation import metrics
from training.evaluation.slices import slices
from training.shards import IndexEntry

CLASSES = 4
NAMES = [f"class {label}" for label in range(CLASSES)]
LABELS = st.integers(0, CLASSES - 1)
ANSWERS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40)
WEIGHTS = st.lists(st.floats(0.01, 1), min_size=CLASSES, max_size=CLASSES)


@given(ANSWERS)
def test_shares_and_means_over_classes(answers: list[tuple[int, int]]) -> None:
    truth, answered = zip(*answers, strict=True)
    counts = metrics.confusion_matrix(truth, answered, CLASSES)
    assert np.array_equal(counts, sklearn.confusion_matrix(truth, answered, labels=range(CLASSES)))
    found = metrics.summary(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that were answered and do not occur
        assert found["balanced_accuracy"] == pytest.approx(sklearn.balanced_accuracy_score(truth, answered))
    for kind in ("macro", "weighted"):
        # Without labels= it takes those that occur or were answered, as we do.
        theirs = sklearn.precision_recall_fscore_support(truth, answered, average=kind, zero_division=0)
        ours = [found[f"{kind}_{name}"] for name in ("precision", "recall", "f1")]
        assert ours == pytest.approx(list(theirs[:3]))
    each = sklearn.precision_recall_fscore_support(truth, answered, labels=range(CLASSES), zero_division=0)
    report = metrics.class_report(counts, NAMES)
    for name, values in zip(("precision", "recall", "f1", "support"), each, strict=True):
        assert [report[title][name] for title in NAMES] == pytest.approx(list(values))
    whole = metrics.classification_metrics(counts, NAMES, seed=1)
    assert whole["accuracy"]["value"] == pytest.approx(sklearn.accuracy_score(truth, answered))
    balanced = whole["balanced_accuracy"]["confidence_interval"]
    assert 0 <= balanced["lower"] <= balanced["upper"] <= 1


@given(st.lists(st.tuples(LABELS, WEIGHTS), min_size=1, max_size=30))
def test_what_probabilities_are_worth(answers: list[tuple[int, list[float]]]) -> None:
    truth = [label for label, _ in answers]
    chances = np.array([weights for _, weights in answers])
    chances /= chances.sum(1, keepdims=True)
    labels = list(range(CLASSES))
    found = metrics.log_loss(np.log(chances), truth)
    assert found == pytest.approx(sklearn.log_loss(truth, chances, labels=labels))
    theirs = sklearn.brier_score_loss(truth, chances, labels=labels, scale_by_half=False)
    assert metrics.brier_score(chances, truth) == pytest.approx(theirs)


@given(ANSWERS)
def test_confused_pairs_are_those_of_both_directions_together(answers: list[tuple[int, int]]) -> None:
    truth, answered = zip(*answers, strict=True)
    counts = sklearn.confusion_matrix(truth, answered, labels=range(CLASSES))
    pairs = metrics.confused_pairs(counts, NAMES)
    assert sum(each["images"] for each in pairs) == sum(one != other for one, other in answers)
    assert [each["images"] for each in pairs] == sorted((each["images"] for each in pairs), reverse=True)
    for each in pairs:
        first, second = map(NAMES.index, each["classes"])
        assert first < second
        assert each["first_called_second"] == answers.count((first, second))
        assert each["second_called_first"] == answers.count((second, first))
        assert each["images"] == each["first_called_second"] + each["second_called_first"] > 0
        of_both = sum(label in (first, second) for label in truth)
        assert each["rate"] == pytest.approx(each["images"] / of_both if of_both else 0)


def test_no_more_than_ten_pairs_are_named() -> None:
    counts = np.ones((8, 8), dtype=np.int64)
    assert len(metrics.confused_pairs(counts, [str(each) for each in range(8)])) == metrics.PAIRS == 10


def entry(box: tuple[float, float, float, float] | None) -> IndexEntry:
    return IndexEntry(1, "a.jpg", 1, 0, "shard-a-000.tar", offset=0, size=1, width=100, height=50, box=box)


def boxes(*sizes: tuple[float, float]) -> list[IndexEntry]:
    return [entry((1.0, 2.0, *size)) for size in sizes]


def test_slices_tell_the_accuracy_by_a_box_s_share_and_shape() -> None:
    images = boxes((10, 5), (20, 5), (30, 10), (40, 10), (50, 50), (100, 50))
    area, aspect = slices(images, np.array([False, False, True, False, True, True]))
    assert (area["by"], aspect["by"]) == ("box_area_share", "box_aspect_ratio")
    assert [(each["lower"], each["upper"], each["images"]) for each in area["groups"]] == [
        (0.01, 0.02, 2),
        (0.06, 0.08, 2),
        (0.5, 1.0, 2),
    ]
    assert [each["accuracy"] for each in area["groups"]] == [0, 0.5, 1]
    assert area["groups"][0]["confidence_interval"]["upper"] == pytest.approx(metrics.wilson(0, 2)[1])
    # 50 by 50 is the squarest; 20 by 5 and 40 by 10 are the widest, and equally so.
    assert [(each["lower"], each["upper"], each["accuracy"]) for each in aspect["groups"]] == [
        (1.0, 2.0, pytest.approx(2 / 3)),
        (3.0, 3.0, 1),
        (4.0, 4.0, 0),
    ]


def test_images_without_a_box_are_counted_and_a_data_set_without_any_has_no_slices() -> None:
    assert slices([entry(None), entry(None)], np.array([True, True])) == []
    area, aspect = slices([entry(None), *boxes((10, 5), (20, 50))], np.array([True, False, True]))
    assert (area["images_without_box"], aspect["images_without_box"]) == (1, 1)
    assert [each["images"] for each in area["groups"]] == [1, 1]


def test_a_measure_that_is_the_same_for_all_images_tells_nothing() -> None:
    whole = boxes((100, 50), (100, 50), (100, 50))
    assert slices(whole, np.array([True, False, True])) == []
    (area,) = slices(boxes((100, 50), (20, 10), (2, 1)), np.array([True, False, True]))
    assert area["by"] == "box_area_share"


@given(st.lists(st.tuples(st.floats(0.1, 100), st.booleans()), min_size=1, max_size=30))
def test_every_image_is_in_one_group_and_equal_ones_are_together(
    images: Sequence[tuple[float, bool]],
) -> None:
    values, right = map(np.array, zip(*images, strict=True))
    assume(np.isfinite(values).all())
    groups = metrics.terciles(values, right)
    assert sum(each["images"] for each in groups) == len(images)
    assert sum(each["images"] * each["accuracy"] for each in groups) == pytest.approx(sum(right))
    for low, high in itertools.pairwise(groups):
        assert low["upper"] < high["lower"]
