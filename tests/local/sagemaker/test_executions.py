"""Executions of pipelines, as boto3 sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sagemaker.laptop import open_laptop
from tests.support.sagemaker.toy_jobs import EVERYTHING, ROLE, Laptop, wait
from tests.support.sagemaker.toy_pipelines import (
    create,
    definition,
    error_of,
    fail,
    pipeline_names,
    process,
    run,
    steps,
    train,
)

TOKEN = "t" * 32
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with open_laptop(tmp_path_factory.mktemp("laptop")) as opened:
        opened.put("data/a.txt", "a")
        yield opened


@pytest.fixture(autouse=True)
def all_rights(laptop: Laptop) -> Iterator[None]:
    yield
    laptop.allow(EVERYTHING)


def test_an_execution_runs_its_steps_and_tells_about_them_as_aws_does(laptop: Laptop) -> None:
    text = definition(
        process("Preprocess", DisplayName="Prepare", Description="cut to size"),
        {
            "Name": "Check",
            "Type": "Condition",
            "DependsOn": ["Preprocess"],
            "Arguments": {
                "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}],
                "IfSteps": [train("Train")],
                "ElseSteps": [fail()],
            },
        },
    )
    create(laptop, "whole", text)
    arn, execution = run(
        laptop,
        "whole",
        PipelineExecutionDescription='{"key": "x"}',
        PipelineExecutionDisplayName="my-run",
    )
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps(laptop, arn)
    assert execution["PipelineExecutionDescription"] == '{"key": "x"}'
    assert execution["PipelineExecutionDisplayName"] == "my-run"
    assert execution["PipelineVersionId"] == 1
    assert "FailureReason" not in execution
    found = steps(laptop, arn)
    assert list(found) == ["Train", "Check", "Preprocess"]
    assert list(steps(laptop, arn, SortOrder="Ascending")) == ["Preprocess", "Check", "Train"]
    first = found["Preprocess"]
    assert (first["StepDisplayName"], first["StepDescription"]) == ("Prepare", "cut to size")
    assert first["StepStatus"] == "Succeeded"
    assert first["AttemptCount"] == 1
    assert first["StartTime"] <= first["EndTime"]
    assert found["Check"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    job = first["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert job.startswith(f"pipelines-{arn.rpartition('/')[2]}-preprocess-")
    names = [
        j["ProcessingJobName"] for j in laptop.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    ]
    assert job in [name.lower() for name in names]
    assert found["Train"]["Metadata"]["TrainingJob"]["Arn"].startswith(f"{ARN}:training-job/pipelines-")


def test_a_failed_execution_and_its_step_say_why(laptop: Laptop) -> None:
    create(laptop, "failing", definition(process("Bad", "sys.exit(5)")))
    arn, execution = run(laptop, "failing")
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    step = steps(laptop, arn)["Bad"]
    assert step["StepStatus"] == "Failed"
    assert "AlgorithmError: See job logs for more information, exit code: 5" in step["FailureReason"]
    (summary,) = laptop.sagemaker.list_pipeline_executions(PipelineName="failing")[
        "PipelineExecutionSummaries"
    ]
    assert summary["PipelineExecutionFailureReason"] == execution["FailureReason"]


PARAMETERS: list[dict[str, Any]] = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 20},
    {"Name": "Bucket", "Type": "String"},
    {"Name": "Mode", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Bucket"),
        ({"Bucket": "b", "Epoch": "3"}, "Epochs"),
        ({"Bucket": "b", "Epochs": "many"}, "Epochs"),
        ({"Bucket": "b", "Mode": "c"}, "Mode"),
        ({"Bucket": ""}, '[string "" is too short (length: 0, required minimum: 1)]'),
    ],
)
def test_parameters_that_do_not_fit_are_refused_at_the_start(
    laptop: Laptop, given: dict[str, str], said: str
) -> None:
    if "parameters" not in pipeline_names(laptop):
        create(laptop, "parameters", definition(fail(), parameters=PARAMETERS))
    code, message = error_of(
        laptop,
        "start_pipeline_execution",
        PipelineName="parameters",
        PipelineParameters=[{"Name": n, "Value": v} for n, v in given.items()],
    )
    assert code == "ValidationException"
    assert said in message
    executions = laptop.sagemaker.list_pipeline_executions(PipelineName="parameters")
    assert executions["PipelineExecutionSummaries"] == []


def test_the_parameters_of_an_execution_are_all_listed_with_their_values(laptop: Laptop) -> None:
    create(laptop, "listed", definition(fail(message={"Get": "Parameters.Bucket"}), parameters=PARAMETERS))
    arn, execution = run(laptop, "listed", PipelineParameters=[{"Name": "Bucket", "Value": "mine"}])
    assert execution["FailureReason"] == "mine"
    pages = laptop.sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
        PipelineExecutionArn=arn, PaginationConfig={"PageSize": 2}
    )
    listed = [p for page in pages for p in page["PipelineParameters"]]
    assert {p["Name"]: p["Value"] for p in listed} == {"Epochs": "20", "Bucket": "mine", "Mode": "a"}


def test_starting_twice_with_the_same_token_starts_one_execution(laptop: Laptop) -> None:
    create(laptop, "once", definition(fail()))
    start = laptop.sagemaker.start_pipeline_execution
    arns = {start(PipelineName="once", ClientRequestToken=TOKEN)["PipelineExecutionArn"] for _ in range(3)}
    assert len(arns) == 1
    code, _ = error_of(
        laptop,
        "start_pipeline_execution",
        PipelineName="once",
        ClientRequestToken=TOKEN,
        PipelineExecutionDescription="other",
    )
    assert code == "ConflictException"
    listed = laptop.sagemaker.list_pipeline_executions(PipelineName="once")["PipelineExecutionSummaries"]
    assert {e["PipelineExecutionArn"] for e in listed} == arns


def test_an_execution_can_be_pinned_to_a_version_and_keeps_its_definition(laptop: Laptop) -> None:
    first, second = definition(fail(message="one")), definition(fail(message="two"))
    create(laptop, "pinned", first)
    laptop.sagemaker.update_pipeline(PipelineName="pinned", PipelineDefinition=second)
    arn, execution = run(laptop, "pinned", PipelineVersionId=1)
    assert (execution["FailureReason"], execution["PipelineVersionId"]) == ("one", 1)
    described = laptop.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    assert described["PipelineDefinition"] == first
    assert run(laptop, "pinned")[1]["FailureReason"] == "two"
    versions = laptop.sagemaker.list_pipeline_versions(PipelineName="pinned", SortOrder="Ascending")
    assert versions["PipelineVersionSummaries"][0]["LastExecutionPipelineExecutionArn"] == arn
    code, _ = error_of(laptop, "start_pipeline_execution", PipelineName="pinned", PipelineVersionId=7)
    assert code == "ResourceNotFound"


def test_executions_are_listed_newest_first_and_in_pages(laptop: Laptop) -> None:
    create(laptop, "many", definition(fail()))
    arns = [run(laptop, "many")[0] for _ in range(3)]
    listing = laptop.sagemaker.list_pipeline_executions(PipelineName="many", MaxResults=2)
    assert [e["PipelineExecutionArn"] for e in listing["PipelineExecutionSummaries"]] == arns[:0:-1]
    rest = laptop.sagemaker.list_pipeline_executions(
        PipelineName="many", MaxResults=2, NextToken=listing["NextToken"]
    )
    assert [e["PipelineExecutionArn"] for e in rest["PipelineExecutionSummaries"]] == arns[:1]
    assert "NextToken" not in rest
    times = [e["StartTime"] for e in listing["PipelineExecutionSummaries"]]
    since = laptop.sagemaker.list_pipeline_executions(PipelineName="many", CreatedAfter=times[0])
    assert len(since["PipelineExecutionSummaries"]) <= 2
    code, _ = error_of(laptop, "list_pipeline_executions", PipelineName="many", NextToken="rubbish")
    assert code == "ValidationException"


def test_stopping_an_execution_stops_its_jobs_and_starts_no_further_step(laptop: Laptop) -> None:
    create(
        laptop,
        "to-stop",
        definition(process("Long", "time.sleep(60)"), process("Never", DependsOn=["Long"])),
    )
    arn = laptop.sagemaker.start_pipeline_execution(PipelineName="to-stop")["PipelineExecutionArn"]
    wait(lambda: steps(laptop, arn), lambda found: bool(found.get("Long", {}).get("Metadata")))
    code, message = error_of(laptop, "delete_pipeline", PipelineName="to-stop", ClientRequestToken=TOKEN)
    assert code == "ConflictException"
    assert arn in message
    laptop.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=TOKEN)
    execution = laptop.wait_execution(arn)
    assert execution["PipelineExecutionStatus"] == "Stopped"
    found = steps(laptop, arn)
    assert list(found) == ["Long"]
    assert found["Long"]["StepStatus"] == "Stopped"
    again = laptop.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=TOKEN)
    assert again["PipelineExecutionArn"] == arn
    code, _ = error_of(
        laptop, "stop_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken="u" * 32
    )
    assert code == "ConflictException"
    laptop.sagemaker.delete_pipeline(PipelineName="to-stop", ClientRequestToken=TOKEN)
    assert error_of(laptop, "describe_pipeline_execution", PipelineExecutionArn=arn)[0] == "ResourceNotFound"


def test_the_pipelines_role_needs_the_right_to_make_each_job(laptop: Laptop) -> None:
    create(laptop, "rights", definition(process("Make")))
    laptop.allow(
        [*EVERYTHING, {"Effect": "Deny", "Action": "sagemaker:CreateProcessingJob", "Resource": "*"}]
    )
    arn, execution = run(laptop, "rights")
    assert execution["PipelineExecutionStatus"] == "Failed"
    reason = steps(laptop, arn)["Make"]["FailureReason"]
    assert "not authorized to perform: sagemaker:CreateProcessingJob on resource" in reason


def test_a_second_execution_takes_a_step_from_the_cache_and_notes_say_why(laptop: Laptop) -> None:
    cached = process("Cached", CacheConfig={"Enabled": True, "ExpireAfter": "P30D"})
    create(laptop, "cached", definition(cached))
    first, _ = run(laptop, "cached")
    second, _ = run(laptop, "cached")
    assert "CacheHitResult" not in steps(laptop, first)["Cached"]
    assert steps(laptop, second)["Cached"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    for arn, hit in ((first, False), (second, True)):
        lines = laptop.log("/local/sagemaker/pipelines", arn.rpartition("/")[2])
        notes = [note for note in map(json.loads, lines) if note["event"] == "cache"]
        assert [(note["step"], note["hit"]) for note in notes] == [("Cached", hit)]
        assert notes[0]["reason"]


def test_an_execution_can_be_renamed_but_not_retried(laptop: Laptop) -> None:
    create(laptop, "renamed", definition(fail()))
    arn, _ = run(laptop, "renamed")
    laptop.sagemaker.update_pipeline_execution(
        PipelineExecutionArn=arn, PipelineExecutionDisplayName="new-name", PipelineExecutionDescription="why"
    )
    described = laptop.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert described["PipelineExecutionDisplayName"] == "new-name"
    assert described["PipelineExecutionDescription"] == "why"
    code, message = error_of(
        laptop, "retry_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken=TOKEN
    )
    assert code == "NotImplemented"
    assert "start a new execution" in message


def test_pipelines_and_executions_have_tags(laptop: Laptop) -> None:
    arn = create(laptop, "tagged", definition(fail()), Tags=[{"Key": "project", "Value": "birds"}])
    laptop.sagemaker.add_tags(
        ResourceArn=arn, Tags=[{"Key": "project", "Value": "cv"}, {"Key": "a", "Value": "b"}]
    )
    assert laptop.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "project", "Value": "cv"},
        {"Key": "a", "Value": "b"},
    ]
    execution, _ = run(laptop, "tagged")
    assert len(laptop.sagemaker.list_tags(ResourceArn=execution)["Tags"]) == 2
    laptop.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert len(laptop.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == 1
    missing = f"{ARN}:pipeline/none"
    assert error_of(laptop, "list_tags", ResourceArn=missing)[0] == "ResourceNotFound"


def test_pipelines_are_listed_by_prefix_and_name(laptop: Laptop) -> None:
    for name in ("order-b", "order-a"):
        create(laptop, name, definition(fail()))
    listing = laptop.sagemaker.list_pipelines(
        PipelineNamePrefix="order", SortBy="Name", SortOrder="Ascending"
    )
    assert [p["PipelineName"] for p in listing["PipelineSummaries"]] == ["order-a", "order-b"]
    assert listing["PipelineSummaries"][0]["RoleArn"] == ROLE
