"""Several processes train one model as one would: the same gradients, the same stops, and one reason."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn import functional

from tests.support.training.hosts import ROOT, TrainingHosts
from tests.support.training.trained_model import StopAt, preprocessed, run, training_folder, weights
from training import train
from training.artifact import read_artifact
from training.augmentation import CentreCrop
from training.checkpoint import CheckpointStore
from training.data import Channel, Loader
from training.distributed import REASON_FILE, processes_of_an_instance, run_processes
from training.job import Stopped
from training.paths import BASE_VARIABLE, Hosts, Paths

pytestmark = pytest.mark.slow

WHOLE = {
    "epochs": "1",
    "fine-tune-epochs": "7",
    "fine-tune-layers": "all",
    "dropout": "0",
    "ema-decay": "0.9",
    "layer-decay": "0.8",
    "fine-tune-learning-rate": "0.0001",
    "augmentation": "trivial-augment",
    "random-erasing": "0.5",
}
"""32 steps: 4 of the head, 28 of the whole network, whose last batch of an epoch has 3 images."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocessed(tmp_path_factory.mktemp("preprocess"))


@pytest.fixture(scope="module")
def alone(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = training_folder(tmp_path_factory.mktemp("alone"), outputs, **WHOLE)
    run(paths)
    return paths


def tensors(paths: Paths) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(paths.model / "model.safetensors")


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((value.double() - other[name].double()).abs().max().item() for name, value in one.items())


@pytest.mark.parametrize("count", [2, 4])
def test_processes_learn_what_one_learns(outputs: Path, alone: Paths, tmp_path: Path, count: int) -> None:
    with TrainingHosts.laid_out(tmp_path, outputs, count, **WHOLE) as hosts:
        assert hosts.run() == [0] * count, hosts.log()
    assert f"processes={count}" in hosts.log()
    assert difference(tensors(hosts.folders[0]), tensors(alone)) < 1e-5
    assert not any(each.model.exists() for each in hosts.folders[1:])
    # Only the first one says how it goes.
    assert [hosts.log(number).count("epoch=") for number in range(count)] == [8] + [0] * (count - 1)


def first_gradients(outputs: Path, base: Path, count: int) -> list[torch.Tensor]:
    """Stop a job behind its first step, of all images, and return AdamW's means: a tenth of gradients."""
    one_step = {**WHOLE, "epochs": "0", "batch-size": "15", "fine-tune-epochs": "200"}
    with TrainingHosts.laid_out(base, outputs, count, **one_step).start() as hosts:
        hosts.wait_for("checkpoint step=1 ")
        for process in hosts.processes:
            process.send_signal(signal.SIGTERM)
        assert hosts.wait() == [143] * count
    (store,) = hosts.folders[0].checkpoints.iterdir()
    (store / "checkpoint-1.pt").unlink()  # of the later step at which it stopped
    state = CheckpointStore(store.parent, store.name).load()
    assert state
    assert state["step"] == 1
    return [each["exp_avg"] for _, each in sorted(state["optimizer"]["state"].items())]


def test_the_first_gradients_are_the_same_in_any_number_of_processes(outputs: Path, tmp_path: Path) -> None:
    one, two, four = (first_gradients(outputs, tmp_path / str(count), count) for count in (1, 2, 4))
    for others in (two, four):
        for mine, theirs in zip(one, others, strict=True):
            assert (mine - theirs).abs().max() < 1e-7


def test_a_job_goes_on_with_another_number_of_processes(outputs: Path, alone: Paths, tmp_path: Path) -> None:
    kept: Path | None = None
    for count, epoch in ((4, "epoch=2/8"), (2, "epoch=5/8"), (1, "")):
        hosts = TrainingHosts.laid_out(tmp_path / str(count), outputs, count, **WHOLE)
        if kept:  # as SageMaker copies it to every instance
            for paths in hosts.folders:
                shutil.copytree(kept, paths.checkpoints)
        with hosts.start():
            if epoch:
                hosts.wait_for(epoch)
                hosts.processes[-1].send_signal(signal.SIGTERM)  # to one: all agree
            assert hosts.wait() == [143 if epoch else 0] * count
        assert not kept or "resumed at step=" in hosts.log()
        kept = hosts.folders[0].checkpoints
    assert difference(tensors(hosts.folders[0]), tensors(alone)) < 1e-5


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_process_that_is_killed_ends_the_job_with_its_reason(outputs: Path, tmp_path: Path) -> None:
    given = {**WHOLE, "epochs": "10000", "checkpoint-seconds": "1"}
    with TrainingHosts.laid_out(tmp_path, outputs, 2, **given).start() as hosts:
        hosts.wait_for("epoch=2/")
        (victim,) = children(hosts.processes[1].pid)
        os.kill(victim, signal.SIGKILL)
        assert hosts.wait() == [1, 1]
    assert "process 2 of 2, on algo-2, was ended by SIGKILL" in hosts.failure(1)
    assert "another process of this training has ended" in hosts.failure(0)
    (run_folder,) = hosts.folders[0].checkpoints.iterdir()
    assert any(path.stat().st_size for path in run_folder.glob("checkpoint-?.pt"))


def test_processes_that_still_wait_for_others_end_at_sigterm(outputs: Path, tmp_path: Path) -> None:
    with TrainingHosts.laid_out(tmp_path, outputs, 2) as hosts:
        hosts.folders = hosts.folders[:1]  # the other one never comes
        hosts.start()
        time.sleep(4)
        hosts.processes[0].send_signal(signal.SIGTERM)
        assert hosts.wait() == [143]


def test_one_of_several_processes_that_finds_a_mistake_says_it_for_all(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = TrainingHosts.laid_out(tmp_path, outputs, 2, epochs="many")
    monkeypatch.setenv(BASE_VARIABLE, str(hosts.folders[0].base))
    assert train.main() == 1
    assert hosts.failure() == (
        "1 hyper-parameter is wrong: epochs is 'many' but must be a whole number from 0 to 10000\n"
    )


def test_instances_that_train_something_else_than_the_first_one_say_so(outputs: Path, tmp_path: Path) -> None:
    with TrainingHosts.laid_out(tmp_path, outputs, 2) as hosts:
        other = hosts.folders[1].hyper_parameters
        other.write_text(json.dumps(json.loads(other.read_text()) | {"seed": "6"}))
        assert hosts.start().wait() == [1, 1]
    for host in (0, 1):
        assert hosts.failure(host).startswith("the processes do not have the same hyper-parameters, images")


def test_a_reason_stands_however_the_process_that_wrote_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when gloo aborts a process that has said what is wrong."""
    script = f"import os; open(os.environ[{REASON_FILE!r}], 'w').write('the request is wrong'); os.abort()"
    (tmp_path / "ends_so.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failure = tmp_path / "failure"
    assert run_processes(Hosts("algo-1", ("algo-1",)), 2, "ends_so", failure) == 1
    assert failure.read_text().strip() == "the request is wrong"


def test_a_process_that_sigterm_finds_being_started_is_stopped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, _command: list[str], env: dict[str, str]) -> None:
            super().__init__(["sleep", "60"], env=env)
            signal.raise_signal(signal.SIGTERM)  # before anybody has heard of this process

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before, started = signal.getsignal(signal.SIGTERM), time.monotonic()
    try:
        assert run_processes(Hosts("algo-1", ("algo-1",)), 2, "training.train", tmp_path / "failure") == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("devices", "visible", "count"),
    [
        ((), None, 1),
        ((), "0,1", 1),
        (("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"), None, 2),
        (("nvidia0", "nvidia1"), "1", 1),
        (("nvidia0", "nvidia1"), "", 1),
        (("nvidia0", "nvidia1"), "0,1", 2),
    ],
)
def test_a_process_is_started_for_each_gpu_that_is_there_and_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: tuple[str, ...], visible: str | None, count: int
) -> None:
    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert processes_of_an_instance(tmp_path) == count


def test_batch_statistics_that_learn_do_so_in_several_processes(outputs: Path, tmp_path: Path) -> None:
    # In batches of 5, for the statistics of a single image of this size would be of a single number.
    trained = {**WHOLE, "batch-norm": "trained", "fine-tune-epochs": "2", "batch-size": "5"}
    with TrainingHosts.laid_out(tmp_path / "trained", outputs, 2, **trained) as hosts:
        assert hosts.run() == [0, 0], hosts.log()
    frozen = training_folder(tmp_path / "frozen", outputs, **{**trained, "batch-norm": "frozen"})
    run(frozen)
    moved = [
        not torch.equal(value, tensors(frozen)[name])
        for name, value in tensors(hosts.folders[0]).items()
        if name.endswith("running_mean")
    ]
    assert moved
    assert all(moved)
    # What is measured, by all of them, is what the first one keeps.
    classifier, described = read_artifact(hosts.folders[0].model)
    validation, loader = Channel(outputs / "validation"), Loader(1)
    crop = CentreCrop(described.image_size, described.crop_fraction)
    ((pixels, labels),) = loader.load(validation, crop, [range(len(validation))])
    loader.close()
    with torch.inference_mode():
        logits = classifier.eval()(described.input_format.normalise(pixels))
    last = hosts.log().rpartition("validation_loss=")[2].split()[0]
    assert functional.cross_entropy(logits, labels).item() == pytest.approx(float(last), abs=1e-4)


@pytest.fixture
def one_of_one() -> dict[str, str]:
    """The environment of a process that is the only one of its job, as on an instance with one GPU."""
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    return {**os.environ, **variables, "MASTER_PORT": "0", REASON_FILE: "reason"}


def test_ddp_with_one_process_trains_the_same(
    outputs: Path, alone: Paths, tmp_path: Path, one_of_one: dict[str, str]
) -> None:
    paths = training_folder(tmp_path, outputs, **WHOLE)
    environment = {**one_of_one, BASE_VARIABLE: str(tmp_path), REASON_FILE: str(tmp_path / "reason")}
    code = subprocess.run([sys.executable, "-m", "training.train"], cwd=ROOT, env=environment, check=False)
    assert code.returncode == 0
    assert difference(tensors(paths), tensors(alone)) < 1e-6


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "bf16"},
        {"accumulation-steps": "3"},
        {"mixup": "0.2", "cutmix": "1"},
        {"gradient-clipping": "0.1", "class-weighting": "balanced"},
        {"kept-epoch": "best", "patience": "1"},
    ],
)
def test_what_a_gpu_trains_with_runs_on_a_cpu_and_resumes(
    outputs: Path, tmp_path: Path, given: dict[str, str]
) -> None:
    whole = {**WHOLE, "fine-tune-epochs": "2", **given}
    paths = training_folder(tmp_path / "whole", outputs, **whole)
    run(paths)
    parts = training_folder(tmp_path / "parts", outputs, **whole)
    with pytest.raises(Stopped):
        run(parts, StopAt(15))
    run(parts)
    assert weights(parts) == weights(paths)
    described = json.loads((paths.model / "model.json").read_text())["hyper_parameters"]
    assert all(str(described[name]) == value for name, value in given.items() if not value.isdecimal())
