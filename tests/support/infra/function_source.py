"""The source of a function that the stack deploys, loaded as Lambda does: a module of its own."""

import importlib.util
from pathlib import Path
from types import ModuleType

INFRA = Path(__file__).resolve().parents[3] / "infra"


def load(source: str) -> ModuleType:
    """Return the module at a path below infra/."""
    path = INFRA / source
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
