"""Where a bird is seen: backgrounds out of focus, perches, water, and the light and noise of a camera."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from local.birds.sketch import Colour, Point

_COARSE = 4  # pixels of the picture to a pixel of what is out of focus

Size = tuple[int, int]


def background(habitat: str, size: Size, rng: np.random.Generator) -> Image.Image:
    """Paint what lies behind the bird, out of focus."""
    coarse = (size[0] // _COARSE + 2, size[1] // _COARSE + 2)
    picture = _HABITATS[habitat](coarse, rng)
    blurred = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.1, 4.5))))
    return blurred.resize(size, Image.Resampling.BICUBIC)


def _gradient(size: Size, top: Colour, bottom: Colour, rng: np.random.Generator) -> Image.Image:
    """Blend two colours from top to bottom, each a little off."""
    ends = np.array([top, bottom], dtype=float) + rng.normal(0, 9, (2, 3))
    t = np.linspace(0, 1, size[1])[:, None]
    column = np.clip(ends[0] * (1 - t) + ends[1] * t, 0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None, :], size[0], axis=1))


def _blobs(
    picture: Image.Image,
    rng: np.random.Generator,
    count: int,
    size: tuple[float, float],
    palette: list[Colour],
) -> None:
    """Dab `count` leaves of light and shade on a picture."""
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, y = rng.uniform(0, 1, 2) * picture.size
        a, b = rng.uniform(*size, 2)
        colour = np.array(palette[int(rng.integers(len(palette)))]) * rng.uniform(0.75, 1.2)
        red, green, blue = (int(v) for v in np.clip(colour, 0, 255))
        draw.ellipse((x - a, y - b, x + a, y + b), fill=(red, green, blue))


def _sky(size: Size, rng: np.random.Generator) -> Image.Image:
    overcast = rng.random() < 0.45
    top, bottom = ((196, 202, 208), (222, 224, 224)) if overcast else ((104, 152, 208), (188, 212, 232))
    picture = _gradient(size, top, bottom, rng)
    if rng.random() < 0.6:
        _blobs(picture, rng, 10, (6, 26), [(228, 230, 234), (212, 220, 230)])
    if rng.random() < 0.4:
        _twigs(picture, rng, 5, (120, 108, 96))
    return picture


def _foliage(size: Size, rng: np.random.Generator) -> Image.Image:
    shade = float(rng.uniform(0.55, 1.1))
    base = [(70, 98, 48), (104, 132, 62), (48, 72, 40), (140, 158, 84), (88, 104, 70)]
    if rng.random() < 0.2:
        base = [(150, 112, 54), (126, 98, 58), (96, 92, 52), (178, 136, 66)]  # autumn
    palette = [_times(colour, shade) for colour in base]
    picture = _gradient(size, palette[0], palette[1], rng)
    _blobs(picture, rng, 70, (4, 18), palette)
    if rng.random() < 0.5:
        _blobs(picture, rng, 9, (2, 7), [(206, 218, 190), (226, 230, 214)])
    if rng.random() < 0.5:
        _twigs(picture, rng, 4, (74, 62, 48))
    return picture


def _meadow(size: Size, rng: np.random.Generator) -> Image.Image:
    dry = rng.random() < 0.4
    top, bottom = ((176, 168, 112), (150, 138, 84)) if dry else ((150, 170, 106), (104, 132, 62))
    picture = _gradient(size, top, bottom, rng)
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x = float(rng.uniform(0, size[0]))
        y = float(rng.uniform(size[1] * 0.1, size[1] * 0.8))
        colour = tuple(int(v) for v in np.clip(np.array(bottom) * rng.uniform(0.6, 1.4), 0, 255))
        draw.line((x, size[1], x + float(rng.normal(0, 12)), y), fill=colour, width=int(rng.integers(1, 3)))
    if rng.random() < 0.5:
        flowers: list[Colour] = [(214, 180, 60), (198, 150, 190), (230, 226, 214)]
        _blobs(picture, rng, 10, (1, 3), [flowers[int(rng.integers(3))]])
    return picture


def _winter(size: Size, rng: np.random.Generator) -> Image.Image:
    picture = _gradient(size, (176, 182, 190), (214, 216, 220), rng)
    _blobs(picture, rng, 18, (5, 20), [(188, 190, 194), (150, 148, 146), (226, 228, 232), (118, 112, 106)])
    _twigs(picture, rng, 9, (96, 86, 80))
    return picture


def _water(size: Size, rng: np.random.Generator) -> Image.Image:
    tint = [
        ((92, 118, 140), (64, 92, 112)),
        ((110, 118, 92), (74, 88, 66)),
        ((150, 156, 160), (112, 120, 128)),
    ]
    top, bottom = tint[int(rng.integers(3))]
    picture = _gradient(size, top, bottom, rng)
    draw = ImageDraw.Draw(picture)
    for _ in range(120):
        y = size[1] * float(rng.uniform(0, 1)) ** 0.7
        x, width = float(rng.uniform(-10, size[0])), float(rng.uniform(4, 30)) * (0.4 + y / size[1])
        colour = tuple(int(v) for v in np.clip(np.array(bottom) * rng.uniform(0.75, 1.45), 0, 255))
        draw.line((x, y, x + width, y + float(rng.normal(0, 0.6))), fill=colour, width=1)
    if rng.random() < 0.4:
        bank = ImageDraw.Draw(picture)
        bank.rectangle((0, 0, size[0], size[1] * float(rng.uniform(0.08, 0.25))), fill=(84, 92, 58))
    return picture


_HABITATS: dict[str, Callable[[Size, np.random.Generator], Image.Image]] = {
    "sky": _sky,
    "foliage": _foliage,
    "meadow": _meadow,
    "winter": _winter,
    "water": _water,
}


def _twigs(picture: Image.Image, rng: np.random.Generator, count: int, colour: Colour) -> None:
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        (x0, y0), (x1, y1) = rng.uniform(-0.1, 1.1, (2, 2)) * picture.size
        bend = rng.normal(0, 10, 2)
        middle = ((x0 + x1) / 2 + bend[0], (y0 + y1) / 2 + bend[1])
        fill = _times(colour, float(rng.uniform(0.7, 1.3)))
        draw.line([(x0, y0), middle, (x1, y1)], fill=fill, width=int(rng.integers(1, 4)))


def perch(picture: Image.Image, at: Point, thickness: float, rng: np.random.Generator) -> None:
    """Lay a branch across the picture, bent, its upper side where the feet are."""
    width = picture.width
    slope, bend = rng.normal(0, 0.14), rng.normal(0, 0.06)
    xs = np.array([-20.0, at[0], width + 20.0])
    ys = at[1] + thickness / 2 + (xs - at[0]) * slope + np.abs(xs - at[0]) * bend
    top, bottom = (int(ys.min() - thickness), int(ys.max() + thickness))
    band = Image.new("RGBA", (width * 2, (bottom - top) * 2), (0, 0, 0, 0))
    draw = ImageDraw.Draw(band)
    woods: tuple[Colour, ...] = ((112, 92, 74), (134, 122, 108), (92, 76, 60))
    bark = _times(woods[int(rng.integers(3))], float(rng.uniform(0.75, 1.2)))
    line = [(float(x) * 2, float(y - top) * 2) for x, y in zip(xs, ys, strict=True)]
    draw.line(line, fill=(*bark, 255), width=round(thickness * 2), joint="curve")
    for _ in range(34):
        start = float(rng.uniform(0, width))
        offset = float(rng.uniform(-0.40, 0.40))
        ends = np.array([start, start + float(rng.uniform(6, 30))])
        level = np.interp(ends, xs, ys) - top + offset * thickness
        shade = _times(bark, 0.93 - 0.5 * offset + float(rng.normal(0, 0.07)))
        crack = [(float(x) * 2, float(y) * 2) for x, y in zip(ends, level, strict=True)]
        draw.line(crack, fill=(*shade, 255), width=max(1, round(thickness * 0.28)))
    branch = band.reduce(2)
    picture.paste(branch, (0, top), branch)


def leaves(picture: Image.Image, rng: np.random.Generator, count: int) -> None:
    """Hang a few leaves before everything, out of focus, as a photographer has them."""
    layer = Image.new("RGBA", (picture.width // _COARSE + 1, picture.height // _COARSE + 1), (92, 122, 56, 0))
    draw = ImageDraw.Draw(layer)
    for _ in range(count):
        x, y = rng.uniform(0, 1, 2) * layer.size
        length, turn = float(rng.uniform(5, 18)), float(rng.uniform(0, np.pi))
        t = np.linspace(0, 2 * np.pi, 24)
        along, across = np.cos(t) * length, np.sin(t) ** 3 * length * 0.35
        xs = x + along * np.cos(turn) - across * np.sin(turn)
        ys = y + along * np.sin(turn) + across * np.cos(turn)
        green = _times((92, 122, 56), float(rng.uniform(0.6, 1.4)))
        draw.polygon([(float(a), float(b)) for a, b in zip(xs, ys, strict=True)], fill=(*green, 225))
    large = layer.filter(ImageFilter.BoxBlur(1)).resize(picture.size, Image.Resampling.BILINEAR)
    picture.paste(large, (0, 0), large)


def swim(
    picture: Image.Image, bird: Image.Image, at: tuple[int, int], draught: int, rng: np.random.Generator
) -> None:
    """Set a bird on the water, `draught` pixels of it below the line: its reflection, ripples over both."""
    line = bird.height - draught
    above = bird.crop((0, 0, bird.width, line))
    mirrored = above.transpose(Image.Transpose.FLIP_TOP_BOTTOM).filter(ImageFilter.BoxBlur(3))
    fade = mirrored.getchannel("A").point([int(alpha * 0.42) for alpha in range(256)])
    picture.paste(mirrored.convert("RGB"), (at[0], at[1] + line), fade)
    picture.paste(above, at, above)
    draw = ImageDraw.Draw(picture, "RGBA")
    for _ in range(26):
        y = at[1] + line + abs(float(rng.normal(0, bird.height * 0.12)))
        x, length = at[0] + float(rng.uniform(0, bird.width)), float(rng.uniform(4, 30))
        light = int(rng.integers(90, 235))
        draw.line((x - length, y, x + length, y), fill=(light, light, light + 10, 70), width=2)


def grass(picture: Image.Image, level: float, rng: np.random.Generator) -> None:
    """Grow blades of grass from the lower edge to about `level`, before the feet of whoever stands there."""
    draw = ImageDraw.Draw(picture)
    for _ in range(150):
        x, root = float(rng.uniform(0, picture.width)), float(rng.uniform(level + 6, picture.height + 10))
        tip = root - float(rng.uniform(8, 26))
        green = _times((96, 118, 58), float(rng.uniform(0.6, 1.4)))
        draw.line((x, root, x + float(rng.normal(0, 6)), tip), fill=green, width=2)


def photograph(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Put a picture through a camera: focus, haze, exposure, colour of the light, contrast, noise."""
    focus = rng.random()
    if focus < 0.45:
        radius = float(rng.uniform(0.4, 1.3) if focus < 0.3 else rng.uniform(1.3, 3.2))
        picture = picture.filter(ImageFilter.BoxBlur(radius))
    if rng.random() < 0.12:
        veil = Image.new("RGB", picture.size, (198, 202, 206))
        picture = Image.blend(picture, veil, float(rng.uniform(0.25, 0.6)))
    warm = float(rng.normal(0, 0.05 if rng.random() < 0.8 else 0.16))
    exposure = float(np.clip(rng.normal(0.96, 0.18), 0.45, 1.35))
    gain = np.array([1 + warm, 1 + float(rng.normal(0, 0.02)), 1 - warm]) * exposure
    contrast = float(np.clip(rng.normal(0.95, 0.14), 0.6, 1.3))
    curve = np.arange(256)[:, None] * gain * contrast + 118 * (1 - contrast)
    table = np.clip(curve, 0, 255).astype(np.uint8).T.reshape(-1)
    pixels = np.asarray(picture.point(table.tolist()), dtype=np.int16)
    return Image.fromarray(np.clip(pixels + _noise(pixels.shape, rng), 0, 255).astype(np.uint8))


def against_the_light(bird: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Darken a bird (RGBA) that is seen before a bright sky, down to little more than its outline."""
    light = float(rng.uniform(0.22, 0.6))
    table = [int(value * light) for value in range(256)]
    return bird.point([*table, *table, *table, *range(256)])


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int16]:
    grain = int(rng.integers(2, 10)) if rng.random() < 0.85 else int(rng.integers(14, 34))
    return rng.integers(-grain, grain + 1, (shape[0], shape[1], 1), dtype=np.int16)


def _times(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, max(0, part * factor))) for part in colour)
    return red, green, blue
