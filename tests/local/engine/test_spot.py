"""A managed spot training job loses its instance once its first checkpoint is there, and goes on from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.engine.jobs.spot import SPOT_PRICE_SHARE, CheckpointWatch
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET, spot

# An attempt that is to be interrupted makes one checkpoint and waits for it, so nothing depends on speed.
STEPS = """
checkpoint = base / "checkpoints/step.txt"
step = int(checkpoint.read_text()) if checkpoint.exists() else 0
print("start at", step, "with", sorted(p.name for p in (base / "model").iterdir()), flush=True)
(base / "model/scratch.txt").write_text("of this attempt")
for step in range(step + 1, 6):
    new = checkpoint.with_suffix(".tmp")
    new.write_text(str(step))
    new.replace(checkpoint)
    print("loss=" + str(step), flush=True)
    if step <= INTERRUPTIONS:
        time.sleep(60)
"""


def steps(interruptions: int) -> str:
    """A container of five steps that waits to be interrupted after each of its first ones."""
    return STEPS.replace("INTERRUPTIONS", str(interruptions))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        yield opened


def statuses(job: dict[str, object]) -> list[str]:
    transitions = job["SecondaryStatusTransitions"]
    assert isinstance(transitions, list)
    return [t["Status"] for t in transitions]


def spot_at(prefix: str) -> dict[str, object]:
    return spot(CheckpointConfig={"S3Uri": f"s3://{BUCKET}/{prefix}"})


def test_a_spot_job_is_interrupted_after_its_first_checkpoint_and_resumes_from_it(
    account: ToyAccount,
) -> None:
    job = account.train("once", steps(1), **spot_at("once"))
    assert job["TrainingJobStatus"] == "Completed", job
    assert statuses(job) == [
        "Starting",
        "Pending",
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Pending",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    lines = account.log("/aws/sagemaker/TrainingJobs", "once/")
    starts = [line for line in lines if line.startswith("start at")]
    assert len(starts) == 2
    assert starts[0] == "start at 0 with []"
    # A fresh folder: only the checkpoint has come over.
    assert starts[1] == "start at 1 with []"
    assert account.get("once/step.txt") == b"5"


def test_the_time_of_a_spot_job_is_billed_at_the_assumed_price(account: ToyAccount) -> None:
    job = account.train("billed", "time.sleep(1.2)", **spot_at("billed"))
    trained = job["TrainingTimeInSeconds"]
    assert trained >= 2
    assert trained * SPOT_PRICE_SHARE <= job["BillableTimeInSeconds"] <= trained * SPOT_PRICE_SHARE + 1
    assert SPOT_PRICE_SHARE == 0.3


def test_a_job_without_checkpoints_is_never_interrupted(account: ToyAccount) -> None:
    job = account.train("no-checkpoint", "time.sleep(0.3)", **spot_at("none"))
    assert "Interrupted" not in statuses(job)
    assert job["TrainingJobStatus"] == "Completed"


def test_an_on_demand_job_is_not_interrupted(account: ToyAccount) -> None:
    job = account.train("on-demand", steps(0), CheckpointConfig={"S3Uri": f"s3://{BUCKET}/on-demand"})
    assert "Interrupted" not in statuses(job)
    assert account.get("on-demand/step.txt") == b"5"


def test_checkpoints_of_an_earlier_job_do_not_count_as_its_first(account: ToyAccount) -> None:
    account.put("earlier/step.txt", "5")
    job = account.train("earlier", steps(0), **spot_at("earlier"))
    assert "Interrupted" not in statuses(job)
    assert account.log("/aws/sagemaker/TrainingJobs", "earlier/") == ["start at 5 with []"]


@pytest.mark.parametrize("interruptions", [0, 3])
def test_the_number_of_interruptions_can_be_chosen(tmp_path: Path, interruptions: int) -> None:
    with open_memory_account(tmp_path, interruptions=interruptions) as chosen:
        job = chosen.train("chosen", steps(interruptions), **spot_at(f"chosen-{interruptions}"))
        assert statuses(job).count("Interrupted") == interruptions
        assert job["TrainingJobStatus"] == "Completed"


def test_a_job_that_ignores_sigterm_loses_what_it_did_since_its_checkpoint(account: ToyAccount) -> None:
    job = account.train(
        "stubborn", "signal.signal(signal.SIGTERM, signal.SIG_IGN)" + steps(1), **spot_at("stubborn")
    )
    assert statuses(job).count("Interrupted") == 1
    assert job["TrainingJobStatus"] == "Completed"


def test_a_job_that_waits_longer_than_its_limit_is_given_up(account: ToyAccount) -> None:
    condition = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(base / "checkpoints/c").write_text("1")
time.sleep(60)
"""
    job = account.train("waited", code, **{**spot_at("waited"), "StoppingCondition": condition})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"


def test_a_checkpoint_folder_that_s3_refuses_fails_the_job(account: ToyAccount) -> None:
    job = account.train("refused", steps(0), **spot(CheckpointConfig={"S3Uri": "s3://no-such-bucket/x"}))
    assert job["TrainingJobStatus"] == "Failed"
    assert "NoSuchBucket" in job["FailureReason"]


def test_a_checkpoint_counts_once_it_has_bytes_and_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_text("old")
    watch = CheckpointWatch(tmp_path)
    (tmp_path / "new.pt").touch()
    (tmp_path / "new.pt.tmp").write_text("half")
    (tmp_path / ".hidden").write_text("half")
    assert not watch.has_new()
    (tmp_path / "new.pt.tmp").replace(tmp_path / "new.pt")
    assert watch.has_new()


def test_a_checkpoint_that_replaces_an_old_one_counts(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_text("old")
    watch = CheckpointWatch(tmp_path)
    (tmp_path / "last.pt").write_text("newer")
    assert watch.has_new()
    assert not CheckpointWatch(tmp_path / "missing").has_new()
