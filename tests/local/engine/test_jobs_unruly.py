"""Containers that misbehave: they print without end, leave their process group, replace their folders."""

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.engine.jobs.log import LogFollower, LogStream
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import alive, training_request, wait


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        yield opened


def test_a_job_that_prints_without_end_can_be_stopped(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.engine.jobs.log._TICK_BYTES", 100_000)
    monkeypatch.setattr("local.engine.jobs.log._BACKLOG_BYTES", 100_000)
    account.sagemaker.create_training_job(**training_request("talker", "while True: print('x' * 4000)"))

    def look() -> dict[str, str]:
        job = account.sagemaker.describe_training_job(TrainingJobName="talker")
        return {"status": job["SecondaryStatus"]}

    wait(look, lambda seen: seen["status"] == "Training")
    time.sleep(0.5)
    account.sagemaker.stop_training_job(TrainingJobName="talker")
    assert account.wait_training("talker")["TrainingJobStatus"] == "Stopped"


def test_what_a_log_has_too_much_is_left_out_and_said(
    account: ToyAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.engine.jobs.log._BACKLOG_BYTES", 6)
    log = tmp_path / "log.txt"
    log.write_text("first\n" * 1000 + "a\nlast")
    LogFollower(log, LogStream(account.aws.client("logs"), "/test/much", "s"), 0).finish()
    said = "[local AWS leaves out 6,000 bytes of this log here]"
    assert account.log("/test/much", "s") == [said, "a", "last"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a process is")
def test_a_process_that_left_the_group_ends_with_the_job(account: ToyAccount) -> None:
    code = """
import subprocess
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
"""
    account.sagemaker.create_training_job(**training_request("leaver", code))
    assert account.wait_training("leaver")["TrainingJobStatus"] == "Completed"
    (pid,) = account.log("/aws/sagemaker/TrainingJobs", "leaver/")

    wait(lambda: {"alive": alive(int(pid))}, lambda seen: not seen["alive"])


KILLED = """
import sys, time
from pathlib import Path
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import training_request
code = '''
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
'''
with open_memory_account(Path(sys.argv[1])) as service:
    service.sagemaker.create_training_job(**training_request("orphan", code))
    while not (lines := service.maybe_log("/aws/sagemaker/TrainingJobs", "orphan/")):
        time.sleep(0.05)
    print(lines[0], flush=True)
    time.sleep(600)
"""


def test_no_process_of_a_job_outlives_a_sigkill_of_the_service(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) == 2
        service.kill()
    wait(lambda: {"alive": [pid for pid in pids if alive(pid)]}, lambda seen: not seen["alive"])


def test_folders_that_are_replaced_or_gone_are_empty(account: ToyAccount, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the machine")
    code = f"""
import shutil
shutil.rmtree(base / "output/data")
shutil.rmtree(base / "model")
(base / "model").symlink_to({str(tmp_path)!r})
"""
    account.sagemaker.create_training_job(**training_request("replacer", code))
    job = account.wait_training("replacer")
    assert job["TrainingJobStatus"] == "Completed", job
    model = account.get("models/replacer/output/model.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(model)) as archive:
        assert archive.getnames() == []
