"""The hyper-parameters of a training job: one table of names, defaults, legal values, units and meanings.

SageMaker hands over strings; training gets checked values. The pipeline's parameters, docs and
`python -m training.train --help` are made from this table (tools/legal_values.py, tools/reference.py).

A job follows one of two profiles. `laptop` is for CPUs: the backbone stays frozen but for its last stage.
`gpu` trains the whole network with the augmentation and averaging that this needs. What differs between them
is `auto` by default.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from image_data.spelling import did_you_mean
from training.job import JobError

AUTO = "auto"
LAPTOP, GPU = "laptop", "gpu"


class Legal(Protocol):
    """The values that a hyper-parameter may have."""

    @property
    def description(self) -> str:
        """Say in words what they are."""

    def parse(self, text: str) -> Any:
        """Return the value that a text stands for; raise ValueError, which says what must stand there."""


@dataclass(frozen=True)
class Numbers:
    """The numbers from a minimum to a maximum; a bound that is `exclusive` is itself not one of them."""

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


@dataclass(frozen=True)
class Choices:
    """One word of a few."""

    words: tuple[str, ...]

    @property
    def description(self) -> str:
        """Say in words what they are."""
        return "one of " + ", ".join(self.words)

    def parse(self, text: str) -> str:
        """Return the word; raise ValueError, which says what must stand there."""
        if text not in self.words:
            raise ValueError(self.description + did_you_mean(text, self.words))
        return text


@dataclass(frozen=True)
class BackboneName:
    """The name of a backbone; whether there is such a one is known when its library is imported."""

    description = "the name of a backbone"

    def parse(self, text: str) -> str:
        """Return the name; raise ValueError where there is none."""
        if not text:
            raise ValueError(self.description)
        return text


@dataclass(frozen=True)
class ByProfile:
    """The default of what the profiles differ in."""

    laptop: Any
    gpu: Any


@dataclass(frozen=True)
class HyperParameter:
    """One line of the table."""

    default: Any
    """A value, or what each profile has."""
    legal: Legal
    unit: str
    """What the number counts, empty for a word."""
    meaning: str
    """A sentence that also says what switches it off."""

    @property
    def is_auto(self) -> bool:
        """Whether the profile decides unless a value is given."""
        return isinstance(self.default, ByProfile)

    @property
    def description(self) -> str:
        """Say in words what the value may be."""
        if not self.is_auto:
            return self.legal.description
        if isinstance(self.legal, Choices):
            return Choices((AUTO, *self.legal.words)).description
        return f"{AUTO} or {self.legal.description}"

    def default_of(self, profile: str) -> Any:
        """Return the default in a profile."""
        return getattr(self.default, profile) if self.is_auto else self.default


def _entry(default: Any, legal: Legal, unit: str, meaning: str) -> Any:
    return field(metadata={"entry": HyperParameter(default, legal, unit, meaning)})


_SHARE = Numbers(0, 1)
_BELOW_ONE = Numbers(0, 1, exclusive_maximum=True)
_RATE = Numbers(0, 10, exclusive_minimum=True)


@dataclass(frozen=True)
class HyperParameters:
    """Everything that a training job may be told; the keys are the kebab-case of these names.

    Training has two phases: `epochs` of the head alone on features computed once, then `fine_tune_epochs` on
    augmented images, of the backbone's last stage with the head or of the whole network.
    """

    backbone: str = _entry(
        "efficientnet_lite0", BackboneName(), "", "Network whose pretrained weights are the start."
    )
    profile: str = _entry(
        AUTO,
        Choices((AUTO, LAPTOP, GPU)),
        "",
        "What decides the values that are `auto`: `laptop` trains head and last stage, `gpu` the whole "
        "network; `auto` is `gpu` where there is a GPU.",
    )
    epochs: int = _entry(
        20,
        Numbers(0, 10_000, whole=True),
        "epochs",
        "Epochs of the head alone, on the features of the frozen backbone; 0 leaves this phase out.",
    )
    fine_tune_epochs: int = _entry(
        ByProfile(laptop=1, gpu=30),
        Numbers(0, 10_000, whole=True),
        "epochs",
        "Epochs on augmented images; 0 leaves the backbone as it is.",
    )
    fine_tune_layers: str = _entry(
        ByProfile(laptop="last-stage", gpu="all"),
        Choices(("last-stage", "all")),
        "",
        "What of the backbone learns beside the head in those epochs.",
    )
    batch_size: int = _entry(
        ByProfile(laptop=16, gpu=64),
        Numbers(1, 4096, whole=True),
        "images",
        "Images of one step, of all processes together.",
    )
    accumulation_steps: int = _entry(
        1,
        Numbers(1, 1024, whole=True),
        "parts",
        "Parts that a process cuts its share of a batch into, to save memory; 1 is off.",
    )
    learning_rate: float = _entry(0.003, _RATE, "", "Highest learning rate while the head learns alone.")
    fine_tune_learning_rate: float = _entry(
        ByProfile(laptop=0.0003, gpu=0.0001), _RATE, "", "Highest learning rate of fine-tuning."
    )
    layer_decay: float = _entry(
        ByProfile(laptop=1.0, gpu=0.8),
        Numbers(0, 1, exclusive_minimum=True),
        "factor",
        "Learning rate of each twelfth of the network's depth, by that of the twelfth behind it; 1 is off.",
    )
    weight_decay: float = _entry(
        ByProfile(laptop=0.0001, gpu=0.05),
        Numbers(0, 10),
        "",
        "AdamW's weight decay, of weights and not of biases and norms; 0 is off.",
    )
    warm_up: float = _entry(
        0.05,
        _BELOW_ONE,
        "share",
        "Share of a phase's steps in which the learning rate rises, before a cosine lowers it; 0 is off.",
    )
    gradient_clipping: float = _entry(
        0.0, Numbers(0, 1000), "norm", "Norm that a step's gradients are cut to; 0 is off."
    )
    ema_decay: float = _entry(
        ByProfile(laptop=0.0, gpu=0.999),
        _BELOW_ONE,
        "factor",
        "Decay per step of the average of the weights, which is what is measured and kept; 0 is off.",
    )
    dropout: float = _entry(0.2, _BELOW_ONE, "share", "Features dropped before the head; 0 is off.")
    stochastic_depth: float = _entry(
        ByProfile(laptop=0.0, gpu=0.1),
        _BELOW_ONE,
        "share",
        "Residual blocks left out at random, of the last one; earlier ones less. 0 is off.",
    )
    batch_norm: str = _entry(
        "frozen",
        Choices(("frozen", "trained")),
        "",
        "`frozen` keeps the statistics of pretraining; `trained` takes each batch's, of all GPUs together.",
    )
    label_smoothing: float = _entry(
        0.1, _BELOW_ONE, "share", "Probability that the loss spreads over all classes; 0 is off."
    )
    class_weighting: str = _entry(
        "none",
        Choices(("none", "balanced")),
        "",
        "`balanced` weighs an image by one over its class's images; `none` is off.",
    )
    augmentation: str = _entry(
        ByProfile(laptop="crop", gpu="trivial-augment"),
        Choices(("none", "crop", "trivial-augment")),
        "",
        "`crop` takes a random part and mirrors half of them; `trivial-augment` changes shape or colour too; "
        "`none` takes the middle.",
    )
    crop_area: float = _entry(
        0.35,
        Numbers(0, 1, exclusive_minimum=True),
        "share",
        "Smallest part of an image's area that a random crop takes; 1 is off.",
    )
    box_share: float = _entry(
        0.6,
        _SHARE,
        "share",
        "Part of the bounding box that a random crop keeps, where there is one; 0 is off.",
    )
    random_erasing: float = _entry(
        ByProfile(laptop=0.0, gpu=0.25), _SHARE, "probability", "Of a rectangle painted over; 0 is off."
    )
    mixup: float = _entry(
        0.0, Numbers(0, 100), "alpha", "Of the beta distribution that mixes two images; 0 is off."
    )
    cutmix: float = _entry(
        0.0,
        Numbers(0, 100),
        "alpha",
        "Of the beta distribution that pastes one image into another; 0 is off.",
    )
    patience: int = _entry(
        0,
        Numbers(0, 10_000, whole=True),
        "epochs",
        "Epochs without a lower validation loss after which a phase ends; 0 is off.",
    )
    kept_epoch: str = _entry(
        "last",
        Choices(("last", "best")),
        "",
        "Which epoch's weights a phase ends with: `best` has the lowest validation loss.",
    )
    precision: str = _entry(
        ByProfile(laptop="fp32", gpu="bf16"),
        Choices(("fp32", "bf16")),
        "",
        "Of the network's arithmetic in fine-tuning; a GPU without bf16 uses fp32.",
    )
    image_size: int = _entry(224, Numbers(32, 1024, whole=True), "pixels", "Side of the network's input.")
    checkpoint_seconds: int = _entry(
        60,
        Numbers(1, 86_400, whole=True),
        "seconds",
        "Time between two checkpoints, which is the most work that an interruption costs.",
    )
    seed: int = _entry(
        7,
        Numbers(0, 2**31 - 1, whole=True),
        "",
        "Seed of every random choice, the validation split included.",
    )

    @property
    def total_epochs(self) -> int:
        """Count the epochs of both phases."""
        return self.epochs + self.fine_tune_epochs


TABLE: Mapping[str, HyperParameter] = {
    each.name.replace("_", "-"): each.metadata["entry"] for each in dataclasses.fields(HyperParameters)
}
"""The table by SageMaker's names."""


