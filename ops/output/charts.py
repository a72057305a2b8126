"""Training curves, reliability diagrams and slices as numbers a picture can be drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.executions.curves import Curve, Curves
from ops.executions.evaluations import Evaluation, Slice, SliceGroup
from ops.output.words import PROGRESS

WIDTH, HEIGHT = 480.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 34.0
SIDE = 220.0  # of a reliability diagram's square
POINTS = 400  # of one line: more than a screen shows
TICKS = 5


@dataclass(frozen=True)
class CurveLine:
    """One curve: the points of its polyline, its name, and its last value in words."""

    name: str
    training_type: str
    points: str
    kind: str
    last: str


@dataclass(frozen=True)
class AxisTick:
    """A value on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """One picture: curves of one measure."""

    title: str
    lines: tuple[CurveLine, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    x_title: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    bottom: float = HEIGHT - BOTTOM
    top: float = TOP


def charts(curves: Curves) -> list[Chart]:
    """Draw a chart for each measure: `train:loss` and `validation:loss` share one, of every training."""
    measures: dict[str, list[Curve]] = {}
    for curve in curves.curves:
        if curve.metric != PROGRESS:
            measures.setdefault(curve.metric.rpartition(":")[2], []).append(curve)
    return [_chart(measure, listed, curves.by_epoch) for measure, listed in measures.items()]


def _chart(measure: str, curves: Sequence[Curve], by_epoch: bool) -> Chart:
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    x_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis(*_nice(ys), HEIGHT - BOTTOM, TOP)
    kinds = list(dict.fromkeys(curve.training_type for curve in curves))
    splits = list(dict.fromkeys(curve.metric for curve in curves))
    lines = tuple(
        CurveLine(
            name=f"{curve.metric}, {curve.training_type}",
            training_type=curve.training_type,
            points=" ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in _thinned(curve.points)),
            kind=f"series-{kinds.index(curve.training_type) % 4} split-{splits.index(curve.metric) % 2}",
            last=f"{curve.points[-1][1]:.4g}",
        )
        for curve in curves
    )
    title = measure[:1].upper() + measure[1:]
    x_title = "epoch" if by_epoch else "value, in the order of the log"
    return Chart(title, lines, tuple(x_axis.whole_ticks()), tuple(y_axis.ticks()), x_title)


def _step(least: float) -> float:
    """Return the least of 1, 2, 5, 10, 20, 50, ... and 0.5, 0.2, 0.1, ... that is not below `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((each * power for each in (1, 2, 5) if each * power >= least), 10 * power)


def _thinned(points: Sequence[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    """Leave out points that no screen shows, but for the last one."""
    step = math.ceil(len(points) / POINTS)
    return [*points[:-1:step], points[-1]]


def _nice(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of an axis: shares keep 0 to 1 in sight, everything else its own range."""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return (0.0 if low < 0.5 else math.floor(low * 10) / 10), 1.0
    return (min(0.0, low), high) if high > 0 else (low, 0.0)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + (self.end - self.start) * share

    def ticks(self) -> Iterable[AxisTick]:
        step = _step((self.high - self.low) / TICKS)
        for place in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1):
            yield AxisTick(round(self.at(place * step), 1), f"{place * step:.6g}")

    def whole_ticks(self) -> Iterable[AxisTick]:
        span = int(self.high - self.low)
        step = max(1, math.ceil(span / 8))
        for value in range(int(self.low), int(self.high) + 1, step):
            yield AxisTick(round(self.at(value), 1), str(value))


@dataclass(frozen=True)
class Bin:
    """The images whose model was about as sure: how sure it was, and how often it was right."""

    x: float
    width: float
    y: float
    height: float
    tip: str


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: bars on the diagonal mean that 0.8 is right eight times in ten."""

    bins: tuple[Bin, ...]
    error: float | None
    side: float = SIDE


def reliability(evaluation: Evaluation) -> Reliability | None:
    """Draw how far probabilities can be believed; None where the evaluation does not say."""
    bins = tuple(
        Bin(
            x=round(SIDE * each.lower + 1, 1),
            width=round(max(1.0, SIDE * (each.upper - each.lower) - 2), 1),
            y=round(SIDE * (1 - each.accuracy), 1),
            height=round(SIDE * each.accuracy, 1),
            tip=f"{each.images} images with a probability of {each.lower:.1f} to {each.upper:.1f}: "
            f"{each.confidence:.0%} on average, right {each.accuracy:.0%} of the times",
        )
        for each in evaluation.calibration_bins
    )
    return Reliability(bins, evaluation.calibration_error) if bins else None


@dataclass(frozen=True)
class SliceRow:
    """One group of images: places in percent of the line from 0 to 1."""

    label: str
    said: str
    at: float
    left: float
    width: float


@dataclass(frozen=True)
class SliceChart:
    """The accuracy of groups of images with their intervals, one below the other."""

    title: str
    rows: tuple[SliceRow, ...]


def slice_chart(found: Slice, title: str, *, is_share: bool) -> SliceChart:
    """Draw the accuracy by a measure of the images, which is a share of the image or a plain number."""
    return SliceChart(title, tuple(_slice_row(each, is_share=is_share) for each in found.groups))


def _slice_row(group: SliceGroup, *, is_share: bool) -> SliceRow:
    low, high = (f"{each:.1%}" if is_share else f"{each:.2f}" for each in (group.lower, group.upper))
    interval = group.interval or (group.accuracy, group.accuracy)
    bounds = f" ({interval[0]:.0%} to {interval[1]:.0%})" if group.interval else ""
    return SliceRow(
        label=low if low == high else f"{low} to {high}",
        said=f"{group.accuracy:.0%}{bounds}, {group.images} image{'' if group.images == 1 else 's'}",
        at=round(100 * group.accuracy, 1),
        left=round(100 * interval[0], 1),
        width=round(100 * (interval[1] - interval[0]), 1),
    )
