"""Whether somebody watches: a live picture on a terminal, plain lines in CI, in files and with NO_COLOR."""

from __future__ import annotations

import os

from rich.console import Console


def is_live(console: Console) -> bool:
    """Tell whether `console` is a terminal on which lines may be redrawn in colour."""
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
