"""A job's command, log and reasons speak of /opt/ml, wherever the job's folder is on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.jobs.folder import JobFolder
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET

PROCESSING_LOGS = "/aws/sagemaker/ProcessingJobs"
TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
SCORE = """
import os, pathlib, sys
out, data = pathlib.Path(sys.argv[1].partition("=")[2]), pathlib.Path(sys.argv[2])
read = pathlib.Path(os.environ["DATA"], "a.txt").read_text()
(out / "scores.txt").write_text(f"{(data / 'a.txt').read_text()}, {read}")
print(sys.argv[0], data)
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("aws")) as opened:
        opened.put("data/a.txt", "birds")
        opened.put("code/score.py", SCORE)
        opened.put("code/run.sh", 'echo "from $0" "$@"; python3 "$(dirname "$0")/score.py" "$@"\n')
        yield opened


@pytest.mark.parametrize(
    ("entrypoint", "first"),
    [
        (["python3", "/opt/ml/processing/input/code/score.py"], []),
        (
            ["/bin/bash", "/opt/ml/processing/input/code/run.sh"],
            ["from /opt/ml/processing/input/code/run.sh"],
        ),
        (["/bin/sh", "-c", 'python3 "/opt/ml/processing/input/code/score.py" "$0" "$1"'], []),
    ],
)
def test_a_script_below_opt_ml_is_run_with_its_arguments(
    account: ToyAccount, entrypoint: list[str], first: list[str], request: pytest.FixtureRequest
) -> None:
    name = f"script-{request.node.callspec.indices['entrypoint']}"
    out, data = "--out=/opt/ml/processing/output/scores", "/opt/ml/processing/input/data"
    job = account.process(
        name,
        "",
        app={"ContainerEntrypoint": entrypoint, "ContainerArguments": [out, data]},
        inputs={"code": f"s3://{BUCKET}/code/", "data": f"s3://{BUCKET}/data/"},
        outputs={"scores": f"s3://{BUCKET}/{name}"},
        Environment={"DATA": data},
    )
    assert job["ProcessingJobStatus"] == "Completed", account.log(PROCESSING_LOGS, name)
    assert account.get(f"{name}/scores.txt") == b"birds, birds"
    arguments = f" {out} {data}" if first else ""
    assert account.log(PROCESSING_LOGS, f"{name}/") == [
        *[line + arguments for line in first],
        f"/opt/ml/processing/input/code/score.py {data}",
    ]
    assert job["AppSpecification"]["ContainerEntrypoint"] == entrypoint, "told as it was asked for"


def test_a_script_that_is_the_only_object_of_its_input_is_found_by_its_name(account: ToyAccount) -> None:
    job = account.process(
        "one-object",
        "",
        app={
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/score.py"],
            "ContainerArguments": ["--out=/opt/ml/processing/output/scores", "/opt/ml/processing/input/data"],
        },
        inputs={"code": f"s3://{BUCKET}/code/score.py", "data": f"s3://{BUCKET}/data/a.txt"},
        outputs={"scores": f"s3://{BUCKET}/one-object"},
        Environment={"DATA": "/opt/ml/processing/input/data"},
    )
    assert job["ProcessingJobStatus"] == "Completed", account.log(PROCESSING_LOGS, "one-object/")


@pytest.mark.parametrize(
    ("word", "translated"),
    [
        ("/opt/ml", "{ml}"),
        ("/opt/ml/model", "{ml}/model"),
        ("--out=/opt/ml/model", "--out={ml}/model"),
        ("cat '/opt/ml/a' >/opt/ml/b", "cat '{ml}/a' >{ml}/b"),
        ("s3://bucket/opt/ml/model", "s3://bucket/opt/ml/model"),
        ("/home/opt/ml/model", "/home/opt/ml/model"),
        ("/opt/mlflow", "/opt/mlflow"),
        ("/opt/ml-tools", "/opt/ml-tools"),
    ],
)
def test_opt_ml_alone_is_another_folder_here(tmp_path: Path, word: str, translated: str) -> None:
    folder = JobFolder(tmp_path / "job")
    assert folder.translate(word) == translated.format(ml=folder.ml)


def test_the_log_names_the_places_that_a_container_has(account: ToyAccount) -> None:
    code = """
print(base / "model", os.environ["HOME"], os.environ["TMPDIR"])
print(f"score={len(str(base))}; kept in {base}/model")
raise FileNotFoundError(2, "No such file", str(base / "input/data/train/x.tar"))
"""
    job = account.train("places", code)
    assert job["TrainingJobStatus"] == "Failed"
    log = account.log(TRAINING_LOGS, "places/")
    assert log[0] == "/opt/ml/model /root /tmp"
    assert log[1].endswith("; kept in /opt/ml/model")
    assert log[-1] == "FileNotFoundError: [Errno 2] No such file: '/opt/ml/input/data/train/x.tar'"
    assert str(account.aws.work_dir) not in "\n".join(log)


@pytest.mark.parametrize("run", ["train", "process"])
def test_what_a_job_leaves_as_its_reason_names_opt_ml(account: ToyAccount, run: str) -> None:
    code = """
said = f"cannot read {base}/input/data/train/a.txt"
for name in ("failure", "message"):
    place = base / "output" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(said)
sys.exit(3)
"""
    job: dict[str, Any] = getattr(account, run)(f"reason-{run}", code)
    told = job["FailureReason"] if run == "train" else job["ExitMessage"]
    assert "cannot read /opt/ml/input/data/train/a.txt" in told


def test_a_fault_of_the_data_names_opt_ml(account: ToyAccount) -> None:
    # S3 has an object and a folder of one name, a disk has not.
    account.put("both/a", "1")
    account.put("both/a/b", "2")
    job = account.train("both", "pass", inputs={"train": f"s3://{BUCKET}/both/"})
    assert job["FailureReason"].startswith("ClientError: Data download failed:")
    assert job["FailureReason"].endswith("'/opt/ml/input/data/train/a'")
