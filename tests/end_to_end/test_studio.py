"""A Studio project on local AWS: it is made of the published template, uploaded to, changed and removed."""

import json
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from local.deploy import deploy
from local.engine.jobs.session import JobSettings
from ops.aws import stack
from tests.support.infra.resources import the_only
from tests.support.infra.studio_offers import (
    LAUNCH_ROLE,
    PROJECT,
    STACK,
    TEMPLATES,
    USERS,
    Template,
    offer,
    project,
    write,
)
from tests.support.local_aws.deployed import DeployedStack
from tests.support.local_aws.toy_pipeline import IMAGE, SHIPPED

ASSETS = "cdk-hnb659fds-assets-123456789012-us-east-1"
PUBLISHER = "arn:aws:iam::123456789012:role/cv-birds-studio-publish-us-east-1"
KEY = "templates/cv-birds.yaml"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


class StudioPortfolio:
    """Local AWS with the deployment that offers its template.

    CloudFormation there asks nobody's rights, so projects are made and changed as the administrator; what
    users and the launch role may do is in tests/infra/studio/test_launch.py.
    """

    def __init__(self, aws: LocalAWS) -> None:
        self.aws = aws
        self.cloudformation = aws.client("cloudformation")
        self.s3 = aws.client("s3")
        self._request = {
            "StackName": STACK,
            "TemplateURL": f"{aws.endpoint_url}/{TEMPLATES}/{KEY}",
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in PROJECT.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "RoleARN": LAUNCH_ROLE,
        }

    def make(self) -> dict[str, Any]:
        """Make a project as SageMaker does it for a user, and return its stack."""
        return self._settled(self.cloudformation.create_stack(**self._request)["StackId"])

    def change(self) -> dict[str, Any]:
        """Bring the project to another template."""
        return self._settled(self.cloudformation.update_stack(**self._request)["StackId"])

    def stack(self, name: str) -> dict[str, Any]:
        """Describe a stack by its name or id."""
        found: dict[str, Any] = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return found

    def _settled(self, stack_id: str) -> dict[str, Any]:
        while (found := self.stack(stack_id))["StackStatus"].endswith("_IN_PROGRESS"):
            time.sleep(0.1)
        return found

    def failures(self, stack_id: str) -> str:
        """Return why resources of a stack failed."""
        events = self.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        return "\n".join(each.get("ResourceStatusReason", "") for each in failed)

    def remove(self, stack: str = STACK) -> str:
        """Delete a stack, and what a project's leaves; return why that failed, if it did."""
        try:
            stack_id = self.stack(stack)["StackId"]
        except ClientError:
            return ""
        self.cloudformation.delete_stack(StackName=stack)
        self._settled(stack_id)
        failed = self.failures(stack_id)
        self._forget_what_is_kept()
        return failed

    def _forget_what_is_kept(self) -> None:
        for bucket in [each["Name"] for each in self.s3.list_buckets()["Buckets"]]:
            if bucket.startswith("studio-p-"):
                # Which lets nobody but the break-glass role delete definitions.
                self.s3.delete_bucket_policy(Bucket=bucket)
                versions = self.s3.list_object_versions(Bucket=bucket)
                for each in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
                    self.s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
                self.s3.delete_bucket(Bucket=bucket)
        sagemaker = self.aws.client("sagemaker")
        for group in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]:
            name = group["ModelPackageGroupName"]
            if name.startswith("studio-p-"):
                packages = sagemaker.list_model_packages(ModelPackageGroupName=name)
                for each in packages["ModelPackageSummaryList"]:
                    sagemaker.delete_model_package(ModelPackageName=each["ModelPackageArn"])
                sagemaker.delete_model_package_group(ModelPackageGroupName=name)

    def deployed_stack(self) -> DeployedStack:
        """Return the project, to upload to."""
        running = DeployedStack(self.aws, stack.outputs(self.cloudformation, STACK))
        running.data_url = running.put_object("data/toy/images.txt", b"1 a/a.jpg\n").removesuffix(
            "images.txt"
        )
        return running

    def publish(self, template: Template) -> None:
        """Put another version of the template where the user finds it, as a deployment does."""
        body = json.dumps(template).encode()
        self.aws.client("s3", PUBLISHER).put_object(Bucket=TEMPLATES, Key=KEY, Body=body)


