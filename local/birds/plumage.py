"""The marks of the eight species, males and females, as a field guide names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from local.birds import anatomy, coats
from local.birds.anatomy import BLACK, Build, darker, scatter
from local.birds.sketch import Colour, Sketch, frame, inside

WHITE: Colour = (238, 236, 230)
YELLOW_SHAFT: Colour = (226, 182, 56)

_BACK = (-0.4, -0.24, 0.4, -0.05)  # a box of the body: x0, y0, x1, y1


@dataclass(frozen=True)
class Species:
    """One class of the data set: its number and name in CUB-200-2011, its build and how it is painted.

    `paint` takes a sketch with its frames and whether the bird is a male; `size` is the length of the body
    as a share of the picture's shorter side.
    """

    class_id: int
    name: str
    build: Build
    paint: Callable[[Sketch, bool], None]
    habitat: tuple[str, ...]
    size: tuple[float, float] = (0.12, 0.56)


_BOBOLINK = Build(tail=0.52, tail_notch=-0.03, tail_width=0.09, bill_length=0.68, posture=(12, 45))
_CARDINAL = Build(
    head=0.225, depth=1.1, tail=0.86, tail_width=0.085, tail_notch=0.02, crest=0.85, bill_length=0.62
)
_FINCH = Build(head=0.22, depth=1.05, tail=0.55, tail_notch=0.07, posture=(20, 52))
_FLICKER = Build(
    head=0.19,
    neck=(0.53, -0.19),
    depth=0.85,
    tail=0.55,
    tail_notch=-0.1,
    tail_width=0.08,
    bill="chisel",
    bill_length=1.25,
    posture=(30, 72),
)
_GOLDFINCH = Build(head=0.235, depth=1.12, tail=0.46, tail_notch=0.09, wing=0.92, bill_length=0.52)
_HUMMINGBIRD = Build(
    head=0.25,
    neck=(0.48, -0.22),
    depth=0.85,
    tail=0.42,
    tail_notch=0.06,
    bill="needle",
    bill_length=2.5,
    leg=0.08,
    posture=(30, 62),
)
_JAY = Build(tail=0.88, tail_width=0.11, tail_notch=-0.06, crest=0.6, bill="strong", bill_length=0.85)
_MALLARD = Build(head=0.16, neck=(0.46, -0.50), leg=0.12, posture=(-3, 5), swims=True)


def bobolink(sketch: Sketch, male: bool) -> None:
    """Paint a Bobolink: the male black with a straw nape and white shoulders, the female streaked buff."""
    coat = coats.BOBOLINK_MALE if male else coats.BOBOLINK_FEMALE
    anatomy.songbird(sketch, _BOBOLINK, coat)
    if male:
        sketch.patch("body", [(-0.2, -0.3), (-0.16, -0.12), (-0.5, -0.02), (-0.6, -0.2)], (214, 212, 204))
        nape = [(-0.2, -1.05), (-0.35, -0.4), (-0.55, 0.35), (-0.9, 0.9), (-1.3, 0.2), (-0.9, -0.8)]
        sketch.patch("head", nape, (232, 205, 128))
    else:
        flanks = scatter(sketch.rng, (-0.4, 0.02, 0.35, 0.2), (0.12, 0.06))
        sketch.marks("body", flanks, (124, 92, 56), (0.08, 0.016))
        sketch.marks("body", scatter(sketch.rng, _BACK, (0.13, 0.05)), (70, 52, 36), (0.1, 0.022))
        for y, colour in ((-0.95, (72, 52, 38)), (-0.55, (224, 196, 136)), (-0.16, (84, 62, 44))):
            sketch.stripe("head", [(0.7, y * 0.6), (0, y), (-0.8, y * 0.5)], colour, 0.24)
    anatomy.wing(sketch, coat)
    if male:
        shoulder = [(0.12, -0.06), (-0.05, -0.2), (-0.42, -0.19), (-0.3, -0.09), (-0.1, -0.05)]
        sketch.patch("wing", shoulder, (226, 224, 216))
    else:
        edges = scatter(sketch.rng, (-0.4, -0.12, 0.0, 0.08), (0.12, 0.05))
        sketch.marks("wing", edges, (200, 168, 110), (0.1, 0.012))
    anatomy.eye(sketch)
    anatomy.bill(sketch, _BOBOLINK, coat.bill)


def cardinal(sketch: Sketch, male: bool) -> None:
    """Paint a Cardinal: crest, dark face and coral bill; the male red, the female buff with red edges."""
    coat = coats.CARDINAL_MALE if male else coats.CARDINAL_FEMALE
    anatomy.songbird(sketch, _CARDINAL, coat)
    if not male:
        sketch.patch("head", [(0.3, -1.0), (-0.2, -1.4), (-1.1, -1.6), (-0.7, -0.9)], (176, 78, 60))
    anatomy.wing(sketch, coat)
    mask = [(1.05, -0.42), (0.62, -0.34), (0.46, 0.05), (0.44, 0.6), (0.62, 1.0), (1.0, 0.8), (1.1, 0.1)]
    sketch.patch("head", mask, BLACK if male else (72, 58, 54))
    anatomy.eye(sketch, (0.26, -0.2), 0.14)
    anatomy.bill(sketch, _CARDINAL, coat.bill)


def purple_finch(sketch: Sketch, male: bool) -> None:
    """Paint a Purple Finch: the male dipped in raspberry, the female brown with a white brow, streaked."""
    coat = coats.PURPLE_FINCH_MALE if male else coats.PURPLE_FINCH_FEMALE
    anatomy.songbird(sketch, _FINCH, coat)
    sketch.marks("body", scatter(sketch.rng, _BACK, (0.12, 0.05)), darker(coat.back, 0.68), (0.09, 0.018))
    if male:
        flanks = scatter(sketch.rng, (-0.35, 0.04, 0.1, 0.2), (0.1, 0.06))
        sketch.marks("body", flanks, (150, 78, 78), (0.07, 0.02))
        brow = [(0.8, -0.5), (0.1, -0.45), (-0.7, -0.3), (-0.8, -0.05), (0.1, -0.1), (0.75, -0.2)]
        sketch.patch("head", brow, (206, 96, 114))
        sketch.patch("head", [(0.2, 0.05), (-0.8, 0.0), (-0.75, 0.5), (0.0, 0.5)], (152, 58, 74))
    else:
        breast = scatter(sketch.rng, (-0.35, 0.0, 0.46, 0.24), (0.1, 0.06))
        sketch.marks("body", breast, (104, 82, 62), (0.07, 0.028))
        sketch.stripe("head", [(0.75, -0.42), (0.1, -0.5), (-0.8, -0.3)], (228, 218, 200), 0.22)
        sketch.stripe("head", [(0.7, 0.45), (0.0, 0.5), (-0.6, 0.6)], (224, 214, 196), 0.2)
        sketch.stripe("head", [(0.7, 0.75), (0.1, 0.85), (-0.3, 1.0)], (98, 78, 60), 0.14)
    anatomy.wing(sketch, coat)
    for x, width in ((-0.22, 0.022), (-0.40, 0.02)):
        anatomy.wing_bar(sketch, x, (190, 120, 122) if male else (186, 168, 142), width)
    anatomy.eye(sketch, radius=0.14)
    anatomy.bill(sketch, _FINCH, coat.bill)


def flicker(sketch: Sketch, male: bool) -> None:
    """Paint a Northern Flicker: barred back, spots, black bib, red nape; the male has a black whisker."""
    coat = coats.FLICKER
    anatomy.songbird(sketch, _FLICKER, coat)
    spots = scatter(sketch.rng, (-0.42, 0.0, 0.36, 0.26), (0.105, 0.062))
    sketch.marks("body", spots, BLACK, (0.03, 0.036))
    sketch.patch("body", [(-0.34, -0.3), (-0.36, -0.08), (-0.6, 0.02), (-0.62, -0.2)], WHITE)
    sketch.stripe("tail", [(-0.06, 0.05), (-0.42, 0.07)], YELLOW_SHAFT, 0.03)
    bib = [(0.60, -0.02), (0.50, 0.12), (0.32, 0.20), (0.22, 0.15), (0.36, 0.08), (0.46, -0.04)]
    sketch.patch("body", bib, BLACK)
    crown = [(0.95, -0.2), (0.6, -0.42), (-0.3, -0.35), (-1.1, 0.05), (-1.1, -0.9), (0.1, -1.2), (0.9, -0.7)]
    sketch.patch("head", crown, (142, 140, 146))
    sketch.patch("head", [(-0.62, -0.62), (-1.2, -0.5), (-1.2, 0.25), (-0.72, 0.1)], (208, 32, 34))
    if male:
        sketch.patch("head", [(0.86, 0.3), (0.2, 0.3), (-0.3, 0.62), (0.1, 0.76), (0.7, 0.58)], BLACK)
    anatomy.wing(sketch, coat)
    sketch.stripe("wing", [(-0.5, 0.1), (-0.95, 0.06)], YELLOW_SHAFT, 0.022)
    for x in np.arange(-0.72, 0.02, 0.088):
        sketch.stripe("wing", [(x, -0.13), (x + 0.025, -0.02), (x, 0.09)], (44, 38, 36), 0.022)
    anatomy.eye(sketch, (0.42, -0.14), 0.15)
    anatomy.bill(sketch, _FLICKER, coat.bill)


def goldfinch(sketch: Sketch, male: bool) -> None:
    """Paint an American Goldfinch: the male yellow, black cap and wings; the female olive with wing bars."""
    coat = coats.GOLDFINCH_MALE if male else coats.GOLDFINCH_FEMALE
    anatomy.songbird(sketch, _GOLDFINCH, coat)
    sketch.patch("body", [(-0.3, 0.08), (-0.62, 0.0), (-0.6, 0.3), (-0.3, 0.34)], WHITE)
    if male:
        cap = [
            (1.0, -0.12),
            (0.62, -0.2),
            (0.3, -0.42),
            (-0.2, -0.72),
            (-0.2, -1.2),
            (0.6, -1.0),
            (1.0, -0.6),
        ]
        sketch.patch("head", cap, BLACK)
    anatomy.wing(sketch, coat)
    for x, width in ((-0.16, 0.03), (-0.38, 0.045)):
        anatomy.wing_bar(sketch, x, WHITE if male else (222, 206, 170), width)
    anatomy.eye(sketch, (0.36, -0.12), 0.14)
    anatomy.bill(sketch, _GOLDFINCH, coat.bill)


def hummingbird(sketch: Sketch, male: bool) -> None:
    """Paint a Ruby-throated Hummingbird: green above, pale below, needle bill; the male's throat is ruby."""
    hovers, lift = sketch.rng.random() < 0.65, float(sketch.rng.uniform(-35, 40))
    if hovers:
        _whirring_wing(sketch, lift - 25, 0.30)
    anatomy.songbird(sketch, _HUMMINGBIRD, coats.HUMMINGBIRD)
    back = scatter(sketch.rng, (-0.5, -0.26, 0.4, 0.0), (0.07, 0.045))
    sketch.marks("body", back, (88, 172, 98), (0.035, 0.02))
    flanks = scatter(sketch.rng, (-0.4, 0.03, 0.2, 0.16), (0.1, 0.06))
    sketch.marks("body", flanks, (150, 170, 136), (0.05, 0.02))
    throat = [(0.9, 0.18), (0.1, 0.12), (-0.5, 0.5), (-0.4, 1.3), (0.9, 1.2)]
    sketch.patch("head", throat, (180, 22, 52) if male else WHITE)
    if male:
        sketch.patch("head", [(0.8, 0.0), (0.3, 0.1), (-0.1, 0.3), (0.3, 0.36), (0.9, 0.3)], (30, 28, 32))
        sparks = scatter(sketch.rng, (-0.2, 0.45, 0.6, 0.9), (0.22, 0.16))
        sketch.marks("head", sparks, (226, 60, 84), (0.1, 0.1), 0.05)
    sketch.disc("head", (0.02, -0.2), 0.09, WHITE)
    if hovers:
        _whirring_wing(sketch, lift, 0.5)
    else:
        anatomy.wing(sketch, coats.HUMMINGBIRD)
    anatomy.eye(sketch, (0.36, -0.14), 0.16)
    anatomy.bill(sketch, _HUMMINGBIRD, coats.HUMMINGBIRD.bill)


