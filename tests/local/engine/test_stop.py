"""A stop reaches every running job, starts nothing more, and is told from a job that others stopped."""

from __future__ import annotations

import threading
import time
from typing import Any

from local.engine.executor import STEP_FAILURE, Outcome
from tests.support.engine.fakes import EngineWorld, JobScript, birds_world, by_name, refusal
from tests.support.engine.pipelines import birds, pipeline, processing

DATA = {"InputDataUrl": "s3://bucket/data/"}


def test_stop_stops_the_running_jobs_and_starts_nothing_more() -> None:
    world = birds_world(TrainSpot=JobScript(seconds=30), TrainOnDemand=JobScript(seconds=30))
    executor = world.executor(birds(), DATA)
    outcome: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcome.append(executor.run()))
    thread.start()
    _wait_until(lambda: len(world.sagemaker.started()) == 3)
    executor.stop()
    thread.join(5)

    assert outcome == [Outcome("Stopped")]
    statuses = {name: record.status for name, record in by_name(executor).items()}
    assert statuses == {"Preprocess": "Succeeded", "TrainSpot": "Stopped", "TrainOnDemand": "Stopped"}
    assert all(record.end for record in executor.steps())


def test_a_stop_before_the_start_starts_nothing() -> None:
    world = EngineWorld()
    executor = world.executor(pipeline(processing("A")))
    executor.stop()

    assert executor.run() == Outcome("Stopped")
    assert not world.sagemaker.requests


def test_a_refused_stop_is_noted_and_the_job_runs_to_its_end() -> None:
    error = refusal("StopProcessingJob", "AccessDeniedException", "not authorized to perform: sagemaker:Stop")
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(seconds=0.1, stop_error=error)
    executor = world.executor(pipeline(processing("A"), processing("B", DependsOn=["A"])))
    thread = threading.Thread(target=executor.run)
    thread.start()
    _wait_until(lambda: bool(world.sagemaker.started()))
    executor.stop()
    thread.join(5)

    assert "not authorized" in world.noted("stop", "A")[0]["reason"]
    assert {r.name: r.status for r in executor.steps()} == {"A": "Succeeded"}


def test_a_job_stopped_from_outside_fails_the_execution_and_says_so() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["A"] = JobScript(seconds=30)
    executor = world.executor(pipeline(processing("A")))
    outcome: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcome.append(executor.run()))
    thread.start()
    _wait_until(lambda: bool(world.sagemaker.started()))
    world.sagemaker.stop_processing_job(ProcessingJobName=world.sagemaker.requests[0][1]["ProcessingJobName"])
    thread.join(5)

    assert outcome == [Outcome("Failed", STEP_FAILURE)]
    assert "was stopped from outside the pipeline" in str(by_name(executor)["A"].failure_reason)


def _wait_until(true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)
