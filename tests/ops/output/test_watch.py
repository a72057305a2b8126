"""Watching an execution: a picture on a terminal, lines elsewhere, then one closing sentence."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from rich.console import Console
from rich.spinner import Spinner

from ops.costs.bill import SpotComparison
from ops.executions.snapshot import SnapshotReader
from ops.output import words
from ops.output.live import picture
from ops.output.watch import follow
from tests.support.services.fake_execution import BUCKET, ScriptedExecution, ScriptedSageMaker, client_of
from tests.support.services.fake_execution_scenarios import (
    below_threshold,
    failed_preprocess,
    failed_training,
    fill_bucket,
    succeeded,
    training,
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
    lines = text[: text.index("Succeeded in ")].splitlines()
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
    text = text[: text.index("Succeeded in ")]
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
    assert "cv-birds/2 (Spot, test accuracy 0.925) and cv-birds/1 (OnDemand, test accuracy 0.925)" in closing
    assert "each PendingManualApproval; its jobs cost 0.0066 USD by AWS" in closing
    assert "\ncv-pipeline approve cv-birds/2\n" in closing


def test_each_accuracy_says_of_which_images_it_is() -> None:
    execution = succeeded()
    s3 = client_of("s3")
    fill_bucket(s3, execution)
    for terminal in (False, True):
        _, text = run(execution, terminal=terminal, s3=s3)
        assert len(re.findall("(?<!validation )(?<!test )accuracy", text)) == 0
    _, text = run(execution, s3=s3)
    ends = [line for line in text.splitlines() if "Succeeded" in line]
    assert [line.partition(", ")[2].partition(",")[0] for line in ends if " Train" in line] == [
        "validation accuracy 0.938"
    ] * 2
    evaluated = [line.partition(", ")[2] for line in ends if "Evaluate" in line]
    assert evaluated == ["test accuracy 0.925"] * 2


def test_an_evaluation_is_fetched_once_and_one_that_is_not_there_is_left_out() -> None:
    execution = succeeded()
    s3 = client_of("s3")
    fill_bucket(s3, execution)
    s3.delete_object(Bucket=BUCKET, Key=f"executions/{execution.id}/evaluation/spot/evaluation.json")
    asked: list[str] = []
    s3.meta.events.register("before-call.s3.GetObject", lambda params, **_: asked.append(params["url_path"]))
    _, text = run(execution, s3=s3)
    assert text.count("test accuracy 0.925") == 2, "of OnDemand: its line, and the closing sentence"
    assert len(asked) == 4, "for each its line, and the closing sentence"


def test_the_bill_says_what_spot_billed_and_apart_what_interruptions_lost() -> None:
    """Of 22 seconds 7 were billed: 68 % to the console, while On-Demand billed 16."""
    _, text = run(succeeded())
    assert "its jobs cost 0.0066 USD by AWS's list prices of us-east-1 (" in text
    bill = text[text.index("Billed: ") :].splitlines()
    assert bill[0] == (
        "Billed: Preprocess 0.0005 USD, TrainSpot 0.0016 USD, TrainOnDemand 0.0037 USD, "
        "EvaluateSpot 0.0004 USD, EvaluateOnDemand 0.0004 USD."
    )
    assert bill[1:4] == [
        "For the same training TrainSpot (Spot) billed 0.0016 USD and TrainOnDemand (On-Demand) 0.0037 USD: "
        "56% less.",
        "1 - billable/training (SageMaker's console) of TrainSpot: 68%.",
        "1 spot interruption of TrainSpot lost 0:06 of training, which was done again, and 0:05 of waiting, "
        "which is not billed.",
    ]
    assert "saved" not in text


@pytest.mark.parametrize(
    ("spot_usd", "said"), [(0.5, "50% less"), (1.25, "25% more"), (1.0, "the same"), (0.9951, "the same")]
)
def test_a_comparison_says_less_more_or_the_same(spot_usd: float, said: str) -> None:
    compared = SpotComparison("A", "B", spot_usd, 1.0, None, 0, 0, 0)
    assert words.compared(compared)[0].endswith(f"B (On-Demand) 1.00 USD: {said}.")


def test_what_is_not_known_of_the_bill_is_said() -> None:
    execution = succeeded()
    execution.trainings[0].instance_type = "ml.x9.huge"
    _, text = run(execution)
    assert "its jobs cost at least 0.0050 USD by AWS" in text
    assert "Not known: pipelines-q3fz81mkd2ax-TrainSpot-ab12cd34ef: the price of ml.x9.huge is not" in text
    assert "For the same training" not in text


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


def test_what_came_from_the_cache_was_billed_to_another_execution() -> None:
    execution = succeeded()
    execution.steps[1].cache_source = succeeded("source00000a").arn
    execution.steps[1].metadata = training("source00000a", "TrainSpot")
    execution.trainings = execution.trainings[1:]
    _, text = run(execution)
    line = next(line for line in text.splitlines() if " TrainSpot  " in line and "Succeeded" in line)
    assert "billed" not in line
    assert "Interrupted" not in text
    assert "For the same training" not in text
    assert "From the cache, at no cost here: TrainSpot." in text


def test_a_cached_step_without_a_job_of_its_own_shows_the_sources() -> None:
    source, execution = succeeded("source00000a"), succeeded()
    execution.trainings = []
    for step in execution.steps[1:3]:
        step.cache_source, step.metadata = source.arn, {}
    _, text = run(execution)
    assert "TrainSpot              Succeeded    in 0:24, validation accuracy 0.938" in text


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
