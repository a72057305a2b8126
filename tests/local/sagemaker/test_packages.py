"""Model packages and their groups, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sagemaker.laptop import open_laptop
from tests.support.sagemaker.toy_jobs import BUCKET, IMAGE, Laptop

INFERENCE = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}],
    "SupportedContentTypes": ["application/x-image"],
    "SupportedResponseMIMETypes": ["application/json"],
}
METRICS = {
    "ModelQuality": {
        "Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{BUCKET}/evaluation.json"}
    }
}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with open_laptop(tmp_path_factory.mktemp("laptop")) as opened:
        yield opened


def make_group(laptop: Laptop, name: str) -> str:
    return str(
        laptop.sagemaker.create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    )


def register(laptop: Laptop, group: str, **more: Any) -> str:
    answer = laptop.sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=INFERENCE, **more
    )
    return str(answer["ModelPackageArn"])


def error_of(laptop: Laptop, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(laptop.sagemaker.exceptions.ClientError) as caught:
        getattr(laptop.sagemaker, operation)(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_package_comes_back_as_it_was_registered(laptop: Laptop) -> None:
    make_group(laptop, "Birds")
    arn = register(
        laptop,
        "Birds",
        ModelMetrics=METRICS,
        CustomerMetadataProperties={"TrainingType": "Spot"},
        ModelPackageDescription="first",
    )
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:model-package/birds/1"
    package = laptop.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelPackageVersion"] == 1
    assert package["ModelPackageGroupName"] == "Birds"
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageStatus"] == "Completed"
    assert package["InferenceSpecification"] == INFERENCE
    assert package["ModelMetrics"] == METRICS
    assert package["CustomerMetadataProperties"] == {"TrainingType": "Spot"}


def test_versions_count_up_and_are_never_given_twice(laptop: Laptop) -> None:
    group = make_group(laptop, "counted")
    arns = [register(laptop, name) for name in ("counted", group, "counted")]
    assert [arn.rpartition("/")[2] for arn in arns] == ["1", "2", "3"]
    laptop.sagemaker.delete_model_package(ModelPackageName=arns[2])
    assert register(laptop, "counted").endswith("/4")
    listed = laptop.sagemaker.list_model_packages(
        ModelPackageGroupName="counted", SortBy="CreationTime", SortOrder="Ascending"
    )["ModelPackageSummaryList"]
    assert [p["ModelPackageVersion"] for p in listed] == [1, 2, 4]
    newest = laptop.sagemaker.list_model_packages(
        ModelPackageGroupName="counted", SortBy="CreationTime", SortOrder="Descending", MaxResults=1
    )
    assert newest["ModelPackageSummaryList"][0]["ModelPackageVersion"] == 4
    assert newest["NextToken"]


def test_an_approval_changes_nothing_else(laptop: Laptop) -> None:
    make_group(laptop, "approved")
    arn = register(laptop, "approved", CustomerMetadataProperties={"TrainingType": "Spot", "old": "x"})
    update = laptop.sagemaker.update_model_package
    update(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    update(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"by": "me"},
        CustomerMetadataPropertiesToRemove=["old"],
    )
    package = laptop.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["ApprovalDescription"] == "good"
    assert package["CustomerMetadataProperties"] == {"TrainingType": "Spot", "by": "me"}
    assert package["LastModifiedTime"] >= package["CreationTime"]
    approved = laptop.sagemaker.list_model_packages(
        ModelPackageGroupName="approved", ModelApprovalStatus="Approved"
    )
    assert [p["ModelPackageArn"] for p in approved["ModelPackageSummaryList"]] == [arn]
    code, message = error_of(laptop, "update_model_package", ModelPackageArn=arn, ModelApprovalStatus="Fine")
    assert code == "ValidationException"
    assert "enum value set" in message


def test_a_group_goes_only_when_it_is_empty(laptop: Laptop) -> None:
    make_group(laptop, "emptied")
    arn = register(laptop, "emptied")
    code, message = error_of(laptop, "delete_model_package_group", ModelPackageGroupName="emptied")
    assert code == "ConflictException"
    assert arn in message
    laptop.sagemaker.delete_model_package(ModelPackageName=arn)
    laptop.sagemaker.delete_model_package_group(ModelPackageGroupName="emptied")
    for operation in ("describe_model_package_group", "delete_model_package_group"):
        code, message = error_of(laptop, operation, ModelPackageGroupName="emptied")
        assert code == "ValidationException"
        assert "does not exist" in message
    assert "does not exist" in error_of(laptop, "describe_model_package", ModelPackageName=arn)[1]


def test_a_group_is_made_once_and_packages_need_one(laptop: Laptop) -> None:
    arn = make_group(laptop, "single")
    assert (
        "already exists" in error_of(laptop, "create_model_package_group", ModelPackageGroupName="single")[1]
    )
    described = laptop.sagemaker.describe_model_package_group(ModelPackageGroupName="single")
    assert described["ModelPackageGroupArn"] == arn
    assert described["ModelPackageGroupStatus"] == "Completed"
    assert "does not exist" in error_of(laptop, "create_model_package", ModelPackageGroupName="nobody")[1]
    groups = laptop.sagemaker.list_model_package_groups(NameContains="single")["ModelPackageGroupSummaryList"]
    assert [group["ModelPackageGroupArn"] for group in groups] == [arn]


def test_the_same_client_token_registers_once(laptop: Laptop) -> None:
    make_group(laptop, "token")
    arns = {register(laptop, "token", ClientToken="t" * 36) for _ in range(2)}
    assert len(arns) == 1


def test_packages_and_groups_have_tags(laptop: Laptop) -> None:
    group = make_group(laptop, "tagged")
    laptop.sagemaker.add_tags(ResourceArn=group, Tags=[{"Key": "a", "Value": "b"}])
    package = register(laptop, "tagged")
    laptop.sagemaker.add_tags(ResourceArn=package, Tags=[{"Key": "c", "Value": "d"}])
    assert laptop.sagemaker.list_tags(ResourceArn=group)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert laptop.sagemaker.list_tags(ResourceArn=package)["Tags"] == [{"Key": "c", "Value": "d"}]


def test_a_version_of_a_group_is_registered_without_tags(laptop: Laptop) -> None:
    make_group(laptop, "without-tags")
    request = {"ModelPackageGroupName": "without-tags", "InferenceSpecification": INFERENCE}
    tags = [{"Key": "a", "Value": "b"}]
    code, message = error_of(laptop, "create_model_package", **request, Tags=tags)
    assert code == "ValidationException"
    assert "you cannot supply Tags" in message
    assert (
        laptop.sagemaker.list_model_packages(ModelPackageGroupName="without-tags")["ModelPackageSummaryList"]
        == []
    )


def test_a_package_without_a_group_has_a_name(laptop: Laptop) -> None:
    arn = laptop.sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=INFERENCE)[
        "ModelPackageArn"
    ]
    assert laptop.sagemaker.describe_model_package(ModelPackageName="alone")["ModelPackageArn"] == arn
    listed = laptop.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    assert [p["ModelPackageArn"] for p in listed] == [arn]
