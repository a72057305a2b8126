"""What the model answers for each test image: predictions.csv, and pictures of the surest mistakes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from image_data import decoding
from training.calibration import tempered
from training.data import Channel
from training.job import JobError

CSV_NAME, MISTAKES = "predictions.csv", "mistakes"
COLUMNS = ("id", "image", "true", "predicted", "probability", "probability_of_true")
MOST_MISTAKES = 24
"""As many pictures as a person looks at; with the sizes below about 200 KB."""
SHORT_SIDE, LONG_SIDE, QUALITY = 160, 320, 80
"""Pixels at most, and of a JPEG: enough to see a bird, and no wide panorama among them."""

Explain = Callable[[int, int], Tensor]
"""Takes an image's position and a label, gives what the network saw with what spoke for the label over it."""


@dataclass(frozen=True)
class Predictions:
    """The answers of one model for the images of a channel, in the channel's order."""

    log_probabilities: Tensor
    """float64 (images, classes): kept as logarithms, where a probability that rounds to 0 still differs."""
    truth: Tensor
    predicted: Tensor

    @classmethod
    def of(cls, logits: Tensor, test: Channel, temperature: float = 1.0) -> Predictions:
        """Take the logits (images, classes), divided by the temperature, as answers.

        Raises:
            JobError: An answer is no number: the network's arithmetic overflowed.
        """
        if (odd := (~logits.isfinite()).any(1).nonzero()).numel():
            name = test.entries[int(odd[0])].name
            raise JobError(
                f"the model's numbers overflow for image {name!r}: train again with a lower LearningRate"
            )
        return cls(tempered(logits, temperature).log_softmax(1), test.labels(), logits.argmax(1))

    @property
    def confidence(self) -> Tensor:
        """Return the probability of each answer, float64 (images,)."""
        return self._of(self.predicted)

    @property
    def of_truth(self) -> Tensor:
        """Return the probability of each image's true class, float64 (images,)."""
        return self._of(self.truth)

    def _of(self, labels: Tensor) -> Tensor:
        return self.log_probabilities.gather(1, labels[:, None])[:, 0].exp()

    def surest_mistakes(self) -> list[int]:
        """Return the positions of the wrong answers with the highest probabilities, the surest first."""
        confidence = self.confidence.tolist()
        wrong: list[int] = (self.predicted != self.truth).nonzero()[:, 0].tolist()
        # Equal ones stay in the order of the images: the same answers have the same list.
        return sorted(wrong, key=lambda position: -confidence[position])[:MOST_MISTAKES]


def write_csv(path: Path, answers: Predictions, test: Channel, names: Sequence[str]) -> None:
    """Write one row for each image, in the order of the images' ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        # All are quoted: Python before 3.13 leaves out those around a carriage return, where a row would end.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows(_rows(answers, test, names))


def _rows(answers: Predictions, test: Channel, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    columns: Iterable[tuple[int, float, float]] = zip(
        answers.predicted.tolist(), answers.confidence.tolist(), answers.of_truth.tolist(), strict=True
    )
    for entry, (predicted, probability, of_truth) in zip(test.entries, columns, strict=True):
        # Of a class that the model thinks impossible, six decimals would be 0, whose logarithm has no end.
        said = f"{probability:.6f}", f"{of_truth:.6g}"
        yield entry.id, entry.name, names[entry.label], names[predicted], *said


def write_mistakes(
    folder: Path, answers: Predictions, test: Channel, names: Sequence[str], explain: Explain | None = None
) -> list[dict[str, Any]]:
    """Write a small JPEG of each of the surest mistakes into mistakes/ below `folder`, and list them.

    Where `explain` is given, there is a second one of each: where the network looked.
    """
    confidence = answers.confidence.tolist()
    mistakes = []
    for number, position in enumerate(answers.surest_mistakes()):
        file = f"{MISTAKES}/{number:03d}.jpg"
        (folder / MISTAKES).mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(thumbnail(test.pixels(position)))
        looked = None
        if explain:
            looked = f"{MISTAKES}/{number:03d}-grad-cam.jpg"
            (folder / looked).write_bytes(thumbnail(explain(position, int(answers.predicted[position]))))
        entry = test.entries[position]
        mistakes.append(
            {
                "image": entry.name,
                "file": file,
                "grad_cam": looked,
                "true": names[entry.label],
                "predicted": names[int(answers.predicted[position])],
                "probability": round(confidence[position], 6),
            }
        )
    return mistakes


def thumbnail(pixels: Tensor) -> bytes:
    """Encode uint8 pixels (3, height, width) as a small JPEG with nothing but pixels in it."""
    image = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    scale = min(1.0, SHORT_SIDE / min(image.size), LONG_SIDE / max(image.size))
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return decoding.encode(image, QUALITY)
