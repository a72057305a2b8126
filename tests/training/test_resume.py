"""A training job that is interrupted anywhere ends with the bits of one that never was."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.support.soak import sample
from tests.support.training.trained_model import (
    EPOCH_STEPS,
    StopAt,
    preprocessed,
    run,
    training_folder,
    weights,
)
from training import checkpoint, train
from training.checkpoint import CheckpointStore
from training.data import Channel
from training.job import JobError, Stopped, StopRequest
from training.paths import BASE_VARIABLE, Paths

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


@pytest.fixture(scope="module")
def uninterrupted(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = training_folder(tmp_path_factory.mktemp("uninterrupted"), outputs)
    run(paths)
    return paths


def checkpoints(paths: Paths) -> list[Path]:
    return sorted(paths.checkpoints.glob("*/checkpoint-?.pt"))


def finish(paths: Paths, *, stop_every: int | None = None) -> int:
    """Train until it ends, interrupting every n questions; return the number of interruptions."""
    for interruptions in range(1000):
        try:
            run(paths, StopAt(stop_every) if stop_every else None)
        except Stopped:
            continue
        return interruptions
    raise AssertionError("never finished")


def test_two_identical_jobs_write_identical_files(
    outputs: Path, uninterrupted: Paths, tmp_path: Path
) -> None:
    again = training_folder(tmp_path, outputs)
    run(again)
    assert weights(again) == weights(uninterrupted)
    assert (again.model / "model.json").read_bytes() == (uninterrupted.model / "model.json").read_bytes()


def test_another_seed_gives_other_weights(outputs: Path, uninterrupted: Paths, tmp_path: Path) -> None:
    other = training_folder(tmp_path, outputs, seed="6")
    run(other)
    assert weights(other) != weights(uninterrupted)


@pytest.mark.soak
@pytest.mark.parametrize("asked", sample([2, 5, 7, 11, 15, 17, 19, 22], 2))
def test_sigterm_between_any_two_steps_changes_nothing(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, asked: int
) -> None:
    paths = training_folder(tmp_path, outputs)
    with pytest.raises(Stopped):
        run(paths, StopAt(asked))
    run(paths)
    assert weights(paths) == weights(uninterrupted)


class StopAtCheck(StopRequest):
    """SIGTERM that comes where the work asks whether to go on without keeping anything, the n-th time."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._left = asked

    def check(self) -> None:
        self._left -= 1
        if not self._left:
            raise Stopped("stopped by SIGTERM")


