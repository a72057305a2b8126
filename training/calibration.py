"""How sure a model may say it is: one temperature, fitted on the validation images, that divides its logits.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks, ICML 2017: the
temperature with the least mean -ln(probability of the true class). It changes no answer, for it leaves the
order of the logits as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.job import JobError

LOWEST, HIGHEST = 0.5, 100.0
"""The temperatures that a fit can end with. Where every validation image is answered rightly, the best would
be 0, at which a model is certain of everything. Twice as steep is what smoothed labels ask for; four times
as steep can be worse for new images than no temperature, where a dozen validation images happen to be right.
At 100 every class is about as probable, and more could not be flatter.
"""
HALVINGS = 64
"""Of the range: then its ends are neighbouring numbers."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature that suits the logits (images, classes) of validation images best.

    The mean loss is convex in 1 / temperature, so its slope tells on which side of any value the best one
    lies. Logits that say the same of every class have no best one: theirs is 1.

    Raises:
        JobError: There are no images, or a logit is not a finite number.
    """
    if not len(labels):
        raise JobError("there are no validation images to fit the temperature on")
    if not logits.isfinite().all():
        raise JobError("the model's numbers overflow on validation images: lower the learning rate")
    numbers, truth = logits.detach().double().cpu(), labels.cpu()
    # Of the sharpness 1 / temperature.
    low, high = 1 / HIGHEST, 1 / LOWEST
    if _slope(numbers, truth, 1.0) == _slope(numbers, truth, high) == 0:
        return 1.0
    if _slope(numbers, truth, low) >= 0:
        return HIGHEST
    if _slope(numbers, truth, high) <= 0:
        return LOWEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _slope(numbers, truth, middle) < 0:
            low = middle
        else:
            high = middle
    return 2 / (low + high)


def _slope(logits: Tensor, labels: Tensor, sharpness: float) -> float:
    """Return the derivative of the mean loss by the sharpness: expected less true logit."""
    # What all logits of an image have in common says nothing; taken away, equal ones are exactly 0.
    centred = logits - logits.gather(1, labels[:, None])
    return float(((logits * sharpness).softmax(1) * centred).sum(1).mean())


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """Divide logits by the temperature, in float64: in fewer bits two of them could become one."""
    return logits.to(torch.float64) / temperature
