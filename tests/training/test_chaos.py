"""Whatever job is killed whenever leaves, when it is started again, what a single run would have left."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from tests.support.soak import sized
from tests.support.training.hosts import ROOT, TrainingHosts
from tests.support.training.trained_model import TINY, preprocessed, run, training_folder, weights
from training.paths import BASE_VARIABLE, Paths, write_json

pytestmark = [pytest.mark.slow, pytest.mark.soak]

MANY = {"epochs": "60", "fine-tune-epochs": "4", "checkpoint-seconds": "1"}
"""So many that a kill most often comes while the training is under way."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


@pytest.fixture(scope="module")
def whole(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = training_folder(tmp_path_factory.mktemp("whole"), outputs, **MANY)
    run(paths)
    return paths


def killed_and_started_again(base: Path, module: str, arguments: list[str], kills: int, seed: int) -> None:
    """Run a job's command, kill it `kills` times on its way, then let it end."""
    draw = random.Random(seed)
    environment = {**os.environ, BASE_VARIABLE: str(base), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", module, *arguments]
    longest = 1.0
    for _ in range(kills):
        with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
            time.sleep(draw.uniform(0.05, longest))
            process.send_signal(draw.choice((signal.SIGKILL, signal.SIGTERM)))
            ended_by_itself = process.wait(60) == 0
        # Later kills come later, until one comes too late.
        longest = longest if ended_by_itself else longest + 1
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=120).returncode == 0


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("seed", range(sized(1, 12)))
def test_preprocess(outputs: Path, tmp_path: Path, seed: int) -> None:
    shutil.copytree(outputs.parent / "input", tmp_path / "processing/input")
    killed_and_started_again(tmp_path, "training.preprocess", ["--image-size", "32"], 3, seed)
    assert contents(tmp_path / "processing/output") == contents(outputs)


@pytest.mark.parametrize("seed", range(sized(1, 12)))
def test_training(outputs: Path, whole: Paths, tmp_path: Path, seed: int) -> None:
    paths = training_folder(tmp_path, outputs, **MANY)
    killed_and_started_again(tmp_path, "training.train", [], 4, seed)
    assert weights(paths) == weights(whole)


@pytest.mark.parametrize("seed", range(sized(1, 8)))
def test_training_of_two_instances(outputs: Path, tmp_path: Path, seed: int) -> None:
    # Without dropout, which each process draws for itself.
    given = {**MANY, "dropout": "0"}
    undisturbed = training_folder(tmp_path / "whole", outputs, **given)
    run(undisturbed)
    draw = random.Random(seed)
    checkpoints = tmp_path / "checkpoints"  # as SageMaker's copy in S3
    checkpoints.mkdir()
    for kill in (*([True] * sized(2, 4)), False):
        shutil.rmtree(tmp_path / "job", ignore_errors=True)
        hosts = TrainingHosts.laid_out(tmp_path / "job", outputs, 2, **given)
        for paths in hosts.folders:
            shutil.copytree(checkpoints, paths.checkpoints)
        with hosts.start():
            if kill:
                time.sleep(draw.uniform(2, 7))
                for number, process in enumerate(hosts.processes):
                    if draw.random() < 0.5:
                        hosts.kill(number)
                    else:
                        process.terminate()
            codes = hosts.wait()
        shutil.rmtree(checkpoints)
        shutil.copytree(hosts.folders[0].checkpoints, checkpoints)
    assert codes == [0, 0], hosts.log()
    one, two = (
        safetensors.torch.load_file(paths.model / "model.safetensors")
        for paths in (undisturbed, hosts.folders[0])
    )
    assert all((one[name] - two[name]).abs().max() < 1e-5 for name in one)


def evaluation(base: Path) -> dict[str, Any]:
    """Return what a run left, but for what it says of the job itself."""
    folder = Paths(base).processing_output("evaluation")
    document: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    document.pop("this_job", None)
    files = contents(folder)
    return {
        **{name: digest for name, digest in files.items() if not name.endswith(".json")},
        "json": document,
    }


@pytest.mark.parametrize("seed", range(sized(1, 12)))
def test_evaluation(outputs: Path, tmp_path: Path, seed: int) -> None:
    paths = training_folder(tmp_path / "train", outputs, **TINY)
    run(paths)
    for name in ("whole", "killed"):
        job = Paths(tmp_path / name)
        for channel in ("test", "manifest"):
            shutil.copytree(outputs / channel, job.processing_input(channel))
        model = job.processing_input("model")
        model.mkdir(parents=True)
        subprocess.run(["tar", "czf", model / "model.tar.gz", "-C", paths.model, "."], check=True)
        write_json(job.base / "config/resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
        kills = 4 if name == "killed" else 0
        killed_and_started_again(job.base, "training.evaluate", ["--training-type", "Spot"], kills, seed)
    assert evaluation(tmp_path / "killed") == evaluation(tmp_path / "whole")