def test_sigterm_in_the_validation_of_an_epoch_keeps_the_epoch(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = training_folder(tmp_path, outputs)
    with pytest.raises(Stopped):
        run(
            paths, StopAtCheck(5)
        )  # start, before the first image, features of train and of validation, fine-tuning's validation
    run(paths)
    assert f"resumed at step={4 * EPOCH_STEPS} epoch=4/5" in capsys.readouterr().out
    assert weights(paths) == weights(uninterrupted)


def test_many_interruptions_change_nothing(outputs: Path, uninterrupted: Paths, tmp_path: Path) -> None:
    paths = training_folder(tmp_path, outputs)
    assert finish(paths, stop_every=6) > 3
    assert weights(paths) == weights(uninterrupted)


def test_the_log_of_a_resumed_job_continues_the_interrupted_one(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def losses() -> list[str]:
        lines = capsys.readouterr().out.splitlines()
        return [line.split(" images_per_second")[0] for line in lines if line.startswith("epoch=")]

    run(training_folder(tmp_path / "whole", outputs))
    whole = losses()
    finish(training_folder(tmp_path / "parts", outputs), stop_every=6)
    assert losses() == whole
    assert len(whole) == 5


def test_a_job_that_cannot_make_checkpoints_trains_the_same(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = training_folder(tmp_path, outputs)
    paths.checkpoints.write_text("a file where the folder should be")
    run(paths)
    assert "no checkpoints" in capsys.readouterr().err
    assert weights(paths) == weights(uninterrupted)


def test_a_checkpoint_is_written_after_the_first_epoch_and_between_the_phases(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(training_folder(tmp_path, outputs))
    steps = [
        line.split()[1]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("checkpoint step=")
    ]
    assert steps == [f"step={EPOCH_STEPS}", f"step={3 * EPOCH_STEPS}"]


@pytest.mark.parametrize("differs", ["settings", "data", "code"])
def test_another_jobs_checkpoint_is_neither_taken_nor_removed(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, differs: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(outputs, data)
    for document in data.glob("*/classes.json") if differs == "data" else ():
        document.write_text(json.dumps({**json.loads(document.read_text()), "digest": "another"}))
    settings = {"learning_rate": "0.01"} if differs == "settings" else {}
    first = training_folder(tmp_path / "first", data, **settings)
    with pytest.MonkeyPatch.context() as patch:
        if differs == "code":
            patch.setattr(checkpoint, "code_version", lambda: "another")
        with pytest.raises(Stopped):
            run(first, StopAt(12))
    others = checkpoints(first)
    assert others
    shared = training_folder(tmp_path / "shared", outputs)
    shared.checkpoints.symlink_to(first.checkpoints)
    run(shared)
    assert weights(shared) == weights(uninterrupted)
    assert all(path.exists() for path in others)
    assert len({path.parent for path in checkpoints(shared)}) == 2


def test_training_on_as_many_other_images_of_the_same_data_does_not_go_on_from_a_checkpoint(
    outputs: Path, tmp_path: Path
) -> None:
    other = tmp_path / "test as train"
    shutil.copytree(outputs, other)
    shutil.rmtree(other / "train")
    shutil.copytree(outputs / "test", other / "train")
    (index,) = (other / "train").glob("index-*.json")
    count = len(Channel(outputs / "train"))
    index.write_text(json.dumps({"images": json.loads(index.read_text())["images"][:count]}))
    assert len(Channel(other / "train")) == count
    first = training_folder(tmp_path / "first", outputs)
    with pytest.raises(Stopped):
        run(first, StopAt(12))
    second = training_folder(tmp_path / "second", other)
    second.checkpoints.symlink_to(first.checkpoints)
    run(second)
    assert len({path.parent for path in checkpoints(first)}) == 2


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = training_folder(tmp_path, outputs)
    with pytest.raises(Stopped):
        run(paths, StopAt(12))
    newest = max(checkpoints(paths), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[5000] ^= 1
    newest.write_bytes(bytes(data) if damage == "flip" else bytes(data[:5000]))
    capsys.readouterr()
    run(paths)
    output = capsys.readouterr()
    assert "is damaged" in output.err
    assert f"resumed at step={EPOCH_STEPS}" in output.out
    assert weights(paths) == weights(uninterrupted)


def test_a_full_disk_costs_the_checkpoint_but_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = CheckpointStore(tmp_path, "run")
    assert store.save({"step": 1})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not store.save({"step": 2})
    assert "CHECKPOINT NOT WRITTEN" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-0.pt"]
    assert (CheckpointStore(tmp_path, "run").load() or {})["step"] == 1


def test_two_checkpoints_take_turns_and_the_newest_is_loaded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "run")
    for step in range(1, 6):
        store.save({"step": step})
        again = CheckpointStore(tmp_path, "run")
        assert (again.load() or {})["step"] == step
    assert len(list((tmp_path / "run").iterdir())) == 2
    again.save({"step": 6})  # over the older one
    newest = max((tmp_path / "run").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert (CheckpointStore(tmp_path, "run").load() or {})["step"] == 6
    newest.unlink()
    assert (CheckpointStore(tmp_path, "run").load() or {})["step"] == 5


def test_a_checkpoint_with_more_than_tensors_is_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Any job of the deployment may write there, one that was taken over among them.
    store = CheckpointStore(tmp_path, "run")
    store.save({"step": 1})
    store.save({"step": 2, "fc": Path("/etc/passwd")})
    assert (CheckpointStore(tmp_path, "run").load() or {})["step"] == 1
    assert "checkpoint-1.pt holds more than numbers and tensors" in capsys.readouterr().err


def test_a_checkpoint_is_due_after_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    store = CheckpointStore(tmp_path, "run", clock=lambda: now[0])
    now[0] = 59.9
    assert not store.is_due()
    now[0] = 60.0
    assert store.is_due()
    store.save({"step": 1})
    assert not store.is_due()


def test_another_number_of_threads_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    CheckpointStore(tmp_path, "run").save({"step": 1})
    here = checkpoint.machine()
    monkeypatch.setattr(checkpoint, "machine", lambda: here | {"threads": 64})
    assert CheckpointStore(tmp_path, "run").load()
    assert "-> 64): the result may differ" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["hyper_parameters", "data", "code"])
def test_the_fingerprint_depends_on_everything_that_shapes_the_result(key: str) -> None:
    identity = {"hyper_parameters": {"seed": 1}, "data": "d", "code": "c"}
    assert checkpoint.fingerprint(identity) != checkpoint.fingerprint(identity | {key: "other"})


# --- as processes ------------------------------------------------------------------------------------------


def start(paths: Paths) -> "subprocess.Popen[str]":
    environment = {**os.environ, BASE_VARIABLE: str(paths.base)}
    return subprocess.Popen(
        [sys.executable, "-m", "training.train"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def whole(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A job of many epochs that nobody interrupts."""
    paths = training_folder(tmp_path_factory.mktemp("whole"), outputs, epochs="40")
    run(paths)
    return paths


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_killed_process_resumes_to_the_same_bits(
    outputs: Path, whole: Paths, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    paths = training_folder(tmp_path, outputs, epochs="40")
    with start(paths) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch=9/"):
                process.send_signal(number)
                break
        assert process.wait(60) == code
    with start(paths) as process:
        assert "resumed at step=" in (process.stdout.read() if process.stdout else "")
    assert process.returncode == 0
    assert weights(paths) == weights(whole)


def catches_sigterm(pid: int) -> bool:
    """Return whether the process has a handler by now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (caught,) = (line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_sigterm_while_torch_is_imported_is_not_lost(outputs: Path, tmp_path: Path) -> None:
    with start(training_folder(tmp_path, outputs)) as process:
        while not catches_sigterm(process.pid):  # with the first lines of the entry point
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_a_failed_training_leaves_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BASE_VARIABLE, str(tmp_path))
    assert train.main() == 1
    assert "channel train is missing" in Paths(tmp_path).failure.read_text()


def test_channels_of_different_data_are_not_trained_together(outputs: Path, tmp_path: Path) -> None:
    other = preprocessed(tmp_path / "other", images=14)
    paths = training_folder(tmp_path / "job", outputs)
    paths.channel("validation").unlink()
    paths.channel("validation").symlink_to(other / "validation")
    with pytest.raises(JobError, match="come from different data"):
        run(paths)


def test_a_model_that_does_not_fit_on_the_disk_fails_plainly(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    paths = training_folder(tmp_path, outputs)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        JobError, match=r"no space left for the model in .*/model: give the job a bigger volume"
    ):
        run(paths)


# --- features and finished runs -------------------------------------------------------------------------


def test_features_survive_an_interruption(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = training_folder(tmp_path, outputs)
    with pytest.raises(Stopped):
        run(paths, StopAtCheck(4))  # start, before the first image, features of train, those of validation
    (kept,) = paths.checkpoints.glob("*/features-*.pt")
    assert kept.name == "features-train.pt"
    assert "checkpoint features=15 " in capsys.readouterr().out
    run(paths)
    said = capsys.readouterr().out
    assert "features-train.pt" not in said  # nothing of them was computed again
    assert "features-validation.pt" in said
    assert weights(paths) == weights(uninterrupted)


def test_features_of_some_images_are_gone_on_with(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "run")
    some = torch.arange(12.0).reshape(3, 4)
    assert store.load_features("train", 3, 4) is None
    assert store.save_features("train", some)
    again = CheckpointStore(tmp_path, "run").load_features("train", 3, 4)
    assert again is not None
    assert torch.equal(again, some)
    (tmp_path / "run/features-train.pt").write_bytes(b"x" * 500)
    assert CheckpointStore(tmp_path, "run").load_features("train", 3, 4) is None


@pytest.mark.parametrize(
    "kept",
    [torch.zeros(4, 4), torch.zeros(3, 5), torch.zeros(3), torch.zeros(3, 4, dtype=torch.int64),
     torch.full((3, 4), torch.nan)],
    ids=["more images", "another width", "one dimension", "whole numbers", "no numbers"],
)  # fmt: skip
def test_what_are_no_features_of_this_training_is_computed_again(
    kept: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = CheckpointStore(tmp_path, "run")
    assert store.save_features("train", kept)
    assert store.load_features("train", 3, 4) is None
    assert "features-train.pt holds no features of this training" in capsys.readouterr().err


def test_a_finished_training_leaves_empty_files_that_no_later_one_takes(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = training_folder(tmp_path, outputs)
    for _ in range(2):
        run(paths)
        left = list(paths.checkpoints.glob("*/*"))
        assert {path.name for path in left} >= {"checkpoint-0.pt", "features-train.pt"}
        assert [path.stat().st_size for path in left] == [0] * len(left)
        assert weights(paths) == weights(uninterrupted)
    said = capsys.readouterr()
    assert "resumed" not in said.out
    assert "damaged" not in said.err


def test_the_time_between_checkpoints_is_a_parameter_that_a_resumed_job_may_change(
    outputs: Path, uninterrupted: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = CheckpointStore(tmp_path, "run", seconds=5, clock=iter([0.0, 4.9, 5.0]).__next__)
    assert [store.is_due(), store.is_due()] == [False, True]
    first = training_folder(tmp_path / "first", outputs)
    with pytest.raises(Stopped):
        run(first, StopAt(12))
    second = training_folder(tmp_path / "second", outputs, checkpoint_seconds="1")
    second.checkpoints.symlink_to(first.checkpoints)
    capsys.readouterr()
    run(second)
    assert "resumed at step=" in capsys.readouterr().out
    assert weights(second) == weights(uninterrupted)


def test_sigterm_before_there_is_anything_to_keep_ends_the_job_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        stop = StopRequest.on_sigterm(at_once=True)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # a second one does not interrupt what the first one began
        stop = StopRequest.on_sigterm(at_once=True)
        stop.defer()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
    finally:
        signal.signal(signal.SIGTERM, before)
