"""A training job with several instances: processes that meet on loopback, and end as one job."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET, alive, spot, training_request, wait

LOGS = "/aws/sagemaker/TrainingJobs"
# Every host learns the sum of all hosts' numbers, as an all-reduce does; they meet at the first.
MEET = """
import socket
resources = json.loads((base / "input/config/resourceconfig.json").read_text())
hosts, host = resources["hosts"], resources["current_host"]
rank, place = hosts.index(host), (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
def all_reduce(number):
    if rank:
        end = time.monotonic() + 20
        while True:
            try:
                peer = socket.create_connection(place, 20)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < end
                time.sleep(0.01)
        with peer:
            peer.sendall(f"{number}\\n".encode())
            return int(peer.makefile().readline())
    with socket.create_server(place) as server:
        server.settimeout(20)
        peers = [server.accept()[0] for _ in hosts[1:]]
        total = number + sum(int(peer.makefile().readline()) for peer in peers)
        for peer in peers:
            peer.sendall(f"{total}\\n".encode())
        return total
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        for number in range(4):
            opened.put(f"shards/{number}.txt", str(number))
        yield opened


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: stream.read() for m in tar.getmembers() if (stream := tar.extractfile(m))}


def test_instances_meet_on_loopback_with_a_folder_and_a_log_of_their_own(account: ToyAccount) -> None:
    code = """
(base / "model" / f"{host}.txt").touch()
total = all_reduce(10 ** rank)
print(host, total, flush=True)
seen = [total, os.listdir(base / "model"), resources]
(base / "model" / f"{host}.json").write_text(json.dumps(seen))
(base / "output/data" / f"{host}.txt").write_text(host)
"""
    job = account.train("meet", MEET + code, instances=3, EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Completed", job
    files = members(account.get("models/meet/output/model.tar.gz"))
    hosts = ["algo-1", "algo-2", "algo-3"]
    assert sorted(files) == [f"{host}.{kind}" for host in hosts for kind in ("json", "txt")]
    for host in hosts:
        total, own, resources = json.loads(files[f"{host}.json"])
        assert total == 111
        assert own == [f"{host}.txt"], "no instance sees another's files"
        assert resources["current_host"] == host
        assert resources["hosts"] == resources["instance_groups"][0]["hosts"] == hosts
        assert resources["network_interface_name"] in ("lo", "lo0")
        assert account.log(LOGS, f"meet/{host}-") == [f"{host} 111"]
    output = members(account.get("models/meet/output/output.tar.gz"))
    assert sorted(output) == [f"{host}.txt" for host in hosts]


def test_one_instance_has_nobody_to_meet(account: ToyAccount) -> None:
    account.train("alone", "print([name for name in os.environ if name.startswith('MASTER')])")
    assert account.log(LOGS, "alone/") == ["[]"]


@pytest.mark.parametrize(
    ("distribution", "shares"),
    [
        ("ShardedByS3Key", {"algo-1": "0.txt 2.txt", "algo-2": "1.txt 3.txt"}),
        ("FullyReplicated", dict.fromkeys(("algo-1", "algo-2"), "0.txt 1.txt 2.txt 3.txt")),
    ],
)
def test_a_channel_goes_to_every_instance_or_in_shares(
    account: ToyAccount, distribution: str, shares: dict[str, str]
) -> None:
    job = account.train(
        f"shares-{distribution}",
        "print(*sorted(os.listdir(base / 'input/data/train')))",
        inputs={"train": f"s3://{BUCKET}/shards/"},
        instances=2,
        distribution=distribution,
    )
    assert job["TrainingJobStatus"] == "Completed", job
    for host, names in shares.items():
        assert account.log(LOGS, f"shares-{distribution}/{host}-") == [names]


def test_the_same_name_from_two_instances_fails_the_job(account: ToyAccount) -> None:
    job = account.train("clash", "(base / 'model/model.json').write_text('{}')", instances=2)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Two instances wrote /opt/ml/model/model.json,")
    assert "ModelArtifacts" not in job


def test_metrics_are_read_from_every_instances_log(account: ToyAccount) -> None:
    definitions = [{"Name": f"loss:{n}", "Regex": rf"loss{n}=(\d+)"} for n in (1, 2)]
    code = 'print(f"loss{rank + 1}={rank + 5}")'
    job = account.train("measured", MEET + code, instances=2, algorithm={"MetricDefinitions": definitions})
    assert {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]} == {"loss:1": 5, "loss:2": 6}


def test_billable_time_is_that_of_one_instance(account: ToyAccount) -> None:
    job = account.train("billed", "time.sleep(1.2)", instances=3)
    # AWS: "Multiply BillableTimeInSeconds by the number of instances" (API reference, DescribeTrainingJob).
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] <= 3


def test_an_instance_that_fails_ends_the_job_with_its_reason(account: ToyAccount) -> None:
    code = """
print(os.getpid(), flush=True)
if rank == 1:
    (base / "output/failure").write_text("the disk of algo-2 is full")
    sys.exit(3)
time.sleep(60)
"""
    job = account.train("one-fails", MEET + code, instances=3)
    assert job["FailureReason"] == "AlgorithmError: the disk of algo-2 is full, exit code: 3"
    pids = account.log(LOGS, "one-fails/")
    assert not [pid for pid in pids if alive(int(pid))]


def test_a_killed_instance_ends_the_job_whatever_the_others_say_of_it(account: ToyAccount) -> None:
    code = """
if rank == 1:
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
(base / "output/failure").write_text("connection lost")
time.sleep(60)
"""
    job = account.train("one-killed", MEET + code, instances=2)
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 137"


