"""A template as a file, to be deployed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(template: Mapping[str, Any], directory: Path) -> Path:
    """Write a template to be deployed, and return where."""
    path = directory / "template.json"
    path.write_text(json.dumps(template), encoding="utf-8")
    return path
