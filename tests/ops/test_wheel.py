"""`cv-pipeline` from the built wheel: whoever installs it has no clone beside it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the script that pip writes does. Without site, nothing of the clone is importable: not its .pth either.
SCRIPT = """
import sys
from importlib.metadata import distribution
sys.path[:0] = [sys.argv.pop(1), sys.argv.pop(1)]
sys.exit(distribution("cv-training-pipeline").entry_points["cv-pipeline"].load()())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the wheel holds."""
    built = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def cv_pipeline(installed: Path, *arguments: str) -> str:
    """Return what the command prints, run outside of the repository."""
    paths = (str(installed), sysconfig.get_path("purelib"))
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, *paths, *arguments],
        cwd=installed.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_the_wheel_brings_all_that_the_command_needs(installed: Path) -> None:
    packed = installed / "pipeline_definition" / "pipeline.json"
    assert cv_pipeline(installed, "validate", str(packed)).startswith(f"{packed} is sound: 13 steps")
    assert "validate" in cv_pipeline(installed, "--help")
    assert "Upload data and DEFINITION" in cv_pipeline(installed, "upload", "--help")
    assert cv_pipeline(installed, "--version").startswith("cv-training-pipeline ")


def test_the_wheel_brings_the_default_definition_and_the_pages_templates(installed: Path) -> None:
    for packed in (
        "pipeline_definition/pipeline.json",
        "ops/output/templates/report.html",
        "ops/datasets/templates/preview.html",
    ):
        assert (installed / packed).read_bytes() == (ROOT / packed).read_bytes()
