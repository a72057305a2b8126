"""Model packages and their groups, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.sagemaker.account import ToyAccount
from tests.support.sagemaker.local_account import open_local_account
from tests.support.sagemaker.toy_jobs import BUCKET, IMAGE
from tests.support.sagemaker.toy_pipelines import create, definition, run, steps

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
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyAccount]:
    with open_local_account(tmp_path_factory.mktemp("aws")) as opened:
        yield opened


def make_group(account: ToyAccount, name: str) -> str:
    return str(
        account.sagemaker.create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    )


def register(account: ToyAccount, group: str, **more: Any) -> str:
    answer = account.sagemaker.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification=INFERENCE, **more
    )
    return str(answer["ModelPackageArn"])


def error_of(account: ToyAccount, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(account.sagemaker.exceptions.ClientError) as caught:
        getattr(account.sagemaker, operation)(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_package_comes_back_as_it_was_registered(account: ToyAccount) -> None:
    make_group(account, "Birds")
    arn = register(
        account,
        "Birds",
        ModelMetrics=METRICS,
        CustomerMetadataProperties={"TrainingType": "Spot"},
        ModelPackageDescription="first",
    )
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:model-package/birds/1"
    package = account.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelPackageVersion"] == 1
    assert package["ModelPackageGroupName"] == "Birds"
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ModelPackageStatus"] == "Completed"
    assert package["ModelPackageStatusDetails"] == {"ValidationStatuses": [], "ImageScanStatuses": []}
    assert package["CertifyForMarketplace"] is False
    assert package["InferenceSpecification"] == INFERENCE
    assert package["ModelMetrics"] == METRICS
    assert package["CustomerMetadataProperties"] == {"TrainingType": "Spot"}


def test_the_digest_of_an_image_is_told_where_its_uri_has_one(account: ToyAccount) -> None:
    make_group(account, "digests")
    digest = f"sha256:{'5' * 64}"
    containers = [{"Image": f"registry/birds@{digest}"}, {"Image": IMAGE}]
    more = {"Name": "more", "Containers": containers[:1]}
    arn = account.sagemaker.create_model_package(
        ModelPackageGroupName="digests",
        InferenceSpecification={**INFERENCE, "Containers": containers},
        AdditionalInferenceSpecifications=[more],
    )["ModelPackageArn"]
    package = account.sagemaker.describe_model_package(ModelPackageName=arn)
    pinned = {**containers[0], "ImageDigest": digest}
    assert package["InferenceSpecification"]["Containers"] == [pinned, containers[1]]
    assert package["AdditionalInferenceSpecifications"] == [{**more, "Containers": [pinned]}]


def test_versions_count_up_and_are_never_given_twice(account: ToyAccount) -> None:
    group = make_group(account, "counted")
    arns = [register(account, name) for name in ("counted", group, "counted")]
    assert [arn.rpartition("/")[2] for arn in arns] == ["1", "2", "3"]
    account.sagemaker.delete_model_package(ModelPackageName=arns[2])
    assert register(account, "counted").endswith("/4")
    listed = account.sagemaker.list_model_packages(
        ModelPackageGroupName="counted", SortBy="CreationTime", SortOrder="Ascending"
    )["ModelPackageSummaryList"]
    assert [p["ModelPackageVersion"] for p in listed] == [1, 2, 4]
    newest = account.sagemaker.list_model_packages(
        ModelPackageGroupName="counted", SortBy="CreationTime", SortOrder="Descending", MaxResults=1
    )
    assert newest["ModelPackageSummaryList"][0]["ModelPackageVersion"] == 4
    assert newest["NextToken"]


def test_an_approval_changes_nothing_else(account: ToyAccount) -> None:
    make_group(account, "approved")
    arn = register(account, "approved", CustomerMetadataProperties={"TrainingType": "Spot", "old": "x"})
    update = account.sagemaker.update_model_package
    update(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    update(
        ModelPackageArn=arn,
        CustomerMetadataProperties={"by": "me"},
        CustomerMetadataPropertiesToRemove=["old"],
    )
    package = account.sagemaker.describe_model_package(ModelPackageName=arn)
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["ApprovalDescription"] == "good"
    assert package["CustomerMetadataProperties"] == {"TrainingType": "Spot", "by": "me"}
    assert package["LastModifiedTime"] >= package["CreationTime"]
    approved = account.sagemaker.list_model_packages(
        ModelPackageGroupName="approved", ModelApprovalStatus="Approved"
    )
    assert [p["ModelPackageArn"] for p in approved["ModelPackageSummaryList"]] == [arn]
    code, message = error_of(account, "update_model_package", ModelPackageArn=arn, ModelApprovalStatus="Fine")
    assert code == "ValidationException"
    assert "enum value set" in message


def test_a_group_goes_only_when_it_is_empty(account: ToyAccount) -> None:
    make_group(account, "emptied")
    arn = register(account, "emptied")
    code, message = error_of(account, "delete_model_package_group", ModelPackageGroupName="emptied")
    assert code == "ConflictException"
    assert arn in message
    account.sagemaker.delete_model_package(ModelPackageName=arn)
    account.sagemaker.delete_model_package_group(ModelPackageGroupName="emptied")
    for operation in ("describe_model_package_group", "delete_model_package_group"):
        code, message = error_of(account, operation, ModelPackageGroupName="emptied")
        assert code == "ValidationException"
        assert "does not exist" in message
    assert "does not exist" in error_of(account, "describe_model_package", ModelPackageName=arn)[1]


def test_a_group_is_made_once_and_packages_need_one(account: ToyAccount) -> None:
    arn = make_group(account, "single")
    assert (
        "already exists" in error_of(account, "create_model_package_group", ModelPackageGroupName="single")[1]
    )
    described = account.sagemaker.describe_model_package_group(ModelPackageGroupName="single")
    assert described["ModelPackageGroupArn"] == arn
    assert described["ModelPackageGroupStatus"] == "Completed"
    assert "does not exist" in error_of(account, "create_model_package", ModelPackageGroupName="nobody")[1]
    groups = account.sagemaker.list_model_package_groups(NameContains="single")[
        "ModelPackageGroupSummaryList"
    ]
    assert [group["ModelPackageGroupArn"] for group in groups] == [arn]


def test_the_same_client_token_registers_once(account: ToyAccount) -> None:
    make_group(account, "token")
    arns = {register(account, "token", ClientToken="t" * 36) for _ in range(2)}
    assert len(arns) == 1


def test_packages_and_groups_have_tags(account: ToyAccount) -> None:
    group = make_group(account, "tagged")
    account.sagemaker.add_tags(ResourceArn=group, Tags=[{"Key": "a", "Value": "b"}])
    package = register(account, "tagged")
    account.sagemaker.add_tags(ResourceArn=package, Tags=[{"Key": "c", "Value": "d"}])
    assert account.sagemaker.list_tags(ResourceArn=group)["Tags"] == [{"Key": "a", "Value": "b"}]
    assert account.sagemaker.list_tags(ResourceArn=package)["Tags"] == [{"Key": "c", "Value": "d"}]


def test_a_version_of_a_group_is_registered_without_tags(account: ToyAccount) -> None:
    make_group(account, "without-tags")
    request = {"ModelPackageGroupName": "without-tags", "InferenceSpecification": INFERENCE}
    tags = [{"Key": "a", "Value": "b"}]
    code, message = error_of(account, "create_model_package", **request, Tags=tags)
    assert code == "ValidationException"
    assert "you cannot supply Tags" in message
    assert (
        account.sagemaker.list_model_packages(ModelPackageGroupName="without-tags")["ModelPackageSummaryList"]
        == []
    )


def test_a_package_that_a_pipeline_registers_names_its_execution(account: ToyAccount) -> None:
    make_group(account, "generated")
    arguments = {"ModelPackageGroupName": "generated", "InferenceSpecification": INFERENCE}
    own = {**arguments, "MetadataProperties": {"CommitId": "abc", "GeneratedBy": "me"}}
    register_steps = [
        {"Name": name, "Type": "RegisterModel", "Arguments": each}
        for name, each in (("Plain", arguments), ("Own", own))
    ]
    create(account, "generated", definition(*register_steps))
    execution, ended = run(account, "generated")
    assert ended["PipelineExecutionStatus"] == "Succeeded", ended
    said = {}
    for name, step in steps(account, execution).items():
        arn = step["Metadata"]["RegisterModel"]["Arn"]
        said[name] = account.sagemaker.describe_model_package(ModelPackageName=arn)["MetadataProperties"]
    assert said == {"Plain": {"GeneratedBy": execution}, "Own": {"CommitId": "abc", "GeneratedBy": "me"}}


def test_a_package_without_a_group_has_a_name(account: ToyAccount) -> None:
    arn = account.sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=INFERENCE)[
        "ModelPackageArn"
    ]
    assert account.sagemaker.describe_model_package(ModelPackageName="alone")["ModelPackageArn"] == arn
    listed = account.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    assert [p["ModelPackageArn"] for p in listed] == [arn]
