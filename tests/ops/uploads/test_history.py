"""history: uploads, verdicts and executions in one table, newest first."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from ops import __main__ as cli
from ops.output.terminal import show_table
from tests.support.ops.deployment import BUCKET, KEY, MotoDeployment, definition, deployment

__all__ = ["deployment"]  # a fixture

Captured = pytest.CaptureFixture[str]
COLUMNS = ("when (UTC)", "upload", "verdict", "pipeline version", "execution", "status", "why")


def rows(capsys: Captured, *arguments: str) -> list[dict[str, str]]:
    """Run the command and read its table back."""
    capsys.readouterr()
    assert cli.run(["history", *arguments]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    begins = [header.index(column) for column in COLUMNS]
    ends = [*begins[1:], None]
    return [
        {column: line[begin:end].strip() for column, begin, end in zip(COLUMNS, begins, ends, strict=True)}
        for line in lines
    ]


def documents(capsys: Captured, *arguments: str) -> list[dict[str, Any]]:
    """Run the command for programs and read its lines."""
    capsys.readouterr()
    assert cli.run(["history", "--json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_before_the_first_upload_the_next_command_is_named(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    assert cli.run(["history"]) == 0
    said = capsys.readouterr().out
    assert f"Nothing was uploaded to s3://{BUCKET}/{KEY} yet" in said
    assert "cv-pipeline upload" in said
    assert documents(capsys) == []


def test_every_upload_has_its_verdict_and_execution_newest_first(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    started = deployment.put(definition("first"))
    rejected = deployment.put({"Steps": [{"Name": name, "Type": "Lambda"} for name in "AB"]})
    deployment.deny()
    failed = deployment.put(definition("denied"))
    deployment.delivers = False
    superseded = deployment.put(definition("late"))
    newest = deployment.put(definition("newest"))
    deployment.deliver(newest)
    deployment.deliver(superseded)
    waiting = deployment.put(definition("lost"))
    first, last = deployment.sagemaker.executions[0], deployment.sagemaker.executions[-1]
    first.status = "Failed"

    found = rows(capsys)

    uploads = [waiting, newest, superseded, failed, rejected, started]
    assert [row["upload"] for row in found] == [each[:8] for each in uploads]
    kinds = ["no verdict yet", "STARTED", "SUPERSEDED", "FAILED", "REJECTED", "STARTED"]
    assert [row["verdict"] for row in found] == kinds
    by_upload = dict(zip(uploads, found, strict=True))
    assert by_upload[started]["execution"] == first.arn.rpartition("/")[2]
    assert by_upload[started]["status"] == "Failed"
    assert by_upload[started]["pipeline version"] == "1"
    assert by_upload[newest]["execution"] == last.arn.rpartition("/")[2]
    assert by_upload[superseded]["why"] == f"by upload {newest[:8]}"
    assert "iam:PassRole" in by_upload[failed]["why"]
    assert by_upload[rejected]["why"].startswith("/")
    assert " more)" in by_upload[rejected]["why"]
    assert by_upload[waiting]["execution"] == "-"


def test_an_execution_that_failed_tells_its_step_s_own_reason(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition())
    (execution,) = deployment.sagemaker.executions
    execution.status = "Failed"
    execution.steps = [
        {"StepName": "Preprocess", "StepStatus": "Succeeded"},
        {"StepName": "TrainSpot", "StepStatus": "Failed", "FailureReason": "ClientError: no\ncapacity"},
        {"StepName": "TrainOnDemand", "StepStatus": "Failed", "FailureReason": "AlgorithmError"},
        {"StepName": "EvaluateSpot", "StepStatus": "Stopped"},
    ]
    expected = "TrainSpot: ClientError: no capacity (and 1 more)"
    assert [row["why"] for row in rows(capsys)] == [expected]
    assert [each["reason"] for each in documents(capsys)] == [expected]
    execution.status = "Stopped"
    assert [row["why"] for row in rows(capsys)] == [""]


def test_an_execution_that_no_upload_started_has_a_row_of_its_own(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    deployment.put(definition("first"))
    deployment.put(definition("second"))
    cli.run(["rollback", "1", "--start-only"])
    newest = rows(capsys)[0]
    assert (newest["upload"], newest["verdict"], newest["pipeline version"]) == ("-", "no upload", "1")
    assert newest["execution"] == deployment.sagemaker.executions[-1].arn.rpartition("/")[2]
    assert "rollback --start-only" in newest["why"]


def test_what_is_left_of_an_upload_that_expired_is_shown(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    expired = deployment.put(definition("first"))
    deployment.put(definition("second"))
    deployment.s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=expired)
    found = {row["upload"]: row for row in rows(capsys)}
    assert found[expired[:8]]["pipeline version"] == "1"
    deployment.s3.delete_object(Bucket=BUCKET, Key=f"verdicts/{KEY}/{expired}.json")
    shown = [document["executionArn"] for document in documents(capsys)]
    assert set(shown) == {each.arn for each in deployment.sagemaker.executions}


def test_the_limit_keeps_the_newest_and_reads_no_more_verdicts(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    uploads = [deployment.put(definition(str(number))) for number in range(13)]
    read: list[str] = []
    deployment.s3.meta.events.register("before-call.s3.GetObject", lambda params, **_: read.append("one"))
    found = documents(capsys, "--limit", "4")
    assert [each["versionId"] for each in found] == uploads[:-5:-1]
    assert len(read) == 4
    assert len(documents(capsys, "--limit", "100")) == 13, "more than a page of executions"


def test_executions_long_before_the_oldest_row_are_not_asked_for(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    for number in range(40):
        deployment.put(definition(str(number)))
    for number, execution in enumerate(deployment.sagemaker.executions):
        execution.started_at = datetime.now(UTC) - timedelta(days=39 - number)
    deployment.sagemaker.calls.clear()
    documents(capsys, "--limit", "5")
    assert deployment.sagemaker.calls.count("ListPipelineExecutions") == 1


def test_programs_get_the_columns_unabridged_with_the_whole_verdict(
    deployment: MotoDeployment, capsys: Captured
) -> None:
    version = deployment.put(definition())
    (execution,) = deployment.sagemaker.executions
    (found,) = documents(capsys)
    assert found["versionId"] == version
    assert found["verdict"]["executionArn"] == found["executionArn"] == execution.arn
    assert (found["pipelineVersionId"], found["executionStatus"]) == (1, "Executing")
    assert datetime.fromisoformat(found["at"]).tzinfo is not None


def test_another_pipelines_history_is_found_by_name(deployment: MotoDeployment, capsys: Captured) -> None:
    deployment.put(definition())
    trial = deployment.put(definition(), "pipeline/trial/pipeline.json")
    assert [each["versionId"] for each in documents(capsys, "--name", "trial")] == [trial]
    assert cli.run(["history", "--name", "a_b"]) == 2


@pytest.mark.parametrize("width", [60, 200])
def test_on_a_terminal_it_is_a_table_that_cuts_nothing(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    long = "/Steps/0/Arguments/RoleArn: " + "write {'Get': 'Parameters.ExecutionRoleArn'} " * 4
    show_table(console, ("verdict", "why"), [("REJECTED", long), ("STARTED", "[red]not markup[/]\n")])
    shown = out.getvalue()
    assert "".join(long.split()) in "".join(shown.split())
    assert "[red]not markup[/]" in shown
    assert max(map(len, shown.splitlines())) <= width


def test_elsewhere_it_is_one_line_a_row() -> None:
    out = io.StringIO()
    show_table(Console(file=out, width=20), ("a", "why"), [("1", "two\nlines " + "x" * 50), ("long", "-")])
    assert out.getvalue() == "a     why\n1     two lines " + "x" * 50 + "\nlong  -\n"


@pytest.mark.parametrize("command", ["history", "failures"])
def test_a_verdict_that_may_not_be_read_is_not_taken_for_none(
    deployment: MotoDeployment, capsys: Captured, command: str
) -> None:
    deployment.put(definition())

    def forbid(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
        http_response.status_code = 403
        parsed["Error"] = {"Code": "AccessDenied", "Message": "not authorized to perform: s3:GetObject"}

    deployment.s3.meta.events.register("after-call.s3.GetObject", forbid)
    assert cli.run([command]) == 2
    assert "AWS refused GetObject: not authorized" in capsys.readouterr().err
