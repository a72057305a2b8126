"""The Arguments of the shipped definition, value by value, against the shapes of the requests they make."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline_definition.checks import arguments, patterns
from pipeline_definition.checks.service_model import bundled_model
from tests.support.definitions.small import changed, problems
from upload_trigger.definition import walk
from upload_trigger.definition.walk import is_expression

SHIPPED = json.loads((Path(__file__).parents[3] / "pipeline_definition" / "pipeline.json").read_bytes())
Place = tuple[str | int, ...]


def shaped(value: Any, shape: Any, path: Place) -> Iterator[tuple[Place, Any]]:
    """Yield the place and the shape of everything in a value."""
    yield path, shape
    if is_expression(value):
        return
    inner: dict[Any, Any] = {}
    if shape.type_name == "structure":
        inner = {key: (child, shape.members[key]) for key, child in value.items()}
    elif shape.type_name == "map":
        inner = {key: (child, shape.value) for key, child in value.items()}
    elif shape.type_name == "list":
        inner = {index: (child, shape.member) for index, child in enumerate(value)}
    for key, (child, its_shape) in inner.items():
        yield from shaped(child, its_shape, (*path, key))


def places() -> Iterator[tuple[Place, Any]]:
    """Yield every value of every request, with its shape."""
    for path, step, _ in walk.steps(SHIPPED):
        operation = arguments.OPERATIONS.get(step["Type"])
        if operation:
            shape = bundled_model().operation_model(operation).input_shape
            yield from shaped(step["Arguments"], shape, (*path, "Arguments"))


def outside(shape: Any) -> Iterator[Any]:
    """Yield values that are just outside of what a shape takes."""
    least, greatest = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name == "string":
        yield from ["a" * (greatest + 1)] if greatest is not None else []
        yield from ["a" * (least - 1)] if least else []
        yield from [shape.enum[0] + "x", shape.enum[0][:-1]] if shape.enum else []
        pattern = shape.metadata.get("pattern", r"[\s\S]*")
        texts = [each * max(least or 1, 1) for each in ("\0", "!", " ", "\n", "-", "\u2028")]
        yield from [text for text in texts if not patterns.matches(pattern, text)]
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from [least - 1] if least is not None else []
        yield from [greatest + 1] if greatest is not None else []
    elif shape.type_name == "list":
        yield from [[None] * (greatest + 1)] if greatest is not None else []
        yield from [[None] * (least - 1)] if least else []
    elif shape.type_name == "map":
        yield from [{str(key): "" for key in range(greatest + 1)}] if greatest is not None else []


@pytest.mark.slow
def test_no_leaf_of_the_shipped_definition_may_be_just_outside_of_its_shape() -> None:
    tried, missed = 0, []
    for path, shape in places():
        pointer = "".join(f"/{part}" for part in path)
        for value in outside(shape):
            tried += 1
            found = problems(changed(SHIPPED, *path, to=value))
            if pointer not in [each for each, _ in found]:
                missed.append((pointer, value))
    assert missed == []
    assert tried > 200


@pytest.mark.slow
def test_every_leaf_of_the_shipped_definition_may_be_at_the_limits_of_its_shape() -> None:
    tried = 0
    for path, shape in places():
        pointer = "".join(f"/{part}" for part in path)
        for limit in ("min", "max"):
            size = shape.metadata.get(limit)
            if size is None or shape.type_name not in ("string", "integer"):
                continue
            tried += 1
            value = "a" * size if shape.type_name == "string" else size
            said = dict(problems(changed(SHIPPED, *path, to=value))).get(pointer, "")
            assert "must be at " not in said
    assert tried > 100
