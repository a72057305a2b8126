"""What is wrong with a pipeline definition: where it is, what it is, and what to write instead."""

import functools
import itertools
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Where a value is: the keys and indices from the top of the document."""

# Comparing names costs time: neither a long name nor the five-hundredth candidate is a slip of the pen.
_LONGEST_SLIP = 100
_CANDIDATES = 500
_LONGEST_POINTER = 1024
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_COMMON_WORDS = frozenset({"config", "data"})


@dataclass(frozen=True)
class Problem:
    """One thing to mend: the JSON pointer of the value (RFC 6901) and what to write there."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the document'}: {self.message}"


def problem(path: Path, message: str) -> Problem:
    """Point at `path`; a pointer of absurd length is cut, so that a report stays readable."""
    pointer = "".join("/" + _token(part) for part in path)
    return Problem(pointer[:_LONGEST_POINTER] + "..." * (len(pointer) > _LONGEST_POINTER), message)


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
    candidates = list(itertools.islice(legal, _CANDIDATES))
    near = _nearest(name, candidates)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    if not candidates:
        return "; none is declared"
    listed = ", ".join(candidates[:12])
    return f"; legal: {listed}{', ...' if len(candidates) > 12 else ''}"


def is_slip(name: str, legal: list[str]) -> bool:
    """Return whether a name is one of the legal ones with a slip of the pen in it."""
    if not 2 < len(name) <= _LONGEST_SLIP:
        return False
    if name.endswith("s") and _begun(name, legal):
        return True
    for word in legal[:_CANDIDATES]:
        longer = name.startswith(word) and len(name) > len(word) + 1  # "AutoMLV2" is a name of its own
        if _distance(name, word) <= 2 and not longer:
            return True
    return False


def _nearest(name: str, candidates: Iterable[str]) -> list[str]:
    if len(name) > _LONGEST_SLIP:
        return []
    if begun := _begun(name, candidates):
        return begun[:2]
    distances = [(_distance(name, word), word) for word in candidates]
    slips = sorted((pair for pair in distances if pair[0] <= 3), key=lambda pair: pair[0])
    # Another word of three letters is no slip: who writes InputConfig means no OutputConfig.
    if not slips or slips[0][0] == 3:
        near = _of_the_same_words(name, candidates) or [word for _, word in slips]
    else:
        near = [word for _, word in slips]
    if not near and len(name) > 2:
        # Half a name, or one with something before or after it.
        folded = name.casefold()
        near = [
            word
            for word in candidates
            if len(word) > 2 and (folded in word.casefold() or word.casefold() in folded)
        ]
    return near[:2]


def _of_the_same_words(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the names that have all words of this one but for the common ones, and fewest others."""
    wanted = _words(name)
    shares: list[tuple[float, str]] = []
    for word in candidates:
        words = _words(word)
        if wanted - _COMMON_WORDS and wanted - _COMMON_WORDS <= words:
            shares.append((len(wanted & words) / len(wanted | words), word))
    best = max(shares, default=(0.0, ""))[0]
    return [word for share, word in shares if share == best]


@functools.lru_cache(maxsize=2 * _CANDIDATES)  # the candidates are the same for each wrong name
def _words(name: str) -> frozenset[str]:
    """Return the words in a name such as OutputDataConfig, in lower case and in the singular."""
    return frozenset(word.casefold().removesuffix("s") for word in _WORD.findall(name))


def _begun(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the names that begin as this one does, but for a plural: ProcessingOutputs, -OutputConfig."""
    stem = name.removesuffix("s")
    return [word for word in candidates if len(stem) > 5 and word.startswith(stem)]


def _distance(name: str, word: str) -> int:
    """Count the characters between the common beginning and the common end; past a slip it is 99.

    Slips are made in one place, so this does, and unlike an edit distance it is cheap for any two words.
    """
    if abs(len(name) - len(word)) > 3:
        return 99
    name, word = name.casefold(), word.casefold()
    short = min(len(name), len(word))
    begin = 0
    while begin < short and name[begin] == word[begin]:
        begin += 1
    end = 0
    while end < short - begin and name[-1 - end] == word[-1 - end]:
        end += 1
    different = max(len(name), len(word)) - begin - end
    return different if different <= 3 and different * 2 <= max(len(name), len(word)) else 99


def find(value: Any, *members: str) -> Any:
    """Return what nested objects hold at the end of these members, None where there is nothing."""
    for member in members:
        value = value.get(member) if isinstance(value, dict) else None
    return value


def entries(value: Any, path: Path, *members: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the objects in the list that `find` gives, each with its path; `path` is that of `value`."""
    listed = find(value, *members)
    for index, each in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(each, dict):
            yield (*path, *members, index), each


def walk(
    value: Any, path: Path = (), skip: Collection[Path] = (), *, objects_only: bool = False
) -> Iterator[tuple[Path, Any]]:
    """Yield every value from `value` down with its path, in document order, but nothing in `skip`.

    Objects only (those with members) it is quicker by far on what is mostly numbers.
    """
    # Iterators on a stack of our own: no depth ends in RecursionError, and no list is copied.
    pending = [iter([(path, value)])]
    while pending:
        for at, child in pending[-1]:
            if at not in skip:
                if not objects_only or isinstance(child, dict):
                    yield at, child
                if isinstance(child, dict | list):
                    pending.append(_children(child, at, objects_only))
                    break
        else:
            pending.pop()


def _children(value: Any, path: Path, objects_only: bool) -> Iterator[tuple[Path, Any]]:
    inner: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    if objects_only:
        return (((*path, key), child) for key, child in inner if child and isinstance(child, dict | list))
    return (((*path, key), child) for key, child in inner)
