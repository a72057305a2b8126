"""Watching an execution: a picture on a terminal, lines elsewhere, then one closing sentence."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console
from rich.spinner import Spinner

from ops.executions.snapshot import SnapshotReader
from ops.output import words
from ops.output.live import picture
from ops.output.watch import follow
from tests.support.services.fake_execution import ScriptedExecution, ScriptedSageMaker, client_of
from tests.support.services.fake_execution_scenarios import (
    below_threshold,
    failed_preprocess,
    failed_training,
    fill_bucket,
    succeeded,
)


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CI", "NO_COLOR", "TERM", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


def run(execution: ScriptedExecution, *, terminal: bool = False, **more: Any) -> tuple[str, str]:
    fake = ScriptedSageMaker(execution, succeeded("source00000a"))
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=terminal)
    status = follow(
        fake.client(),
        client_of("logs"),
        execution.arn,
        console,
        sleep=lambda _: fake.sleep(1.0),
        clock=fake.now,
        **more,
    )
    return status, out.getvalue()


def log_cache(execution: ScriptedExecution, *events: dict[str, Any]) -> None:
    logs = client_of("logs")
    where = {"logGroupName": "/local/sagemaker/pipelines", "logStreamName": execution.id}
    logs.create_log_group(logGroupName=where["logGroupName"])
    logs.create_log_stream(**where)
    messages = [json.dumps({"event": "cache", **event}) for event in events]
    now = int(time.time() * 1000)  # moto, as AWS, takes no event older than two weeks
    logs.put_log_events(
        **where, logEvents=[{"timestamp": now, "message": text} for text in ["not json", *messages]]
    )


def test_lines_have_no_control_characters_and_one_line_for_each_change() -> None:
    status, text = run(succeeded())
    lines = text.splitlines()
    assert status == "Succeeded"
    assert "\x1b" not in text
    assert "\r" not in text
    assert len([line for line in lines if "TrainSpot" in line and " Executing" in line]) == 1
    assert [line.split()[2] for line in lines if " TrainSpot " in line] == [
        "Executing",
        "25%",
        "Interrupted",
        "50%",
        "75%",
        "100%",
        "Succeeded",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_check_says_what_runs_because_of_it_or_what_need_not(*, terminal: bool) -> None:
    _, text = run(succeeded(), terminal=terminal)
    assert "condition true: runs RegisterSpot" in text
    assert "condition false: skips AccuracyTooLow" in text
    _, text = run(below_threshold(), terminal=terminal)
    assert "condition false: skips RegisterSpot" in text
    assert "condition true: runs AccuracyTooLow" in text


@pytest.mark.parametrize("variable", ["CI", "NO_COLOR"])
def test_a_terminal_gets_lines_too_in_ci_and_without_colour(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    _, text = run(succeeded(), terminal=True)
    assert "\x1b" not in text


def test_a_terminal_gets_a_picture_that_ends_with_every_step_in_the_pipelines_order() -> None:
    _, text = run(succeeded(), terminal=True)
    assert "\x1b[" in text
    last = text[text.rindex("Preprocess") :]
    order = [
        "Preprocess",
        "TrainSpot",
        "TrainOnDemand",
        "EvaluateSpot",
        "EvaluateOnDemand",
        "CheckSpotAccuracy",
    ]
    places = [last.index(name) for name in [*order, "RegisterSpot", "RegisterOnDemand", "AccuracyTooLow"]]
    assert places == sorted(places)
    assert "not run" in last


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("clock", [0.0, 12.0, 20.0, 36.0, 60.0])
def test_the_picture_fits_the_terminal_and_cuts_no_step_name(width: int, clock: float) -> None:
    execution = succeeded()
    fake = ScriptedSageMaker(execution)
    fake.clock = clock
    snapshot = SnapshotReader(fake.client(), client_of("logs"), execution.arn, fake.now).read()
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(picture(snapshot, width, Spinner("dots"), fake.now()))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(name.name in line for line in lines) for name in snapshot.execution.plan)


def test_the_closing_sentence_sums_up_and_says_how_to_approve() -> None:
    execution = succeeded()
    s3 = client_of("s3")
    fill_bucket(s3, execution)
    _, text = run(execution, s3=s3)
    closing = text[text.index("Succeeded in 0:42") :]
    assert "registered 2 model packages" in closing
    assert "cv-birds/2 (Spot, accuracy 0.925) and cv-birds/1 (OnDemand, accuracy 0.925)" in closing
    assert "each PendingManualApproval" in closing
    assert "Spot saved 68% of its price with 1 spot interruption." in closing
    assert "\ncv-pipeline approve cv-birds/2\n" in closing


def test_without_s3_the_closing_sentence_says_that_its_accuracy_is_of_the_validation_split() -> None:
    _, text = run(succeeded())
    assert "(Spot, validation accuracy 0.938)" in text


def test_a_model_below_the_threshold_ends_with_the_fail_steps_reason() -> None:
    status, text = run(below_threshold())
    assert status == "Failed"
    assert "AccuracyTooLow failed: Neither model reached AccuracyThreshold 1.01: Spot 0.925" in text
    assert "no model was registered" in text
    assert "approve" not in text


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_failure_reason_is_printed_in_full_and_on_one_line(terminal: bool) -> None:
    execution = failed_training()
    reason = execution.steps[2].reason
    assert reason
    status, text = run(execution, terminal=terminal)
    assert status == "Failed"
    assert f"TrainOnDemand failed: {reason}\n" in text.replace("\r", "")


def test_a_failed_processing_job_tells_its_own_reason_which_is_asked_for_once() -> None:
    fake = ScriptedSageMaker(failed_preprocess())
    fake.exit_message = "no class 999: classes.txt has 1 to 200\n"
    fake.clock = 60.0
    reader = SnapshotReader(fake.client(), client_of("logs"), failed_preprocess().arn)
    reader.read()
    assert words.failures(reader.read())[0] == (
        "Preprocess failed: no class 999: classes.txt has 1 to 200 "
        "(AlgorithmError: See job logs for more information, exit code: 1)"
    )
    assert fake.calls.count("DescribeProcessingJob") == 1


def test_a_failed_processing_job_that_said_nothing_gives_the_steps_reason() -> None:
    status, text = run(failed_preprocess())
    assert status == "Failed"
    assert "Preprocess failed: AlgorithmError: See job logs for more information, exit code: 1\n" in text


def test_a_cache_hit_names_the_reason_where_it_is_logged() -> None:
    execution = failed_training()
    log_cache(execution, {"step": "Preprocess", "hit": True, "reason": "same arguments, stored 12 min ago"})
    _, text = run(execution)
    assert "cache hit of execution q3fz81mkd2ax: same arguments, stored 12 min ago" in text


def test_a_cache_hit_names_its_source_where_no_reason_is_known() -> None:
    _, text = run(failed_training())
    assert "cache hit of execution q3fz81mkd2ax" in text


def test_a_cache_miss_says_why_once() -> None:
    execution = succeeded()
    log_cache(execution, {"step": "TrainSpot", "hit": False, "reason": "InputDataConfig differs"})
    _, text = run(execution)
    assert text.count("cache miss: InputDataConfig differs") == 1


def test_what_came_from_the_cache_is_no_saving_of_this_execution() -> None:
    execution = succeeded()
    execution.steps[1].cache_source = succeeded("source00000a").arn
    _, text = run(execution)
    assert "saved" not in text
    assert "Interrupted" not in text


def test_a_cached_step_without_a_job_of_its_own_shows_the_sources() -> None:
    source, execution = succeeded("source00000a"), succeeded()
    execution.trainings = []
    for step in execution.steps[1:3]:
        step.cache_source, step.metadata = source.arn, {}
    _, text = run(execution)
    assert "TrainSpot              Succeeded    in 0:24, accuracy 0.938" in text


def test_a_final_training_job_is_not_asked_for_again() -> None:
    execution = succeeded()
    fake = ScriptedSageMaker(execution)
    fake.clock = 100.0
    reader = SnapshotReader(fake.client(), client_of("logs"), execution.arn, fake.now)
    reader.read()
    asked = fake.calls.count("DescribeTrainingJob")
    reader.read()
    assert fake.calls.count("DescribeTrainingJob") == asked == 2


def test_ctrl_c_leaves_the_execution_and_the_terminal_alone() -> None:
    execution = succeeded()
    fake = ScriptedSageMaker(execution)
    out = io.StringIO()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(
            fake.client(),
            client_of("logs"),
            execution.arn,
            Console(file=out, force_terminal=True),
            sleep=interrupt,
        )
    assert "StopPipelineExecution" not in fake.calls
    assert out.getvalue().rstrip().endswith("\x1b[?25h"), "the cursor is back"