def test_the_reason_is_that_of_the_instance_that_failed_first_not_of_the_first_to_end(
    account: ToyAccount,
) -> None:
    # algo-2 fails; algo-1 notices, and has ended while algo-2 still cleans up.
    code = """
if rank == 1:
    (base / "output/failure").write_text("no image can be read")
    all_reduce(1)
    time.sleep(60)
all_reduce(1)
(base / "output/failure").write_text("connection closed by algo-2")
sys.exit(1)
"""
    job = account.train("first-reason", MEET + code, instances=2)
    assert job["FailureReason"] == "AlgorithmError: no image can be read, exit code: 1"


SAVES = """
def save(*_):
    (base / "model" / f"{host}.txt").write_text("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stopped_job_gives_every_instance_the_time_to_save(account: ToyAccount) -> None:
    account.sagemaker.create_training_job(**training_request("stopped", MEET + SAVES, instances=2))
    wait(lambda: {"log": account.maybe_log(LOGS, "stopped/")}, lambda seen: seen["log"] == ["ready"] * 2)
    account.sagemaker.stop_training_job(TrainingJobName="stopped")
    job = account.wait_training("stopped")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert sorted(members(account.get("models/stopped/output/model.tar.gz"))) == ["algo-1.txt", "algo-2.txt"]


def test_an_instance_that_never_ends_is_ended_when_the_time_is_up(
    account: ToyAccount,
) -> None:
    code = """
if rank == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""
    condition = {"MaxRuntimeInSeconds": 1}
    job = account.train("too-long", MEET + code + SAVES, instances=2, StoppingCondition=condition)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    (pid,) = account.log(LOGS, "too-long/algo-2-")
    assert not alive(int(pid))
    assert sorted(members(account.get("models/too-long/output/model.tar.gz"))) == ["algo-1.txt"]


def test_a_spot_interruption_takes_all_instances_and_all_find_every_checkpoint(account: ToyAccount) -> None:
    # Each host writes a checkpoint of its own; algo-2's comes first and interrupts the job.
    code = """
folder = base / "checkpoints"
found = sorted(p.name for p in folder.iterdir())
print("found", *found, flush=True)
def save(*_):
    (folder / f"{host}.txt").write_text(host)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
if not found:
    if rank:
        all_reduce(1)
        (folder / "first.txt").write_text("1")
    else:
        all_reduce(1)
    time.sleep(60)
print("sum", all_reduce(1), flush=True)
"""
    job = account.train(
        "interrupted",
        MEET + code,
        instances=2,
        **spot(CheckpointConfig={"S3Uri": f"s3://{BUCKET}/interrupted"}),
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]].count("Interrupted") == 1
    for host in ("algo-1", "algo-2"):
        lines = account.log(LOGS, f"interrupted/{host}-")
        assert lines == ["found", "found algo-1.txt algo-2.txt first.txt", "sum 2"]
    assert account.keys("interrupted") == [
        "interrupted/algo-1.txt",
        "interrupted/algo-2.txt",
        "interrupted/first.txt",
    ]


def test_an_instance_uploads_only_the_checkpoints_that_it_wrote(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.put("mine/shared.txt", "old")
    code = """
shared = base / "checkpoints/shared.txt"
before = shared.read_text()
all_reduce(1)
if rank == 0:
    shared.write_text("new")
time.sleep(0.3)
print(before, shared.read_text(), flush=True)
"""
    uploaded = []
    put = account.s3.put_object

    def note(**request: Any) -> None:
        uploaded.append(request["Key"])
        put(**request)

    monkeypatch.setattr(account.s3, "put_object", note)
    checkpoints = {"S3Uri": f"s3://{BUCKET}/mine"}
    job = account.train("mine", MEET + code, instances=2, CheckpointConfig=checkpoints)
    assert job["TrainingJobStatus"] == "Completed", job
    assert [key for key in uploaded if key.startswith("mine/")] == ["mine/shared.txt"]
    assert account.get("mine/shared.txt") == b"new"
    assert account.log(LOGS, "mine/algo-2-") == ["old old"]


def test_a_checkpoint_that_becomes_empty_becomes_empty_in_s3_too(account: ToyAccount) -> None:
    account.put("emptied/last.pt", "many bytes")
    code = '(base / "checkpoints/last.pt").write_bytes(b"")'
    checkpoints = {"S3Uri": f"s3://{BUCKET}/emptied"}
    assert account.train("emptied", code, CheckpointConfig=checkpoints)["TrainingJobStatus"] == "Completed"
    assert account.get("emptied/last.pt") == b""
    job = account.train(
        "after",
        "print((base / 'checkpoints/last.pt').stat().st_size)",
        **spot(CheckpointConfig=checkpoints),
    )
    assert job["TrainingJobStatus"] == "Completed"
    assert account.log(LOGS, "after/") == ["0"]


def test_isolated_instances_of_a_foreign_image_cannot_meet_and_the_job_says_so(account: ToyAccount) -> None:
    job = account.train(
        "apart",
        "pass",
        instances=2,
        algorithm={"TrainingImage": "docker.io/library/python:3"},
        EnableNetworkIsolation=True,
    )
    assert job["FailureReason"].startswith(
        "ClientError: On local AWS an isolated training job with several instances runs with this "
    )


def test_instances_of_a_foreign_image_are_as_many_containers(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    algorithm = {"TrainingImage": "docker.io/library/python:3"}
    job = account.train("foreign", "pass", instances=2, algorithm=algorithm)
    assert job["TrainingJobStatus"] == "Completed", job
    for host in ("algo-1", "algo-2"):
        words = account.log(LOGS, f"foreign/{host}-")
        assert {f"--name=foreign-{host}", "--network=host", "--env=MASTER_ADDR=127.0.0.1"} <= set(words)
