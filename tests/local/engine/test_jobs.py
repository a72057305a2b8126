"""Jobs are processes with an /opt/ml of their own: what they find there, what becomes of what they leave."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.jobs.archive import write_archive
from local.engine.jobs.log import LogFollower, LogStream
from local.engine.jobs.metrics import JobMetrics
from local.engine.jobs.records import TrainingJob
from local.engine.jobs.transfer import regular_files, relative_name
from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET, training_request, wait

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


def test_a_training_job_finds_its_configuration_and_channels_as_sagemaker_lays_them_out(
    account: ToyAccount,
) -> None:
    code = """
config = {p.name: json.loads(p.read_text()) for p in (base / "input/config").iterdir()}
files = sorted(str(p.relative_to(base)) for p in (base / "input/data").rglob("*") if p.is_file())
names = {n: os.environ[n] for n in ("TRAINING_JOB_NAME", "TRAINING_JOB_ARN")}
(base / "model/seen.json").write_text(json.dumps([config, files, names]))
"""
    job = account.train(
        "layout", code, inputs={"train": f"s3://{BUCKET}/data/"}, HyperParameters={"epochs": "3"}
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/models/layout/output/model.tar.gz"
    seen = json.loads(members(account.get("models/layout/output/model.tar.gz"))["seen.json"])
    config, files, names = seen
    assert config["hyperparameters.json"] == {"epochs": "3"}
    assert config["inputdataconfig.json"]["train"]["TrainingInputMode"] == "File"
    assert config["resourceconfig.json"]["hosts"] == ["algo-1"]
    assert config["resourceconfig.json"]["current_host"] == "algo-1"
    assert config["resourceconfig.json"]["current_instance_type"] == "ml.m5.xlarge"
    assert files == ["input/data/train/a.txt", "input/data/train/deep/b.txt"]
    assert names == {"TRAINING_JOB_NAME": "layout", "TRAINING_JOB_ARN": job["TrainingJobArn"]}


def test_a_training_job_is_described_with_what_sagemaker_fills_in(account: ToyAccount) -> None:
    inputs = {"train": f"s3://{BUCKET}/data/"}
    plain = account.train("plain", "pass", inputs=inputs)
    assert plain["ProfilingStatus"] == "Disabled"
    assert plain["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] is False
    (channel,) = plain["InputDataConfig"]
    assert (channel["CompressionType"], channel["RecordWrapperType"]) == ("None", "None")
    metrics = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]}
    measured = account.train("measured", "pass", algorithm=metrics)
    assert measured["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] is True
    assert "InputDataConfig" not in measured


def test_what_a_request_says_itself_is_not_filled_in(account: ToyAccount) -> None:
    request = training_request("own", "pass", inputs={"train": f"s3://{BUCKET}/data/"})
    request["InputDataConfig"][0]["RecordWrapperType"] = "RecordIO"
    request["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] = True
    profiler = {"S3OutputPath": f"s3://{BUCKET}/profile"}
    account.sagemaker.create_training_job(**request, ProfilerConfig=profiler)
    own = account.wait_training("own")
    assert own["InputDataConfig"][0]["RecordWrapperType"] == "RecordIO"
    assert own["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] is True
    assert own["ProfilingStatus"] == "Enabled"
    off = account.train("off", "pass", ProfilerConfig={"DisableProfiler": True})
    assert off["ProfilingStatus"] == "Disabled"


def test_a_training_job_passes_through_sagemakers_secondary_statuses(account: ToyAccount) -> None:
    job = account.train("statuses", "pass", inputs={"train": f"s3://{BUCKET}/data/"})
    transitions = job["SecondaryStatusTransitions"]
    assert [t["Status"] for t in transitions] == [
        "Starting",
        "Pending",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert transitions[1]["StatusMessage"] == "Preparing the instances for training"
    assert all(t["StartTime"] <= t["EndTime"] for t in transitions)
    assert job["SecondaryStatus"] == "Completed"
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 1
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]


def test_the_same_files_make_the_same_archive_whenever_and_in_whatever_order_they_were_written(
    tmp_path: Path,
) -> None:
    digests = set()
    for number, names in enumerate((["a", "b/c"], ["b/c", "a"])):
        folder = tmp_path / str(number)
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (number * 1000, number * 1000))
            path.chmod(0o600 + number * 0o044)
        (folder / "link").symlink_to("a")
        write_archive(dict(regular_files(folder)), tmp_path / f"{number}.tar.gz")
        digests.add(hashlib.sha256((tmp_path / f"{number}.tar.gz").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert members((tmp_path / "0.tar.gz").read_bytes()) == {"a": b"a", "b/c": b"b/c"}
    with gzip.open(tmp_path / "0.tar.gz") as stream:
        stream.read()
        assert stream.mtime == 0


def test_output_data_becomes_an_archive_of_its_own_and_none_when_there_is_none(account: ToyAccount) -> None:
    account.train("with-output", "(base / 'output/data/plot.txt').write_text('plot')")
    account.train("without-output", "pass")
    assert members(account.get("models/with-output/output/output.tar.gz")) == {"plot.txt": b"plot"}
    assert account.keys("models/without-output") == ["models/without-output/output/model.tar.gz"]


def test_a_failed_training_job_says_what_the_container_left_in_output_failure(account: ToyAccount) -> None:
    job = account.train("bad", "(base / 'output/failure').write_text('x' * 2000); sys.exit(3)")
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: xxx")
    assert len(job["FailureReason"]) <= 1024
    short = account.train("bad-short", "(base / 'output/failure').write_text('no birds'); sys.exit(3)")
    assert short["FailureReason"] == "AlgorithmError: no birds, exit code: 3"
    assert "ModelArtifacts" not in short
    silent = account.train("bad-silent", "os.kill(os.getpid(), signal.SIGKILL)")
    assert silent["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 137"


def test_metrics_are_read_from_the_log_while_the_job_runs(account: ToyAccount) -> None:
    code = """
