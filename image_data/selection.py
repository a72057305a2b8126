"""Which classes take part: `13, 17, 35-40`, class names, or everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from image_data.errors import DataError
from image_data.records import composed
from image_data.spelling import did_you_mean, some


def select_classes(text: str, classes: Mapping[int, str]) -> dict[int, str]:
    """Return the chosen classes by number, in the order of the numbers.

    Accept numbers, ranges (`1-100`), class names with or without their number (`013.Bobolink`,
    `Bobolink`), separated by commas; `all` chooses every class.

    Raises:
        DataError: The text is blank, an item names no class, or fewer than two classes are chosen.
    """
    if not text.strip():
        raise DataError("ClassSelection is blank; write all for every class")
    if text.strip().lower() == "all":
        chosen = set(classes)
        if len(chosen) < 2:
            names = ", ".join(classes.values())
            raise DataError(f"the data has one class ({names}); a classifier needs at least 2")
    else:
        chosen = _chosen(text, classes)
        if len(chosen) < 2:
            raise DataError(
                f"ClassSelection {text!r} chooses {len(chosen)} class; a classifier needs at least 2"
            )
    return {number: classes[number] for number in sorted(chosen)}


def _chosen(text: str, classes: Mapping[int, str]) -> set[int]:
    chosen: set[int] = set()
    numbers: list[str] = []  # those that no class has
    errors: list[str] = []
    parts = text.split(",")
    longest = 1 + max(name.count(",") for name in classes.values())
    while parts:
        # A class's name may have commas itself: the longest that is one wins.
        for length in range(min(longest, len(parts)), 0, -1):
            item = ",".join(parts[:length]).strip()
            found = _item(item, classes)
            if found or length == 1:
                break
        del parts[:length]
        chosen |= found
        if item and not found:
            if re.fullmatch(r"\d+", item):
                numbers.append(item)
            else:
                errors.append(_explain(item, classes))
    if numbers:
        verb, noun = ("is", "class") if len(numbers) == 1 else ("are", "classes")
        errors.append(f"there {verb} no {noun} {some(numbers)}; {_legal(classes)}")
    if errors:
        raise DataError(f"ClassSelection {text!r}: " + "; ".join(errors))
    return chosen


def _item(item: str, classes: Mapping[int, str]) -> set[int]:
    span = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", item)
    if span:
        first, last = int(span[1]), int(span[2] or span[1])
        if first in classes and last in classes:
            return {number for number in classes if first <= number <= last}
    name = composed(item)
    exact = {number for number, each in classes.items() if name and name in (each, _bare(each))}
    return exact or {
        number
        for number, each in classes.items()
        if name and name.lower() in (each.lower(), _bare(each).lower())
    }


def _bare(name: str) -> str:
    """Take the number off a class name: `013.Bobolink` is `Bobolink`."""
    return re.sub(r"^\d+\.", "", name)


def _explain(item: str, classes: Mapping[int, str]) -> str:
    span = re.fullmatch(r"(\d+)\s*-\s*(\d+)", item)
    if span and int(span[2]) < int(span[1]):
        return f"the range {item} runs backwards; write {span[2]}-{span[1]}"
    if span:
        return f"there is no class {span[1]} or no class {span[2]}; {_legal(classes)}"
    names = [*classes.values(), *map(_bare, classes.values())]
    return f"there is no class named {item!r}{did_you_mean(item, names) or f'; {_legal(classes)}'}"


def _legal(classes: Mapping[int, str]) -> str:
    return f"the data's classes are {ranges(classes)} ({some(classes.values(), 3)})"


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges: 1-3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1][-1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
