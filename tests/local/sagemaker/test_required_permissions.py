"""Every SageMaker call needs the actions, ARNs and condition keys of the service authorization reference."""

from __future__ import annotations

from typing import Any

import pytest

from local.sagemaker.required_permissions import Requirement, requirements

ACCOUNT = "123456789012"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"

TRAINING: dict[str, Any] = {
    "TrainingJobName": "Pipelines-Abc",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b-1/out"},
    "ResourceConfig": {"InstanceType": "ml.c5.4xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "EnableNetworkIsolation": True,
    "EnableInterContainerTrafficEncryption": True,
}


def asked(operation: str, **parameters: Any) -> list[Requirement]:
    return requirements(operation, parameters, region=REGION, account=ACCOUNT)


def names(found: list[Requirement]) -> list[tuple[str, str]]:
    return [(item.action, item.resource) for item in found]


def test_a_training_job_needs_itself_and_the_role_it_passes() -> None:
    job, passed = asked("CreateTrainingJob", **TRAINING)
    assert (job.action, job.resource) == (
        "sagemaker:CreateTrainingJob",
        f"{SAGEMAKER}:training-job/pipelines-abc",
    )
    assert job.context == {
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "true",
        "sagemaker:InstanceTypes": ["ml.c5.4xlarge"],
        "sagemaker:MaxRuntimeInSeconds": "3600",
    }
    assert (passed.action, passed.resource) == ("iam:PassRole", ROLE)
    assert passed.context == {
        "iam:PassedToService": "sagemaker.amazonaws.com",
        "iam:AssociatedResourceArn": f"{SAGEMAKER}:training-job/pipelines-abc",
    }


def test_tags_at_creation_need_add_tags_for_that_creation() -> None:
    tagged = {**TRAINING, "Tags": [{"Key": "TrainingType", "Value": "Spot"}]}
    job, tagging, _ = asked("CreateTrainingJob", **tagged)
    assert (tagging.action, tagging.resource) == ("sagemaker:AddTags", job.resource)
    assert tagging.context["sagemaker:TaggingAction"] == "CreateTrainingJob"
    for requirement in (job, tagging):
        assert requirement.context["aws:RequestTag/TrainingType"] == "Spot"
        assert requirement.context["aws:TagKeys"] == ["TrainingType"]


def test_networks_keys_and_warm_pools_are_visible_to_policies() -> None:
    pool = {**TRAINING["ResourceConfig"], "KeepAlivePeriodInSeconds": 600, "VolumeKmsKeyId": "volume-key"}
    job, _ = asked(
        "CreateTrainingJob",
        **{
            **TRAINING,
            "ResourceConfig": pool,
            "OutputDataConfig": {"S3OutputPath": "s3://b-1/out", "KmsKeyId": "output-key"},
            "VpcConfig": {"SecurityGroupIds": ["sg-12"], "Subnets": ["subnet-1", "subnet-2"]},
        },
    )
    assert job.context["sagemaker:KeepAlivePeriod"] == "600"
    assert job.context["sagemaker:VolumeKmsKeyArn"] == "volume-key"
    assert job.context["sagemaker:OutputKmsKeyArn"] == "output-key"
    assert job.context["sagemaker:VpcSecurityGroupIds"] == ["sg-12"]
    assert job.context["sagemaker:VpcSubnets"] == ["subnet-1", "subnet-2"]


def test_a_file_system_is_visible_to_policies() -> None:
    system = {"FileSystemId": "fs-0123456789abcdef0", "DirectoryPath": "/", "FileSystemAccessMode": "ro"}
    channel = {
        "ChannelName": "train",
        "DataSource": {"FileSystemDataSource": system | {"FileSystemType": "EFS"}},
    }
    job, _ = asked("CreateTrainingJob", **{**TRAINING, "InputDataConfig": [channel]})
    assert job.context["sagemaker:FileSystemId"] == "fs-0123456789abcdef0"
    job, _ = asked("CreateTrainingJob", **TRAINING)
    assert "sagemaker:FileSystemId" not in job.context


def test_a_processing_jobs_limits_are_read_from_where_it_has_them() -> None:
    job, passed = asked(
        "CreateProcessingJob",
        ProcessingJobName="pipelines-x",
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "image"},
        NetworkConfig={"EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": False},
        ProcessingResources={
            "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
    )
    assert job.resource == f"{SAGEMAKER}:processing-job/pipelines-x"
    assert job.context == {
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "false",
        "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
    }
    assert passed.resource == ROLE


def test_registering_needs_the_packages_and_the_group_and_shows_the_approval_status() -> None:
    found = asked(
        "CreateModelPackage",
        ModelPackageGroupName="Birds",
        ModelApprovalStatus="Approved",
        InferenceSpecification={"Containers": [{"Image": "image"}]},
    )
    assert names(found) == [
        ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package/birds/*"),
        ("sagemaker:CreateModelPackage", f"{SAGEMAKER}:model-package-group/birds"),
    ]
    assert all(item.context["sagemaker:ModelApprovalStatus"] == "Approved" for item in found)


def test_starting_a_version_is_told_from_starting_whatever_is_there() -> None:
    [pinned] = asked("StartPipelineExecution", PipelineName="Birds", PipelineVersionId=3)
    assert (pinned.resource, pinned.context["sagemaker:PipelineVersionId"]) == (
        f"{SAGEMAKER}:pipeline/birds",
        "3",
    )
    [latest] = asked("StartPipelineExecution", PipelineName="Birds")
    assert "sagemaker:PipelineVersionId" not in latest.context


def test_a_search_is_about_everything_and_shows_what_bounds_it() -> None:
    visible = [{"Key": "Tags.team", "Value": "birds"}]
    [bounded] = asked("Search", Resource="TrainingJob", VisibilityConditions=visible)
    assert (bounded.action, bounded.resource) == ("sagemaker:Search", "*")
    assert bounded.context == {"sagemaker:SearchVisibilityCondition/Tags.team": "birds"}
    [unbounded] = asked("Search", Resource="Pipeline")
    assert not unbounded.context


EXECUTION = f"{SAGEMAKER}:pipeline/birds/execution/abcdefghijkl"
PACKAGE = f"{SAGEMAKER}:model-package/birds/1"


@pytest.mark.parametrize(
    ("operation", "parameters", "resource"),
    [
        ("DescribePipeline", {"PipelineName": "Birds"}, f"{SAGEMAKER}:pipeline/birds"),
        ("ListPipelineExecutions", {"PipelineName": "birds"}, f"{SAGEMAKER}:pipeline/birds"),
        ("ListPipelineExecutionSteps", {"PipelineExecutionArn": EXECUTION}, EXECUTION),
        ("StopPipelineExecution", {"PipelineExecutionArn": EXECUTION}, EXECUTION),
        ("ListPipelines", {}, "*"),
        ("ListTrainingJobs", {}, "*"),
        ("ListModelPackageGroups", {}, "*"),
        ("ListModelPackages", {"ModelPackageGroupName": "birds"}, f"{SAGEMAKER}:model-package/birds/*"),
        ("DescribeModelPackage", {"ModelPackageName": PACKAGE}, PACKAGE),
        ("UpdateModelPackage", {"ModelPackageArn": PACKAGE, "ModelApprovalStatus": "Approved"}, PACKAGE),
        ("DescribeTrainingJob", {"TrainingJobName": "a"}, f"{SAGEMAKER}:training-job/a"),
        ("StopTrainingJob", {"TrainingJobName": "a"}, f"{SAGEMAKER}:training-job/a"),
        ("ListTags", {"ResourceArn": EXECUTION}, EXECUTION),
    ],
)
def test_sagemaker_calls_need_their_action_on_their_resource(
    operation: str, parameters: dict[str, Any], resource: str
) -> None:
    assert names(asked(operation, **parameters)) == [(f"sagemaker:{operation}", resource)]


@pytest.mark.parametrize(
    ("operation", "parameter"),
    [
        ("CreatePipeline", "RoleArn"),
        ("UpdatePipeline", "RoleArn"),
        ("CreateProcessingJob", "RoleArn"),
        ("CreateModel", "ExecutionRoleArn"),
    ],
)
def test_every_role_that_a_call_hands_on_needs_to_be_passed(operation: str, parameter: str) -> None:
    own, passed = asked(operation, PipelineName="Birds", **{parameter: ROLE})
    assert names([own, passed]) == [
        (f"sagemaker:{operation}", f"{SAGEMAKER}:pipeline/birds"),
        ("iam:PassRole", ROLE),
    ]
    assert passed.context == {
        "iam:PassedToService": "sagemaker.amazonaws.com",
        "iam:AssociatedResourceArn": f"{SAGEMAKER}:pipeline/birds",
    }


def test_a_call_without_a_role_passes_none() -> None:
    assert len(asked("UpdatePipeline", PipelineName="Birds", PipelineDisplayName="Birds")) == 1
    assert len(asked("StartPipelineExecution", PipelineName="Birds")) == 1