@pytest.fixture(scope="module")
def studio(synthesis: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioPortfolio]:
    folder = tmp_path_factory.mktemp("studio")
    offering = offer(synthesis, "s3")
    jobs = JobSettings(interruptions=0, source=str(IMAGE))
    with LocalAWS(work_dir=folder / "aws", jobs=jobs) as aws:
        aws.client("iam").create_role(
            RoleName="StudioUsers", Path="/service-role/", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        # What the CDK publishes before it deploys.
        published = the_only(offering, "AWS::CloudFormation::CustomResource")["Properties"]["Objects"]
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=ASSETS)
        text = json.dumps(project(synthesis), sort_keys=True).encode()
        s3.put_object(Bucket=ASSETS, Key=published[0]["FromKey"], Body=text)
        deploy(aws, write(offering, folder), "cv-birds")
        yield StudioPortfolio(aws)


@pytest.fixture
def clean(studio: StudioPortfolio) -> Iterator[StudioPortfolio]:
    yield studio
    studio.remove()


def test_the_template_is_published_with_the_tag_that_studio_looks_for(studio: StudioPortfolio) -> None:
    objects = studio.aws.client("s3", USERS).list_objects_v2(Bucket=TEMPLATES, Prefix="templates/")[
        "Contents"
    ]
    assert [each["Key"] for each in objects] == [KEY]
    tags = studio.s3.get_object_tagging(Bucket=TEMPLATES, Key=KEY)["TagSet"]
    assert tags == [{"Key": "sagemaker:studio-visibility", "Value": "true"}]


def test_nobody_replaces_the_template_but_the_publisher(studio: StudioPortfolio) -> None:
    before = studio.s3.get_object(Bucket=TEMPLATES, Key=KEY)["Body"].read()
    for client in (studio.s3, studio.aws.client("s3", USERS), studio.aws.client("s3", LAUNCH_ROLE)):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_object(Bucket=TEMPLATES, Key=KEY, Body=b"{}")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.delete_object(Bucket=TEMPLATES, Key=KEY)
    assert studio.s3.get_object(Bucket=TEMPLATES, Key=KEY)["Body"].read() == before


@pytest.mark.slow
def test_an_upload_to_a_project_runs_its_own_pipeline(clean: StudioPortfolio) -> None:
    assert clean.make()["StackStatus"] == "CREATE_COMPLETE"
    running = clean.deployed_stack()
    execution = running.run(SHIPPED)
    described = running.describe(execution)
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert described["PipelineArn"].endswith(":pipeline/studio-p-abc123def456")
    packages = running.sagemaker.list_model_packages(ModelPackageGroupName="studio-p-abc123def456")
    assert len(packages["ModelPackageSummaryList"]) == 2
    tags = running.sagemaker.list_tags(ResourceArn=described["PipelineArn"])["Tags"]
    assert {"Key": "sagemaker:project-id", "Value": "p-abc123def456"} in tags
    listed = running.sagemaker.list_model_packages(ModelPackageGroupName="cv-birds")
    assert listed["ModelPackageSummaryList"] == []


