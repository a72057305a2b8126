"""The laptop's CloudFormation: applies all of a template, or says what it cannot and makes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import cloudformation
from local.aws.cloudformation import RESOURCE_TYPES
from local.aws.cloudformation_resource import Target, refusals
from local.aws.cloudformation_services import Queue
from local.aws.cloudformation_template import parse
from local.aws import LocalAWS
from stacks import (
    allow,
    bucket,
    buckets,
    client,
    create,
    describe,
    failures,
    function,
    queue,
    role,
    template,
    update,
)

TEMPLATE = Path(__file__).parent.parent / "infra" / "template.json"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as aws:
        yield aws


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"Type": "AWS::DynamoDB::Table"}, ["Bad", "resource type AWS::DynamoDB::Table", "take it out"]),
        ({"Type": "AWS::S3::Buket"}, ["Did you mean AWS::S3::Bucket?"]),
        (bucket(VersionConfiguration={}), ["Bad (AWS::S3::Bucket)", "Did you mean VersioningConfiguration?"]),
        (
            bucket(LifecycleConfiguration={"Rules": [{"Transitions": []}]}),
            ["LifecycleConfiguration.Rules[0].Transitions"],
        ),
        (bucket(NotificationConfiguration={"QueueConfigurations": []}), ["QueueConfigurations"]),
        ({**bucket(), "CreationPolicy": {}}, ["resource attribute CreationPolicy"]),
        (
            {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": "b"}},
            ["Property PolicyDocument is required"],
        ),
        (bucket(BucketName={"Ref": "Nothing"}), ["unresolved reference to Nothing"]),
        (
            bucket(VersioningConfiguration={"Fn::If": ["C", {"Stat": 1}, {"Ref": "AWS::NoValue"}]}),
            ["VersioningConfiguration.Stat"],
        ),
    ],
)
def test_what_is_not_implemented_is_refused_before_anything_is_made(
    aws: LocalAWS, resource: Any, words: list[str]
) -> None:
    with pytest.raises(ClientError) as refused:
        create(aws, template(Good=bucket(BucketName="good"), Bad=resource))
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    for word in words:
        assert word in str(refused.value)
    assert buckets(aws) == []
    with pytest.raises(ClientError, match="does not exist"):
        describe(aws)


def test_every_type_and_property_of_the_projects_own_template_is_implemented() -> None:
    assert refusals(parse(TEMPLATE.read_text()), RESOURCE_TYPES) == []


def test_a_bucket_gets_every_property_that_the_template_gives_it(aws: LocalAWS) -> None:
    expiry = {
        "Id": "old",
        "Status": "Enabled",
        "Prefix": "executions/",
        "ExpirationInDays": 30,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    blocked = dict.fromkeys(
        ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
    )
    stack = create(
        aws,
        template(
            Logs=bucket(BucketName="access-logs"),
            Bucket=bucket(
                BucketName="whole",
                VersioningConfiguration={"Status": "Enabled"},
                PublicAccessBlockConfiguration=blocked,
                BucketEncryption={
                    "ServerSideEncryptionConfiguration": [
                        {
                            "ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                            "BucketKeyEnabled": True,
                        }
                    ]
                },
                LifecycleConfiguration={"Rules": [expiry]},
                OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                Tags=[{"Key": "project", "Value": "birds"}],
            ),
            Policy={
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "Bucket"},
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [{**allow("s3:*"), "Principal": "*"}],
                    },
                },
            },
        ),
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    s3 = client(aws, "s3")
    assert s3.get_bucket_versioning(Bucket="whole")["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket="whole")["PublicAccessBlockConfiguration"] == blocked
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket="whole")["Rules"]
    assert rule["Expiration"]["Days"] == 30
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    assert s3.get_bucket_tagging(Bucket="whole")["TagSet"] == [{"Key": "project", "Value": "birds"}]
    assert s3.get_bucket_ownership_controls(Bucket="whole")["OwnershipControls"]["Rules"]
    assert "s3:*" in s3.get_bucket_policy(Bucket="whole")["Policy"]


def test_the_smaller_types_are_made_as_asked(aws: LocalAWS) -> None:
    tags = [{"Key": "project", "Value": "birds"}]
    policy = {"Version": "2012-10-17", "Statement": [allow("s3:GetObject")]}
    queue_policy = {"Version": "2012-10-17", "Statement": [{**allow("sqs:*"), "Principal": "*"}]}
    stack = create(
        aws,
        template(
            Queue=queue(QueueName="q", SqsManagedSseEnabled=True, MessageRetentionPeriod=1209600, Tags=tags),
            QueuePolicy={
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": queue_policy},
            },
            Log={
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": "/a/b", "RetentionInDays": 7, "Tags": tags},
            },
            Alarm={
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "AlarmName": "a",
                    "ComparisonOperator": "GreaterThanThreshold",
                    "EvaluationPeriods": "1",
                    "Period": 60,
                    "Namespace": "AWS/SQS",
                    "MetricName": "M",
                    "Statistic": "Sum",
                    "Threshold": 0,
                    "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": "Queue.QueueName"}}],
                    "Tags": tags,
                },
            },
            Group={
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "Properties": {
                    "ModelPackageGroupName": "g",
                    "ModelPackageGroupDescription": "d",
                    "Tags": tags,
                },
            },
            Repository={
                "Type": "AWS::ECR::Repository",
                "Properties": {
                    "RepositoryName": "images",
                    "ImageTagMutability": "IMMUTABLE",
                    "ImageScanningConfiguration": {"ScanOnPush": True},
                    "Tags": tags,
                },
            },
            Topic={
                "Type": "AWS::SNS::Topic",
                "Properties": {"TopicName": "t", "DisplayName": "T", "Tags": tags},
            },
            Role=role(allow("s3:ListBucket"), Description="d", Tags=tags),
            Inline={
                "Type": "AWS::IAM::Policy",
                "Properties": {"PolicyName": "p", "PolicyDocument": policy, "Roles": [{"Ref": "Role"}]},
            },
            Managed={
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"PolicyDocument": policy, "Roles": [{"Ref": "Role"}]},
            },
        ),
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", failures(aws)
    resources = client(aws, "cloudformation").describe_stack_resources(StackName="stack")["StackResources"]
    assert {item["LogicalResourceId"] for item in resources} >= {"Queue", "Alarm", "Group", "Managed"}
    group = client(aws, "sagemaker").describe_model_package_group(ModelPackageGroupName="g")
    assert group["ModelPackageGroupDescription"] == "d"
    alarm = client(aws, "cloudwatch").describe_alarms(AlarmNames=["a"])["MetricAlarms"][0]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "q"}]


def test_outputs_parameters_and_conditions_are_resolved(aws: LocalAWS) -> None:
    body = template(
        Bucket=bucket(BucketName={"Fn::Sub": "${Prefix}-${AWS::AccountId}-${AWS::Region}"}),
        Never={**queue(), "Condition": "IsBig"},
    )
    body["Parameters"] = {"Prefix": {"Type": "String"}, "Size": {"Type": "String", "Default": "small"}}
    body["Conditions"] = {"IsBig": {"Fn::Equals": [{"Ref": "Size"}, "big"]}}
    body["Outputs"] = {
        "Name": {"Value": {"Ref": "Bucket"}, "Export": {"Name": "bucket"}},
        "Arn": {"Value": {"Fn::GetAtt": ["Bucket", "Arn"]}, "Description": "d"},
        "Url": {"Condition": "IsBig", "Value": {"Ref": "Never"}},
    }
    stack = create(aws, body, Prefix="prefix")
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
    assert outputs == {
        "Name": "prefix-123456789012-us-east-1",
        "Arn": "arn:aws:s3:::prefix-123456789012-us-east-1",
    }
    assert {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]} == {
        "Prefix": "prefix",
        "Size": "small",
    }
    exports = client(aws, "cloudformation").list_exports()["Exports"]
    assert [(item["Name"], item["Value"]) for item in exports] == [("bucket", outputs["Name"])]


class ForgetfulQueue(Queue):
    """A queue whose attributes are accepted and dropped, as an emulator may do it."""

    def apply(self, target: Target) -> None:
        """Do nothing."""


def test_a_resource_that_does_not_hold_what_was_asked_fails_the_deployment_by_name(aws: LocalAWS) -> None:
    service = cloudformation.install(aws, types={**RESOURCE_TYPES, "AWS::SQS::Queue": ForgetfulQueue()})
    stack = create(aws, template(Slow=queue(QueueName="slow", DelaySeconds=9)))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "DelaySeconds: asked for 9, it holds" in failures(aws)["Slow"]
    service.close()


def test_a_failed_creation_rolls_back_and_keeps_its_reason(aws: LocalAWS) -> None:
    client(aws, "s3").create_bucket(Bucket="taken")
    client(aws, "sqs").create_queue(QueueName="other")
    body = template(First=queue(QueueName="first"), Second=bucket(BucketName="taken", Tags=[]))
    body["Resources"]["Second"]["DependsOn"] = "First"
    body["Resources"]["Policy"] = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": {"Ref": "Second"}, "PolicyDocument": {"Statement": "nonsense"}},
    }
    body["Resources"]["Role"] = {
        "Type": "AWS::IAM::Role",
        "DependsOn": "First",
        "Properties": {"AssumeRolePolicyDocument": {"nonsense": True}},
    }
    stack = create(aws, body)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert failures(aws)
    name = next(iter(failures(aws)))
    assert name in stack["StackStatusReason"]
    urls = client(aws, "sqs").list_queues().get("QueueUrls", [])
    assert [url.rpartition("/")[2] for url in urls] == ["other"]
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        update(aws, template(Queue=queue(QueueName="x")))


def test_a_notification_without_permission_fails_as_on_aws(aws: LocalAWS) -> None:
    notification = {
        "LambdaConfigurations": [
            {"Event": "s3:ObjectCreated:*", "Function": {"Fn::GetAtt": ["Function", "Arn"]}}
        ]
    }
    body = template(
        Role=role(allow("logs:*")),
        Function=function("def handler(event, context): pass"),
        Bucket=bucket(BucketName="plain", NotificationConfiguration=notification),
    )
    assert create(aws, body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Unable to validate the following destination configurations" in failures(aws)["Bucket"]
    assert buckets(aws) == []
