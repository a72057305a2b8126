"""`cv-pipeline` as a person meets it: exit codes, one plain sentence for each mistake, and help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from ops import __main__ as cli
from tests.support.services.fake_execution import PIPELINE, ScriptedSageMaker, client_of
from tests.support.services.fake_execution_scenarios import below_threshold, fill_bucket, succeeded

STACK = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "uploads"}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "failures"}},
    },
    "Outputs": {
        "BucketName": {"Value": "uploads"},
        "PipelineName": {"Value": PIPELINE},
        "FailureQueueUrl": {"Value": {"Ref": "Queue"}},
    },
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedSageMaker]:
    """A deployed stack in moto, and SageMaker with one execution that has ended."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    sagemaker = ScriptedSageMaker(succeeded())
    sagemaker.clock = 1000.0
    with mock_aws():
        client_of("cloudformation").create_stack(StackName="cv-birds", TemplateBody=json.dumps(STACK))
        monkeypatch.setattr(cli.Session, "client", lambda self, service: client(sagemaker, service))
        yield sagemaker


def client(sagemaker: ScriptedSageMaker, service: str) -> Any:
    return sagemaker.client() if service == "sagemaker" else client_of(service)


def test_watch_exits_with_0_for_succeeded_and_1_for_failed(
    fake: ScriptedSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["watch"]) == 0
    failed = below_threshold()
    fake.executions = {failed.arn: failed}
    assert cli.run(["watch", "latest"]) == 1
    assert cli.run(["watch", failed.id]) == 1
    out = capsys.readouterr().out
    assert f"cv-pipeline report {failed.arn}" in out


def test_ctrl_c_says_how_to_watch_again(
    fake: ScriptedSageMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    fake.clock = 10.0
    monkeypatch.setattr("ops.output.watch.poll_seconds", interrupt)
    arn = next(iter(fake.executions))
    assert cli.run(["watch"]) == 130
    assert f"The execution goes on. Watch it again with: cv-pipeline watch {arn}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["watch", "--pipeline", "cv-birds-none"], "no pipeline cv-birds-none yet"),
        (["watch", "nosuchid"], "pipeline cv-birds has no execution nosuchid"),
        (["report", "arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/x"], "no execution arn:aws"),
        (["watch", "--stack", "none"], "no stack none"),
    ],
)
def test_what_does_not_exist_is_said_with_the_next_command(
    fake: ScriptedSageMaker, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.run(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "`" in error


def test_a_pipeline_without_executions_is_said(
    fake: ScriptedSageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.executions.clear()
    assert cli.run(["report"]) == 2
    assert "has no execution yet: start one with `cv-pipeline upload`" in capsys.readouterr().err


def test_report_leaves_its_directory_named_after_the_execution(
    fake: ScriptedSageMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execution = succeeded()
    fill_bucket(client_of("s3"), execution)
    assert cli.run(["report"]) == 0
    assert (tmp_path / "runs" / execution.id / "report.html").is_file()
    assert f"Succeeded: runs/{execution.id}/report.html" in capsys.readouterr().out


def in_a_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    nothing = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=nothing | environment,
        cwd=Path(__file__).resolve().parents[2],
    )


@pytest.mark.slow
def test_without_credentials_or_region_or_server_one_sentence_says_so() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    no_region = in_a_process("watch", **keys)
    no_keys = in_a_process("watch", AWS_DEFAULT_REGION="us-east-1")
    no_server = in_a_process(
        "watch",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL="http://localhost:1",
        **keys,
    )
    for process, said in (
        (no_region, "no AWS region is set"),
        (no_keys, "no AWS credentials found"),
        (no_server, "python -m local up"),
    ):
        assert process.returncode == 2
        assert said in process.stderr
        assert "Traceback" not in process.stderr
        assert process.stderr.count("\n") <= 2


def test_help_names_every_command_and_the_exit_codes() -> None:
    process = in_a_process("--help")
    assert process.returncode == 0
    commands = "validate upload watch report predict history failures redrive reconcile rollback destroy"
    for said in (*commands.split(), "Exits with 0", "Usage: cv-pipeline [OPTIONS]"):
        assert said in process.stdout
    assert in_a_process("watch", "--nonsense").returncode == 2


def test_version_names_the_product_and_the_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"cv-training-pipeline {metadata.version('cv-training-pipeline')}\n"


def test_the_command_line_starts_without_the_slow_libraries() -> None:
    slow = {"matplotlib", "numpy", "moto"}
    code = f"import sys, ops.__main__; print(sorted({slow} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
