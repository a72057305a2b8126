"""The references inside a pipeline definition: what they look like, and what they refer to.

`{"Get": "Parameters.X"}`, `{"Get": "Execution.V"}`, `{"Get": "Steps.S.<path>"}`; the order of the steps is
nothing but the sum of the last kind (and of `DependsOn`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from upload_trigger.definition.problems import walk

_STEP = re.compile(r"([A-Za-z0-9_-]+)(.*)", re.DOTALL)
_TOKEN = re.compile(r"\.?([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")


class Reference(NamedTuple):
    """One `Get`: its `root` (Parameters, Execution or Steps), the `name` there, the `path` behind it."""

    root: str
    name: str
    path: str = ""


def reference(text: str) -> Reference:
    """Return what a `Get` refers to, such as `Steps.TrainSpot.ModelArtifacts.S3ModelArtifacts`."""
    root, _, rest = text.partition(".")
    if root != "Steps":
        return Reference(root, rest)
    match = _STEP.fullmatch(rest)
    return Reference(root, match[1], match[2]) if match else Reference(root, rest)


def is_get(value: Any) -> bool:
    """Return whether `value` is a `{"Get": "..."}`."""
    return isinstance(value, dict) and set(value) == {"Get"} and isinstance(value["Get"], str)


def references(value: Any) -> Iterator[Reference]:
    """Yield every reference below `value`, in the order of the text."""
    for _, each in walk(value, objects_only=True):
        if is_get(each):
            yield reference(each["Get"])


def path_tokens(path: str) -> list[str | int]:
    """Return the members of `.a['b c'][0]`; raise ValueError where it is no path."""
    tokens: list[str | int] = []
    position = 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        if not match:
            raise ValueError(
                f"{path!r} is not a path: cannot read {path[position:]!r}; write .name, ['name'] or [0]"
            )
        name, quoted, double_quoted, index = match.groups()
        tokens.append(int(index) if index is not None else name or quoted or double_quoted or "")
        position = match.end()
    return tokens
