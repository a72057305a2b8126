"""The step cache reuses what SageMaker would reuse, and says why for every hit and miss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.engine.cache import StepCache, expiry
from tests.support.engine.fakes import EngineWorld, JobScript, birds_world, by_name, variables
from tests.support.engine.pipelines import birds, get, pipeline, processing, training

DATA = {"InputDataUrl": "s3://bucket/data/1/"}
CACHE = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P30D"}}
FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def reasons(world: EngineWorld, execution: int) -> dict[str, str]:
    """Return the cache's reason for each step of the n-th execution of a world (each looks at five steps)."""
    return {note["step"]: note["reason"] for note in world.noted("cache")[5 * execution : 5 * execution + 5]}


def run_twice(world: EngineWorld, first: dict[str, str], second: dict[str, str]) -> Any:
    world.executor(birds(), first, FIRST).run()
    executor = world.executor(birds(), second, SECOND)
    executor.run()
    return executor


def test_a_second_identical_execution_reuses_every_job_and_says_why() -> None:
    world = birds_world()
    executor = run_twice(world, DATA, DATA)

    assert world.sagemaker.started().count("Preprocess") == 1
    assert reasons(world, 1)["Preprocess"] == (
        f"same AppSpecification and ProcessingInputs as step Preprocess of execution {FIRST}"
    )
    assert reasons(world, 1)["TrainSpot"] == (
        "same AlgorithmSpecification, HyperParameters and InputDataConfig "
        f"as step TrainSpot of execution {FIRST}"
    )
    record = by_name(executor)["TrainSpot"]
    assert record.cache_source == variables(FIRST).execution_arn
    assert "training-job" in record.metadata["TrainingJob"]["Arn"]
    assert record.attempt_count == 0
    # Registering is no cached step: each execution makes its own model packages, of the same artifacts.
    urls = [p["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] for p in world.sagemaker.packages]
    assert len(urls) == 4
    assert len(set(urls)) == 2


def test_a_first_execution_misses_because_there_is_none_before() -> None:
    world = birds_world()
    world.executor(birds(), DATA, FIRST).run()

    assert reasons(world, 0)["TrainSpot"] == (
        "no earlier execution of pipeline cv-birds has a succeeded step TrainSpot"
    )


def test_changed_data_misses_at_the_path_that_changed_and_downstream() -> None:
    world = birds_world()
    run_twice(world, DATA, {"InputDataUrl": "s3://bucket/data/2/"})

    assert reasons(world, 1)["Preprocess"] == (
        "ProcessingInputs['data'].S3Input.S3Uri changed "
        'from "s3://bucket/data/1/" to "s3://bucket/data/2/" '
        f"since step Preprocess of execution {FIRST}, the newest"
    )
    assert reasons(world, 1)["TrainSpot"].startswith(
        "InputDataConfig['train'].DataSource.S3DataSource.S3Uri changed"
    )
    assert world.sagemaker.started().count("TrainSpot") == 2


def test_the_accuracy_threshold_is_no_reason_to_train_again() -> None:
    world = birds_world()
    executor = run_twice(world, DATA, {**DATA, "AccuracyThreshold": "1.01"})

    assert world.sagemaker.started().count("TrainSpot") == 1
    assert by_name(executor)["AccuracyTooLow"].status == "Failed"


def test_outputs_instances_and_roles_are_not_in_the_key() -> None:
    other = {
        "RoleArn": "arn:aws:iam::123456789012:role/other",
        "StoppingCondition": {"MaxRuntimeInSeconds": 9},
    }
    world = EngineWorld()
    world.executor(pipeline(training("T", **CACHE)), execution_id=FIRST).run()
    world.executor(pipeline(training("T", arguments=other, **CACHE)), execution_id=SECOND).run()

    assert [note["hit"] for note in world.noted("cache")] == [False, True]


def test_a_failed_job_is_never_reused() -> None:
    world = EngineWorld()
    world.sagemaker.scripts["T"] = JobScript(failures=["AlgorithmError: x"])
    world.executor(pipeline(training("T", **CACHE)), execution_id=FIRST).run()
    world.executor(pipeline(training("T", **CACHE)), execution_id=SECOND).run()

    assert world.sagemaker.started() == ["T", "T"]


def test_without_cache_config_the_step_runs_and_its_job_may_be_reused_later() -> None:
    world = EngineWorld()
    world.executor(pipeline(training("T")), execution_id=FIRST).run()
    world.executor(pipeline(training("T")), execution_id=SECOND).run()
    assert (world.sagemaker.started(), world.notes) == (["T", "T"], [])

    world.executor(pipeline(training("T", **CACHE)), execution_id="cccccccccccc").run()
    assert world.notes[0]["source"] == variables(SECOND).execution_arn


def test_pipelines_do_not_share_their_jobs() -> None:
    world = EngineWorld()
    world.executor(pipeline(training("T", **CACHE))).run()
    world.executor(pipeline(training("T", **CACHE)), variables=variables(SECOND, "cv-birds-large")).run()

    assert world.sagemaker.started() == ["T", "T"]


def test_a_hit_gives_the_properties_of_the_source_job_to_what_follows() -> None:
    world = EngineWorld()
    first = pipeline(processing("A", **CACHE))
    uri = "Steps.A.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"
    second = pipeline(processing("A", **CACHE), processing("B", inputs={"x": get(uri)}))
    world.executor(first, execution_id=FIRST).run()
    world.executor(second, execution_id=SECOND).run()

    request = world.sagemaker.requests[-1][1]
    assert request["ProcessingInputs"][0]["S3Input"]["S3Uri"] == f"s3://bucket/executions/{FIRST}/A/out"


def test_a_job_older_than_expire_after_is_not_reused_and_the_reason_says_so() -> None:
    world = EngineWorld()
    clock = [datetime(2030, 1, 1, tzinfo=UTC)]
    document = pipeline(training("T", CacheConfig={"Enabled": True, "ExpireAfter": "T12H"}))
    for hours in (0, 11, 2):
        clock[0] += timedelta(hours=hours)
        world.executor(document, execution_id=f"{hours:012d}", now=lambda: clock[0]).run()

    assert [note["hit"] for note in world.notes] == [False, True, False]
    assert world.notes[-1]["reason"] == (
        "expired: the same step T of execution 000000000000 is 13 hours old, "
        "more than the 12 hours of ExpireAfter"
    )


def test_an_older_execution_with_the_same_attributes_is_found_behind_a_newer_one() -> None:
    cache, now = StepCache(), datetime(2030, 1, 1, tzinfo=UTC)
    for execution, image in (("e1", "a"), ("e2", "b")):
        cache.store("p", "T", "Training", _arguments(image), properties={"from": execution}, metadata={},
                    execution_arn=f"arn/execution/{execution}", now=now)  # fmt: skip
    found = cache.lookup("p", "T", "Training", _arguments("a"), expire_after=None, now=now)

    assert found.hit
    assert found.source is not None
    assert found.source.properties == {"from": "e1"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"HyperParameters": {"epochs": "4"}}, 'HyperParameters.epochs changed from "3" to "4"'),
        ({"HyperParameters": {"epochs": "3", "seed": "7"}}, "HyperParameters.seed was added"),
        ({"HyperParameters": None}, "HyperParameters was removed"),
        ({"InputDataConfig": []}, "InputDataConfig was removed"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c"}}, "CheckpointConfig was added"),
    ],
)
def test_a_miss_names_the_attribute_that_changed(changes: dict[str, Any], said: str) -> None:
    cache, now = StepCache(), datetime(2030, 1, 1, tzinfo=UTC)
    old = {
        **_arguments("a"),
        "HyperParameters": {"epochs": "3"},
        "InputDataConfig": [{"ChannelName": "train"}],
    }
    cache.store(
        "p", "T", "Training", old, properties={}, metadata={}, execution_arn="x/execution/e1", now=now
    )
    decision = cache.lookup("p", "T", "Training", {**old, **changes}, expire_after=None, now=now)

    assert decision.reason == f"{said} since step T of execution e1, the newest"


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P30D", timedelta(days=30)),
        ("30d", timedelta(days=30)),
        ("T12H", timedelta(hours=12)),
        ("PT16M", timedelta(minutes=16)),
        ("T16m", timedelta(minutes=16)),
        ("P2M", timedelta(days=60)),
        ("30dT5h", timedelta(days=30, hours=5)),
        ("5y", timedelta(days=5 * 365)),
        ("P1W", timedelta(days=7)),
    ],
)
def test_expire_after_is_read_as_the_service_writes_it(text: str, duration: timedelta) -> None:
    assert expiry({"ExpireAfter": text}) == duration


@pytest.mark.parametrize("text", ["P", "T", "soon", "30", "-P1D"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="P30D"):
        expiry({"ExpireAfter": text})


def _arguments(image: str) -> dict[str, Any]:
    return {"AlgorithmSpecification": {"TrainingImage": image}}