def _whirring_wing(sketch: Sketch, lift: float, alpha: float) -> None:
    sketch.frames["whirr"] = inside(sketch.frames["body"], frame(np.radians(lift), 1, (0.2, -0.12)))
    fan = [(0.05, 0.03), (-0.15, -0.35), (-0.5, -0.85), (-0.85, -1.05), (-0.75, -0.6), (-0.4, -0.15)]
    sketch.veil("whirr", fan, (128, 122, 124), alpha)
    sketch.veil("whirr", [(0.03, 0), (-0.35, -0.6), (-0.8, -1.0), (-0.6, -0.6)], (84, 78, 82), alpha * 0.7)


def blue_jay(sketch: Sketch, _male: bool) -> None:
    """Paint a Blue Jay: blue crest and back, black necklace, white face, barred wings and tail."""
    coat = coats.BLUE_JAY
    anatomy.songbird(sketch, _JAY, coat)
    for x in np.arange(-0.78, -0.1, 0.075):
        sketch.stripe("tail", [(x, -0.1), (x, 0.1)], (28, 30, 44), 0.014)
    sketch.stripe("tail", [(-0.86, -0.11), (-0.9, 0.0), (-0.86, 0.11)], WHITE, 0.06)
    face = [(0.95, -0.25), (0.3, -0.36), (-0.35, -0.3), (-0.62, 0.1), (-0.5, 0.9), (0.2, 1.1), (0.9, 0.8)]
    sketch.patch("head", face, WHITE)
    sketch.stripe("head", [(0.8, -0.2), (0.3, -0.14), (-0.3, -0.22)], (34, 34, 40), 0.1)
    necklace = [(-0.35, -0.75), (-0.72, -0.1), (-0.66, 0.62), (-0.2, 1.15), (0.5, 1.22)]
    sketch.stripe("head", necklace, (26, 26, 32), 0.22)
    anatomy.wing(sketch, coat)
    for x in np.arange(-0.85, -0.35, 0.07):
        sketch.stripe("wing", [(x, -0.09), (x + 0.015, 0.0), (x, 0.1)], (26, 28, 40), 0.014)
    anatomy.wing_bar(sketch, -0.24, WHITE, 0.045)
    sketch.patch("wing", [(-0.5, 0.06), (-0.7, 0.06), (-0.74, 0.12), (-0.5, 0.13)], WHITE)
    anatomy.eye(sketch, (0.38, -0.2), 0.14)
    anatomy.bill(sketch, _JAY, coat.bill)


