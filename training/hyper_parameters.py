"""The hyper-parameters of a training job: SageMaker hands over strings, training gets checked numbers."""

from __future__ import annotations

import dataclasses
import math
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


Parser = Callable[[str], Any]


def _integer(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        value = int(text) if text.strip().lstrip("+-").isdecimal() else None
        if value is None or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return parse


def _number(low: float, high: float, *, above: bool = False, below: bool = False) -> Parser:
    legal = f"a number {'above' if above else 'from'} {low:g} {'and below' if below else 'to'} {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or (above and value == low) or (below and value == high):
            raise ValueError(legal)
        return value

    return parse


def _name(text: str) -> str:
    if not text:
        raise ValueError("the name of a backbone")
    return text


PARSERS: Mapping[str, Parser] = {
    "backbone": _name,
    "epochs": _integer(1, 10_000),
    "fine-tune-epochs": _integer(0, 10_000),
    "batch-size": _integer(1, 4096),
    "learning-rate": _number(0, 10, above=True),
    "fine-tune-learning-rate": _number(0, 10, above=True),
    "weight-decay": _number(0, 10),
    "dropout": _number(0, 1, below=True),
    "image-size": _integer(32, 1024),
    "seed": _integer(0, 2**31 - 1),
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
