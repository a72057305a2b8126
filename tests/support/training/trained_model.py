"""Training jobs on tiny data, run in the test's own process."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.training.cub_layout import write_cub
from training import fit, preprocess
from training.job import StopRequest
from training.paths import BASE_VARIABLE, Paths

TINY = {"epochs": "3", "fine-tune-epochs": "2", "batch-size": "4", "image-size": "32", "seed": "5"}
EPOCH_STEPS = 4
"""15 train images in batches of 4."""


def preprocessed(base: Path, **layout: Any) -> Path:
    """Run Preprocess on tiny data and return the folder of its outputs."""
    write_cub(Paths(base).processing_input("data"), **layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BASE_VARIABLE, str(base))
        assert preprocess.main(["--image-size", "32"]) == 0
    return Paths(base).processing_output("train").parent


def training_folder(base: Path, outputs: Path, **given: str) -> Paths:
    """Lay out a training job's folder on Preprocess's outputs."""
    paths = Paths(base)
    for channel in ("train", "validation"):
        paths.channel(channel).parent.mkdir(parents=True, exist_ok=True)
        paths.channel(channel).symlink_to(outputs / channel)
    paths.hyper_parameters.parent.mkdir(parents=True)
    paths.hyper_parameters.write_text(
        json.dumps(TINY | {key.replace("_", "-"): v for key, v in given.items()})
    )
    return paths


def run(paths: Paths, stop: StopRequest | None = None) -> None:
    """Train in this process as `training.train` does."""
    fit.run(paths, json.loads(paths.hyper_parameters.read_text()), stop or StopRequest())


class StopAt(StopRequest):
    """SIGTERM that comes when the work asks for it the n-th time: between any two steps or batches."""

    def __init__(self, asked: int) -> None:
        self._left = asked

    @property
    def requested(self) -> bool:  # type: ignore[override]
        self._left -= 1
        return self._left < 0


def weights(paths: Paths) -> bytes:
    """Read the trained weights' file."""
    return (paths.model / "model.safetensors").read_bytes()
