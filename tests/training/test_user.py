"""A job whose user may not write SageMaker's folders says so before it works, not after hours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.training.cub_layout import write_cub
from tests.support.training.trained_model import preprocessed, training_folder
from training.paths import BASE_VARIABLE, Paths

ROOT = Path(__file__).resolve().parents[2]
USER = 1000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("setpriv") is None,
        reason="only root can start a job as another user",
    ),
]


@contextmanager
def reachable() -> Iterator[Path]:
    """Make a folder that another user can reach; pytest's own are their user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def user() -> None:
    """Somebody who is not root and can run this Python with its PyTorch."""
    with reachable() as folder:
        done = run(folder, "training.fit")
    if done.returncode:
        pytest.skip(f"user {USER} cannot run {sys.executable} in {ROOT}: {done.stderr.splitlines()[-1]}")


@pytest.fixture
def base(user: None) -> Iterator[Path]:
    """A job's folder, as /opt/ml is."""
    with reachable() as folder:
        yield folder / "ml"


# Reading everything, but writing nothing that is not the user's: the packages may lie below root's home.
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def run(
    base: Path, *command: str, privileges: tuple[str, ...] = READS_ALL
) -> subprocess.CompletedProcess[str]:
    """Run a step as the image does whose deployment says image_user_id=1000."""
    ids = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *privileges]
    return subprocess.run(
        ["setpriv", *ids, sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, BASE_VARIABLE: str(base), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def of_root(base: Path, *names: str) -> None:
    """Make folders as SageMaker mounts them: root's, and readable by all."""
    for name in names:
        (base / name).mkdir(parents=True)


def of_the_user(base: Path, *names: str) -> None:
    for name in names:
        (base / name).mkdir(parents=True)
        shutil.chown(base / name, USER, USER)


def refused(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert done.returncode == 1
    said = (
        f"user {USER} cannot write in {folder}: Permission denied; deploy with -c image_user_id=0, because "
        "SageMaker's folders are root's"
    )
    # The first thing it says: nothing was read, trained or written before.
    assert (done.stdout, done.stderr.splitlines()[0]) == ("", f"error: {said}")
    assert "Traceback" not in done.stderr


def test_a_training_ends_before_it_reads_anything_where_the_model_cannot_be_written(base: Path) -> None:
    of_root(base, "model")
    of_the_user(base, "output")
    done = run(base, "training.train")
    refused(done, base / "model")
    assert done.stderr.removeprefix("error: ") == (base / "output/failure").read_text()


def test_a_spot_training_ends_at_once_where_it_could_keep_no_checkpoint(base: Path) -> None:
    of_the_user(base, "output", "model")
    of_root(base, "checkpoints")
    refused(run(base, "training.train"), base / "checkpoints")


def test_where_the_reason_itself_cannot_be_left_the_log_has_it(base: Path) -> None:
    of_root(base, "output")
    of_the_user(base, "model")
    done = run(base, "training.train")
    refused(done, base / "output")
    assert f"warning: cannot write {base}/output/failure" in done.stderr


@pytest.mark.parametrize("output", ["train", "validation", "test", "manifest"])
def test_preprocess_ends_before_it_reads_the_images(base: Path, output: str) -> None:
    folders = [f"processing/output/{each}" for each in ("train", "validation", "test", "manifest")]
    of_root(base, f"processing/output/{output}")
    of_the_user(base, "output", *(each for each in folders if not each.endswith(f"/{output}")))
    done = run(base, "training.preprocess")
    refused(done, base / "processing/output" / output)
    assert done.stderr.removeprefix("error: ") == (base / "output/message").read_text()


def test_evaluate_ends_before_it_reads_the_model(base: Path) -> None:
    of_root(base, "processing/output/evaluation")
    of_the_user(base, "output")
    refused(run(base, "training.evaluate", "--training-type", "Spot"), base / "processing/output/evaluation")


def test_an_input_that_the_user_may_not_read_is_answered_in_the_same_way(base: Path) -> None:
    if (done := run(base, "training.fit", privileges=())).returncode:
        pytest.skip(
            f"user {USER} cannot read {sys.executable} or its packages: {done.stderr.splitlines()[-1]}"
        )
    of_the_user(base, "output", "processing/output")
    write_cub(Paths(base).processing_input("data"))
    (Paths(base).processing_input("data") / "images.txt").chmod(0o600)
    done = run(base, "training.preprocess", privileges=())
    assert done.returncode == 1
    assert f"user {USER} cannot access " in (base / "output/message").read_text()
    assert "image_user_id=0" in done.stderr


def test_in_folders_of_its_own_another_user_preprocesses_and_trains(base: Path) -> None:
    of_the_user(base, "output", "processing/output")
    write_cub(Paths(base).processing_input("data"))
    done = run(base, "training.preprocess", "--image-size", "32")
    assert done.returncode == 0, done.stderr
    of_the_user(base.parent / "train", "output", "model", "checkpoints")
    training_folder(base.parent / "train", base / "processing/output", epochs="1", fine_tune_epochs="0")
    done = run(base.parent / "train", "training.train")
    assert done.returncode == 0, done.stderr


def test_a_resumed_training_ends_where_root_restored_its_checkpoints(base: Path) -> None:
    """SageMaker makes the folders of the checkpoints that it brings back; their files are then not ours."""
    outputs = preprocessed(base)
    job = base.parent / "train"
    of_the_user(job, "output", "model", "checkpoints")
    training_folder(job, outputs, epochs="1", fine_tune_epochs="0")
    assert run(job, "training.train").returncode == 0
    (kept,) = (job / "checkpoints").iterdir()
    shutil.chown(kept, 0, 0)
    kept.chmod(0o755)
    done = run(job, "training.train")
    assert done.returncode == 1
    assert f"user {USER} cannot write in {kept}" in (job / "output/failure").read_text()
