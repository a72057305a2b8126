"""Executions of pipelines, as boto3 sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sagemaker.account import EVERYTHING, ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.toy_jobs import ROLE, wait
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
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        opened.put("data/a.txt", "a")
        yield opened


@pytest.fixture(autouse=True)
def all_rights(account: ToyAccount) -> Iterator[None]:
    yield
    account.allow(EVERYTHING)


def test_an_execution_runs_its_steps_and_tells_about_them_as_aws_does(account: ToyAccount) -> None:
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
    create(account, "whole", text)
    arn, execution = run(
        account,
        "whole",
        PipelineExecutionDescription='{"key": "x"}',
        PipelineExecutionDisplayName="my-run",
    )
    assert execution["PipelineExecutionStatus"] == "Succeeded", steps(account, arn)
    assert execution["PipelineExecutionDescription"] == '{"key": "x"}'
    assert execution["PipelineExecutionDisplayName"] == "my-run"
    assert execution["PipelineVersionId"] == 1
    assert "FailureReason" not in execution
    found = steps(account, arn)
    assert list(found) == ["Train", "Check", "Preprocess"]
    assert list(steps(account, arn, SortOrder="Ascending")) == ["Preprocess", "Check", "Train"]
    first = found["Preprocess"]
    assert (first["StepDisplayName"], first["StepDescription"]) == ("Prepare", "cut to size")
    assert first["StepStatus"] == "Succeeded"
    assert first["AttemptCount"] == 1
    assert first["StartTime"] <= first["EndTime"]
    assert found["Check"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    job = first["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert job.startswith(f"pipelines-{arn.rpartition('/')[2]}-preprocess-")
    names = [
        j["ProcessingJobName"] for j in account.sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    ]
    assert job in [name.lower() for name in names]
    assert found["Train"]["Metadata"]["TrainingJob"]["Arn"].startswith(f"{ARN}:training-job/pipelines-")


def test_a_failed_execution_and_its_step_say_why(account: ToyAccount) -> None:
    create(account, "failing", definition(process("Bad", "sys.exit(5)")))
    arn, execution = run(account, "failing")
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    step = steps(account, arn)["Bad"]
    assert step["StepStatus"] == "Failed"
    assert "AlgorithmError: See job logs for more information, exit code: 5" in step["FailureReason"]
    (summary,) = account.sagemaker.list_pipeline_executions(PipelineName="failing")[
        "PipelineExecutionSummaries"
    ]
    assert summary["PipelineExecutionFailureReason"] == execution["FailureReason"]


OUTCOME = {"Get": "Steps.Same.Outcome"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no birds", "no birds"),
        ({"Get": "Parameters.Message"}, "from a parameter"),
        ({"Std:Join": {"On": ": ", "Values": ["same", OUTCOME]}}, "same: false"),
        (OUTCOME, "false"),
        ("", None),
    ],
)
def test_the_message_of_a_fail_step_is_the_steps_and_the_execution_says_that_a_step_failed(
    account: ToyAccount, message: Any, said: str | None, request: pytest.FixtureRequest
) -> None:
    same = {"Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 2}]}
    text = definition(
        {"Name": "Same", "Type": "Condition", "Arguments": same},
        fail(message=message) | {"DependsOn": ["Same"]},
        parameters=[{"Name": "Message", "Type": "String", "DefaultValue": "from a parameter"}],
    )
    name = f"fails-{request.node.callspec.indices['message']}"
    create(account, name, text)
    arn, execution = run(account, name)
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    listed = account.sagemaker.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert [each["PipelineExecutionFailureReason"] for each in listed] == [execution["FailureReason"]]
    step = steps(account, arn)["Stop"]
    assert step["StepStatus"] == "Failed"
    assert step.get("FailureReason") == said
    assert step["Metadata"] == {"Fail": {"ErrorMessage": said or ""}}


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
    account: ToyAccount, given: dict[str, str], said: str
) -> None:
    if "parameters" not in pipeline_names(account):
        create(account, "parameters", definition(fail(), parameters=PARAMETERS))
    code, message = error_of(
        account,
        "start_pipeline_execution",
        PipelineName="parameters",
        PipelineParameters=[{"Name": n, "Value": v} for n, v in given.items()],
    )
    assert code == "ValidationException"
    assert said in message
    executions = account.sagemaker.list_pipeline_executions(PipelineName="parameters")
    assert executions["PipelineExecutionSummaries"] == []


def test_the_parameters_of_an_execution_are_all_listed_with_their_values(account: ToyAccount) -> None:
    create(account, "listed", definition(fail(message={"Get": "Parameters.Bucket"}), parameters=PARAMETERS))
    arn, _ = run(account, "listed", PipelineParameters=[{"Name": "Bucket", "Value": "mine"}])
    assert steps(account, arn)["Stop"]["FailureReason"] == "mine"
    pages = account.sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
        PipelineExecutionArn=arn, PaginationConfig={"PageSize": 2}
    )
    listed = [p for page in pages for p in page["PipelineParameters"]]
    assert {p["Name"]: p["Value"] for p in listed} == {"Epochs": "20", "Bucket": "mine", "Mode": "a"}


EXPERIMENT = {
    "ExperimentName": {"Get": "Execution.PipelineName"},
    "TrialName": {
        "Std:Join": {
            "On": "-",
            "Values": [{"Get": "Parameters.Team"}, {"Get": "Execution.PipelineExecutionId"}],
        }
    },
}


def test_an_execution_tells_the_names_of_its_experiment_and_trial(account: ToyAccount) -> None:
    names = [{"Get": f"PipelineExperimentConfig.{each}"} for each in EXPERIMENT]
    document = json.loads(
        definition(
            fail(message={"Std:Join": {"On": " ", "Values": names}}),
            parameters=[{"Name": "Team", "Type": "String", "DefaultValue": "birds"}],
        )
    )
    create(account, "In-Experiment", json.dumps(document | {"PipelineExperimentConfig": EXPERIMENT}))
    arn = account.sagemaker.start_pipeline_execution(PipelineName="In-Experiment")["PipelineExecutionArn"]
    told = account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    trial = f"birds-{arn.rpartition('/')[2]}"
    # AWS answers with the pipeline's name in lower case.
    assert told["PipelineExperimentConfig"] == {"ExperimentName": "in-experiment", "TrialName": trial}
    assert account.wait_execution(arn)["PipelineExperimentConfig"] == told["PipelineExperimentConfig"]
    assert steps(account, arn)["Stop"]["FailureReason"] == f"in-experiment {trial}"


@pytest.mark.parametrize("config", [None, {}])
def test_an_execution_without_an_experiment_tells_of_none(account: ToyAccount, config: Any) -> None:
    name = f"no-experiment-{config is None}"
    create(account, name, json.dumps(json.loads(definition(fail())) | {"PipelineExperimentConfig": config}))
    assert "PipelineExperimentConfig" not in run(account, name)[1]


@pytest.mark.parametrize(
    "expression",
    [
        {"Get": "Steps.Stop.Outcome"},
        {"Std:JsonGet": {"S3Uri": "s3://birds-bucket/a.json", "Path": "a"}},
        {"Get": "PipelineExperimentConfig.ExperimentName"},
    ],
)
def test_an_experiment_cannot_be_named_after_what_only_a_step_tells(
    account: ToyAccount, expression: Any, request: pytest.FixtureRequest
) -> None:
    name = f"named-late-{request.node.callspec.indices['expression']}"
    config = {"PipelineExperimentConfig": {"ExperimentName": expression}}
    create(account, name, json.dumps(json.loads(definition(fail())) | config))
    code, message = error_of(account, "start_pipeline_execution", PipelineName=name)
    assert code == "ValidationException"
    assert message.startswith("PipelineExperimentConfig is read when an execution starts")


@pytest.mark.parametrize("depth", [31, 80])
def test_conditions_nest_as_deep_as_anybody_writes_them(account: ToyAccount, depth: int) -> None:
    condition: dict[str, Any] = {"Type": "Equals", "LeftValue": 1, "RightValue": 2}
    for _ in range(depth):
        condition = {"Type": "Or", "Conditions": [{"Type": "Not", "Condition": condition}]}
    step = {"Name": "Deep", "Type": "Condition", "Arguments": {"Conditions": [condition]}}
    create(account, f"deep-{depth}", definition(step))
    arn, execution = run(account, f"deep-{depth}")
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    assert steps(account, arn)["Deep"]["Metadata"] == {"Condition": {"Outcome": str(depth % 2 == 1)}}


def test_a_definition_without_version_and_parameters_runs(account: ToyAccount) -> None:
    create(account, "bare", json.dumps({"Parameters": None, "Steps": [fail()]}))
    arn, _ = run(account, "bare")
    assert steps(account, arn)["Stop"]["FailureReason"] == "no birds"


def test_a_step_that_waits_for_a_fail_step_is_refused(account: ToyAccount) -> None:
    code, message = error_of(
        account,
        "create_pipeline",
        PipelineName="after-failure",
        PipelineDefinition=definition(fail(), process("Next", DependsOn=["Stop"])),
        RoleArn=ROLE,
        ClientRequestToken=TOKEN,
    )
    assert code == "ValidationException"
    assert "Next can not depends on Stop" in message


def test_starting_twice_with_the_same_token_starts_one_execution(account: ToyAccount) -> None:
    create(account, "once", definition(fail()))
    start = account.sagemaker.start_pipeline_execution
    arns = {start(PipelineName="once", ClientRequestToken=TOKEN)["PipelineExecutionArn"] for _ in range(3)}
    assert len(arns) == 1
    code, _ = error_of(
        account,
        "start_pipeline_execution",
        PipelineName="once",
        ClientRequestToken=TOKEN,
        PipelineExecutionDescription="other",
    )
    assert code == "ConflictException"
    listed = account.sagemaker.list_pipeline_executions(PipelineName="once")["PipelineExecutionSummaries"]
    assert {e["PipelineExecutionArn"] for e in listed} == arns


def test_an_execution_can_be_pinned_to_a_version_and_keeps_its_definition(account: ToyAccount) -> None:
    first, second = definition(fail(message="one")), definition(fail(message="two"))
    create(account, "pinned", first)
    account.sagemaker.update_pipeline(PipelineName="pinned", PipelineDefinition=second)
    arn, execution = run(account, "pinned", PipelineVersionId=1)
    assert execution["PipelineVersionId"] == 1
    assert steps(account, arn)["Stop"]["FailureReason"] == "one"
    described = account.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    assert described["PipelineDefinition"] == first
    assert steps(account, run(account, "pinned")[0])["Stop"]["FailureReason"] == "two"
    versions = account.sagemaker.list_pipeline_versions(PipelineName="pinned", SortOrder="Ascending")
    assert versions["PipelineVersionSummaries"][0]["LastExecutionPipelineExecutionArn"] == arn
    code, _ = error_of(account, "start_pipeline_execution", PipelineName="pinned", PipelineVersionId=7)
    assert code == "ResourceNotFound"


def test_executions_are_listed_newest_first_and_in_pages(account: ToyAccount) -> None:
    create(account, "many", definition(fail()))
    arns = [run(account, "many")[0] for _ in range(3)]
    listing = account.sagemaker.list_pipeline_executions(PipelineName="many", MaxResults=2)
    assert [e["PipelineExecutionArn"] for e in listing["PipelineExecutionSummaries"]] == arns[:0:-1]
    rest = account.sagemaker.list_pipeline_executions(
        PipelineName="many", MaxResults=2, NextToken=listing["NextToken"]
    )
    assert [e["PipelineExecutionArn"] for e in rest["PipelineExecutionSummaries"]] == arns[:1]
    assert "NextToken" not in rest
    times = [e["StartTime"] for e in listing["PipelineExecutionSummaries"]]
    since = account.sagemaker.list_pipeline_executions(PipelineName="many", CreatedAfter=times[0])
    assert len(since["PipelineExecutionSummaries"]) <= 2
    code, _ = error_of(account, "list_pipeline_executions", PipelineName="many", NextToken="rubbish")
    assert code == "ValidationException"


def test_stopping_an_execution_stops_its_jobs_and_starts_no_further_step(account: ToyAccount) -> None:
    create(
        account,
        "to-stop",
        definition(process("Long", "time.sleep(60)"), process("Never", DependsOn=["Long"])),
    )
    arn = account.sagemaker.start_pipeline_execution(PipelineName="to-stop")["PipelineExecutionArn"]
    wait(lambda: steps(account, arn), lambda found: bool(found.get("Long", {}).get("Metadata")))
    code, message = error_of(account, "delete_pipeline", PipelineName="to-stop", ClientRequestToken=TOKEN)
    assert code == "ConflictException"
    assert arn in message
    account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=TOKEN)
    execution = account.wait_execution(arn)
    assert execution["PipelineExecutionStatus"] == "Stopped"
    found = steps(account, arn)
    assert list(found) == ["Long"]
    assert found["Long"]["StepStatus"] == "Stopped"
    again = account.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=TOKEN)
    assert again["PipelineExecutionArn"] == arn
    code, message = error_of(
        account, "stop_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken="u" * 32
    )
    assert code == "ValidationException"
    assert "Only pipelines with 'Executing' status can be stopped" in message
    account.sagemaker.delete_pipeline(PipelineName="to-stop", ClientRequestToken=TOKEN)
    assert error_of(account, "describe_pipeline_execution", PipelineExecutionArn=arn)[0] == "ResourceNotFound"


def test_the_pipelines_role_needs_the_right_to_make_each_job(account: ToyAccount) -> None:
    create(account, "rights", definition(process("Make")))
    account.allow(
        [*EVERYTHING, {"Effect": "Deny", "Action": "sagemaker:CreateProcessingJob", "Resource": "*"}]
    )
    arn, execution = run(account, "rights")
    assert execution["PipelineExecutionStatus"] == "Failed"
    reason = steps(account, arn)["Make"]["FailureReason"]
    assert "not authorized to perform: sagemaker:CreateProcessingJob on resource" in reason


def test_a_second_execution_takes_a_step_from_the_cache_and_notes_say_why(account: ToyAccount) -> None:
    cached = process("Cached", CacheConfig={"Enabled": True, "ExpireAfter": "P30D"})
    create(account, "cached", definition(cached))
    first, _ = run(account, "cached")
    second, _ = run(account, "cached")
    assert "CacheHitResult" not in steps(account, first)["Cached"]
    assert steps(account, second)["Cached"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    for arn, hit in ((first, False), (second, True)):
        lines = account.log("/local/sagemaker/pipelines", arn.rpartition("/")[2])
        notes = [note for note in map(json.loads, lines) if note["event"] == "cache"]
        assert [(note["step"], note["hit"]) for note in notes] == [("Cached", hit)]
        assert notes[0]["reason"]


def test_an_execution_can_be_renamed_but_not_retried(account: ToyAccount) -> None:
    create(account, "renamed", definition(fail()))
    arn, _ = run(account, "renamed")
    account.sagemaker.update_pipeline_execution(
        PipelineExecutionArn=arn, PipelineExecutionDisplayName="new-name", PipelineExecutionDescription="why"
    )
    described = account.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert described["PipelineExecutionDisplayName"] == "new-name"
    assert described["PipelineExecutionDescription"] == "why"
    code, message = error_of(
        account, "retry_pipeline_execution", PipelineExecutionArn=arn, ClientRequestToken=TOKEN
    )
    assert code == "NotImplemented"
    assert "start a new execution" in message


def test_pipelines_and_executions_have_tags(account: ToyAccount) -> None:
    arn = create(account, "tagged", definition(fail()), Tags=[{"Key": "project", "Value": "birds"}])
    account.sagemaker.add_tags(
        ResourceArn=arn, Tags=[{"Key": "project", "Value": "cv"}, {"Key": "a", "Value": "b"}]
    )
    assert account.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "project", "Value": "cv"},
        {"Key": "a", "Value": "b"},
    ]
    execution, _ = run(account, "tagged")
    assert len(account.sagemaker.list_tags(ResourceArn=execution)["Tags"]) == 2
    account.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert len(account.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == 1
    missing = f"{ARN}:pipeline/none"
    assert error_of(account, "list_tags", ResourceArn=missing)[0] == "ResourceNotFound"


def test_pipelines_are_listed_by_prefix_and_name(account: ToyAccount) -> None:
    for name in ("order-b", "order-a"):
        create(account, name, definition(fail()))
    listing = account.sagemaker.list_pipelines(
        PipelineNamePrefix="order", SortBy="Name", SortOrder="Ascending"
    )
    assert [p["PipelineName"] for p in listing["PipelineSummaries"]] == ["order-a", "order-b"]
    assert listing["PipelineSummaries"][0]["RoleArn"] == ROLE
