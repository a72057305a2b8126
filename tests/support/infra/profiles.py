"""The templates of the two security profiles: the committed one, and the hardened one, synthesised here."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from local.run import TEMPLATE as COMMITTED
from tests.support.infra.node import path_with_node

Template = dict[str, Any]
HARDENED_CONTEXT = {"project": "cv-birds", "security": "hardened"}


def synthesise(**context: Any) -> Template:
    """Return the template of cv-birds with these context keys."""
    with pytest.MonkeyPatch.context() as patch:
        # The import starts Node.
        patch.setenv("PATH", path_with_node())
        infra = importlib.import_module("infra.template")
    template: Template = infra.synthesise({"project": "cv-birds", **context})
    return template


def write(template: Template, directory: Path) -> Path:
    """Write a template to be deployed, and return where."""
    path = directory / "template.json"
    path.write_text(json.dumps(template), encoding="utf-8")
    return path


DEFAULT: Template = json.loads(COMMITTED.read_text(encoding="utf-8"))
HARDENED = synthesise(**HARDENED_CONTEXT)
PROFILES = {"default": DEFAULT, "hardened": HARDENED}
