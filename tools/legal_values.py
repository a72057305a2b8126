"""Write pipeline_definition/checks/legal_values.json: the hyper-parameters, and what parameters may be.

    python -m tools.legal_values            # write it

Training says what its hyper-parameters are and may be (training/hyper_parameters.py, the one table of them),
and pipeline_definition/parameters.py what the others may. The pipeline's parameters are made from this file,
and who checks a value before an upload reads it, because nobody but training imports PyTorch. Each member is
named after a parameter: in JSON Schema's words the values that are legal, `also` a word beside numbers, and
for a hyper-parameter its name, default, unit and meaning.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline_definition.parameters import LEGAL_VALUES, OWN_PARAMETERS
from training import backbones
from training.hyper_parameters import AUTO, TABLE, ByProfile, Choices, HyperParameter, Numbers


def main() -> None:
    """Write the file."""
    LEGAL_VALUES.write_text(render(), encoding="utf-8")


def render() -> str:
    """Return the legal values as the text that is committed."""
    schemas = {each.name: dict(each.legal) for each in OWN_PARAMETERS if each.legal}
    for name, entry in TABLE.items():
        schemas["".join(word.title() for word in name.split("-"))] = {
            "hyper_parameter": name,
            **_legal(entry),
            "description": entry.description,
            **_default(entry),
            "unit": entry.unit,
            "meaning": entry.meaning,
        }
    return json.dumps(schemas, indent=2) + "\n"


def _legal(entry: HyperParameter) -> dict[str, Any]:
    also = {"also": AUTO} if entry.is_auto else {}
    if isinstance(entry.legal, Numbers):
        return {**_numbers(entry.legal), **also}
    if isinstance(entry.legal, Choices):
        return {"type": "string", "enum": [*also.values(), *entry.legal.words]}
    return {
        "type": "string",
        "enum": backbones.names(),
        "pattern": backbones.TIMM_NAME,
        "weights_in_image": list(backbones.IN_IMAGE),
    }


def _default(entry: HyperParameter) -> dict[str, Any]:
    if isinstance(entry.default, ByProfile):
        return {"default": AUTO, "by_profile": {"laptop": entry.default.laptop, "gpu": entry.default.gpu}}
    return {"default": entry.default}


def _numbers(legal: Numbers) -> dict[str, Any]:
    return {
        "type": "integer" if legal.whole else "number",
        "exclusiveMinimum" if legal.exclusive_minimum else "minimum": legal.minimum,
        "exclusiveMaximum" if legal.exclusive_maximum else "maximum": legal.maximum,
    }


if __name__ == "__main__":
    main()
