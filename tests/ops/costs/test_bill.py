"""The bill of an execution: every second that SageMaker billed, none that somebody else paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from ops.costs.bill import Bill, read_bill
from ops.costs.prices import Prices, list_prices, with_policy
from ops.executions.snapshot import SnapshotReader
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.toy_jobs import spot
from tests.support.sagemaker.toy_pipelines import create, definition, process, run, train
from tests.support.services.fake_execution import (
    FakeProcessing,
    FakeTraining,
    ScriptedExecution,
    ScriptedSageMaker,
    client_of,
)
from tests.support.services.fake_execution_scenarios import processing, succeeded, training
from tests.support.soak import sized

ID = "q3fz81mkd2ax"
# What the product assumes, written again: USD an hour of an instance, and of a gigabyte.
PRICES = {
    "ml.c5.4xlarge": Fraction("0.816"),
    "ml.m5.xlarge": Fraction("0.23"),
    "ml.c5.xlarge": Fraction("0.204"),
}
GIGABYTE = Fraction("0.14") / 730
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", autouse=True)
def _aws() -> Iterator[None]:
    with mock_aws():
        yield


def bill_of(
    execution: ScriptedExecution, *, clock: float = 1000.0, prices: Prices | None = None, denied: str = ""
) -> Bill:
    fake = ScriptedSageMaker(execution, succeeded("source00000a"))
    fake.clock, fake.denied = clock, {denied}
    client = fake.client()
    snapshot = SnapshotReader(client, client_of("logs"), execution.arn, fake.now).read()
    return read_bill(client, snapshot, prices or list_prices())


def charge(answer: Mapping[str, Any]) -> Fraction:
    """Work out what one job costs from its Describe answer, by hand and exactly."""
    if "TrainingJobName" in answer:
        cluster, seconds = answer["ResourceConfig"], Fraction(answer.get("BillableTimeInSeconds", 0))
    else:
        cluster = answer["ProcessingResources"]["ClusterConfig"]
        seconds = Fraction(0)
        if "ProcessingStartTime" in answer:
            took = answer["ProcessingEndTime"] - answer["ProcessingStartTime"]
            seconds = Fraction(took // SECOND + bool(took % SECOND))
    hour = PRICES[cluster["InstanceType"]] + Fraction(cluster["VolumeSizeInGB"]) * GIGABYTE
    return Fraction(cluster["InstanceCount"]) * hour * seconds / 3600


def charges(execution: ScriptedExecution, clock: float = 1000.0) -> Fraction:
    jobs: list[FakeTraining | FakeProcessing] = [*execution.trainings, *execution.processing_jobs]
    return sum((charge(job.at(clock)) for job in jobs), Fraction(0))


def interrupted(times: int) -> ScriptedExecution:
    execution = succeeded()
    lost = tuple((12.0 + 6 * number, 15.0 + 6 * number) for number in range(times))
    execution.trainings[0] = replace(execution.trainings[0], interrupted=lost, end=27.0 + 6 * times)
    return execution


@pytest.mark.parametrize("times", [0, 1, 3])
def test_the_bill_is_the_sum_over_what_describe_answers(times: int) -> None:
    execution = interrupted(times)
    bill = bill_of(execution)
    assert bill.total_usd == pytest.approx(float(charges(execution)), rel=1e-12)
    assert bill.total_usd > 0
    assert [line.step for line in bill.lines] == [
        "Preprocess",
        "TrainSpot",
        "TrainOnDemand",
        "EvaluateSpot",
        "EvaluateOnDemand",
    ]
    assert not bill.not_known


@pytest.mark.parametrize(("times", "lost", "waited"), [(0, 0, 0), (1, 6, 3), (3, 18, 9)])
def test_spot_is_compared_with_what_on_demand_was_billed_for_the_same_training(
    times: int, lost: int, waited: int
) -> None:
    """16 seconds of On-Demand; Spot trains longer the more it loses, and pays 30 % of it."""
    (compared,) = bill_of(interrupted(times)).spot_against_on_demand
    trained = 16 + lost
    assert compared.saved_share == pytest.approx(1 - round(trained * 0.3) / 16)
    assert compared.console_saving == pytest.approx(1 - round(trained * 0.3) / trained)
    assert (compared.interruptions, compared.lost_seconds, compared.waited_seconds) == (times, lost, waited)
    if times == 3:
        assert compared.saved_share == pytest.approx(0.375)
        assert compared.console_saving == pytest.approx(0.706, abs=0.001), "what once stood for it"


def test_the_time_between_two_jobs_is_no_lost_work_where_nothing_was_interrupted() -> None:
    execution = interrupted(0)
    execution.trainings[0].end += 30
    (compared,) = bill_of(execution).spot_against_on_demand
    assert compared.lost_seconds == 0


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 19},
        {"instance_type": "ml.c5.xlarge"},
        {"instance_count": 2},
        {"inputs": "executions/other/data/train"},
        {"status": "Stopped"},
        {"status": "Failed"},
    ],
)
def test_only_the_same_training_that_completed_is_compared(change: dict[str, Any]) -> None:
    for place in (0, 1):
        execution = succeeded()
        execution.trainings[place] = replace(execution.trainings[place], **change)
        assert not bill_of(execution).spot_against_on_demand


def test_a_training_from_the_cache_is_not_billed_and_not_compared() -> None:
    execution = succeeded()
    for place, name in ((0, "Preprocess"), (2, "TrainOnDemand")):
        step = execution.steps[place]
        step.cache_source = succeeded("source00000a").arn
        step.metadata = (processing if name == "Preprocess" else training)("source00000a", name)
    del execution.trainings[1]
    bill = bill_of(execution)
    assert bill.cached == ("Preprocess", "TrainOnDemand")
    assert [line.step for line in bill.lines] == ["TrainSpot", "EvaluateSpot", "EvaluateOnDemand"]
    assert bill.total_usd == pytest.approx(float(charges(execution)), rel=1e-12)
    assert not bill.spot_against_on_demand


def attempt(step: str, number: int, **more: Any) -> FakeTraining:
    name = f"pipelines-{ID}-{step}-0ld{number}"
    return FakeTraining(name, **{"begin": 2.0 + number, "end": 8.0 + number, "status": "Failed", **more})


def retried() -> ScriptedExecution:
    execution = succeeded()
    execution.trainings += [
        attempt("TrainSpot", 1, spot=True),
        attempt("TrainSpot", 2, spot=True, started=False),
        attempt("TrainOnDemand", 1),
    ]
    execution.processings = [FakeProcessing(f"pipelines-{ID}-EvaluateOnDemand-0ld1", 20.0, 23.5, "Failed")]
    return execution


def test_attempts_that_a_retry_replaced_are_billed_with_their_step() -> None:
    execution = retried()
    bill = bill_of(execution)
    assert bill.total_usd == pytest.approx(float(charges(execution)), rel=1e-12)
    told = [(line.step, line.attempt, line.retried, line.usd) for line in bill.lines]
    assert [each[:3] for each in told if each[0] == "TrainSpot"] == [
        ("TrainSpot", 1, True),
        ("TrainSpot", 2, True),
        ("TrainSpot", 3, False),
    ]
    assert told[2][3] == 0, "it failed before it had an instance"
    assert [each[:3] for each in told if each[0] == "EvaluateOnDemand"] == [
        ("EvaluateOnDemand", 1, True),
        ("EvaluateOnDemand", 2, False),
    ]
    (compared,) = bill.spot_against_on_demand
    spot_usd = sum(line.usd or 0 for line in bill.lines if line.step == "TrainSpot")
    assert compared.spot_usd == pytest.approx(spot_usd), "with its earlier attempts"


def test_jobs_whose_names_begin_with_a_prefix_of_the_definition_are_found() -> None:
    execution = succeeded()
    execution.trainings.append(replace(attempt("TrainSpot", 1), name=f"birds-{ID}-TrainSpot-0ld1"))
    bill = bill_of(execution)
    first = next(line for line in bill.lines if line.step == "TrainSpot")
    assert first.job == f"birds-{ID}-TrainSpot-0ld1"
    assert bill.total_usd == pytest.approx(float(charges(execution)), rel=1e-12)


def test_an_attempt_is_told_from_those_of_a_step_whose_name_begins_alike() -> None:
    """SageMaker keeps 20 characters of a step's name, local AWS 29."""
    execution = succeeded()
    long = "TrainSpotOfManyBirdsAtNight"
    execution.steps.append(replace(execution.steps[1], name=long, metadata=training(ID, long)))
    execution.trainings += [
        replace(execution.trainings[0], name=f"pipelines-{ID}-{long}-ab12cd34ef"),
        replace(attempt("TrainSpot", 1), name=f"pipelines-{ID}-{long[:20]}-0ld1"),
        attempt("TrainSpot", 2),
    ]
    fake = ScriptedSageMaker(execution)
    fake.definition["Steps"].append({"Name": long, "Type": "Training", "Arguments": {}})
    fake.clock = 1000.0
    snapshot = SnapshotReader(fake.client(), client_of("logs"), execution.arn, fake.now).read()
    bill = read_bill(fake.client(), snapshot, list_prices())
    told = {(line.step, line.job.rpartition("-")[2]) for line in bill.lines if line.retried}
    assert told == {(long, "0ld1"), ("TrainSpot", "0ld2")}