print("train_loss=0.5 validation_loss=0.75", flush=True)
go = base / "go"
while not go.exists():
    time.sleep(0.01)
print("train_loss=1e-3 validation_train_loss=9", end="", flush=True)
"""
    definitions = [
        {"Name": "train:loss", "Regex": r"(?:^|\s)train_loss=([0-9.eE+-]+)"},
        {"Name": "never", "Regex": "never=(.*)"},
    ]
    account.sagemaker.create_training_job(
        **training_request("metrics", code, algorithm={"MetricDefinitions": definitions})
    )
    running = wait(
        lambda: account.sagemaker.describe_training_job(TrainingJobName="metrics"),
        lambda d: bool(d.get("FinalMetricDataList")),
    )
    assert running["TrainingJobStatus"] == "InProgress"
    assert [(m["MetricName"], m["Value"]) for m in running["FinalMetricDataList"]] == [("train:loss", 0.5)]
    (folder,) = account.aws.work_dir.glob("jobs/metrics-*/attempt-1/algo-1/ml")
    (folder / "go").touch()
    ended = account.wait_training("metrics")
    assert [round(m["Value"], 6) for m in ended["FinalMetricDataList"]] == [0.001]
    assert [(m["MetricName"], m["Value"]) for m in account.aws.metrics] == [
        ("train:loss", 0.5),
        ("train:loss", 0.001),
    ]
    for metric in account.aws.metrics:
        assert metric["Namespace"] == "/aws/sagemaker/TrainingJobs"
        assert metric["Dimensions"] == [{"Name": "TrainingJobName", "Value": "metrics"}]
        assert ended["TrainingStartTime"] <= metric["Timestamp"] <= ended["TrainingEndTime"]


def test_the_log_goes_to_the_streams_that_sagemaker_names(account: ToyAccount) -> None:
    account.train("logged", "print('one\\ntwo'); print('three', file=sys.stderr, end='')")
    assert account.log(TRAINING_LOGS, "logged/algo-1-") == ["one", "two", "three"]
    streams = account.aws.client("logs").describe_log_streams(
        logGroupName=TRAINING_LOGS, logStreamNamePrefix="logged/"
    )["logStreams"]
    assert abs(int(streams[0]["logStreamName"].rpartition("-")[2]) - time.time()) < 60


def test_a_log_of_many_and_of_very_long_lines_arrives_whole(tmp_path: Path, account: ToyAccount) -> None:
    log = tmp_path / "log.txt"
    log.write_text("x\n" * 12_000 + "é" * 300_000 + "\n\n25%\r50%\r\nend")
    LogFollower(log, LogStream(account.aws.client("logs"), "/test/long", "s"), 0).finish()
    lines = account.log("/test/long", "s")
    assert lines[:12_000] == ["x"] * 12_000
    assert "".join(lines[12_000:-2]) == "é" * 300_000
    assert lines[-2:] == ["50%", "end"]


def metrics_of(name: str, client: Any) -> tuple[TrainingJob, JobMetrics]:
    definitions = [{"Name": "m", "Regex": r"m=(\S+)"}, {"Name": "g", "Regex": "groupless"}]
    request = training_request(name, "pass", algorithm={"MetricDefinitions": definitions})
    job = TrainingJob(name, f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}", request)
    return job, JobMetrics(job, client)


def test_a_metric_that_is_no_number_is_left_out(account: ToyAccount) -> None:
    account.aws.metrics.clear()
    job, metrics = metrics_of("numbers", account.aws.client("cloudwatch"))
    metrics.read("m=unknown groupless")
    assert job.metrics == []
    metrics.read("m=1 m=2.5")
    assert [m["Value"] for m in job.metrics] == [2.5]
    metrics.read("m=nan m=inf")
    metrics.flush()
    assert [m["Value"] for m in account.aws.metrics] == [1, 2.5]


def test_many_metrics_go_to_cloudwatch_in_calls_of_a_thousand_and_once_each(account: ToyAccount) -> None:
    account.aws.metrics.clear()
    _, metrics = metrics_of("many", account.aws.client("cloudwatch"))
    for number in range(2500):
        metrics.read(f"m={number}")
    metrics.flush()
    metrics.flush()
    assert [m["Value"] for m in account.aws.metrics] == list(range(2500))


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("data", "data/a.txt", "a.txt"),
        ("data/", "data/deep/b.txt", "deep/b.txt"),
        ("data/a.txt", "data/a.txt", "a.txt"),
        ("data/part-", "data/part-0", "part-0"),
        ("data/one", "data/one/a.txt", "a.txt"),
        ("data/one", "data/one-more/b.txt", "one-more/b.txt"),
        ("", "a.txt", "a.txt"),
    ],
)
def test_objects_land_under_their_name_relative_to_the_prefix(prefix: str, key: str, name: str) -> None:
    assert relative_name(prefix, key) == name


def test_the_folders_that_a_console_makes_are_left_out(account: ToyAccount) -> None:
    for key in ("birds/", "birds/x/", "birds/x/images/"):
        account.put(key, "")
    account.put("birds/x/images/a.txt", "a")
    code = """