def test_a_user_of_studio_uploads_with_the_project_s_uploader_role(clean: StudioPortfolio) -> None:
    clean.make()
    bucket = clean.deployed_stack().outputs["BucketName"]
    role = "arn:aws:iam::123456789012:role/studio-p-abc123def456-uploader-us-east-1"
    sts = clean.aws.client("sts", USERS)
    given = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    s3 = boto3.client(
        "s3",
        endpoint_url=sts.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    s3.put_object(Bucket=bucket, Key="data/a.jpg", Body=b"a")
    with pytest.raises(ClientError, match="AccessDenied"):
        clean.aws.client("s3", USERS).put_object(Bucket=bucket, Key="data/b.jpg", Body=b"b")
    for other in (role.replace("uploader", "pipeline"), role.replace("uploader", "break-glass")):
        with pytest.raises(ClientError, match="AccessDenied"):
            sts.assume_role(RoleArn=other, RoleSessionName="me")


@pytest.mark.slow
def test_the_shipped_definition_is_the_pipeline_s_first_version_already(clean: StudioPortfolio) -> None:
    clean.make()
    running = clean.deployed_stack()
    assert versions(running) == [1]
    running.put_object("pipeline/pipeline.json", SHIPPED.read_bytes())
    running.put_object("pipeline/parameters.json", b"{}")
    key = "verdicts/pipeline/pipeline.json/"
    verdict = wait_for(clean, running.outputs["BucketName"], key)
    assert verdict["verdict"] == "STARTED"
    assert verdict["pipelineVersionId"] == 1
    assert versions(running) == [1]
    running.follow(verdict["executionArn"])


def versions(running: DeployedStack) -> list[int]:
    listed = running.sagemaker.list_pipeline_versions(PipelineName=running.outputs["PipelineName"])
    return [each["PipelineVersionId"] for each in listed["PipelineVersionSummaries"]]


def wait_for(studio: StudioPortfolio, bucket: str, prefix: str) -> dict[str, Any]:
    for _ in range(300):
        for each in studio.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            body = studio.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            found: dict[str, Any] = json.loads(body)
            return found
        time.sleep(0.1)
    raise AssertionError("no verdict came")


def test_the_commands_find_a_project_by_the_name_of_its_stack(clean: StudioPortfolio) -> None:
    clean.make()
    deployed = stack.deployment(clean.cloudformation, STACK)
    assert deployed.project == "studio-p-abc123def456"
    assert stack.function_name(clean.cloudformation, STACK) == "studio-p-abc123def456-start-execution"
    assert stack.function_name(clean.cloudformation, "cv-birds") == "cv-birds-start-execution"


def test_a_project_is_brought_to_a_newer_template(clean: StudioPortfolio, synthesis: ModuleType) -> None:
    clean.make()
    newer = project(synthesis)
    the_only(newer, "AWS::Logs::LogGroup")["Properties"]["RetentionInDays"] = 30
    the_only(newer, "AWS::Lambda::Function")["Properties"]["MemorySize"] = 512
    the_only(newer, "AWS::SageMaker::Pipeline")["Properties"]["PipelineDescription"] = "newer"
    for kind in ("AWS::SageMaker::Pipeline", "AWS::SageMaker::ModelPackageGroup"):
        the_only(newer, kind)["Properties"]["Tags"] = [{"Key": "newer", "Value": "yes"}]
    for role in (each for each in newer["Resources"].values() if each["Type"] == "AWS::IAM::Role"):
        role["Properties"]["Description"] = "newer"
        role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].pop()
    clean.publish(newer)
    changed = clean.change()
    clean.publish(project(synthesis))
    assert changed["StackStatus"] == "UPDATE_COMPLETE", clean.failures(STACK)
    sagemaker, name = clean.aws.client("sagemaker"), "studio-p-abc123def456"
    described = sagemaker.describe_pipeline(PipelineName=name)
    assert described["PipelineDescription"] == "newer"
    group = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    for arn in (described["PipelineArn"], group["ModelPackageGroupArn"]):
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "newer", "Value": "yes"}]


def test_a_project_goes_with_its_stack(studio: StudioPortfolio) -> None:
    studio.make()
    assert studio.remove() == ""
    with pytest.raises(ClientError, match="does not exist"):
        studio.stack(STACK)


def strong_role(**properties: Any) -> Template:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    given = {
        "RoleName": "studio-p-abc123def456-start-execution-us-east-1",
        "AssumeRolePolicyDocument": TRUST,
        "Policies": [{"PolicyName": "all", "PolicyDocument": document}],
    }
    names = {name: {"Type": "String"} for name in PROJECT}
    role = {"Type": "AWS::IAM::Role", "Properties": {**given, **properties}}
    return {"Parameters": names, "Resources": {"Role": role}}


def test_a_role_of_a_project_has_no_right_beyond_the_boundary(
    clean: StudioPortfolio, synthesis: ModuleType
) -> None:
    bound = "arn:aws:iam::123456789012:policy/cv-birds-studio-start-execution-us-east-1"
    clean.publish(strong_role(PermissionsBoundary=bound))
    made = clean.make()
    clean.publish(project(synthesis))
    assert made["StackStatus"] == "CREATE_COMPLETE", clean.failures(made["StackId"])
    role = "arn:aws:iam::123456789012:role/studio-p-abc123def456-start-execution-us-east-1"
    with pytest.raises(ClientError, match="AccessDenied"):
        clean.aws.client("iam", role).create_role(
            RoleName="admin", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
    with pytest.raises(ClientError, match="AccessDenied"):
        clean.aws.client("s3", role).list_objects_v2(Bucket="cv-birds-123456789012-us-east-1")


@pytest.mark.slow
def test_the_offer_goes_with_its_stack_and_leaves_projects_in_place(studio: StudioPortfolio) -> None:
    """The last test of this file: it takes the deployment away that the others need."""
    studio.make()
    assert studio.remove("cv-birds") == ""
    assert [each["StackName"] for each in studio.cloudformation.describe_stacks()["Stacks"]] == [STACK]
    assert TEMPLATES not in [each["Name"] for each in studio.s3.list_buckets()["Buckets"]]
