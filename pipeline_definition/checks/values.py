"""What is known of a value before the execution: parameters, and texts that are joined of them."""

import json
from collections.abc import Mapping
from typing import Any

from upload_trigger.definition.problems import find


def defaults(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the DefaultValue of each declared parameter, None where it has none."""
    return {name: parameter.get("DefaultValue") for name, parameter in parameters.items()}


def parameter_of(expression: Any) -> str | None:
    """Return the name of the parameter that an expression stands for, None when it is anything else."""
    root, dot, name = str(find(expression, "Get")).partition(".")
    return name if dot and root == "Parameters" else None


def known_text(value: Any, values: Mapping[str, Any]) -> str | None:
    """Return the text that a value will be, None when only the execution will tell."""
    if isinstance(value, str):
        return value
    name = parameter_of(value)
    if name is not None:
        known = values.get(name)
        return known if isinstance(known, str) or known is None else json.dumps(known)
    joined, between = find(value, "Std:Join", "Values"), find(value, "Std:Join", "On")
    if not isinstance(joined, list) or not isinstance(between, str):
        return None
    parts = [known_text(each, values) for each in joined]
    texts = [each for each in parts if each is not None]
    return between.join(texts) if len(texts) == len(parts) else None
