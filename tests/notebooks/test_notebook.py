"""The notebook runs as a whole on local AWS, and is committed as somebody who opens it should find it."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.support.local_aws.local_commands import ROOT, environment, processes_under

NOTEBOOK = ROOT / "notebooks" / "pipeline.ipynb"
LONGEST = 25
"""Lines of a cell that a person takes in at a glance."""


class KernelOfThisPython(AsyncKernelManager):
    """Starts the kernel with this interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="this Python", language="python")


def read() -> Any:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return notebook


def test_the_notebook_is_committed_without_outputs_or_traces_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    for cell in read().cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.id
        assert not cell.metadata, cell.id
    assert not re.findall(r"(?:/home/|/Users/|/root/|/tmp/|/work/|C:\\)[^\s\"]*", text)
    assert not re.findall(r"AKIA\w+|\b\d{12}\b", text)


def test_every_cell_is_short_and_explained_by_the_one_before_it() -> None:
    for before, cell in itertools.pairwise(read().cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", f"{cell.id} is not explained"
            assert len(cell.source.splitlines()) <= LONGEST, cell.id


@pytest.mark.slow
def test_all_cells_run_on_local_aws_and_show_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # which Jupyter warns of where it is not set
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    notebook = read()
    client = NotebookClient(
        notebook,
        km=KernelOfThisPython(),
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        timeout=240,
    )
    client.execute(env=environment(scratch))
    shown = {cell.id: _text(cell) for cell in notebook.cells if cell.cell_type == "code"}
    promises = {
        "aws": r"Local AWS at http://localhost:\d+",
        "look": r"8 classes, 128 images(?s:.*)is sound(?s:.*)<iframe srcdoc=",
        "graph": r"```mermaid\nflowchart TD(?s:.*)TrainSpot --> EvaluateSpot",
        "upload": r"STARTED|execution",
        "watch": r"Interrupted(?s:.*)Succeeded in (?s:.*)registered 2 model packages",
        "report": r"Succeeded: (?s:.*)<iframe srcdoc=(?s:.*)&lt;svg",
        "compare": r"Spot(?s:.*)OnDemand",
        "registry": r"(?m)^2 (?s:.*)^1 +\w+ +0\.\d{3} \(0\.\d{3} to [01]\.\d{3}\)",
        "model": r"PendingManualApproval(?s:.*)model data +s3://",
        "approve": r"PendingManualApproval -> Approved: looked at in the notebook",
        "predict": r"(?m)^\S+bird\.jpg +\w+ +[01]\.\d{4}$",
        "costs": r"USD",
        "template": r"AWS::S3::Bucket +cv-birds-",
        "clean-up": r"Local AWS has ended",
    }
    for cell, promise in promises.items():
        assert re.search(promise, shown[cell]), f"{cell}: {shown[cell]}"
    assert not processes_under(scratch)


def _text(cell: Any) -> str:
    """Return what a cell shows: text and pages."""
    return "\n".join(
        each.get("text") or "\n".join(map(str, each.get("data", {}).values())) for each in cell.outputs
    )
