"""`cv-pipeline estimate`: what history says an execution will cost, beside the worst case."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ops.commands.uploads import DEFINITION
from ops.costs.estimate import EXECUTIONS
from tests.support.definitions.policy_cases import DEFAULT, shipped, values
from tests.support.ops.deployment import BUCKET
from tests.support.ops.ledger import Ledger, ledger
from tests.support.services.fake_execution import START, FakeProcessing, ScriptedExecution, client_of
from tests.support.services.fake_execution_scenarios import processing, succeeded, training
from upload_trigger.policy import worst_case_cost

__all__ = ["ledger"]  # a fixture

TRAINING_HOUR = 0.816 + 30 * 0.14 / 730
PROCESSING_HOUR = 0.23 + 30 * 0.14 / 730


def remember(ledger: Ledger, *executions: ScriptedExecution) -> None:
    """Let these be the pipeline's executions, the first the newest."""
    for age, execution in enumerate(executions):
        execution.created = START - timedelta(hours=age)
    ledger.sagemaker.executions = {each.arn: each for each in executions}


def one(number: int, *, seconds: float = 16.0, **more: Any) -> ScriptedExecution:
    """An execution whose On-Demand training was billed so many seconds."""
    execution = succeeded(f"run{number:09}")
    job = execution.trainings[1]
    execution.trainings[1] = replace(job, end=job.begin + 2 + seconds, **more)
    return execution


def likely(out: str) -> tuple[float, float, float]:
    found = re.search(r"Likely ([\d.,]+) USD, from ([\d.,]+) USD to ([\d.,]+) USD: ", out)
    assert found, out
    low, middle, high = (float(each.replace(",", "")) for each in found.groups())
    return low, middle, high


def test_it_is_the_sum_of_medians_from_minima_to_maxima(ledger: Ledger) -> None:
    billed = [7200.0, 3600.0, 36000.0]
    remember(ledger, *(one(number, seconds=each) for number, each in enumerate(billed)))
    ledger.sagemaker.clock = 100_000.0
    code, out, _ = ledger.run("estimate")
    assert code == 0
    rest = (7 * TRAINING_HOUR + (8 + 6 + 6) * PROCESSING_HOUR) / 3600
    expected = [rest + TRAINING_HOUR * each / 3600 for each in (median(billed), min(billed), max(billed))]
    assert likely(out) == pytest.approx(expected, abs=0.005)
    assert "of 3 finished executions, by AWS's list prices of us-east-1 (" in out
    row = next(line for line in out.splitlines() if line.startswith("TrainOnDemand"))
    assert row.split()[1:5] == ["1", "x", "ml.c5.4xlarge", "3"]


def test_the_worst_case_beside_it_is_the_policys(ledger: Ledger) -> None:
    definition = shipped()
    worst = worst_case_cost(definition, values(definition), DEFAULT)
    _, out, _ = ledger.run("estimate")
    assert f"Worst case: at most {worst:.2f} USD, every job to its time limit and on every retry." in out


def test_without_history_it_says_so_and_gives_readmes_rule_of_thumb(ledger: Ledger) -> None:
    ledger.sagemaker.executions.clear()
    code, out, _ = ledger.run("estimate")
    assert code == 0
    assert "no history yet" in out
    said = re.search(r"Rule of thumb: 5 jobs of a quarter of an hour each cost ([\d.]+) USD", out)
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
    (usual,) = re.findall(r"quarter of an hour each costs ([\d.]+) USD", " ".join(readme.split()))
    assert said
    assert f"{float(said[1]):.2f}" == usual
    assert "Likely" not in out


def test_a_pipeline_that_is_not_there_yet_has_no_history(ledger: Ledger) -> None:
    code, out, _ = ledger.run("estimate", "--name", "night")
    assert code == 0
    assert "no history yet" in out


def test_only_jobs_that_completed_and_were_the_executions_own_are_counted(ledger: Ledger) -> None:
    source, cached, failed = one(0), one(1, seconds=99_000.0), one(2, seconds=88_000.0)
    cached.steps[2].cache_source = source.arn
    cached.steps[2].metadata = training(source.id, "TrainOnDemand")
    del cached.trainings[1]
    failed.steps[2].status = failed.trainings[1].status = "Failed"
    failed.trainings[1].end = failed.trainings[1].begin + 5
    remember(ledger, cached, failed, source)
    _, out, _ = ledger.run("estimate")
    row = next(line for line in out.splitlines() if line.startswith("TrainOnDemand"))
    assert row.split()[4] == "1"
    assert row.split()[5] == f"{16 * TRAINING_HOUR / 3600:.4f}"


def test_an_execution_that_still_runs_is_not_history(ledger: Ledger) -> None:
    running, done = one(0), one(1)
    running.end = 10_000.0
    remember(ledger, running, done)
    _, out, _ = ledger.run("estimate")
    assert "of 1 finished execution, by" in out