def mallard(sketch: Sketch, male: bool) -> None:
    """Paint a Mallard: the drake's bottle-green head, white ring, chestnut breast; the hen mottled brown."""
    coat = coats.MALLARD_MALE if male else coats.MALLARD_FEMALE
    anatomy.duck(sketch, coat)
    (_drake if male else _hen)(sketch, coat.head)
    sketch.patch("body", [(-0.2, -0.02), (-0.42, -0.06), (-0.46, 0.0), (-0.24, 0.05)], (52, 74, 176))
    sketch.line("body", [(-0.2, 0.05), (-0.46, 0.02)], WHITE, 0.014)
    sketch.line("body", [(-0.19, -0.03), (-0.43, -0.075)], WHITE, 0.012)
    anatomy.eye(sketch, (0.34, -0.22), 0.13)
    flat_bill = [(0.72, -0.2), (1.2, 0.02), (1.95, 0.2), (2.05, 0.36), (1.5, 0.46), (0.78, 0.42)]
    sketch.detail("head", flat_bill, coat.bill, curved=True)
    sketch.line("head", [(0.75, 0.3), (1.3, 0.34), (2.0, 0.34)], darker(coat.bill, 0.6), 0.05)
    if not male:
        sketch.detail(
            "head", [(0.9, -0.08), (1.3, 0.06), (1.5, 0.22), (0.95, 0.2)], (84, 62, 44), curved=True
        )


