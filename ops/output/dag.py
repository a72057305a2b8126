"""The pipeline's graph as numbers a picture can be drawn from (user units of an SVG): a row for each depth.

An arrow that a longer way through other steps already says is left out, as in the picture that Studio draws.
An arrow that passes a row has a place of its own in it, so that it crosses no step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.executions.execution import RUNNING, PlannedStep, StartedStep
from ops.executions.snapshot import Snapshot
from ops.output.terminal import duration

WIDTH, HEIGHT = 128.0, 60.0  # of a step
PASSAGE = 14.0  # width of the place that a passing arrow has
GAP, RISE = 8.0, 30.0  # between two steps of a row, and between two rows
LINE = 15  # characters of a name that fit beside each other
SWEEPS = 8  # of the ordering: more change nothing in graphs of some dozens of steps


@dataclass(frozen=True)
class Node:
    """One step: its place, its status as a class of the style sheet, and its two lines of text."""

    name: str
    x: float
    y: float
    kind: str
    status: str
    took: str

    @property
    def caption(self) -> str:
        """Return the status with how long it took, or where it came from."""
        return self.took if self.kind == "cached" else " · ".join(filter(None, (self.status, self.took)))

    @property
    def lines(self) -> list[str]:
        """Return the name in one line, or in two where it is long; what does not fit is cut."""
        words = [self.name] if len(self.name) <= LINE else _halves(self.name)
        return [each if len(each) <= LINE else f"{each[: LINE - 1]}…" for each in words]


def _halves(name: str) -> list[str]:
    """Break a name before a capital, or behind a hyphen, as near to its middle as there is one."""
    breaks = [each.start() for each in re.finditer(r"(?<=[a-z0-9_-])(?=[A-Z])|(?<=[-_])(?=[^-_])", name)]
    middle = min(breaks, key=lambda place: abs(place - len(name) / 2), default=LINE)
    return [name[:middle], name[middle:]]


@dataclass(frozen=True)
class Arrow:
    """One dependency: the path of its line, and what stands beside it."""

    source: str
    target: str
    path: str
    kind: str
    word: str
    end_x: float
    end_y: float
    from_right: bool
    """Whether the line comes from the right, so that the word has its room on the left."""


@dataclass(frozen=True)
class Dag:
    """Everything of the picture."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    step_width: float = WIDTH
    step_height: float = HEIGHT


def dag(snapshot: Snapshot) -> Dag | None:
    """Lay out the steps of the execution's definition; None where it has none."""
    steps = snapshot.execution.plan
    if not steps:
        return None
    edges = arrows_of(steps)
    rows = _rows(steps, edges)
    centres, width = _centres(rows)
    tops = {name: place * (HEIGHT + RISE) + 1 for place, row in enumerate(rows) for name in row}
    nodes = tuple(_node(snapshot, step, centres[step.name] - WIDTH / 2, tops[step.name]) for step in steps)
    kinds = {node.name: node.kind for node in nodes}
    arrows = tuple(
        _arrow(source, target, word, _points(rows, centres, tops, source, target), kinds[target])
        for target, sources in edges.items()
        for source, word in sources.items()
    )
    return Dag(width, len(rows) * (HEIGHT + RISE) - RISE + 2, nodes, arrows)


def arrows_of(steps: Sequence[PlannedStep]) -> dict[str, dict[str, str]]:
    """Return for each step the steps that an arrow comes from, with the arrow's word."""
    before = {step.name: set(step.needs) for step in steps}
    return {
        step.name: {
            source: word
            for source, word in step.needs.items()
            if not any(source in _ancestors(other, before) for other in step.needs if other != source)
        }
        for step in steps
    }


