"""Which classes take part: `13, 17, 35-40`, class names, or everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from training.cub import did_you_mean
from training.job import JobError


def select_classes(text: str, classes: Mapping[int, str]) -> dict[int, str]:
    """Return the chosen classes by number, in the order of the numbers.

    Accept numbers, ranges (`1-100`), class names with or without their number (`013.Bobolink`,
    `Bobolink`), separated by commas; an empty text or `all` chooses every class.
    """
    everything = text.strip().lower() in ("", "all")
    chosen: set[int] = set(classes) if everything else set()
    errors: list[str] = []
    for item in [] if everything else filter(None, (part.strip() for part in text.split(","))):
        found = _item(item, classes)
        if not found:
            errors.append(_explain(item, classes))
        chosen |= found
    if errors:
        raise JobError(f"ClassSelection {text!r}: " + "; ".join(errors))
    if len(chosen) < 2:
        raise JobError(f"ClassSelection {text!r} chooses {len(chosen)} class; a classifier needs at least 2")
    return {number: classes[number] for number in sorted(chosen)}


def _item(item: str, classes: Mapping[int, str]) -> set[int]:
    span = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", item)
    if span:
        first, last = int(span[1]), int(span[2] or span[1])
        if first not in classes or last not in classes:
            return set()
        return {number for number in classes if first <= number <= last}
    return {number for number, name in classes.items() if item.lower() in (name.lower(), _bare(name).lower())}


def _bare(name: str) -> str:
    """Take the number off a class name: `013.Bobolink` is `Bobolink`."""
    return re.sub(r"^\d+\.", "", name)


def _explain(item: str, classes: Mapping[int, str]) -> str:
    span = re.fullmatch(r"(\d+)\s*-\s*(\d+)", item)
    if span and int(span[2]) < int(span[1]):
        return f"the range {item} runs backwards; write {span[2]}-{span[1]}"
    legal = f"the data set's classes are {ranges(classes)}"
    if re.fullmatch(r"[\d\s-]+", item):
        return f"there is no class {item}; {legal}"
    names = [*classes.values(), *map(_bare, classes.values())]
    return f"there is no class named {item!r}{did_you_mean(item, names) or f'; {legal}'}"


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges: 1-3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][-1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
