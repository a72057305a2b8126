"""A right that a role needs, and the requests that it decides: those allowed and the nearest ones refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Context = dict[str, str | list[str]]


@dataclass(frozen=True)
class Request:
    """One access, and whether the role is to have it."""

    action: str
    resource: str
    context: Context
    allowed: bool

    def __str__(self) -> str:
        verb = "may" if self.allowed else "may not"
        return f"{verb} {self.action} on {self.resource} with {self.context}"


@dataclass(frozen=True)
class Right:
    """Some actions on some resources, with the context in which a request has them."""

    actions: tuple[str, ...]
    on: tuple[str, ...]
    never_on: tuple[str, ...] = ()
    context: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    required: tuple[str, ...] = ()
    """Keys without which the request is refused."""
    never: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    """Values with which the request is refused, whatever the rest."""
    also: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    """Values with which it is allowed as well, at the edge of what is."""

    def requests(self) -> Iterator[Request]:
        """Yield every request that the right decides."""
        good = _context(self.context)
        for action in self.actions:
            for resource in self.on:
                yield Request(action, resource, good, True)
                for key, value in self.also:
                    yield Request(action, resource, good | _context(((key, value),)), True)
                for key in self.required:
                    without = {name: value for name, value in good.items() if name != key}
                    yield Request(action, resource, without, False)
                for key, value in self.never:
                    yield Request(action, resource, good | _context(((key, value),)), False)
            for resource in self.never_on:
                yield Request(action, resource, good, False)


def _context(pairs: tuple[tuple[str, str | tuple[str, ...]], ...]) -> Context:
    return {key: value if isinstance(value, str) else list(value) for key, value in pairs}
