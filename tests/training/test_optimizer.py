"""The optimizer steps as PyTorch's own does, and a training starts without PyTorch's compiler."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.training.trained_model import preprocessed, training_folder
from training.optimizer import AdamW

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import json, pathlib, sys
from training import fit
from training.job import StopRequest
from training.paths import Paths
paths = Paths(pathlib.Path(sys.argv[1]))
fit.run(paths, json.loads(paths.hyper_parameters.read_text()), StopRequest())
print("imported:", sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def trained(optimizer_class: type[torch.optim.AdamW]) -> bytes:
    """Return the weights after some steps, the state saved and loaded in between."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    first, *others = network.parameters()
    groups = [{"params": [first], "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = optimizer_class(groups, lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(6, 8)).square().sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return b"".join(each.detach().numpy().tobytes() for each in network.parameters())


@pytest.mark.slow
def test_it_steps_as_pytorchs_own_to_the_bit() -> None:
    assert trained(AdamW) == trained(torch.optim.AdamW)


@pytest.mark.slow
def test_a_training_imports_no_compiler(tmp_path: Path) -> None:
    paths = training_folder(tmp_path / "job", preprocessed(tmp_path / "data"))
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(paths.base)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"