def parse_hyper_parameters(strings: Mapping[str, Any], *, has_gpu: bool = False) -> HyperParameters:
    """Check the strings of hyperparameters.json and report every mistake in one error.

    Keys that SageMaker itself adds (`sagemaker_...` of the SDK, `_tuning_...` of tuning jobs) are left alone.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    for key, value in strings.items():
        if key in TABLE:
            try:
                values[key] = parse(key, str(value))
            except ValueError as error:
                errors.append(f"{key} is {value!r} but must be {error}")
        elif not key.startswith(("sagemaker_", "_tuning_")):
            hint = did_you_mean(key, TABLE) or f"; the legal names are {', '.join(TABLE)}"
            errors.append(f"{key} is not a hyper-parameter{hint}")
    if errors:
        count = "1 hyper-parameter is" if len(errors) == 1 else f"{len(errors)} hyper-parameters are"
        raise JobError(f"{count} wrong: " + "; ".join(errors))
    result = _resolved(values, has_gpu=has_gpu)
    if not result.total_epochs:
        raise JobError("epochs and fine-tune-epochs are both 0, so nothing would learn: set one of them")
    return result


def parse(key: str, text: str) -> Any:
    """Return the value that the text of one hyper-parameter stands for, or raise ValueError."""
    entry = TABLE[key]
    if entry.is_auto and text == AUTO:
        return AUTO
    try:
        return entry.legal.parse(text)
    except ValueError as error:
        raise ValueError(f"{AUTO} or {error}" if entry.is_auto else str(error)) from error


def _resolved(values: Mapping[str, Any], *, has_gpu: bool) -> HyperParameters:
    profile = values.get("profile", AUTO)
    if profile == AUTO:
        profile = GPU if has_gpu else LAPTOP
    chosen = {name: values.get(name, AUTO) for name in TABLE} | {"profile": profile}
    return HyperParameters(
        **{
            name.replace("-", "_"): TABLE[name].default_of(profile) if value == AUTO else value
            for name, value in chosen.items()
        }
    )


def as_document(hyper_parameters: HyperParameters) -> dict[str, Any]:
    """Return the hyper-parameters by their SageMaker names."""
    return {name.replace("_", "-"): value for name, value in dataclasses.asdict(hyper_parameters).items()}


def as_help() -> str:
    """Write the table for a terminal."""
    lines = ["Hyper-parameters (strings in /opt/ml/input/config/hyperparameters.json), by default:", ""]
    for name, entry in TABLE.items():
        default = f"{entry.default}"
        if isinstance(entry.default, ByProfile):
            default = f"{AUTO}: {entry.default.laptop} on a laptop, {entry.default.gpu} on a GPU"
        unit = (
            f" {entry.unit}" if entry.unit and not entry.is_auto else f" ({entry.unit})" if entry.unit else ""
        )
        lines += [f"  {name} = {default}{unit}", f"      {entry.meaning}", f"      {entry.description}"]
    return "\n".join(lines)
