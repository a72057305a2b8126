"""A confusion matrix as numbers a picture can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ops.executions.evaluations import Evaluation

SIDE = 420.0  # user units of the matrix itself
NAMED = 30  # classes up to which names and counts can be read
LABEL = 150.0
MARGIN = 26.0  # with the classes' numbers only


@dataclass(frozen=True)
class Cell:
    """Images of class `true` that were called `predicted`; `shade` is their share of the row, 0 to 1."""

    x: float
    y: float
    shade: float
    count: int
    tip: str
    right: bool


@dataclass(frozen=True)
class Matrix:
    """Everything of the picture; names in the order of rows and columns."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    cell: float
    margin: float
    named: bool

    @property
    def width(self) -> float:
        """Return the picture's width, which is also its height."""
        return self.margin + self.cell * len(self.names) + 2

    @property
    def height(self) -> float:
        """Return the picture's height: the columns' numbers take less room than the rows' names."""
        return MARGIN + self.cell * len(self.names) + 2

    @property
    def all_right(self) -> bool:
        """Return whether no image was called by a wrong class."""
        return all(cell.right for cell in self.cells)

    @property
    def top(self) -> float:
        """Return where the first row starts."""
        return MARGIN


def matrix(evaluation: Evaluation) -> Matrix | None:
    """Lay out the confusion matrix; None where the evaluation has none."""
    counts = evaluation.confusion
    names = sorted({*counts, *(name for row in counts.values() for name in row)})
    if not names:
        return None
    named = len(names) <= NAMED
    side, margin = min(44.0, SIDE / len(names)), LABEL if named else MARGIN
    cells = [
        _cell(counts[true], (true, predicted), (row, column), side, margin)
        for row, true in enumerate(names)
        for column, predicted in enumerate(names)
        if counts.get(true, {}).get(predicted)
    ]
    return Matrix(tuple(names), tuple(cells), round(side, 2), margin, named)


def _cell(
    row: Mapping[str, int], names: tuple[str, str], place: tuple[int, int], side: float, margin: float
) -> Cell:
    true, predicted = names
    count, total = row[predicted], sum(row.values())
    return Cell(
        x=round(margin + place[1] * side, 2),
        y=round(MARGIN + place[0] * side, 2),
        shade=round(count / total, 3) if total else 0.0,
        count=count,
        tip=f"{count} of {total} images of {true} called {predicted}",
        right=true == predicted,
    )