def test_the_newest_twenty_are_looked_at(ledger: Ledger) -> None:
    remember(ledger, *(one(number, seconds=16.0 if number < EXECUTIONS else 90.0) for number in range(25)))
    _, out, _ = ledger.run("estimate")
    assert "of 20 finished executions, by" in out
    row = next(line for line in out.splitlines() if line.startswith("TrainOnDemand"))
    assert row.split()[4] == "20"
    assert row.split()[5] == row.split()[7]


def test_durations_of_another_instance_type_are_priced_as_asked_for_and_said_to_be_so(ledger: Ledger) -> None:
    remember(ledger, one(0, instance_type="ml.m5.xlarge"))
    _, out, _ = ledger.run("estimate", "-p", "TrainingInstanceType=ml.c5.2xlarge")
    row = next(line for line in out.splitlines() if line.startswith("TrainOnDemand"))
    assert row.split()[3] == "ml.c5.2xlarge"
    assert row.split()[5] == f"{16 * (0.408 + 30 * 0.14 / 730) / 3600:.4f}"
    assert "TrainOnDemand ran on ml.m5.xlarge, too, or only: how long it takes on ml.c5.2xlarge" in out


def test_a_step_that_never_ran_is_named_and_not_counted(ledger: Ledger) -> None:
    execution = one(0)
    execution.steps = [step for step in execution.steps if step.name != "EvaluateSpot"]
    remember(ledger, execution)
    _, out, _ = ledger.run("estimate")
    assert "Not counted, because no earlier job of it Completed: EvaluateSpot." in out
    row = next(line for line in out.splitlines() if line.startswith("EvaluateSpot"))
    assert "not known" in row


def test_the_values_beside_the_definition_count_as_in_an_upload(ledger: Ledger, tmp_path: Path) -> None:
    body = json.dumps({"TrainingInstanceType": "ml.c5.xlarge"}).encode()
    client_of("s3").put_object(Bucket=BUCKET, Key="pipeline/parameters.json", Body=body)
    _, out, _ = ledger.run("estimate")
    assert out.count("ml.c5.xlarge") >= 2
    (tmp_path / "values.json").write_text(json.dumps({"TrainingInstanceType": "ml.m5.2xlarge"}))
    _, out, _ = ledger.run("estimate", "--parameters", "values.json")
    assert "ml.c5.xlarge" not in out
    assert out.count("ml.m5.2xlarge") >= 2
    code, _, err = ledger.run("estimate", "-p", "TrainingInstanceType=ml.c5.2xlarge")
    assert code == 2
    assert "which would win" in err


def test_the_policys_prices_count(ledger: Ledger) -> None:
    policy = {"instance_prices": {"ml.c5.4xlarge": 2.0}, "max_execution_cost_usd": 900.0}
    ledger.function.environment["DEPLOYMENT_POLICY"] = json.dumps(policy)
    remember(ledger, one(0, seconds=3600.0))
    ledger.sagemaker.clock = 10_000.0
    _, out, _ = ledger.run("estimate")
    assert likely(out)[0] > 2
    assert "and instance_prices of stack cv-birds" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.json"], "cannot read the definition no.json"),
        (["-p", "Epochs=many"], "Epochs='many' is not an Integer"),
        (["-p", "Colour=red"], "no parameter Colour in the definition"),
        (["--parameters", "no.json"], "cannot read the parameters no.json"),
        (["--name", "No"], "--name 'No': write lower-case letters"),
        (["-p", "TrainingInstanceType=ml.p5.48xlarge"], "ml.p5.48xlarge"),
    ],
)
def test_a_mistake_is_one_sentence(ledger: Ledger, arguments: list[str], said: str) -> None:
    code, out, err = ledger.run("estimate", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_nothing_is_uploaded(ledger: Ledger) -> None:
    ledger.run("estimate", str(DEFINITION))
    assert "Contents" not in client_of("s3").list_objects_v2(Bucket=BUCKET)


def test_a_step_whose_earlier_jobs_are_gone_has_no_history(ledger: Ledger) -> None:
    for step in ledger.sagemaker.executions[succeeded().arn].steps:
        if "ProcessingJob" in step.metadata:
            step.metadata = processing("forgotten000", step.name)
    code, out, _ = ledger.run("estimate")
    assert code == 0
    assert "no earlier job of it Completed: Preprocess, EvaluateSpot, EvaluateOnDemand." in out


def test_a_job_that_ended_otherwise_than_its_step_is_left_out(ledger: Ledger) -> None:
    execution = one(0)
    name = processing(execution.id, "Preprocess")["ProcessingJob"]["Arn"].rpartition("/")[2]
    execution.processings = [FakeProcessing(name, 1.0, 5.0, "Stopped")]
    remember(ledger, execution)
    _, out, _ = ledger.run("estimate")
    assert "no earlier job of it Completed: Preprocess." in out
