"""Draw one bird: smooth outlines in the frames of its parts, soft plumage, sharp details, light.

Coordinates: every part has a frame of its own (world, body, head, tail, wing); x points forward, y down. The
unit is the length of the body without tail, on the head the radius of the head. A frame is a 2x3 matrix into
pixels of the sketch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]
Points = Sequence[Point]
Floats = NDArray[np.float64]

_FINE = 2  # pixels of outlines and details to a pixel of the picture
_TILE = 640  # pixels of the texture of feathers; more than a bird ever has


def smooth(points: Points, steps: int = 6) -> Floats:
    """Lay a closed Catmull-Rom curve through `points`: (n * steps, 2)."""
    p = np.asarray(points, dtype=float)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - beyond) * t**2
        + (3 * p - before - 3 * after + beyond) * t**3
    )
    return np.asarray(0.5 * curve.transpose(1, 0, 2).reshape(-1, 2))


def frame(angle: float = 0.0, scale: float = 1.0, origin: Point = (0.0, 0.0), mirror: bool = False) -> Floats:
    """Make a frame: scaled, turned by `angle` radians (positive turns forward to down), moved to `origin`."""
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    sign = -1.0 if mirror else 1.0
    return np.array([[sign * cos, -sign * sin, origin[0]], [sin, cos, origin[1]]])


def inside(outer: Floats, inner: Floats) -> Floats:
    """Express a frame that is given in the units of another one in pixels."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def place(matrix: Floats, points: Any) -> Floats:
    """Take points of a frame to pixels."""
    return np.asarray(np.asarray(points, dtype=float) @ matrix[:, :2].T + matrix[:, 2])


