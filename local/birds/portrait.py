"""One picture of one bird: pose, place, light; and the box around the bird."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from local.birds import anatomy, scenery
from local.birds.plumage import Species
from local.birds.sketch import Point, Sketch

Box = tuple[int, int, int, int]

_MALES = 0.52  # of all birds
_DRAUGHT = 0.13  # body lengths of a duck that are under water
_LEAVES = {"foliage": 0.6, "meadow": 0.25, "sky": 0.15, "winter": 0.15, "water": 0.0}
_BROWN, _ORANGE = (96, 78, 70), (214, 112, 48)  # legs


@dataclass(frozen=True)
class Portrait:
    """A finished picture (RGB) and the bird's box in it: x, y, width, height in pixels."""

    picture: Image.Image
    box: Box


def portrait(species: Species, rng: np.random.Generator) -> Portrait:
    """Draw a bird of `species`; everything about it comes from `rng`."""
    size = _frame_size(rng)
    habitat = species.habitat[int(rng.integers(len(species.habitat)))]
    picture = scenery.background(habitat, size, rng)
    unit = _share(species, rng) * min(size)
    held = anatomy.pose(species.build, rng)
    sketch = Sketch(round(unit * 2.9), round(unit * 2.6), rng)
    middle = (sketch.width / 2, sketch.height / 2)
    anatomy.set_frames(sketch, species.build, held, unit, middle)
    species.paint(sketch, bool(rng.random() < _MALES))
    at = np.array(size) * (0.5 + rng.normal(0, (0.08, 0.05)))
    bird = _Placed(sketch, unit, (float(at[0]), float(at[1])), habitat)
    box = _settle(bird, species, picture, rng)
    if rng.random() < _LEAVES[habitat]:
        scenery.leaves(picture, rng, int(rng.integers(1, 7)))
    return Portrait(scenery.photograph(picture, rng), box)


@dataclass(frozen=True)
class _Placed:
    """A drawn bird, the pixels of its body, where its middle goes in the picture, and the habitat."""

    sketch: Sketch
    unit: float
    at: Point
    habitat: str


def _settle(bird: _Placed, species: Species, picture: Image.Image, rng: np.random.Generator) -> Box:
    """Let the bird swim, stand, perch or hover in the picture; give its box."""
    swims, hovers = bird.habitat == "water", "whirr" in bird.sketch.frames
    level = bird.at[1] + anatomy.foot_level(species.build) * bird.unit
    if not swims and not hovers:
        anatomy.legs(bird.sketch, species.build, _ORANGE if species.build.swims else _BROWN)
        if not species.build.swims:
            scenery.perch(picture, (bird.at[0], level), bird.unit * float(rng.uniform(0.07, 0.2)), rng)
    cut = bird.sketch.finish(_light(rng))
    cutout = scenery.against_the_light(cut.cutout, rng) if rng.random() < 0.12 else cut.cutout
    x = round(bird.at[0] - bird.sketch.width / 2) + cut.corner[0]
    y = round(bird.at[1] - bird.sketch.height / 2) + cut.corner[1]
    if swims:
        draught = round(_DRAUGHT * bird.unit)
        scenery.swim(picture, cutout, (x, y), draught, rng)
        seen = cut.cutout.crop((0, 0, cut.cutout.width, cut.cutout.height - draught))
        return _box(seen, (x, y), picture.size)
    picture.paste(cutout, (x, y), cutout)
    if species.build.swims:
        scenery.grass(picture, level, rng)
    return _box(cut.cutout, (x, y), picture.size)


def _frame_size(rng: np.random.Generator) -> tuple[int, int]:
    """Give the size of a photograph as CUB has them: 500 pixels long, mostly landscape."""
    short = int(rng.choice([333, 375, 375, 375, 400]))
    return (short, 500) if rng.random() < 0.18 else (500, short)


def _share(species: Species, rng: np.random.Generator) -> float:
    """Give the bird's share of the picture: small ones are many, as they keep their distance."""
    smallest, largest = species.size
    return smallest + (largest - smallest) * float(rng.beta(1.3, 1.9))


def _light(rng: np.random.Generator) -> Point:
    """Give the direction that the light comes from: above, from either side."""
    angle = np.radians(float(rng.uniform(-60, 60)))
    return float(np.sin(angle)), float(-np.cos(angle))


def _box(bird: Image.Image, corner: tuple[int, int], size: tuple[int, int]) -> Box:
    left, top, right, bottom = bird.getchannel("A").getbbox() or (0, 0, *bird.size)
    x, y = max(0, corner[0] + left), max(0, corner[1] + top)
    return x, y, min(size[0], corner[0] + right) - x, min(size[1], corner[1] + bottom) - y
