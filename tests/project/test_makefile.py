"""The Makefile: what its targets would do, without doing it."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def would_do(*arguments: str) -> str:
    """The commands that make would run."""
    done = subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_pip_installs_pytorch_as_it_comes_unless_another_build_is_asked_for(tmp_path: Path) -> None:
    usual = would_do("run", f"VENV={tmp_path}")
    assert f"{tmp_path}/bin/pip install" in usual
    assert "-c requirements.lock -e '.[local,training]'" in usual
    assert "uv" not in usual.replace(str(tmp_path), "")


def test_torch_names_the_build_of_pytorch_that_uv_installs_by_the_same_lock(tmp_path: Path) -> None:
    without_cuda = would_do("run", f"VENV={tmp_path}", "TORCH=cpu")
    assert f"{tmp_path}/bin/uv pip install --quiet --python {tmp_path}/bin/python" in without_cuda
    assert "--torch-backend=cpu" in without_cuda
    assert "-c requirements.lock -e '.[local,training]'" in without_cuda
    # What was installed before is replaced, and what was installed is remembered for each choice.
    assert "--reinstall-package torch --reinstall-package torchvision" in without_cuda
    stamps = [
        set(re.findall(r"touch (\S+)", would_do("run", f"VENV={tmp_path}", choice)))
        for choice in ("TORCH=", "TORCH=cpu", "TORCH=cu130")
    ]
    assert len(set().union(*stamps)) == 3


def test_the_cdk_runs_the_app_with_the_environment_that_make_installed(tmp_path: Path) -> None:
    for target in ("bootstrap", "deploy", "diff"):
        calls = re.findall(
            r"(.*)/node_modules/.bin/cdk (?:bootstrap|synth|deploy|diff)",
            would_do(target, f"VENV={tmp_path}"),
        )
        assert calls
        assert all(f'VIRTUAL_ENV="{tmp_path}" PATH="{tmp_path}/bin:' in each for each in calls), target


def test_the_public_workflow_calls_targets_that_exist_over_every_python_that_is_allowed() -> None:
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    called = set(re.findall(r"run: make (\w+)", workflow))
    assert called == {"test", "soak"}
    assert called <= TARGETS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest, above = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()  # type: ignore[union-attr]
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix
    assert re.findall(r"3\.(\d+)", matrix[1]) == [str(minor) for minor in range(int(lowest), int(above))]


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS
    for target in TARGETS:
        assert re.search(rf"{target}\S*\s+\S*\s*\S+", done.stdout), target
    assert len(TARGETS) <= 15
