"""The shipped pipeline with containers that take milliseconds; every request keeps its shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "pipeline_definition" / "pipeline.json"
CONTAINER = Path(__file__).with_name("toy_container.py")


def steps(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step, those inside conditions too."""
    for step in definition["Steps"]:
        yield step
        if step["Type"] == "Condition":
            arguments = step["Arguments"]
            yield from steps({"Steps": [*arguments["IfSteps"], *arguments["ElseSteps"]]})


def write_toy_definition(directory: Path) -> Path:
    """Write the shipped definition with `toy_container.py` in place of `python -m training.*`."""
    definition = json.loads(SHIPPED.read_text())
    for step in steps(definition):
        arguments = step["Arguments"]
        container = arguments.get("AppSpecification") or arguments.get("AlgorithmSpecification")
        if container and "ContainerEntrypoint" in container:
            role = container["ContainerEntrypoint"][-1].removeprefix("training.")
            container["ContainerEntrypoint"] = ["python", str(CONTAINER), role]
    path = directory / "pipeline.json"
    path.write_text(json.dumps(definition))
    return path
