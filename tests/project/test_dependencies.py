"""What `make run` installs is enough to run: the extras name everything that their islands import."""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "cv-training-pipeline"
IMPORT_ONLY = """
import importlib, json, sys
modules, allowed, ours = json.loads(sys.argv[1])
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if path is None and top in ours and top not in allowed:
            raise ModuleNotFoundError(f"{top} is not among what is installed for this", name=top)
sys.meta_path.insert(0, Refuse())
for module in modules:
    importlib.import_module(module)
"""


def installed_for(*extras: str) -> set[str]:
    """Distributions that `pip install .[extras]` brings, whatever else is installed here."""
    found: set[str] = set()
    waiting = [(PROJECT, frozenset(extras))]
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found.add(name)
        for text in requirements(name):
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for another platform
        return []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extras", "modules"),
    [
        (["local", "training"], ["local.__main__", "training.train", "training.evaluate", "training.serve"]),
        ([], ["ops.__main__"]),
        (["infra"], ["infra.assembly"]),
        (["training"], ["training.preprocess", "training.train", "training.evaluate", "training.serve"]),
    ],
    ids=["make run", "ops", "requirements.txt", "training"],
)
def test_the_extras_bring_all_that_is_imported(extras: list[str], modules: list[str]) -> None:
    known = packages_distributions()
    brought = installed_for(*extras)
    allowed = [
        module
        for module, distributions in known.items()
        if brought & {canonicalize_name(distribution) for distribution in distributions}
    ]
    third_party = [module for module in known if re.fullmatch(r"\w+", module)]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ONLY, json.dumps([modules, allowed, third_party])],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}", "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_image_installs_all_that_training_declares() -> None:
    """Some of it is imported for some backbones alone; pip and uv are told to bring nothing by themselves."""
    listed = {
        canonicalize_name(line.partition("==")[0])
        for file in ("requirements.txt", "constraints-cuda.txt")
        for line in (ROOT / "training" / file).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    of_ops = installed_for()
    missing = {each for each in installed_for("training") - of_ops if each not in listed}
    assert not missing
    assert {"timm", "huggingface-hub", "truststore"} <= listed
