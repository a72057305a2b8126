"""The shipped pipeline, and an image for it whose containers take milliseconds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "pipeline_definition" / "pipeline.json"
IMAGE = Path(__file__).with_name("toy_image")
SLEEPING_IMAGE = Path(__file__).with_name("sleeping_image")
"""The same with a first step that runs until it is ended."""


def steps(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step, those inside conditions too."""
    for step in definition["Steps"]:
        yield step
        if step["Type"] == "Condition":
            arguments = step["Arguments"]
            yield from steps({"Steps": [*arguments["IfSteps"], *arguments["ElseSteps"]]})
