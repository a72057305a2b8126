"""What a check says of a definition: where it is, what to write instead, and where AWS would say it."""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from upload_trigger.definition.problems import Path, Problem, did_you_mean, is_slip, problem, show


class Place(StrEnum):
    """Where it would be met on AWS."""

    CREATE = "create"
    """CreatePipeline and UpdatePipeline."""
    RUN = "run"
    """The API that makes a step's job, when the step starts."""
    EXECUTION = "execution"
    """The execution itself: it starts, and ends as Failed."""
    ADVICE = "advice"
    """Nobody that is known: only this library has doubts."""


@dataclass(frozen=True)
class Finding(Problem):
    """One thing to mend, and where AWS would say it."""

    place: Place
    step: str = ""
    """The name of the step whose job would be refused."""


class Found(NamedTuple):
    """A finding whose words are written only when somebody reads them: a hostile file has a million."""

    place: Place
    path: Path
    message: str | Callable[[], str]

    def text(self) -> str:
        """Return its words."""
        return self.message if isinstance(self.message, str) else self.message()

    def finding(self, step: str = "") -> Finding:
        """Write it out."""
        told = problem(self.path, self.text())
        return Finding(told.pointer, told.message, self.place, step)


def create(path: Path, message: str | Callable[[], str]) -> Found:
    """Say what CreatePipeline refuses."""
    return Found(Place.CREATE, path, message)


def run(path: Path, message: str | Callable[[], str]) -> Found:
    """Say what the API of a step's job refuses."""
    return Found(Place.RUN, path, message)


def execution(path: Path, message: str | Callable[[], str]) -> Found:
    """Say what an execution ends as Failed for."""
    return Found(Place.EXECUTION, path, message)


def advice(path: Path, message: str | Callable[[], str]) -> Found:
    """Say what only this library doubts."""
    return Found(Place.ADVICE, path, message)


def no_such(path: Path, what: str, name: object, legal: Iterable[str]) -> Found:
    """Say that a name is none of the legal ones; `what` begins the message."""
    return create(path, lambda: f"{what} {show(name)}{did_you_mean(str(name), legal)}")


def unknown(path: Path, name: object, legal: Iterable[str], what: str) -> Found:
    """Judge a name that is not `legal`: CreatePipeline refuses a slip of the pen, any other may be newer."""
    known = list(legal)
    if not isinstance(name, str) or is_slip(name, known):
        return no_such(path, f"{what}:", name, known)
    return advice(path, lambda: f"{what} that is known here: {show(name)}{did_you_mean(name, known)}")


def unknown_members(value: dict[str, Any], known: Collection[str], path: Path, what: str) -> Iterator[Found]:
    """Doubt the members of an object that are not `known`."""
    for key in value:
        if key not in known:
            yield advice((*path, key), functools.partial(no_member, key, known, what))


def no_member(key: str, known: Iterable[str], what: str) -> str:
    """Say that an object has no member of this name."""
    return f"no member of {what} that is known here{did_you_mean(key, known)}"