@lru_cache(maxsize=4)
def feather_texture(seed: int) -> NDArray[np.float32]:
    """Make a tile of soft streaks (640, 640), mean 0, about -1 to 1."""
    noise = np.random.default_rng(seed).integers(0, 256, (_TILE, _TILE), dtype=np.uint8)
    tile = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.1))
    streaks = np.asarray(
        tile.resize((_TILE // 4, _TILE)).resize((_TILE, _TILE), Image.Resampling.BICUBIC), dtype=np.float32
    )
    streaks = streaks - streaks.mean()
    return np.asarray(streaks / (2.5 * streaks.std()), dtype=np.float32)


@dataclass(frozen=True)
class Bird:
    """A finished bird: an RGBA cut-out and where its upper left corner lies on the sketch, in pixels."""

    cutout: Image.Image
    corner: tuple[int, int]


@dataclass
class Sketch:
    """One bird being drawn on a canvas of `width` x `height` pixels, in its `frames`."""

    width: int
    height: int
    rng: np.random.Generator
    frames: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fine = (self.width * _FINE, self.height * _FINE)
        self._outline = Image.new("L", fine, 0)
        self._plumage = Image.new("RGB", (self.width, self.height), (128, 128, 128))
        self._details = Image.new("RGBA", fine, (0, 0, 0, 0))
        self._veils: list[tuple[Floats, Colour, float]] = []
        self._extent = np.array([fine, (0, 0)], dtype=float)
        self._draw_outline = ImageDraw.Draw(self._outline)
        self._draw_plumage = ImageDraw.Draw(self._plumage)
        self._draw_details = ImageDraw.Draw(self._details)

    def unit(self, part: str) -> float:
        """Give the pixels of one unit of a frame."""
        return float(np.hypot(*self.frames[part][:, 1]))

    def shape(self, part: str, points: Points, colour: Colour, *, curved: bool = True) -> None:
        """Add a part of the bird: to its outline, and as plumage of one colour."""
        pixels = self._visible(place(self.frames[part], smooth(points) if curved else points))
        self._draw_outline.polygon(_flat(pixels * _FINE), fill=255)
        self._draw_plumage.polygon(_flat(pixels), fill=colour)

    def patch(self, part: str, points: Points, colour: Colour, *, curved: bool = True) -> None:
        """Colour plumage inside the bird; what lies outside its outline is not seen."""
        pixels = place(self.frames[part], smooth(points) if curved else points)
        self._draw_plumage.polygon(_flat(pixels), fill=colour)

    def stripe(self, part: str, points: Points, colour: Colour, width: float) -> None:
        """Draw a soft line of plumage, `width` units wide."""
        pixels = place(self.frames[part], points)
        thick = max(1, round(width * self.unit(part)))
        self._draw_plumage.line(_flat(pixels), fill=colour, width=thick, joint="curve")

    def marks(
        self,
        part: str,
        points: Iterable[Point],
        colour: Colour,
        size: tuple[float, float],
        spread: float = 0.012,
    ) -> None:
        """Draw a soft mark of `size` (length along the body, width) near each of `points`."""
        length, width = size
        for x, y in points:
            dx, dy = self.rng.normal(0, spread, 2)
            half = length * float(self.rng.uniform(0.35, 0.65))
            tilt = float(self.rng.normal(0, 0.15)) * half
            ends = [(x + dx - half, y + dy - tilt), (x + dx + half, y + dy + tilt)]
            self.stripe(part, ends, colour, width)

    def detail(self, part: str, points: Points, colour: Colour, *, curved: bool = False) -> None:
        """Draw a sharp surface over the plumage, such as a bill; it may stand out of the outline."""
        pixels = self._visible(place(self.frames[part], smooth(points) if curved else points))
        self._draw_details.polygon(_flat(pixels * _FINE), fill=(*colour, 255))

    def line(self, part: str, points: Points, colour: Colour, width: float) -> None:
        """Draw a sharp line over the plumage, `width` units wide."""
        pixels = self._visible(place(self.frames[part], points))
        thick = max(1, round(width * self.unit(part) * _FINE))
        self._draw_details.line(_flat(pixels * _FINE), fill=(*colour, 255), width=thick, joint="curve")

    def disc(self, part: str, centre: Point, radius: float, colour: Colour) -> None:
        """Draw a sharp disc over the plumage, such as an eye."""
        x, y = place(self.frames[part], centre) * _FINE
        r = max(1.0, radius * self.unit(part) * _FINE)
        self._draw_details.ellipse((x - r, y - r, x + r, y + r), fill=(*colour, 255))

    def veil(self, part: str, points: Points, colour: Colour, alpha: float) -> None:
        """Add something half transparent and out of focus, such as a whirring wing."""
        self._veils.append((self._visible(place(self.frames[part], smooth(points))), colour, alpha))

    def finish(self, light: Point) -> Bird:
        """Cut the bird out, lit from the direction `light` (x, y of a unit vector, y down)."""
        box = self._box()
        left, top, right, bottom = (edge * _FINE for edge in box)
        fine = (left, top, right, bottom)
        outline = self._outline.crop(fine).reduce(_FINE)
        plumage = np.asarray(self._plumage.crop(box).filter(ImageFilter.BoxBlur(0.9)), dtype=np.float32)
        colour = self.rng.normal(1, 0.03, 3).astype(np.float32) * self._shading(outline, light)[..., None]
        bird = Image.fromarray(np.clip(plumage * colour, 0, 255).astype(np.uint8))
        bird.putalpha(outline)
        picture = Image.new("RGBA", bird.size, (0, 0, 0, 0))
        for veil in self._veils:
            picture.alpha_composite(self._finish_veil(box, *veil))
        picture.alpha_composite(bird)
        picture.alpha_composite(self._details.crop(fine).reduce(_FINE))
        return Bird(picture, box[:2])

    def _visible(self, pixels: Floats) -> Floats:
        """Remember how far the bird reaches."""
        self._extent[0] = np.minimum(self._extent[0], pixels.min(0))
        self._extent[1] = np.maximum(self._extent[1], pixels.max(0))
        return pixels

    def _box(self) -> tuple[int, int, int, int]:
        left, top = (max(0, int(v) - 6) for v in self._extent[0])
        right, bottom = (int(v) + 7 for v in self._extent[1])
        return left, top, min(self.width, right), min(self.height, bottom)

    def _shading(self, outline: Image.Image, light: Point) -> NDArray[np.float32]:
        """Light the body as if its blurred outline were its height; add the texture of feathers."""
        radius = max(3.0, self.unit("body") * 0.09)
        width, height = outline.size
        small = outline.resize((max(1, width // 3), max(1, height // 3)), Image.Resampling.BOX)
        soft = small.filter(ImageFilter.GaussianBlur(radius / 3)).resize(
            outline.size, Image.Resampling.BICUBIC
        )
        relief = np.asarray(soft, dtype=np.float32) / 255
        slope_y, slope_x = np.gradient(relief * radius)
        facing = -(slope_x * light[0] + slope_y * light[1])
        x, y = (int(v) for v in self.rng.integers(0, _TILE - max(width, height), 2))
        texture = feather_texture(11)[y : y + height, x : x + width]
        shade = 0.70 + 0.32 * relief - 0.42 * np.clip(-facing, 0, 1) + 0.26 * np.clip(facing, 0, 1)
        return np.asarray(shade + 0.055 * texture, dtype=np.float32)

    def _finish_veil(
        self, box: tuple[int, int, int, int], pixels: Floats, colour: Colour, alpha: float
    ) -> Image.Image:
        mask = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        ImageDraw.Draw(mask).polygon(_flat(pixels - box[:2]), fill=round(255 * alpha))
        layer = Image.new("RGBA", mask.size, (*colour, 0))
        layer.putalpha(mask.filter(ImageFilter.BoxBlur(self.unit("body") * 0.04)))
        return layer


def _flat(pixels: Floats) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in pixels]
