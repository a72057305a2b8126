"""The temperature: the best one there is, whatever the logits, and no answer is another by it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from training.calibration import HIGHEST, LOWEST, fit_temperature, tempered
from training.job import JobError


def drawn(sharpness: float, images: int = 4000, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw logits, labels from their very probabilities, and make the logits so many times as steep."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(images, classes, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_logits_that_are_too_steep_or_too_flat_get_the_temperature_that_mends_it(sharpness: float) -> None:
    logits, labels = drawn(sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.06)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_no_other_temperature_of_a_fine_grid_has_a_lower_loss(sharpness: float) -> None:
    logits, labels = drawn(sharpness, images=60)
    found = fit_temperature(logits, labels)
    losses = {
        float(each): functional.cross_entropy(logits.double() / each, labels).item()
        for each in np.geomspace(LOWEST, HIGHEST, 3000)
    }
    best = min(losses, key=lambda each: losses[each])
    assert found == pytest.approx(best, rel=0.003)
    assert functional.cross_entropy(logits.double() / found, labels).item() <= min(losses.values())


def test_it_is_the_same_each_time_and_whatever_is_added_to_an_image_s_logits() -> None:
    logits, labels = drawn(2.0, images=50)
    assert fit_temperature(logits, labels) == fit_temperature(logits, labels)
    shifted = logits + torch.randn(50, 1)
    assert fit_temperature(shifted, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-5)


def test_what_has_no_best_temperature_ends_at_a_bound() -> None:
    labels = torch.tensor([0, 1, 2])
    right = torch.eye(3) * 2
    assert fit_temperature(right, labels) == LOWEST
    assert fit_temperature(right.roll(1, 0), labels) == HIGHEST
    assert fit_temperature(torch.full((3, 3), 0.3), labels) == 1.0
    assert fit_temperature(torch.eye(3) * 1e30, labels) in (LOWEST, 1.0)


def test_validation_images_that_are_right_by_chance_do_not_make_new_ones_worse() -> None:
    # As after training on smoothed labels: too unsure, and right nine times of ten.
    logits, labels = drawn(0.5, images=2000)
    order = logits.softmax(1).gather(1, labels[:, None])[:, 0].argsort(descending=True)
    lucky, new = order[:12], order[12:]
    found = fit_temperature(logits[lucky], labels[lucky])
    assert (logits[lucky].argmax(1) == labels[lucky]).all()
    tempered_loss = functional.cross_entropy(tempered(logits[new], found), labels[new])
    assert tempered_loss < functional.cross_entropy(logits[new], labels[new])


def test_there_must_be_images_and_finite_numbers() -> None:
    with pytest.raises(JobError, match="no validation images"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(JobError, match="overflow"):
        fit_temperature(torch.tensor([[float("nan"), 0.0]]), torch.tensor([0]))


NUMBERS = st.floats(-50, 50, width=32)


@given(st.lists(st.lists(NUMBERS, min_size=4, max_size=4), min_size=1), st.floats(LOWEST, HIGHEST))
def test_no_answer_is_another_by_the_temperature(rows: list[list[float]], temperature: float) -> None:
    logits = torch.tensor(rows)
    assert torch.equal(tempered(logits, temperature).argmax(1), logits.argmax(1))


def test_two_logits_that_hardly_differ_still_differ_afterwards() -> None:
    larger = torch.nextafter(torch.tensor(2.0), torch.tensor(0.0))
    logits = torch.stack([torch.nextafter(larger, torch.tensor(0.0)), larger])[None]
    assert (logits / 1.99).argmax(1).item() == 0, "in float32 they become one"
    assert tempered(logits, 1.99).argmax(1).item() == 1
