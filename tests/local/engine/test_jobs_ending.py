"""How jobs end: too late, stopped, on several hosts, in Docker, with a full disk, with the whole service."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET, alive, processing_request, training_request, wait

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
PROCESSING_LOGS = "/aws/sagemaker/ProcessingJobs"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        opened.put("data/a.txt", "a")
        opened.put("data/deep/b.txt", "b")
        yield opened


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        return {name: stream.read() if stream else b"" for name, stream in found.items()}


def test_a_job_that_runs_too_long_is_stopped_with_time_to_save_its_model(account: ToyAccount) -> None:
    code = """
def save(*_):
    (base / "model/saved.txt").write_text("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
time.sleep(60)
"""
    job = account.train("too-long", code, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert members(account.get("models/too-long/output/model.tar.gz")) == {"saved.txt": b"saved"}


def test_stopping_a_training_job_terminates_then_kills_it(account: ToyAccount) -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    account.sagemaker.create_training_job(**training_request("stopped", code))
    wait(lambda: {"log": account.maybe_log(TRAINING_LOGS, "stopped/")}, lambda seen: seen["log"] == ["ready"])
    started = time.monotonic()
    account.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert (
        account.sagemaker.describe_training_job(TrainingJobName="stopped")["TrainingJobStatus"] == "Stopping"
    )
    job = account.wait_training("stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert 0.4 < time.monotonic() - started < 3
    with pytest.raises(account.sagemaker.exceptions.ClientError, match="Stopped"):
        account.sagemaker.stop_training_job(TrainingJobName="stopped")


def test_a_processing_job_takes_its_outputs_to_s3_without_symbolic_links(account: ToyAccount) -> None:
    code = """
config = json.loads((base / "config/processingjobconfig.json").read_text())
out = base / "processing/output/result"
(out / "config.json").write_text(json.dumps(config))
(out / "deep").mkdir()
(out / "deep/copy.txt").write_text((base / "processing/input/data/deep/b.txt").read_text())
(out / "link").symlink_to("config.json")
(base / "output/message").write_text("all is well")
"""
    job = account.process(
        "outputs",
        code,
        inputs={"data": f"s3://{BUCKET}/data/"},
        outputs={"result": f"s3://{BUCKET}/results"},
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    assert job["ExitMessage"] == "all is well"
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert account.keys("results") == ["results/config.json", "results/deep/copy.txt"]
    assert account.get("results/deep/copy.txt") == b"b"
    config = json.loads(account.get("results/config.json"))
    assert config["ProcessingJobName"] == "outputs"
    assert config["ProcessingJobArn"] == job["ProcessingJobArn"]


def test_a_failed_processing_job_has_an_exit_code_and_its_message(account: ToyAccount) -> None:
    code = """
(base / "output/message").write_text("no birds")
(base / "processing/output/r/x").touch()
sys.exit(2)
"""
    job = account.process("failed", code, outputs={"r": f"s3://{BUCKET}/at-end"})
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 2"
    assert job["ExitMessage"] == "no birds"
    assert account.keys("at-end") == []
    account.process("failed-2", code, outputs={"r": f"s3://{BUCKET}/meanwhile"}, upload_mode="Continuous")
    assert account.keys("meanwhile") == ["meanwhile/x"]


@pytest.mark.parametrize(
    ("distribution", "shares"),
    [
        ("ShardedByS3Key", {"algo-1": ["0.txt", "2.txt"], "algo-2": ["1.txt", "3.txt"]}),
        ("FullyReplicated", {host: [f"{n}.txt" for n in range(4)] for host in ("algo-1", "algo-2")}),
    ],
)
def test_several_hosts_get_their_share_of_the_keys_and_all_upload(
    account: ToyAccount, distribution: str, shares: dict[str, list[str]]
) -> None:
    for number in range(4):
        account.put(f"shards/{number}.txt", str(number))
    code = """
resources = json.loads((base / "config/resourceconfig.json").read_text())
files = sorted(p.name for p in (base / "processing/input/data").iterdir())
host = resources["current_host"]
(base / f"processing/output/r/{host}.json").write_text(json.dumps([resources["hosts"], files]))
"""
    prefix = f"hosts/{distribution}"
    job = account.process(
        f"hosts-{distribution}",
        code,
        inputs={"data": f"s3://{BUCKET}/shards/"},
        outputs={"r": f"s3://{BUCKET}/{prefix}"},
        instances=2,
        distribution=distribution,
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    seen = {host: json.loads(account.get(f"{prefix}/{host}.json")) for host in ("algo-1", "algo-2")}
    assert seen == {host: [["algo-1", "algo-2"], files] for host, files in shares.items()}
    streams = account.aws.client("logs").describe_log_streams(
        logGroupName=PROCESSING_LOGS, logStreamNamePrefix=f"hosts-{distribution}/"
    )["logStreams"]
    assert len(streams) == 2


def test_a_host_that_fails_ends_the_others(account: ToyAccount) -> None:
    code = """
if json.loads((base / "config/resourceconfig.json").read_text())["current_host"] == "algo-2":
    sys.exit(4)
time.sleep(60)
"""
    job = account.process("one-fails", code, instances=2)
    assert job["FailureReason"].endswith("exit code: 4")


def test_workers_that_outlive_their_container_are_ended_too(account: ToyAccount) -> None:
    code = "print(subprocess.Popen(['sleep', '300']).pid, flush=True)"
    assert account.train("workers", code)["TrainingJobStatus"] == "Completed"
    (worker,) = account.log(TRAINING_LOGS, "workers/")
    assert not alive(int(worker))


def test_an_image_that_is_not_ours_needs_docker_and_the_job_says_so(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    job = account.train("foreign", "pass", algorithm={"TrainingImage": "docker.io/library/python:3"})
    assert job["TrainingJobStatus"] == "Failed"
    assert "Docker" in job["FailureReason"]


def test_an_image_that_is_not_ours_is_run_by_docker_with_the_folder_as_opt_ml(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    job = account.train(
        "docker",
        "pass",
        algorithm={"TrainingImage": "docker.io/library/python:3"},
        Environment={"COLOUR": "blue"},
        EnableNetworkIsolation=True,
    )
    assert job["TrainingJobStatus"] == "Completed", job
    words = account.log(TRAINING_LOGS, "docker/")
    assert words[:3] == ["run", "--rm", "--name=docker-algo-1"]
    volume = next(word for word in words if word.startswith("--volume="))
    assert volume.startswith(f"--volume={account.aws.work_dir}/jobs/docker-")
    assert volume.endswith("/attempt-1/algo-1/ml:/opt/ml")
    assert {"--network=none", "--env=COLOUR=blue", "--entrypoint=python"} <= set(words)
    assert words[words.index("docker.io/library/python:3") + 1] == "-c"


def test_a_job_leaves_nothing_on_this_machine(account: ToyAccount) -> None:
    account.train("tidy", "pass", inputs={"train": f"s3://{BUCKET}/data/"})
    wait(lambda: {"left": [*account.aws.work_dir.glob("jobs/tidy-*")]}, lambda seen: not seen["left"])


def test_a_full_disk_fails_the_job_with_a_plain_reason_and_nothing_else(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("local.engine.jobs.session.JobFolder.create", lambda self: full(self.root))
        job = account.train("full", "pass")
    assert job["TrainingJobStatus"] == "Failed"
    assert "No space left on device" in job["FailureReason"]
    assert account.train("after-full", "pass")["TrainingJobStatus"] == "Completed"


def test_closing_the_service_ends_every_process_at_once(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "300"])
print(os.getpid(), child.pid, flush=True)
time.sleep(300)
"""
    with open_memory_account(tmp_path) as closing:
        closing.sagemaker.create_training_job(**training_request("forever", code))
        closing.sagemaker.create_processing_job(**processing_request("forever", code))
        groups = (TRAINING_LOGS, PROCESSING_LOGS)
        logs = wait(
            lambda: {g: closing.maybe_log(g, "forever/") for g in groups}, lambda seen: all(seen.values())
        )
        started = time.monotonic()
        closing.sagemaker.service.close()
        assert time.monotonic() - started < 3
        pids = [int(pid) for lines in logs.values() for pid in lines[0].split()]
        assert len(pids) == 4
        assert not [pid for pid in pids if alive(pid)]
        jobs = closing.sagemaker.list_training_jobs()["TrainingJobSummaries"]
        assert [job["TrainingJobStatus"] for job in jobs] == ["Stopped"]
        with pytest.raises(closing.sagemaker.exceptions.ClientError, match="about to end"):
            closing.sagemaker.create_training_job(**training_request("late", "pass"))
