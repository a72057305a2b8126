"""The bodies of birds: outlines of songbird and duck, their parts and poses; `plumage` colours them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from local.birds.sketch import Colour, Point, Sketch, frame, inside, place

BLACK: Colour = (22, 21, 24)

_BODY = (
    (0.46, -0.17),
    (0.20, -0.25),
    (-0.12, -0.22),
    (-0.42, -0.11),
    (-0.54, -0.01),
    (-0.46, 0.09),
    (-0.18, 0.22),
    (0.12, 0.28),
    (0.38, 0.21),
    (0.53, 0.02),
)
_HEAD = (
    (0.95, 0.10),
    (0.74, -0.58),
    (0.12, -0.98),
    (-0.58, -0.84),
    (-1.0, -0.12),
    (-0.88, 0.68),
    (-0.1, 1.0),
    (0.62, 0.78),
)
_COVERTS = (
    (0.08, 0.0),
    (-0.04, -0.13),
    (-0.28, -0.15),
    (-0.5, -0.08),
    (-0.42, 0.06),
    (-0.16, 0.13),
    (0.03, 0.1),
)
_FLIGHT = (
    (-0.18, -0.14),
    (-0.5, -0.11),
    (-0.86, -0.02),
    (-1.0, 0.05),
    (-0.68, 0.11),
    (-0.34, 0.11),
    (-0.2, 0.02),
)


@dataclass(frozen=True)
class Build:
    """The measures of a bird; head parts in head radii, the rest in body lengths."""

    head: float = 0.215
    neck: Point = (0.50, -0.24)
    depth: float = 1.0
    tail: float = 0.62
    tail_width: float = 0.10
    tail_notch: float = 0.05
    wing: float = 1.0
    bill: str = "cone"
    bill_length: float = 0.72
    crest: float = 0.0
    leg: float = 0.26
    posture: tuple[float, float] = (15.0, 48.0)
    swims: bool = False


@dataclass(frozen=True)
class Pose:
    """How a bird holds itself: degrees of body, head, tail and wing, and the side that it faces.

    `turned` is how much of its length is seen: 1 from the side, less when it is turned to or from the viewer.
    """

    posture: float
    head: float
    tail: float
    wing: float
    mirror: bool
    looks_back: bool = False
    turned: float = 1.0


@dataclass(frozen=True)
class Coat:
    """The main colours of a bird."""

    back: Colour
    breast: Colour
    belly: Colour
    head: Colour
    coverts: Colour
    flight: Colour
    tail: Colour
    bill: Colour
    flight_edge: Colour | None = None


def pose(build: Build, rng: np.random.Generator) -> Pose:
    """Draw a pose that the build allows."""
    return Pose(
        posture=float(rng.uniform(*build.posture)),
        head=float(rng.normal(2, 9)),
        tail=float(rng.normal(0, 7)),
        wing=float(rng.normal(0, 3)),
        mirror=bool(rng.random() < 0.5),
        looks_back=bool(rng.random() < 0.12),
        turned=float(rng.uniform(0.62, 1.0)),
    )


def set_frames(sketch: Sketch, build: Build, held: Pose, unit: float, centre: Point) -> None:
    """Give the sketch its frames: world, body, head, tail and wing."""
    world = frame(0, unit, centre, held.mirror)
    world[:, 0] *= held.turned
    turn = frame(-np.radians(held.posture))
    body = inside(world, turn)
    neck_x, neck_y = place(turn, build.neck)
    turned = held.looks_back and not build.swims
    head = frame(-np.radians(held.head), build.head, (float(neck_x), float(neck_y)), turned)
    sketch.frames.update(
        world=world,
        body=body,
        head=inside(world, head),
        tail=inside(body, frame(np.radians(held.tail), 1, (-0.47, -0.01))),
        wing=inside(body, frame(np.radians(held.wing - 2), build.wing, (0.30, -0.07))),
    )


def songbird(sketch: Sketch, build: Build, coat: Coat) -> None:
    """Draw tail, body, neck and head; wings and details come after the marks of the species."""
    tail(sketch, build, coat.tail)
    sketch.shape("body", deepened(_BODY, build.depth), coat.breast)
    x, y = build.neck
    neck = [(0.10, -0.24), (x - 0.14, y - 0.08), (x + 0.10, y + 0.12), (0.52, 0.05), (0.3, 0.12)]
    sketch.shape("body", neck, coat.breast)
    sketch.shape("head", _HEAD, coat.head)
    if build.crest:
        crest(sketch, build.crest, coat.head)
    back = [
        (0.40, -0.10),
        (0.46, -0.3),
        (0.1, -0.4),
        (-0.5, -0.25),
        (-0.62, 0.0),
        (-0.3, -0.02),
        (0.15, -0.04),
    ]
    sketch.patch("body", back, coat.back)
    belly = [(0.30, 0.22), (0.05, 0.12), (-0.35, 0.06), (-0.62, 0.03), (-0.5, 0.3), (0.0, 0.5), (0.3, 0.4)]
    sketch.patch("body", deepened(belly, build.depth), coat.belly)


def deepened(points: tuple[Point, ...] | list[Point], depth: float) -> list[Point]:
    """Stretch what lies below the middle of a body."""
    return [(x, y * depth if y > 0 else y) for x, y in points]


def crest(sketch: Sketch, height: float, colour: Colour) -> None:
    """Raise a pointed crest of `height` head radii on the crown."""
    tip = (-0.75 - 0.45 * height, -0.95 - 0.75 * height)
    ridge = (-0.2, -1.06 - 0.28 * height)
    points = [
        (0.74, -0.5),
        (0.42, -0.86),
        ridge,
        tip,
        (-1.0 - 0.1 * height, -0.75),
        (-0.92, -0.3),
        (-0.4, 0.0),
    ]
    sketch.shape("head", points, colour)


def tail(sketch: Sketch, build: Build, colour: Colour) -> None:
    """Draw the tail with the edges of its feathers."""
    length, width, notch = build.tail, build.tail_width, build.tail_notch
    points = [(0.08, -0.07), (-length, -width), (-length + notch, 0), (-length, width), (0.08, 0.07)]
    sketch.shape("tail", points, colour, curved=False)
    for y in (-0.55, 0.0, 0.55):
        sketch.stripe(
            "tail", [(0, y * 0.06), (-length + notch * 0.5, y * width)], darker(colour, 0.82), 0.012
        )


def wing(sketch: Sketch, coat: Coat) -> None:
    """Draw the folded wing: flight feathers with their edges, coverts above."""
    sketch.shape("wing", _FLIGHT, coat.flight)
    edge = coat.flight_edge or darker(coat.flight, 1.35)
    for index in range(5):
        y = -0.07 + 0.035 * index
        sketch.stripe("wing", [(-0.36, y), (-0.66, y * 0.9 + 0.01), (-0.93 + 0.02 * index, 0.03)], edge, 0.01)
    sketch.shape("wing", _COVERTS, coat.coverts)


def wing_bar(sketch: Sketch, x: float, colour: Colour, width: float = 0.028) -> None:
    """Draw a bar across the coverts at `x`."""
    sketch.stripe("wing", [(x - 0.03, -0.12), (x + 0.03, -0.02), (x - 0.01, 0.10)], colour, width)


def eye(sketch: Sketch, at: Point = (0.40, -0.16), radius: float = 0.15, iris: Colour = BLACK) -> None:
    """Draw the eye with its light."""
    sketch.disc("head", at, radius, iris)
    if iris != BLACK:
        sketch.disc("head", at, radius * 0.6, BLACK)
    sketch.disc("head", (at[0] + radius * 0.3, at[1] - radius * 0.35), radius * 0.3, (245, 245, 240))


def bill(sketch: Sketch, build: Build, colour: Colour) -> None:
    """Draw the bill: "cone" for seeds, "strong" for jays, "chisel" for woodpeckers, "needle" for nectar."""
    length = build.bill_length
    top, bottom = {
        "cone": (-0.34, 0.46),
        "strong": (-0.22, 0.32),
        "chisel": (-0.16, 0.26),
        "needle": (-0.02, 0.16),
    }[build.bill]
    bulge = 0.12 if build.bill == "cone" else 0.04
    middle, tip = (top + bottom) / 2, (0.86 + length, (top + bottom) / 2 + 0.08)
    upper = [(0.80, top), (0.86 + length * 0.5, top * 0.45 + middle * 0.55 - bulge), tip, (0.78, middle)]
    lower = [(0.76, middle), tip, (0.84 + length * 0.4, bottom * 0.7 + middle * 0.3), (0.74, bottom)]
    sketch.detail("head", lower, darker(colour, 0.84))
    sketch.detail("head", upper, colour)
    sketch.line("head", [(0.66, middle + 0.04), tip], darker(colour, 0.55), 0.045)


def legs(sketch: Sketch, build: Build, leg: Colour) -> None:
    """Draw both legs down to the perch, which they hold."""
    for x, shade in ((-0.10, 0.75), (0.06, 1.0)):
        foot = (x + 0.03, foot_level(build))
        colour = darker(leg, shade)
        sketch.line("world", [(x - 0.03, foot[1] - build.leg), foot], colour, 0.032)
        for toe in (-0.07, 0.06, 0.11):
            knuckle = (foot[0] + toe * 0.6, foot[1] - 0.012)
            sketch.line("world", [foot, knuckle, (foot[0] + toe, foot[1] + 0.045)], colour, 0.026)


def foot_level(build: Build) -> float:
    """Give how far below the middle of the body the perch is."""
    return 0.20 * build.depth + build.leg


def duck(sketch: Sketch, coat: Coat) -> None:
    """Draw a duck without feet: a boat of a body, a neck, a round head."""
    body = [
        (0.50, 0.04), (0.40, -0.16), (0.12, -0.25), (-0.28, -0.27), (-0.56, -0.25), (-0.78, -0.23),
        (-0.68, -0.09), (-0.52, 0.08), (-0.2, 0.24), (0.2, 0.26), (0.42, 0.20),
    ]  # fmt: skip
    sketch.shape("body", body, coat.belly)
    breast = [(0.14, 0.32), (0.10, 0.06), (0.20, -0.26), (0.42, -0.3), (0.6, 0.0), (0.5, 0.3)]
    sketch.patch("body", breast, coat.breast)
    back = [(0.26, -0.14), (0.05, -0.32), (-0.32, -0.34), (-0.5, -0.2), (-0.2, -0.12), (0.1, -0.1)]
    sketch.patch("body", back, coat.back)
    neck = [(0.50, 0.0), (0.48, -0.2), (0.54, -0.42), (0.36, -0.44), (0.30, -0.28), (0.16, -0.2), (0.3, 0.02)]
    sketch.shape("body", neck, coat.breast)
    sketch.shape("head", _HEAD, coat.head)


def darker(colour: Colour, factor: float) -> Colour:
    """Multiply a colour; more than 1 makes it lighter."""
    red, green, blue = (round(min(255, max(0, part * factor))) for part in colour)
    return red, green, blue


def scatter(rng: np.random.Generator, box: tuple[float, float, float, float], step: Point) -> list[Point]:
    """Give points in rows over a box (x0, y0, x1, y1), `step` apart, every other row shifted."""
    x0, y0, x1, y1 = box
    points: list[Point] = []
    for row, y in enumerate(np.arange(y0, y1, step[1])):
        shift = step[0] / 2 * (row % 2) + float(rng.uniform(-0.1, 0.1)) * step[0]
        points += [(float(x), float(y)) for x in np.arange(x0 + shift, x1, step[0])]
    return points