files = [str(p.relative_to(base)) for p in (base / "input/data").rglob("*") if not p.is_dir()]
assert files == ["input/data/train/x/images/a.txt"], files
"""
    job = account.train("markers", code, inputs={"train": f"s3://{BUCKET}/birds/"})
    assert job["TrainingJobStatus"] == "Completed", job


def test_a_prefix_without_objects_fails_the_job_in_sagemakers_words(account: ToyAccount) -> None:
    job = account.train("no-data", "pass", inputs={"train": f"s3://{BUCKET}/nothing/"})
    assert job["TrainingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "s3://{BUCKET}/nothing/"' in job["FailureReason"]
    assert "ClientError: Data download failed:" in job["FailureReason"]
    processing = account.process("no-data", "pass", inputs={"data": f"s3://{BUCKET}/nothing/"})
    assert "No S3 objects found" in processing["FailureReason"]


@pytest.mark.parametrize(
    "action",
    [
        "cloudwatch:PutMetricData",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:PutObject",
    ],
)
def test_a_right_that_the_role_lacks_fails_the_job_and_is_named(account: ToyAccount, action: str) -> None:
    name = "denied-" + action.replace(":", "-")
    algorithm = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]}
    data = {"train": f"s3://{BUCKET}/data/"}
    account.aws.denied.add(action)
    try:
        job = account.train(name, "print('loss=1')", inputs=data, algorithm=algorithm)
    finally:
        account.aws.denied.clear()
    assert job["TrainingJobStatus"] == "Failed"
    assert f"not authorized to perform: {action} on resource: " in job["FailureReason"]


def test_a_job_runs_in_a_clean_environment_with_its_roles_credentials(
    account: ToyAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    code = "(base / 'model/env.json').write_text(json.dumps(dict(os.environ)))"
    account.train("env", code)
    env = json.loads(members(account.get("models/env/output/model.tar.gz"))["env.json"])
    assert "SECRET_OF_THE_DEVELOPER" not in env
    assert env["AWS_SESSION_TOKEN"]
    assert env["AWS_ENDPOINT_URL"] == account.aws.endpoint_url
    assert env["OMP_WAIT_POLICY"] == "PASSIVE", "a job's idle threads keep the other job from its core"
    assert env["HOME"].startswith(str(account.aws.work_dir))
    assert env["TMPDIR"].startswith(str(account.aws.work_dir))
    account.train("env-isolated", code, EnableNetworkIsolation=True)
    isolated = json.loads(members(account.get("models/env-isolated/output/model.tar.gz"))["env.json"])
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"} & set(isolated)
