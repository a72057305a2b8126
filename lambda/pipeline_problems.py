"""What is wrong with a pipeline definition: where it is, what it is, and what to write instead."""

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Where a value is: the keys and indices from the top of the document."""


@dataclass(frozen=True)
class Problem:
    """One thing to mend: the JSON pointer of the value (RFC 6901) and what to write there."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the document'}: {self.message}"


def problem(path: Path, message: str) -> Problem:
    """Point at `path`; a key of absurd length is cut, so that a report stays readable."""
    return Problem("".join("/" + _token(part) for part in path), message)


def _token(part: str | int) -> str:
    return str(part)[:128].replace("~", "~0").replace("/", "~1")


def show(value: Any) -> str:
    """Write a value as JSON on one short line (at most 83 characters)."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value[:100] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """End a message with the nearest legal names, or with the first few when none is near."""
    # Comparing costs time: neither a long name nor the five-hundredth candidate is a slip of the pen.
    candidates = [word for word, _ in zip(legal, range(500), strict=False)]
    near = difflib.get_close_matches(name, candidates, n=2) if len(name) <= 100 else []
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not candidates:
        return "; none is declared"
    listed = ", ".join(candidates[:12])
    return f"; legal: {listed}{', ...' if len(candidates) > 12 else ''}"


def walk(value: Any, path: Path = (), skip: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, Any]]:
    """Yield every value from `value` down with its path, in document order, but nothing in `skip`."""
    pending: list[tuple[Path, Any]] = [(path, value)]  # a stack of our own: no depth ends in RecursionError
    while pending:
        at, node = pending.pop()
        if at in skip:
            continue
        yield at, node
        if isinstance(node, dict):
            pending.extend(((*at, key), child) for key, child in reversed(node.items()))
        elif isinstance(node, list):
            pending.extend(((*at, index), child) for index, child in reversed([*enumerate(node)]))