@pytest.mark.parametrize("kind", ["Training", "Processing"])
def test_without_the_right_to_list_jobs_it_says_that_earlier_attempts_are_missing(kind: str) -> None:
    execution = retried()
    bill = bill_of(execution, denied=f"List{kind}Jobs")
    assert bill.not_known == (
        f"{kind.lower()} jobs that a retry replaced: AWS refuses sagemaker:List{kind}Jobs to you",
    )
    assert 0 < bill.total_usd < float(charges(execution))


def test_a_job_that_may_not_be_described_is_not_known_and_never_nothing() -> None:
    bill = bill_of(succeeded(), denied="DescribeProcessingJob")
    assert [line.usd for line in bill.lines if line.kind == "Processing"] == [None] * 3
    assert len([each for each in bill.not_known if "SageMaker does not describe it" in each]) == 3
    assert bill.total_usd == pytest.approx(
        float(sum(charge(job.at(1000.0)) for job in succeeded().trainings)), rel=1e-12
    )


def test_a_job_that_runs_is_not_known_and_never_nothing() -> None:
    bill = bill_of(succeeded(), clock=20.0)
    running = [line for line in bill.lines if line.usd is None]
    assert [line.step for line in running] == ["TrainSpot", "TrainOnDemand"]
    assert all(line.not_known == "it still runs" for line in running)
    assert len(bill.not_known) == 2
    assert not bill.spot_against_on_demand


