"""The closest known word, for whoever mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the closest known word, or nothing."""
    # The Lambda has a function of this name too, which the containers do not have.
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def some(items: Iterable[object], limit: int = 5) -> str:
    """Write the first items, and how many more there are."""
    every = [str(item) for item in items]
    shown = ", ".join(every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit:,} more"