def _ancestors(name: str, before: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        new = before[pending.pop()] - found
        found |= new
        pending += new
    return found


def _rows(steps: Sequence[PlannedStep], edges: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """Put every step below those it waits for, passing arrows between them, and order each row."""
    depths: dict[str, int] = {}
    for step in steps:  # in the order of the plan, which is by depth
        depths[step.name] = 1 + max((depths.get(source, -1) for source in edges[step.name]), default=-1)
    rows: list[list[str]] = [[] for _ in range(max(depths.values()) + 1)]
    above: dict[str, list[str]] = {}
    for name, depth in depths.items():
        rows[depth].append(name)
        above[name] = []
        for source in edges[name]:
            upper = source
            for place in range(depths.get(source, depth) + 1, depth):
                passage = _passage(source, name, place)
                rows[place].append(passage)
                above[passage] = [upper]
                upper = passage
            above[name].append(upper)
    return _ordered(rows, above)


def _passage(source: str, target: str, row: int) -> str:
    return f"{source}\n{target}\n{row}"  # no step's name has a line's end


def _ordered(rows: list[list[str]], above: Mapping[str, list[str]]) -> list[list[str]]:
    """Sort each row by the middle of its neighbours, downwards and upwards in turn."""
    below: dict[str, list[str]] = {}
    for name, uppers in above.items():
        for upper in uppers:
            below.setdefault(upper, []).append(name)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        places = {name: place for row in rows for place, name in enumerate(row)}
        neighbours = above if down else below
        for row in rows if down else reversed(rows):
            middles = {
                name: sum(places[each] for each in near) / len(near)
                if (near := neighbours.get(name))
                else float(places[name])
                for name in row
            }
            row.sort(key=lambda name: middles[name])
            places |= {name: place for place, name in enumerate(row)}
    return rows


def _centres(rows: list[list[str]]) -> tuple[dict[str, float], float]:
    widths = [sum(map(_width, row)) + GAP * (len(row) - 1) for row in rows]
    centres = {}
    for row, width in zip(rows, widths, strict=True):
        x = (max(widths) - width) / 2 + 1
        for name in row:
            centres[name] = x + _width(name) / 2
            x += _width(name) + GAP
    return centres, max(widths) + 2


def _width(name: str) -> float:
    return PASSAGE if "\n" in name else WIDTH


def _points(
    rows: list[list[str]],
    centres: Mapping[str, float],
    tops: Mapping[str, float],
    source: str,
    target: str,
) -> list[tuple[float, float]]:
    """Return where a line begins, passes and ends: pairs of an upper and a lower end."""
    passing = [
        passage for place in range(len(rows)) if (passage := _passage(source, target, place)) in centres
    ]
    points = [(centres[source], tops[source] + HEIGHT)]
    for passage in passing:
        points += [(centres[passage], tops[passage]), (centres[passage], tops[passage] + HEIGHT)]
    return [*points, (centres[target], tops[target] - 3)]


def _arrow(source: str, target: str, word: str, points: list[tuple[float, float]], kind: str) -> Arrow:
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in zip(points[::2], points[1::2], strict=True):
        half = (y0 + y1) / 2
        path += f" L{x0:.1f} {y0:.1f} C{x0:.1f} {half:.1f} {x1:.1f} {half:.1f} {x1:.1f} {y1:.1f}"
    x, y = points[-1]
    return Arrow(source, target, path, "quiet" if kind == "not-run" else "", word, x, y, points[-2][0] > x)


def _node(snapshot: Snapshot, step: PlannedStep, x: float, y: float) -> Node:
    started = snapshot.execution.step(step.name)
    if started is None:
        word = "not run" if snapshot.execution.finished else "waiting"
        return Node(step.name, x, y, "not-run", word, "")
    return Node(step.name, x, y, _kind(snapshot, started), started.status, _took(snapshot, started))


def _kind(snapshot: Snapshot, step: StartedStep) -> str:
    note = snapshot.cache.get(step.name)
    return "cached" if note and note.hit else "running" if step.status in RUNNING else step.status.lower()


def _took(snapshot: Snapshot, step: StartedStep) -> str:
    note = snapshot.cache.get(step.name)
    if note and note.hit:
        return "from the cache"
    seconds = step.seconds(snapshot.taken)
    return duration(seconds) if seconds is not None else ""
