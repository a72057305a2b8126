"""Lines and tables for a person: in colour where somebody watches; plain in CI, files and with NO_COLOR."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 24  # characters that are never broken over two lines
STYLES = {
    "STARTED": "green",
    "Succeeded": "green",
    "SUPERSEDED": "dim",
    "REJECTED": "red",
    "FAILED": "red",
    "Failed": "red",
    "no verdict yet": "yellow",
}


def is_live(console: Console) -> bool:
    """Return whether `console` is a terminal on which lines may be redrawn in colour."""
    plain = any(os.environ.get(name) for name in ("CI", "NO_COLOR"))
    return console.is_terminal and not console.is_dumb_terminal and not plain


def say(console: Console, text: str = "") -> None:
    """Print `text` as it is: no markup, colour or line breaks of ours, so that commands can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)


def duration(seconds: float) -> str:
    """Write seconds as 0:07, 1:15 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def dollars(amount: float) -> str:
    """Write an amount as `12.30 USD`; below a dollar with as many digits as tell it from nothing."""
    return f"{amount:,.2f} USD" if abs(amount) >= 1 or not amount else f"{amount:.4f} USD"


def show_table(console: Console, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print `rows` below `headers`; on a terminal, long cells take as many lines as they need."""
    listed = [[" ".join(cell.split()) for cell in row] for row in rows]
    if is_live(console):
        console.print(_table(headers, listed))
    else:
        for line in lines(headers, listed):
            say(console, line)


def lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line a row, each column as wide as its widest cell; nothing is cut."""
    everything = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in everything]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header, *cells in zip(headers, *rows, strict=True):
        table.add_column(header, no_wrap=max(map(len, cells), default=0) <= NARROW, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    return table
