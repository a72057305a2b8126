"""Search finds what there is by its properties, as clients of SageMaker ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.memory_account import open_memory_account
from tests.support.sagemaker.toy_jobs import BUCKET
from tests.support.sagemaker.toy_pipelines import create, definition, error_of, fail, run

METRICS = {"MetricDefinitions": [{"Name": "train:loss", "Regex": "loss=(.*)"}]}
JOBS = {
    # name: hyperparameters, what it prints, the channels
    "sparrow": ({"epochs": "3", "rate": "0.5"}, "print('loss=0.25')", ("train", "validation")),
    "robin": ({"epochs": "12", "rate": "0.05"}, "print('loss=0.75')", ("train",)),
    "wren": ({}, "sys.exit(1)", ()),
}
PARAMETER = {"Name": "Bird", "Type": "String", "DefaultValue": "robin"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_memory_account(tmp_path_factory.mktemp("work")) as opened:
        for number, (name, (values, code, channels)) in enumerate(JOBS.items()):
            for channel in channels:
                opened.put(f"{name}/{channel}/a.txt", "a")
            opened.train(
                name,
                code,
                algorithm=METRICS,
                HyperParameters=values,
                inputs={channel: f"s3://{BUCKET}/{name}/{channel}/" for channel in channels},
                Tags=[{"Key": "team", "Value": f"t{number}"}, {"Key": "site.name", "Value": "north"}],
                EnableManagedSpotTraining=False,
            )
        create(opened, "Birds", definition(fail(), parameters=[PARAMETER]), Tags=[{"Key": "a", "Value": "b"}])
        run(opened, "Birds")
        run(opened, "Birds", PipelineParameters=[{"Name": "Bird", "Value": "wren"}])
        for group in ("birds", "cars"):
            opened.sagemaker.create_model_package_group(ModelPackageGroupName=group)
        for group, properties in (
            ("birds", {"kind": "Spot"}),
            ("birds", {"kind": "x"}),
            ("cars", {"kind": "x"}),
        ):
            opened.sagemaker.create_model_package(
                ModelPackageGroupName=group, SourceUri="s3://b", CustomerMetadataProperties=properties
            )
        yield opened


def found(account: ToyAccount, resource: str = "TrainingJob", **request: Any) -> list[dict[str, Any]]:
    answer = account.sagemaker.search(Resource=resource, **request)
    assert answer["TotalHits"] == {"Value": len(answer["Results"]), "Relation": "EqualTo"}
    return [result[resource] for result in answer["Results"]]


def names(account: ToyAccount, *filters: dict[str, Any], **more: Any) -> list[str]:
    expression = {"Filters": list(filters), **more}
    jobs = found(account, SearchExpression=expression, SortBy="CreationTime", SortOrder="Ascending")
    return [job["TrainingJobName"] for job in jobs]


def where(name: str, comparison: str | None = None, value: str | None = None) -> dict[str, str]:
    given = {"Name": name, "Operator": comparison, "Value": value}
    return {key: text for key, text in given.items() if text is not None}


def refused(account: ToyAccount, resource: str = "TrainingJob", **request: Any) -> str:
    code, message = error_of(account, "search", Resource=resource, **request)
    assert code == "ValidationException"
    return message


def test_a_job_is_found_as_it_is_described_with_its_tags(account: ToyAccount) -> None:
    expression = {"Filters": [where("TrainingJobName", value="robin")]}
    (job,) = found(account, SearchExpression=expression)
    described = account.sagemaker.describe_training_job(TrainingJobName="robin")
    assert {name: value for name, value in job.items() if name != "Tags"}.items() <= described.items()
    assert {tag["Key"]: tag["Value"] for tag in job["Tags"]} == {"team": "t1", "site.name": "north"}
    assert "ProfilingStatus" not in job  # the type TrainingJob has no such member


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("TrainingJobStatus", "Equals", "Completed"), ["sparrow", "robin"]),
        (where("TrainingJobStatus", "NotEquals", "Completed"), ["wren"]),
        (where("TrainingJobName", "Contains", "r"), ["sparrow", "robin", "wren"]),
        (where("TrainingJobName", "Contains", "arr"), ["sparrow"]),
        (where("TrainingJobName", "In", "wren,robin,stork"), ["robin", "wren"]),
        (where("FailureReason", "Exists"), ["wren"]),
        (where("FailureReason", "NotExists"), ["sparrow", "robin"]),
        (where("InputDataConfig", "Exists"), ["sparrow", "robin"]),
        (where("Tags.team", "Equals", "t1"), ["robin"]),
        (where("Tags.site.name", "Equals", "north"), ["sparrow", "robin", "wren"]),
        (where("Tags.team", "NotEquals", "t1"), ["sparrow", "wren"]),
        (where("Metrics.train:loss", "GreaterThan", "0.5"), ["robin"]),
        (where("Metrics.train:loss", "LessThanOrEqualTo", "0.25"), ["sparrow"]),
        (where("HyperParameters.epochs", "GreaterThan", "9"), ["robin"]),
        (where("HyperParameters.rate", "LessThan", "0.5"), ["robin"]),
        (where("HyperParameters.rate", "GreaterThanOrEqualTo", "0"), ["sparrow", "robin"]),
        (where("HyperParameters.rate", "Equals", "0.05"), ["robin"]),
        (where("HyperParameters.rate", "LessThan", "1"), ["sparrow", "robin"]),
        (where("ResourceConfig.VolumeSizeInGB", "Equals", "10"), ["sparrow", "robin", "wren"]),
        (where("EnableManagedSpotTraining", "Equals", "true"), []),
        (where("EnableManagedSpotTraining", "Equals", "false"), ["sparrow", "robin", "wren"]),
        (where("InputDataConfig.ChannelName", "Equals", "validation"), ["sparrow"]),
        (where("CreationTime", "GreaterThan", "2020-01-01T00:00:00"), ["sparrow", "robin", "wren"]),
        (where("CreationTime", "LessThan", "2020-01-01T00:00:00Z"), []),
    ],
    ids=lambda given: "-".join(given.values()) if isinstance(given, dict) else None,
)
def test_a_filter_compares_a_property(
    account: ToyAccount, condition: dict[str, str], expected: list[str]
) -> None:
    assert names(account, condition) == expected


def test_a_time_of_a_filter_without_a_zone_is_utc(account: ToyAccount) -> None:
    before, after = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (-10, 10))
    between = [
        where("CreationTime", "GreaterThan", before.strftime("%Y-%m-%dT%H:%M:%S")),
        where("CreationTime", "LessThan", after.strftime("%Y-%m-%dT%H:%M:%S")),
    ]
    assert len(names(account, *between)) == len(JOBS)


def test_conditions_are_all_satisfied_or_one_of_them(account: ToyAccount) -> None:
    one = where("Tags.team", value="t0"), where("TrainingJobStatus", value="Failed")
    assert names(account, *one) == []
    assert names(account, *one, Operator="Or") == ["sparrow", "wren"]
    inner = {"Filters": list(one), "Operator": "Or"}
    assert names(account, where("FailureReason", "NotExists"), SubExpressions=[inner]) == ["sparrow"]


def test_a_nested_filter_is_satisfied_by_one_entry_of_a_list(account: ToyAccount) -> None:
    def channel(name: str, uri: str) -> dict[str, Any]:
        filters = [
            where("InputDataConfig.ChannelName", "Equals", name),
            where("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", uri),
        ]
        return {"NestedPropertyName": "InputDataConfig", "Filters": filters}

    def jobs(name: str, uri: str) -> list[str]:
        expression = {"NestedFilters": [channel(name, uri)]}
        return [job["TrainingJobName"] for job in found(account, SearchExpression=expression)]

    assert jobs("validation", "sparrow/validation") == ["sparrow"]
    assert jobs("validation", "sparrow/train") == []


def test_results_are_sorted_by_a_property_and_come_in_pages(account: ToyAccount) -> None:
    def order(**request: Any) -> list[str]:
        return [job["TrainingJobName"] for job in found(account, **request)]

    assert order() == ["wren", "robin", "sparrow"]
    assert order(SortOrder="Ascending") == ["sparrow", "robin", "wren"]
    assert order(SortBy="TrainingJobName") == ["wren", "sparrow", "robin"]
    assert order(SortBy="Metrics.train:loss") == ["robin", "sparrow", "wren"]
    assert order(SortBy="Metrics.train:loss", SortOrder="Ascending") == ["sparrow", "robin", "wren"]
    assert order(SortBy="HyperParameters.epochs") == ["robin", "sparrow", "wren"]
    assert found(account, "ModelPackageGroup")[0]["ModelPackageGroupName"] == "cars"
    pages = account.sagemaker.get_paginator("search").paginate(Resource="TrainingJob", MaxResults=2)
    listed = [[each["TrainingJob"]["TrainingJobName"] for each in page["Results"]] for page in pages]
    assert listed == [["wren", "robin"], ["sparrow"]]
    assert account.sagemaker.search(Resource="TrainingJob", MaxResults=1)["TotalHits"]["Value"] == 3


def test_pipelines_and_their_executions_are_found(account: ToyAccount) -> None:
    (pipeline,) = found(
        account, "Pipeline", SearchExpression={"Filters": [where("PipelineName", value="Birds")]}
    )
    assert pipeline["PipelineArn"].endswith(":pipeline/birds")
    assert pipeline["Tags"] == [{"Key": "a", "Value": "b"}]
    wren = {
        "NestedPropertyName": "PipelineParameters",
        "Filters": [
            where("PipelineParameters.Name", value="Bird"),
            where("PipelineParameters.Value", value="wren"),
        ],
    }
    failed = [
        where("PipelineArn", value=pipeline["PipelineArn"]),
        where("PipelineExecutionStatus", value="Failed"),
    ]
    assert len(found(account, "PipelineExecution", SearchExpression={"Filters": failed})) == 2
    expression = {"Filters": failed, "NestedFilters": [wren]}
    (execution,) = found(account, "PipelineExecution", SearchExpression=expression)
    assert execution["PipelineParameters"] == [{"Name": "Bird", "Value": "wren"}]


def test_packages_and_their_groups_are_found(account: ToyAccount) -> None:
    def packages(*filters: dict[str, str]) -> list[int]:
        expression = {"Filters": [where("ModelPackageGroupName", value="birds"), *filters]}
        order = {"SortBy": "ModelPackageVersion", "SortOrder": "Ascending"}
        records = found(account, "ModelPackage", SearchExpression=expression, **order)
        return [record["ModelPackageVersion"] for record in records]

    assert packages() == [1, 2]
    assert packages(where("ModelPackageVersion", "GreaterThan", "1")) == [2]
    assert packages(where("ModelApprovalStatus", value="Approved")) == []
    assert packages(where("CustomerMetadataProperties.kind", value="Spot")) == [1]
    expression = {"Filters": [where("ModelPackageGroupName", "Equals", "cars")]}
    assert len(found(account, "ModelPackageGroup", SearchExpression=expression)) == 1


def test_tags_bound_what_is_visible(account: ToyAccount) -> None:
    visible = [{"Key": "Tags.team", "Value": "t1"}, {"Key": "Tags.nobody", "Value": "has"}]
    assert [job["TrainingJobName"] for job in found(account, VisibilityConditions=visible)] == ["robin"]
    assert found(account, CrossAccountFilterOption="CrossAccount") == []
    assert "Tags.<key>" in refused(account, VisibilityConditions=[{"Key": "team", "Value": "t1"}])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (
            {"resource": "Endpoint"},
            "Resource Endpoint is not implemented on local AWS, which finds TrainingJob",
        ),
        ({"SortBy": "Colour"}, "TrainingJob has no property Colour"),
        ({"SortBy": "ResourceConfig"}, "SortBy ResourceConfig has no value"),
        ({"SearchExpression": {}}, "needs a filter"),
        ({"SearchExpression": {"Filters": [where("Colour", value="red")]}}, "has no property Colour"),
        ({"SearchExpression": {"Filters": [where("RoleArn.x", value="red")]}}, "has no property RoleArn.x"),
        ({"SearchExpression": {"Filters": [where("RoleArn")]}}, "RoleArn Equals needs a Value"),
        (
            {"SearchExpression": {"Filters": [where("RoleArn", "LessThan", "a")]}},
            "not supported for the text",
        ),
        ({"SearchExpression": {"Filters": [where("CreationTime", "In", "1,2")]}}, "supported for texts"),
        ({"SearchExpression": {"Filters": [where("CreationTime", value="then")]}}, "an ISO 8601 time"),
        ({"SearchExpression": {"Filters": [where("TrainingTimeInSeconds", value="x")]}}, "with a number"),
        ({"SearchExpression": {"Filters": [where("HyperParameters.a", "LessThan", "x")]}}, "with a number"),
        ({"SearchExpression": {"Filters": [where("EnableManagedSpotTraining", value="1")]}}, "true or false"),
        ({"SearchExpression": {"Filters": [where("ResourceConfig", value="1")]}}, "has no value to compare"),
        (
            {"SearchExpression": {"Filters": [where("RoleArn", "Contains", "a")] * 2}},
            "usage limit of 1 exceeded",
        ),
        (
            {
                "SearchExpression": {
                    "NestedFilters": [{"NestedPropertyName": "RoleArn", "Filters": [where("a")]}]
                }
            },
            "RoleArn of TrainingJob is no list of objects",
        ),
        (
            {
                "SearchExpression": {
                    "NestedFilters": [
                        {
                            "NestedPropertyName": "InputDataConfig",
                            "Filters": [where("ChannelName", value="a")],
                        }
                    ]
                }
            },
            "ChannelName is not a property of InputDataConfig",
        ),
        (
            {"SearchExpression": {"SubExpressions": [{"Filters": [where("RoleArn", "Exists")] * 20}] * 3}},
            "at most 50 conditions",
        ),
    ],
    ids=lambda given: given[:30] if isinstance(given, str) else None,
)
def test_what_cannot_be_searched_for_is_refused_in_one_sentence(
    account: ToyAccount, request_: dict[str, Any], said: str
) -> None:
    assert said in refused(account, **request_)