def test_an_instance_type_without_a_price_is_not_known_and_says_where_to_write_it() -> None:
    execution = succeeded()
    for job in execution.trainings:
        job.instance_type = "ml.trn9.xlarge"
    bill = bill_of(execution)
    assert [line.usd for line in bill.lines if line.kind == "Training"] == [None, None]
    assert all(
        "ml.trn9.xlarge is not known; write it into instance_prices" in each for each in bill.not_known
    )
    assert len(bill.not_known) == 2
    priced = bill_of(execution, prices=with_policy({"ml.trn9.xlarge": 2.0}, "stack birds"))
    assert not priced.not_known
    hour = 2 + 30 * float(GIGABYTE)
    assert priced.lines[1].usd == pytest.approx(7 * hour / 3600)
    assert "instance_prices of stack birds" in priced.document()["prices"]["source"]


def test_prices_of_another_region_are_said_to_be_so() -> None:
    execution = succeeded()
    fake = ScriptedSageMaker(execution)
    fake.clock = 1000.0
    snapshot = SnapshotReader(fake.client(), client_of("logs"), execution.arn, fake.now).read()
    elsewhere = replace(
        snapshot,
        execution=replace(
            snapshot.execution, arn=snapshot.execution.arn.replace("us-east-1", "eu-central-1")
        ),
    )
    (said,) = read_bill(fake.client(), elsewhere, list_prices()).not_known
    assert said.startswith("the prices of eu-central-1, where this ran: those of us-east-1 stand for them")
    own = with_policy({"ml.c5.4xlarge": 0.952, "ml.m5.xlarge": 0.276}, "stack birds")
    assert not read_bill(fake.client(), elsewhere, own).not_known


