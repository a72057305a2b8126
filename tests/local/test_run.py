"""`python -m local run` as a person meets it: exit codes, files, messages, nothing left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from PIL import Image

from local import run
from local.run import DRAWN_NOTE, parse_parameters
from tests.support.local_aws.local_commands import ROOT, environment, processes_under
from tests.support.training.cub_layout import write_cub


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "local", "run", *arguments]


def local_run(scratch: Path, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(scratch), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The default run: drawn birds, real training, Spot interrupted once; in folders with any name."""
    scratch = tmp_path_factory.mktemp("für alles Übrige")
    folder = tmp_path_factory.mktemp("Müllers Vögel")
    done = local_run(scratch, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not processes_under(scratch)
    assert not list(scratch.iterdir()), "the work folder was left behind"
    (directory,) = folder.joinpath("runs").iterdir()
    return done, directory


def summary_of(directory: Path) -> dict[str, Any]:
    document = json.loads((directory / "summary.json").read_text())
    assert isinstance(document, dict)
    return document


@pytest.mark.slow
def test_the_default_run_registers_two_models_of_one_accuracy(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    summary = summary_of(finished[1])
    assert summary["status"] == "Succeeded"
    assert len(set(summary["model_packages"])) == 2
    evaluations = summary["evaluations"]
    assert evaluations["Spot"] == evaluations["OnDemand"]
    assert evaluations["Spot"]["images"] >= 200
    assert 0.9 <= evaluations["Spot"]["accuracy"] <= 1


@pytest.mark.slow
def test_spot_ends_with_on_demands_weights_although_it_was_interrupted(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    trainings = summary_of(finished[1])["trainings"]
    assert trainings["Spot"]["interruptions"] == 1
    assert trainings["OnDemand"]["interruptions"] == 0
    assert trainings["Spot"]["model_sha256"] == trainings["OnDemand"]["model_sha256"]
    assert trainings["Spot"]["billable_seconds"] < trainings["Spot"]["training_seconds"]


@pytest.mark.slow
def test_the_trainings_of_the_default_run_overlap(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    steps = {step["name"]: step for step in summary_of(finished[1])["steps"]}
    assert steps["TrainSpot"]["start"] < steps["TrainOnDemand"]["end"]
    assert steps["TrainOnDemand"]["start"] < steps["TrainSpot"]["end"]


@pytest.mark.slow
def test_the_default_run_leaves_what_the_readme_lists(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, directory = finished
    left = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert left == {
        "report.html",
        "summary.json",
        "pipeline.json",
        "evaluation-spot.json",
        "evaluation-on-demand.json",
        "models/spot/model.tar.gz",
        "models/on-demand/model.tar.gz",
    }
    assert f"runs/{directory.name}/report.html" in done.stdout


@pytest.mark.slow
def test_the_default_run_names_no_command_for_an_aws_that_is_gone(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    *_, last = finished[0].stdout.splitlines()
    assert last.startswith("This AWS is gone now")
    assert "KEEP=1" in last
    assert "cv-pipeline approve" not in finished[0].stdout


@pytest.mark.slow
def test_a_run_that_is_kept_ends_with_commands_that_work_until_ctrl_c(tmp_path: Path) -> None:
    env_file = tmp_path / "of the run.env"
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.new("RGB", (40, 40), (number * 20, 0, 255 if name == "a" else 0))
            image.save(tmp_path / "data" / name / f"{number}.png")
    toy = [sys.executable, str(ROOT / "tests/support/local_aws/toy_up.py"), "run", "--keep"]
    options = ["--env-file", env_file, "--data", tmp_path / "data", "--output", tmp_path / "runs"]
    with subprocess.Popen(
        [*toy, *map(str, options)], cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        seen = []
        for line in running.stdout:
            seen.append(line.strip())
            if "predict" in line:
                break
        place = next(number for number, line in enumerate(seen) if line.startswith("In another terminal: "))
        source = seen[place].removeprefix("In another terminal: ")
        approve = next(line for line in seen[place:] if " approve " in line)
        done = subprocess.run(
            ["bash", "-c", f"{source}; {approve}"],
            env={"PATH": os.environ["PATH"]},
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, "Approved" in done.stdout) == (0, True), done.stderr
        assert any(line.startswith("In a browser: http://localhost:") for line in seen[place - 1 :])
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(timeout=60) == 0, rest
    assert "This AWS is gone now" in rest
    assert not env_file.exists()


@pytest.mark.slow
def test_drawings_are_called_drawings_before_anything_else_is_said(
    finished: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, directory = finished
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert done.stdout.startswith(DRAWN_NOTE)
    assert page.index(DRAWN_NOTE) < page.index("accuracy 0.")


@pytest.mark.slow
def test_photographs_of_all_their_classes_reach_nine_in_ten(photos: Path, tmp_path: Path) -> None:
    # Without the interruption, which the default run has.
    options = ("--data", str(photos), "--output", str(tmp_path / "runs"), "--interruptions", "0")
    done = local_run(tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    assert summary_of(directory)["evaluations"]["Spot"]["accuracy"] >= 0.9


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("when", ["Preprocess", "TrainSpot"])
def test_ctrl_c_ends_every_process(when: str, tmp_path: Path) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    with subprocess.Popen(
        command("--output", str(tmp_path / "runs")),
        cwd=ROOT,
        env={**environment(scratch), "CI": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        seen = []
        for line in running.stdout:
            seen.append(line)
            if when in line and "Executing" in line:
                break
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(timeout=60) == 130, "".join(seen) + rest
    assert not processes_under(scratch)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "no such file or folder"),
        (["--data", "docs"], "no folders of classes"),
        (["--parameters", "Epoch=3"], "did you mean Epochs"),
        (["--parameters", "Epochs=many"], "Integer"),
        (["--parameters", "ImageSize=9"], "ImageSize is 9 but must be a whole number from 32 to 1024"),
        (["--parameters", "many"], "Name=value"),
        (["--parameters", "InputDataUrl=s3://bucket/data"], "DATA"),
        (["--template", "docs"], "cannot use docs: Is a directory"),
        (["--template", "nowhere.json"], "nowhere.json does not exist"),
        (["--template", "package.json", "--data", "nowhere"], "package.json does not exist"),
        (["--template", "README.md"], "README.md must be a CloudFormation template in JSON"),
        (["--keep", "--env-file", "README.md/x.env"], "cannot use README.md: File exists"),
        (["--env-file", "x.env"], "--env-file goes with --keep"),
        # Before the run, after which its report would be lost.
        (["--output", "README.md"], "cannot use README.md: File exists"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = local_run(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_parameter_values_may_hold_spaces_and_commas() -> None:
    assert parse_parameters("Epochs=3 ClassSelection=13, 17  AccuracyThreshold=0.9") == {
        "Epochs": "3",
        "ClassSelection": "13, 17",
        "AccuracyThreshold": "0.9",
    }


@pytest.mark.parametrize(("full", "chosen_by"), [("runs", "--output"), ("tmp", "the variable TMPDIR")])
def test_a_disk_without_room_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str, chosen_by: str
) -> None:
    (tmp_path / "tmp").mkdir()
    write_cub(tmp_path / "data")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(run, "LocalAWS", None)

    def disk_usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=12_000_000 if Path(folder) == tmp_path / full else 10**12)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    options = run.RunOptions(
        data=tmp_path / "data",
        parameters="ClassSelection=all",
        output=tmp_path / "runs",
        template=run.TEMPLATE,
        interruptions=0,
        iam=True,
        keep=False,
        env_file=tmp_path / "local.env",
    )
    with pytest.raises(click.UsageError) as told:
        run.run(options)
    said = str(told.value)
    assert re.search(
        rf"disk of {tmp_path / full} has 12 MB free, and a run needs at least \d+ MB there", said
    )
    assert said.endswith(f"or choose another folder with {chosen_by}")