def _drake(sketch: Sketch, green: Colour) -> None:
    lines = scatter(sketch.rng, (-0.4, -0.1, 0.15, 0.2), (0.07, 0.025))
    sketch.marks("body", lines, (164, 162, 160), (0.06, 0.006))
    stern = [(-0.5, -0.32), (-0.46, 0.1), (-0.58, 0.14), (-0.72, -0.08), (-0.64, -0.32)]
    sketch.patch("body", stern, BLACK)
    sketch.patch("body", [(-0.64, -0.32), (-0.68, -0.1), (-0.86, -0.1), (-0.84, -0.3)], (226, 224, 218))
    sketch.line("body", [(-0.5, -0.26), (-0.57, -0.31), (-0.55, -0.335), (-0.52, -0.32)], BLACK, 0.02)
    sketch.patch("body", [(0.56, -0.335), (0.28, -0.33), (0.26, -0.29), (0.56, -0.295)], WHITE)
    sketch.patch("body", [(0.58, -0.34), (0.26, -0.335), (0.28, -0.5), (0.58, -0.5)], green)
    sketch.patch("head", [(0.7, -0.5), (0.1, -0.85), (-0.5, -0.6), (0.1, -0.4)], (54, 146, 92))


def _hen(sketch: Sketch, _head: Colour) -> None:
    brown = (78, 56, 38)
    feathers = scatter(sketch.rng, (-0.7, -0.26, 0.5, 0.26), (0.088, 0.058))
    sketch.marks("body", feathers, brown, (0.05, 0.03))
    sketch.stripe("head", [(0.9, -0.2), (0.3, -0.16), (-0.8, -0.1)], brown, 0.2)
    crown = [(0.8, -0.6), (0.1, -1.1), (-0.7, -0.9), (-0.9, -0.5), (0.1, -0.62)]
    sketch.patch("head", crown, (104, 80, 58))


_WATER = ("water", "water", "water", "meadow")

SPECIES = (
    Species(13, "Bobolink", _BOBOLINK, bobolink, ("meadow", "sky", "foliage")),
    Species(17, "Cardinal", _CARDINAL, cardinal, ("foliage", "winter", "sky")),
    Species(35, "Purple_Finch", _FINCH, purple_finch, ("foliage", "winter", "sky")),
    Species(36, "Northern_Flicker", _FLICKER, flicker, ("foliage", "meadow", "sky", "winter")),
    Species(47, "American_Goldfinch", _GOLDFINCH, goldfinch, ("meadow", "foliage", "sky")),
    Species(
        68, "Ruby_throated_Hummingbird", _HUMMINGBIRD, hummingbird, ("foliage", "sky", "meadow"), (0.11, 0.46)
    ),
    Species(73, "Blue_Jay", _JAY, blue_jay, ("foliage", "winter", "sky")),
    Species(87, "Mallard", _MALLARD, mallard, _WATER, (0.18, 0.6)),
)
"""The eight species of the default class selection, in the order of their class ids."""