def test_a_step_that_a_selective_execution_left_out_is_not_billed() -> None:
    execution = succeeded()
    source = succeeded("source00000a")

    class Selected(ScriptedSageMaker):
        def _ListPipelineExecutionSteps(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
            answer = super()._ListPipelineExecutionSteps(request)
            for step in answer["PipelineExecutionSteps"]:
                if step["StepName"] == "Preprocess":
                    step["Metadata"] = processing(source.id, "Preprocess")
                    step["SelectiveExecutionResult"] = {"SourcePipelineExecutionArn": source.arn}
            return answer

    execution.steps[0].metadata = processing(source.id, "Preprocess")
    fake = Selected(execution, source)
    fake.clock = 1000.0
    snapshot = SnapshotReader(fake.client(), client_of("logs"), execution.arn, fake.now).read()
    bill = read_bill(fake.client(), snapshot, list_prices())
    assert bill.cached == ("Preprocess",)
    assert "Preprocess" not in {line.step for line in bill.lines}


@st.composite
def executions(draw: st.DrawFn) -> ScriptedExecution:
    """Executions whose steps are cached, retried and interrupted in any way, on any instances."""
    execution, source = succeeded(), succeeded("source00000a")
    kinds = st.sampled_from(sorted(PRICES))
    counts, ends = st.integers(1, 4), st.floats(0.1, 500)
    trainings: list[FakeTraining] = []
    for step in execution.steps:
        kind = next(iter(step.metadata))
        if kind not in ("TrainingJob", "ProcessingJob"):
            continue
        if draw(st.booleans()):
            step.cache_source = source.arn
            step.metadata = (training if kind == "TrainingJob" else processing)(source.id, step.name)
            continue
        for number in range(draw(st.integers(0, 3)), -1, -1):
            token = f"0ld{number}" if number else "ab12cd34ef"
            name, status = f"pipelines-{ID}-{step.name}-{token}", "Failed" if number else "Completed"
            begin = step.begin - number / 100
            more: dict[str, Any] = {
                "instance_type": draw(kinds),
                "instance_count": draw(counts),
                "started": not number or draw(st.booleans()),
                "status": status,
            }
            end = begin + 3 + draw(ends)
            if kind == "TrainingJob":
                lost = tuple((begin + 1.5 + each / 9, begin + 1.6 + each / 9) for each in range(draw(counts)))
                trainings.append(FakeTraining(name, begin, end, draw(st.booleans()), lost, **more))
            else:
                execution.processings.append(FakeProcessing(name, begin, end, **more))
    execution.trainings = trainings
    return execution


@pytest.mark.soak
@settings(max_examples=sized(40, 1000), deadline=None)
@given(executions())
def test_any_execution_is_billed_the_sum_over_what_describe_answers(execution: ScriptedExecution) -> None:
    bill = bill_of(execution)
    assert bill.total_usd == pytest.approx(float(charges(execution)), rel=1e-12, abs=1e-15)
    assert not bill.not_known
    assert len(bill.lines) == len(execution.trainings) + len(execution.processing_jobs)
    billed = {line.step for line in bill.lines}
    assert not billed & set(bill.cached)
    assert len(billed) + len(bill.cached) == 5
    for each in bill.spot_against_on_demand:
        assert each.saved_usd == pytest.approx(each.on_demand_usd - each.spot_usd)


CHECKPOINTS = """
checkpoints = base / "checkpoints"
done = len(list(checkpoints.iterdir()))
for step in range(done, 4):
    (checkpoints / str(step)).write_text("x")
    time.sleep(0.3)
"""


@pytest.mark.slow
def test_jobs_of_local_aws_are_billed_as_it_describes_them(tmp_path: Path) -> None:
    """An interruption, a job as a retry leaves it, and then the cache, on the answers of real jobs."""
    spot_step = train("TrainSpot", CHECKPOINTS, CacheConfig={"Enabled": True, "ExpireAfter": "P1D"})
    spot_step["Arguments"] |= spot()
    steps = (spot_step, train("TrainOnDemand", "time.sleep(0.5)"), process("Evaluate", "time.sleep(0.2)"))
    with open_local_account(tmp_path / "aws", interruptions=1) as account:
        create(account, "billed", definition(*steps))
        for cached in ((), ("TrainSpot",)):
            arn, _ = run(account, "billed")
            account.process(f"pipelines-{arn.rpartition('/')[2]}-Evaluate-0ld1", "sys.exit(1)")
            snapshot = SnapshotReader(account.sagemaker, account.aws.client("logs"), arn).read()
            bill = read_bill(account.sagemaker, snapshot, list_prices())
            assert bill.cached == cached
            answers = list(own_jobs(account.sagemaker, arn))
            assert bill.total_usd == pytest.approx(float(sum(map(charge, answers))), rel=1e-12)
            assert len(bill.lines) == len(answers) == 4 - len(cached)
            assert len([line for line in bill.lines if line.step == "Evaluate"]) == 2
            assert all((line.billed_seconds or 0) > 0 for line in bill.lines)
            assert not bill.not_known


def own_jobs(sagemaker: Any, arn: str) -> Iterator[Mapping[str, Any]]:
    """Yield every job of the account that is named after the execution."""
    execution_id = arn.rpartition("/")[2]
    for each in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        if execution_id in each["TrainingJobName"]:
            yield sagemaker.describe_training_job(TrainingJobName=each["TrainingJobName"])
    for each in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]:
        if execution_id in each["ProcessingJobName"]:
            yield sagemaker.describe_processing_job(ProcessingJobName=each["ProcessingJobName"])
