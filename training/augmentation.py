"""What is done to an image before the network sees it: the middle of it, or a part of it drawn at random.

Every draw is a function of (seed, epoch, image), never of what was drawn before, so neither a resumed job nor
another number of processes or threads sees other images.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from image_data.records import Box
from training.data import Transform, derive_seed
from training.hyper_parameters import HyperParameters
from training.shards import IndexEntry

WIDEST_RATIO = 4 / 3
"""Of a random crop's sides."""
CROPS = 10
"""Drawn at most until one keeps enough of the box."""
ERASED_AREA, ERASED_RATIO = (0.02, 1 / 3), 3.3
"""Of random erasing: Zhong et al. 2017, section 3."""
STRENGTHS = 31
"""Of TrivialAugment: Müller and Hutter 2021, the `wide` space."""


@dataclass(frozen=True)
class CentreCrop:
    """Scale so that the crop covers `crop_fraction` of the short side, and take the middle."""

    size: int
    crop_fraction: float

    def __call__(self, pixels: Tensor, _entry: IndexEntry | None = None) -> Tensor:
        """Return uint8 (3, size, size)."""
        short = round(self.size / self.crop_fraction)
        height, width = pixels.shape[1:]
        scale = short / min(height, width)
        if scale != 1:
            pixels = resize(
                pixels, max(short, round(height * scale)), max(short, round(width * scale)), "bicubic"
            )
        top, left = (pixels.shape[1] - self.size) // 2, (pixels.shape[2] - self.size) // 2
        return pixels[:, top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class RandomCrop:
    """Cut a random part that keeps enough of the bounding box, scale it to size and mirror half of them."""

    size: int
    seed: int
    epoch: int
    smallest_area: float
    box_share: float

    def __call__(self, pixels: Tensor, entry: IndexEntry) -> Tensor:
        """Return uint8 (3, size, size), the same for the same seed, epoch and image number."""
        draw = generator(self.seed, "crop", self.epoch, entry.id)
        height, width = pixels.shape[1:]
        left, top, across, down = self._place(draw, width, height, entry.box)
        cut = resize(pixels[:, top : top + down, left : left + across], self.size, self.size, "bilinear")
        return cut.flip(2) if draw.random() < 0.5 else cut

    def _place(
        self, draw: random.Random, width: int, height: int, box: Box | None
    ) -> tuple[int, int, int, int]:
        for _ in range(CROPS):
            area = height * width * draw.uniform(self.smallest_area, 1)
            ratio = WIDEST_RATIO ** draw.uniform(-1, 1)
            across, down = min(width, round((area * ratio) ** 0.5)), min(height, round((area / ratio) ** 0.5))
            across, down = max(1, across), max(1, down)
            place = draw.randint(0, width - across), draw.randint(0, height - down), across, down
            if box is None or share_inside(box, place) >= self.box_share:
                return place
        return 0, 0, width, height


def share_inside(box: Box, place: tuple[int, int, int, int]) -> float:
    """Return which part of a box's area lies in a place; both are left, top, width and height in pixels."""
    (x, y, wide, high), (left, top, across, down) = box, place
    inside_x = min(x + wide, left + across) - max(x, left)
    inside_y = min(y + high, top + down) - max(y, top)
    return max(0.0, inside_x) * max(0.0, inside_y) / (wide * high)


@dataclass(frozen=True)
class TrivialAugment:
    """Change an image by one operation of random strength: TrivialAugment (Müller and Hutter 2021), `wide`.

    torchvision's own transform draws from PyTorch's global generator, which the decoding threads share, so
    the operation is drawn here and applied by torchvision's functions.
    """

    seed: int
    epoch: int

    def __call__(self, pixels: Tensor, entry: IndexEntry) -> Tensor:
        """Return uint8 of the same shape."""
        draw = generator(self.seed, "trivial-augment", self.epoch, entry.id)
        operation = draw.choice(_operations())
        strength = draw.randrange(STRENGTHS) / (STRENGTHS - 1)
        return operation(pixels, strength, draw.choice((-1, 1)))


Operation = Callable[[Tensor, float, int], Tensor]
"""Takes uint8 pixels (3, height, width), a strength from 0 to 1 and a sign."""


def _operations() -> list[Operation]:
    from torchvision.transforms.v2 import functional as v2  # noqa: PLC0415 - seconds that only this needs

    def affine(pixels: Tensor, translate: list[float], shear: list[float]) -> Tensor:
        # Shears around the left upper corner, as the paper's code does.
        changed: Tensor = v2.affine(
            pixels,
            angle=0.0,
            translate=translate,
            scale=1.0,
            shear=shear,
            center=[0.0, 0.0] if any(shear) else None,
        )
        return changed

    shear, shift, turn = 45.0, 32.0, 135.0  # degrees, pixels, degrees at full strength
    return [
        lambda x, _s, _sign: x,
        lambda x, s, sign: affine(x, [0, 0], [sign * shear * s, 0]),
        lambda x, s, sign: affine(x, [0, 0], [0, sign * shear * s]),
        lambda x, s, sign: affine(x, [sign * shift * s, 0], [0, 0]),
        lambda x, s, sign: affine(x, [0, sign * shift * s], [0, 0]),
        lambda x, s, sign: v2.rotate(x, sign * turn * s),
        lambda x, s, sign: v2.adjust_brightness(x, 1 + sign * 0.99 * s),
        lambda x, s, sign: v2.adjust_saturation(x, 1 + sign * 0.99 * s),
        lambda x, s, sign: v2.adjust_contrast(x, 1 + sign * 0.99 * s),
        lambda x, s, sign: v2.adjust_sharpness(x, 1 + sign * 0.99 * s),
        lambda x, s, _sign: v2.posterize(x, 8 - round(6 * s)),
        lambda x, s, _sign: v2.solarize(x, 255 * (1 - s)),
        lambda x, _s, _sign: v2.autocontrast(x),
        lambda x, _s, _sign: v2.equalize(x),
    ]


@dataclass(frozen=True)
class RandomErasing:
    """Paint a rectangle over some of the images, in the colour that normalises to 0."""

    probability: float
    colour: tuple[float, float, float]
    seed: int
    epoch: int

    def __call__(self, pixels: Tensor, entry: IndexEntry) -> Tensor:
        """Return uint8 of the same shape."""
        draw = generator(self.seed, "erasing", self.epoch, entry.id)
        if draw.random() >= self.probability:
            return pixels
        height, width = pixels.shape[1:]
        area = height * width * draw.uniform(*ERASED_AREA)
        ratio = ERASED_RATIO ** draw.uniform(-1, 1)
        across = min(width, max(1, round((area * ratio) ** 0.5)))
        down = min(height, max(1, round((area / ratio) ** 0.5)))
        left, top = draw.randint(0, width - across), draw.randint(0, height - down)
        pixels = pixels.clone()
        colour = torch.tensor([round(255 * each) for each in self.colour], dtype=torch.uint8)
        pixels[:, top : top + down, left : left + across] = colour[:, None, None]
        return pixels


@dataclass(frozen=True)
class Sequence:
    """One transform after the other."""

    transforms: tuple[Transform, ...]

    def __call__(self, pixels: Tensor, entry: IndexEntry) -> Tensor:
        """Return what the last one returns."""
        for transform in self.transforms:
            pixels = transform(pixels, entry)
        return pixels


def augmentation(
    hyper_parameters: HyperParameters,
    epoch: int,
    crop_fraction: float,
    mean: tuple[float, float, float],
) -> Transform:
    """Return what an epoch of fine-tuning does to each image. A new augmentation is added here."""
    size, seed = hyper_parameters.image_size, hyper_parameters.seed
    if hyper_parameters.augmentation == "none":
        return CentreCrop(size, crop_fraction)
    transforms: list[Transform] = [
        RandomCrop(size, seed, epoch, hyper_parameters.crop_area, hyper_parameters.box_share)
    ]
    if hyper_parameters.augmentation == "trivial-augment":
        transforms.append(TrivialAugment(seed, epoch))
    if hyper_parameters.random_erasing:
        transforms.append(RandomErasing(hyper_parameters.random_erasing, mean, seed, epoch))
    return Sequence(tuple(transforms))


def mix(
    hyper_parameters: HyperParameters, images: Tensor, labels: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    """Mix the images of a batch by mixup or cutmix, and return the labels as shares (batch, classes) then."""
    mixes = [name for name in ("mixup", "cutmix") if getattr(hyper_parameters, name)]
    if not mixes or len(images) < 2:
        return images, labels
    from torchvision.transforms import v2  # noqa: PLC0415 - seconds that only this needs

    kinds = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
    name = mixes[int(torch.randint(len(mixes), ()))]
    mixed: tuple[Tensor, Tensor] = kinds[name](alpha=getattr(hyper_parameters, name), num_classes=classes)(
        images, labels
    )
    return mixed


def resize(pixels: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Scale uint8 (3, h, w) with antialiasing."""
    return functional.interpolate(pixels[None], size=(height, width), mode=mode, antialias=True)[0]


def generator(*parts: object) -> random.Random:
    """Return a generator of what the parts say alone."""
    return random.Random(derive_seed(*parts))  # noqa: S311 - not a secret
