"""The two phases of training: what a batch is, what it goes through, what learns and how it is measured.

`head`: the backbone is frozen, so its features are computed once and every epoch costs next to nothing.
`fine-tune`: the last stage and the head learn from augmented images; batch norm keeps its statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.data import CentreCrop, Channel, Loader, RandomCrop, batches_of
from training.hyper_parameters import HyperParameters
from training.job import StopRequest
from training.model import Classifier, folded

HEAD, FINE_TUNE = "head", "fine-tune"
FEATURE_BATCH = 16
"""Images at a time where nothing learns: enough for a machine's cores, little of its memory."""


@dataclass(frozen=True)
class Score:
    """The mean cross-entropy and the share of right answers over a channel."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class TrainingContext:
    """What both phases work with."""

    classifier: Classifier
    train: Channel
    validation: Channel
    hyper_parameters: HyperParameters
    loader: Loader
    stop: StopRequest
    device: torch.device

    def to_input(self, pixels: Tensor) -> Tensor:
        """Normalise a uint8 batch on the device."""
        return self.classifier.input_format.normalise(pixels.to(self.device, non_blocking=True))

    def centred(self, channel: Channel) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a channel's normalised images and labels in order, without augmentation."""
        crop = CentreCrop(self.hyper_parameters.image_size, self.classifier.input_format.crop_fraction)
        for pixels, labels in self.loader.load(channel, crop, batches_of(range(len(channel)), FEATURE_BATCH)):
            self.stop.check()
            yield self.to_input(pixels), labels


class Phase(Protocol):
    """One phase as the loop sees it."""

    @property
    def name(self) -> str:
        """Name the phase as the log does."""

    @property
    def learning_rate(self) -> float:
        """Return the highest learning rate of the phase."""

    @property
    def epochs(self) -> range:
        """Return the phase's epochs, counted over both phases."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what learns, by name."""

    def batches(self, epoch: int, order: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and labels of these batches of positions."""

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch, with dropout while training."""

    def validate(self) -> Score:
        """Return the model's score on the validation channel."""


class HeadPhase:
    """Trains the head alone, on features computed once."""

    name = HEAD

    def __init__(self, context: TrainingContext) -> None:
        self._context = context
        self._train = self._features(context.train)
        self._validation = self._features(context.validation)
        self.learning_rate = context.hyper_parameters.learning_rate
        self.epochs = range(context.hyper_parameters.epochs)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the head's parameters."""
        return self._context.classifier.head_parameters()

    def batches(self, epoch: int, order: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pick the batches' features; they are the same in every epoch."""
        del epoch
        features, labels = self._train
        for positions in order:
            index = torch.tensor(positions, device=self._context.device)
            yield features[index], labels[index]

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of features (batch, width)."""
        logits: Tensor = self._context.classifier.head(inputs)
        return logits

    def validate(self) -> Score:
        """Return the head's score on the validation channel's features."""
        features, labels = self._validation
        with torch.inference_mode():
            return score([(self.logits(features), labels)])

    def _features(self, channel: Channel) -> tuple[Tensor, Tensor]:
        body = folded(self._context.classifier.body)
        with torch.inference_mode():
            parts = [body(images) for images, _ in self._context.centred(channel)]
        return torch.cat(parts).clone(), channel.labels().to(self._context.device)


class FineTunePhase:
    """Trains the backbone's last stage and the head on augmented images."""

    name = FINE_TUNE

    def __init__(self, context: TrainingContext) -> None:
        self._context = context
        self.learning_rate = context.hyper_parameters.fine_tune_learning_rate
        self.epochs = range(context.hyper_parameters.epochs, context.hyper_parameters.total_epochs)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the last stage's and the head's parameters."""
        classifier = self._context.classifier
        return classifier.last_stage_parameters() | classifier.head_parameters()

    def batches(self, epoch: int, order: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Crop and mirror the batches' images at random, by epoch and image."""
        crop = RandomCrop(
            self._context.hyper_parameters.image_size, self._context.hyper_parameters.seed, epoch
        )
        for pixels, labels in self._context.loader.load(self._context.train, crop, order):
            yield self._context.to_input(pixels), labels.to(self._context.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits of images (batch, 3, size, size)."""
        logits: Tensor = self._context.classifier(inputs)
        return logits

    def validate(self) -> Score:
        """Return the whole model's score on the validation channel's images."""
        with torch.inference_mode():
            return score(
                [
                    (self.logits(images), labels.to(self._context.device))
                    for images, labels in self._context.centred(self._context.validation)
                ]
            )


def score(answers: Sequence[tuple[Tensor, Tensor]]) -> Score:
    """Score logits (batch, classes) against labels (batch,)."""
    logits, labels = torch.cat([pair[0] for pair in answers]), torch.cat([pair[1] for pair in answers])
    right = (logits.argmax(1) == labels).float().mean()
    return Score(functional.cross_entropy(logits, labels).item(), right.item())
