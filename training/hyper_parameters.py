"""The hyper-parameters of a training job: SageMaker hands over strings, training gets checked numbers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from image_data.spelling import did_you_mean
from training.job import JobError


@dataclass(frozen=True)
class HyperParameters:
    """Everything that a training job may be told; the keys are the kebab-case of these names.

    Training has two phases: `epochs` of the head alone on features computed once, then `fine_tune_epochs`
    of the head and the backbone's last stage on augmented images (0 leaves the second phase out).
    """

    backbone: str = "efficientnet_lite0"
    epochs: int = 20
    fine_tune_epochs: int = 1
    batch_size: int = 16
    learning_rate: float = 0.003
    fine_tune_learning_rate: float = 0.0003
    weight_decay: float = 0.0001
    dropout: float = 0.2
    image_size: int = 224
    seed: int = 7

    @property
    def total_epochs(self) -> int:
        """Count the epochs of both phases."""
        return self.epochs + self.fine_tune_epochs


@dataclass(frozen=True)
class Numbers:
    """The numbers that a hyper-parameter may have; a bound that is `exclusive` is itself not one of them."""

    minimum: float
    maximum: float
    whole: bool = False
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False

    @property
    def description(self) -> str:
        """Say in words what they are."""
        low, high = f"{self.minimum:.12g}", f"{self.maximum:.12g}"
        if self.exclusive_minimum:
            bounds = f"above {low} and at most {high}"
        elif self.exclusive_maximum:
            bounds = f"of at least {low} and below {high}"
        else:
            bounds = f"from {low} to {high}"
        return f"a {'whole number' if self.whole else 'number'} {bounds}"

    def __contains__(self, value: float) -> bool:
        above = value > self.minimum if self.exclusive_minimum else value >= self.minimum
        below = value < self.maximum if self.exclusive_maximum else value <= self.maximum
        return above and below

    def parse(self, text: str) -> float:
        """Return the number that a text stands for; raise ValueError, which says what must stand there."""
        value = self._read(text)
        if value not in self:
            raise ValueError(self.description)
        return value

    def _read(self, text: str) -> float:
        """Read a number; what is none is NaN, which is no legal value of anything."""
        if self.whole:
            return int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text) else math.nan
        try:
            return float(text)
        except ValueError:
            return math.nan


def _name(text: str) -> str:
    if not text:
        raise ValueError("the name of a backbone")
    return text


NUMBERS: Mapping[str, Numbers] = {
    "epochs": Numbers(1, 10_000, whole=True),
    "fine-tune-epochs": Numbers(0, 10_000, whole=True),
    "batch-size": Numbers(1, 4096, whole=True),
    "learning-rate": Numbers(0, 10, exclusive_minimum=True),
    "fine-tune-learning-rate": Numbers(0, 10, exclusive_minimum=True),
    "weight-decay": Numbers(0, 10),
    "dropout": Numbers(0, 1, exclusive_maximum=True),
    "image-size": Numbers(32, 1024, whole=True),
    "seed": Numbers(0, 2**31 - 1, whole=True),
}
"""The legal values of all hyper-parameters but `backbone`; tools/legal_values.py tells those who upload."""
PARSERS: Mapping[str, Callable[[str], Any]] = {
    "backbone": _name,
    **{name: numbers.parse for name, numbers in NUMBERS.items()},
}


def parse_hyper_parameters(strings: Mapping[str, Any]) -> HyperParameters:
    """Check the strings of hyperparameters.json and report every mistake in one error.

    Keys that SageMaker itself adds (`sagemaker_...` of the SDK, `_tuning_...` of tuning jobs) are left alone.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    for key, value in strings.items():
        if key in PARSERS:
            try:
                values[key.replace("-", "_")] = PARSERS[key](str(value))
            except ValueError as error:
                errors.append(f"{key} is {value!r} but must be {error}")
        elif not key.startswith(("sagemaker_", "_tuning_")):
            hint = did_you_mean(key, PARSERS) or f"; the legal names are {', '.join(PARSERS)}"
            errors.append(f"{key} is not a hyper-parameter{hint}")
    if errors:
        count = "1 hyper-parameter is" if len(errors) == 1 else f"{len(errors)} hyper-parameters are"
        raise JobError(f"{count} wrong: " + "; ".join(errors))
    return HyperParameters(**values)


def as_document(hyper_parameters: HyperParameters) -> dict[str, Any]:
    """Return the hyper-parameters by their SageMaker names."""
    return {name.replace("_", "-"): value for name, value in dataclasses.asdict(hyper_parameters).items()}
