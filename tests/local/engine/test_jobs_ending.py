"""How jobs end: too late, stopped, on several hosts, in Docker, with a full disk, with the whole service."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.jobs import training
from local.engine.jobs.folder import write_training_configuration
from local.engine.jobs.records import JobFailedError
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET, alive, processing_request, training_request, wait

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
PROCESSING_LOGS = "/aws/sagemaker/ProcessingJobs"
FOREIGN = "docker.io/library/python:3"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        opened.put("data/a.txt", "a")
        opened.put("data/deep/b.txt", "b")
        yield opened


@pytest.fixture
def install_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Put a `docker` command before the machine's own: a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def install(script: str) -> None:
        docker = tmp_path / "docker"
        docker.write_text(f"#!/bin/sh\n{script}\n")
        docker.chmod(0o755)

    return install


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
    account: ToyAccount, install_docker: Callable[[str], None]
) -> None:
    install_docker('for word in "$@"; do echo "$word"; done')
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


NO_DAEMON = "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize("run", ["train", "process"])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"echo '{NO_DAEMON}' >&2\nexit 1", NO_DAEMON),
        ("exit 1", "exit code 1"),
    ],
)
def test_a_docker_that_does_not_answer_is_told_and_is_no_fault_of_the_job(
    account: ToyAccount, install_docker: Callable[[str], None], run: str, script: str, said: str
) -> None:
    # As docker does: asked to run an image without its daemon it ends with 125.
    install_docker(f'[ "$1" = version ] || exit 125\n{script}')
    changes = {"algorithm": {"TrainingImage": FOREIGN}} if run == "train" else {"app": {"ImageUri": FOREIGN}}
    job = getattr(account, run)(f"no-daemon-{run}-{len(said)}", "pass", **changes)
    assert job["FailureReason"] == (
        "ClientError: The job's image is not this repository's own, and Docker, which would run it, does not "
        f"answer ({said}). Start Docker, or set the deployed stack's image as TrainingImageUri."
    )


@pytest.mark.parametrize("run", ["train", "process"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (125, "ClientError: docker could not run the job's image: see job logs, exit code: 125"),
        (7, "AlgorithmError: See job logs for more information, exit code: 7"),
    ],
)
def test_an_image_that_docker_cannot_run_is_no_error_of_the_algorithm(
    account: ToyAccount, install_docker: Callable[[str], None], run: str, code: int, reason: str
) -> None:
    install_docker(f'[ "$1" = version ] && exit 0\necho "Unable to find image $1" >&2; exit {code}')
    changes = {"algorithm": {"TrainingImage": FOREIGN}} if run == "train" else {"app": {"ImageUri": FOREIGN}}
    name = f"no-image-{run}-{code}"
    assert getattr(account, run)(name, "pass", **changes)["FailureReason"] == reason
    group = TRAINING_LOGS if run == "train" else PROCESSING_LOGS
    assert account.log(group, f"{name}/") == ["Unable to find image run"]


def test_the_exit_code_of_docker_itself_is_any_other_to_an_image_of_our_own(account: ToyAccount) -> None:
    job = account.train("code-125", "sys.exit(125)")
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 125"


def test_an_image_of_our_own_does_not_ask_for_docker(
    account: ToyAccount, install_docker: Callable[[str], None]
) -> None:
    install_docker("exit 1")
    assert account.train("own-image", "pass")["TrainingJobStatus"] == "Completed"


class _FaultError(Exception):
    """Nothing that a job, its data or its role is to blame for."""


def _break(monkeypatch: pytest.MonkeyPatch, times: int, error: Exception) -> list[str]:
    """Let the first attempts of trainings end with an error; return the hosts of all attempts."""
    attempts: list[str] = []

    def written(folder: Any, request: Any, host: str) -> None:
        attempts.append(host)
        write_training_configuration(folder, request, host)
        if len(attempts) <= times:
            raise error

    monkeypatch.setattr(training, "write_training_configuration", written)
    return attempts


def test_a_training_is_repeated_after_a_fault_of_local_aws_as_often_as_its_retry_strategy_says(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = _break(monkeypatch, 2, _FaultError("disk on fire"))
    job = account.train("repeated", "print('trained')", RetryStrategy={"MaximumRetryAttempts": 2})
    assert job["TrainingJobStatus"] == "Completed", job
    assert len(attempts) == 3
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    entered = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert entered == ["Starting", "Pending"] * 3 + ["Downloading", "Training", "Uploading", "Completed"]
    assert account.log(TRAINING_LOGS, "repeated/") == ["trained"]
    assert caplog.text.count("_FaultError: disk on fire") == 2, "no fault is hidden"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("strategy", "count"), [(None, 1), ({"MaximumRetryAttempts": 1}, 2)])
def test_a_training_fails_when_no_retry_is_left(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, strategy: Any, count: int
) -> None:
    attempts = _break(monkeypatch, 9, _FaultError("disk on fire"))
    job = account.train(f"unlucky-{count}", "pass", RetryStrategy=strategy)
    assert job["FailureReason"].startswith("InternalServerError: A fault of local AWS itself")
    assert len(attempts) == count
    # Its thread ends with the fault, which the console shows, after the job has ended.
    wait(
        lambda: {"threads": [each.name for each in threading.enumerate()]},
        lambda seen: f"training-job unlucky-{count}" not in seen["threads"],
    )


@pytest.mark.parametrize("error", [JobFailedError("ClientError: no"), OSError(28, "No space left on device")])
def test_a_failure_that_has_another_to_blame_is_not_repeated(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    attempts = _break(monkeypatch, 9, error)
    name = f"blamed-{type(error).__name__.lower()}"
    job = account.train(name, "pass", RetryStrategy={"MaximumRetryAttempts": 30})
    assert job["FailureReason"].startswith("ClientError: ")
    assert len(attempts) == 1


def test_an_error_of_the_algorithm_is_not_repeated(account: ToyAccount) -> None:
    job = account.train("wrong", "print('once'); sys.exit(3)", RetryStrategy={"MaximumRetryAttempts": 30})
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 3"
    assert account.log(TRAINING_LOGS, "wrong/") == ["once"]


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
