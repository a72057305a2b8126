"""Preprocess, train and evaluate on real photographs, as the containers run them."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from training.paths import Paths

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = Path(os.environ.get("CV_PHOTOS", ROOT.parent / "shared/data/photos"))


def step(base: Path, *arguments: str) -> None:
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, check=True, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(
    not PHOTOS.is_dir(), reason=f"no photographs at {PHOTOS} (CV_PHOTOS names another folder)"
)
def test_the_default_hyper_parameters_reach_nine_tenths_on_photographs(tmp_path: Path) -> None:
    job = Paths(tmp_path)
    job.processing_input("data").parent.mkdir(parents=True)
    job.processing_input("data").symlink_to(PHOTOS)
    step(tmp_path, "training.preprocess", "--class-selection", "1,2,3,4,5,6")
    for channel in ("train", "validation"):
        job.channel(channel).parent.mkdir(parents=True, exist_ok=True)
        job.channel(channel).symlink_to(job.processing_output(channel))
    step(tmp_path, "training.train")
    for name in ("test", "manifest"):
        job.processing_input(name).symlink_to(job.processing_output(name))
    job.processing_input("model").mkdir()
    with tarfile.open(job.processing_input("model") / "model.tar.gz", "w:gz") as tar:
        tar.add(job.model, ".")
    step(tmp_path, "training.evaluate", "--training-type", "Spot")
    document = json.loads((job.processing_output("evaluation") / "evaluation.json").read_text())
    assert document["dataset"]["item_count"] == 80
    assert document["multiclass_classification_metrics"]["accuracy"]["value"] >= 0.9
