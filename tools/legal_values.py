"""Write pipeline_definition/checks/legal_values.json: the values that an execution can run with.

    python -m tools.legal_values            # write it

Training says what its hyper-parameters may be, and pipeline_definition/parameters.py what the others may. Who
checks a value before an upload reads this file, because nobody but training imports PyTorch. Each member is
named after a parameter and is a JSON Schema of its values.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline_definition.parameters import LEGAL_VALUES, PARAMETERS
from training import backbones
from training.hyper_parameters import NUMBERS, Numbers


def main() -> None:
    """Write the file."""
    LEGAL_VALUES.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the legal values as the text that is committed."""
    schemas = {}
    for each in PARAMETERS:
        if each.hyper_parameter:
            name = each.hyper_parameter_name
            legal = _numbers(NUMBERS[name]) if name in NUMBERS else _backbones()
            schemas[each.name] = {"hyper_parameter": name, **legal}
        elif each.legal:
            schemas[each.name] = dict(each.legal)
    return json.dumps(schemas, indent=2) + "\n"


def _numbers(legal: Numbers) -> dict[str, Any]:
    return {
        "type": "integer" if legal.whole else "number",
        "exclusiveMinimum" if legal.exclusive_minimum else "minimum": legal.minimum,
        "exclusiveMaximum" if legal.exclusive_maximum else "maximum": legal.maximum,
        "description": legal.description,
    }


def _backbones() -> dict[str, Any]:
    return {
        "type": "string",
        "enum": backbones.names(),
        "description": "the name of a backbone",
        "weights_in_image": list(backbones.IN_IMAGE),
    }


if __name__ == "__main__":
    main()
