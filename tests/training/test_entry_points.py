"""The image: what it is built from, and how its processes start and end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training import job
from training.job import JobError

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "training/Dockerfile").read_text()


def run(base: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("start", [("training", "train"), ("training.train",)])
def test_image_train_and_the_entry_point_of_the_jobs_are_the_same(
    tmp_path: Path, start: tuple[str, ...]
) -> None:
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/config/hyperparameters.json").write_text('{"epochs": "x"}')
    result = run(tmp_path, *start)
    assert result.returncode == 1
    assert result.stderr.startswith("error: 1 hyper-parameter is wrong")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("folder", ["model", "checkpoints", "output"])
def test_a_file_in_the_place_of_a_folder_is_told_before_anything(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).write_text("not a folder")
    result = run(tmp_path, "training.train")
    assert result.returncode == 1
    assert f"error: {tmp_path / folder} is a file, where the job needs a folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_command_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    result = run(tmp_path, "training", "trian")
    assert result.returncode == 1
    assert "one of preprocess, train, evaluate, serve; did you mean train?" in result.stderr


def test_the_base_image_cannot_be_built_unpinned() -> None:
    assert re.search(r"^ARG PYTHON_DIGEST=sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM .*$", DOCKERFILE, re.MULTILINE) == ["FROM python:3.12-slim@${PYTHON_DIGEST}"]
    # Another image, or an address, would bring something as well.
    assert not re.search(r"--from|--mount|://|^ADD |^# *syntax", DOCKERFILE, re.MULTILINE)


def test_the_image_runs_as_root_unless_told_and_gets_its_signals() -> None:
    assert re.findall(r"^(?:ARG USER_ID=|USER ).*$", DOCKERFILE, re.MULTILINE) == [
        "ARG USER_ID=0",
        "USER ${USER_ID}",
    ]
    assert re.search(r'^ENTRYPOINT \["python", "-m", "training"\]$', DOCKERFILE, re.MULTILINE)


FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def run_of(dockerfile: str, first_word: str) -> str:
    """Return the shell command of the one RUN that begins so, as Docker hands it to the shell."""
    commands = re.findall(r"^RUN ((?:.*\\\n)*.*)$", dockerfile, re.MULTILINE)
    (command,) = (each for each in commands if each.startswith(first_word))
    return str(command).replace("\\\n", "")


def shell(command: str, tmp_path: Path, **variables: str) -> tuple[int, list[str], str]:
    """Run it with a pip, uv and the like that note what they are told: exit code, calls, errors."""
    for name in ("pip", "uv", "useradd", "mkdir", "chown"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.write_text("")
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "CALLS": str(calls), **variables}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, calls.read_text().splitlines(), done.stderr


def test_pytorch_is_for_cpus_and_uv_which_finds_it_does_not_stay(tmp_path: Path) -> None:
    code, calls, _ = shell(run_of(DOCKERFILE, "case"), tmp_path, TORCH_VARIANT="cpu")
    (pinned,) = re.findall(r"uv==\d+\.\d+\.\d+$", calls[0])
    assert (code, calls) == (
        0,
        [
            f"pip install {pinned}",
            # No name of a host: uv knows the index of PyTorch's wheels for CPUs.
            "uv pip install --system --no-cache --no-deps --torch-backend=cpu -r requirements.txt",
            "pip uninstall --yes uv",
        ],
    )


def test_pytorch_for_gpus_comes_with_its_locked_libraries(tmp_path: Path) -> None:
    code, calls, _ = shell(run_of(DOCKERFILE, "case"), tmp_path, TORCH_VARIANT="cuda")
    assert (code, calls) == (0, ["pip install -c constraints-cuda.txt -r requirements.txt"])


def test_another_variant_ends_the_build_with_what_to_write(tmp_path: Path) -> None:
    code, calls, said = shell(run_of(DOCKERFILE, "case"), tmp_path, TORCH_VARIANT="gpu")
    assert (code, calls) == (1, [])
    assert said == "TORCH_VARIANT is gpu; it must be cpu or cuda\n"


def test_the_folders_of_a_run_without_sagemaker_are_the_user_s(tmp_path: Path) -> None:
    command = run_of(DOCKERFILE, "if")
    folders = "/opt/ml/model /opt/ml/output /opt/ml/checkpoints /opt/ml/processing"
    made = [f"mkdir -p {folders}", "chown -R {} /opt/ml"]
    code, calls, _ = shell(command, tmp_path, USER_ID="0")
    assert (code, calls) == (0, [each.format(0) for each in made])
    code, calls, _ = shell(command, tmp_path, USER_ID="1000")
    user = "useradd --uid 1000 --create-home --shell /usr/sbin/nologin sagemaker"
    assert (code, calls) == (0, [user, *(each.format(1000) for each in made)])


def test_the_image_installs_the_locked_versions() -> None:
    installed = re.findall(r"\binstall (.*?) *(?:;|&&|\\$|$)", DOCKERFILE, re.MULTILINE)
    # Beside the locked ones uv alone, which finds them and does not stay.
    (uv,) = (each for each in installed if not each.endswith("-r requirements.txt"))
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+", uv)
    locked = (ROOT / "requirements.lock").read_text().splitlines()
    versions = {line.split(" ")[0] for line in locked if "< '3.12'" not in line}
    wanted = {
        line
        for file in ("requirements.txt", "constraints-cuda.txt")
        for line in (ROOT / "training" / file).read_text().splitlines()
        if line and not line.startswith("#")
    }
    assert wanted <= versions
    # Of CUDA there is everything: pip would choose the version of what is left out.
    cuda = {version for version in versions if re.match("cuda-|nvidia-|triton=", version)}
    assert cuda <= wanted


def test_an_unforeseen_error_keeps_its_traceback_and_leaves_its_reason(tmp_path: Path) -> None:
    def work() -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError):
        job.run(work, tmp_path / "output/failure")
    assert (tmp_path / "output/failure").read_text() == "ZeroDivisionError: division by zero\n"


def test_a_full_disk_is_answered_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise OSError(28, "No space left on device", "/opt/ml/model/model.safetensors")

    assert job.run(work, tmp_path / "failure") == 1
    reason = (tmp_path / "failure").read_text()
    assert reason.startswith("no space left on the device while writing /opt/ml/model/model.safetensors")
    assert "VolumeSizeInGB" in reason


def test_a_long_reason_is_cut_between_characters(tmp_path: Path) -> None:
    def work() -> None:
        raise JobError("é" * 2000)

    assert job.run(work, tmp_path / "failure") == 1
    assert (tmp_path / "failure").read_text(encoding="utf-8") == "é" * 512


def test_sigterm_stops_a_processing_job_with_143(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from training import job; job.stop_at_sigterm();"
        "work = lambda: (print('ready', flush=True), time.sleep(60));"
        f"sys.exit(job.run(work, pathlib.Path({str(tmp_path / 'message')!r})))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
