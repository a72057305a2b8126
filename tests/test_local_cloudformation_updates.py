"""Updating and deleting stacks on the laptop: what changed is changed, what failed is brought back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from stacks import (
    LAMBDA_TRUST,
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


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as aws:
        yield aws


def test_an_update_changes_code_configuration_and_policies_in_place(aws: LocalAWS) -> None:
    def body(answer: str, action: str, **properties: Any) -> dict[str, Any]:
        return template(
            Role=role(allow(action), RoleName="role"),
            Function=function(
                f"def handler(event, context): return {answer}", FunctionName="f", **properties
            ),
            Queue=queue(QueueName="q"),
        )

    assert (
        create(aws, body("1", "logs:*", Tags=[{"Key": "a", "Value": "1"}]))["StackStatus"]
        == "CREATE_COMPLETE"
    )
    stack = update(aws, body("2", "sqs:*", MemorySize=512, ReservedConcurrentExecutions=1))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    functions_client = client(aws, "lambda")
    assert functions_client.invoke(FunctionName="f")["Payload"].read() == b"2"
    answer = functions_client.get_function(FunctionName="f")
    assert answer["Configuration"]["MemorySize"] == 512
    assert answer["Concurrency"]["ReservedConcurrentExecutions"] == 1
    assert answer.get("Tags", {}) == {}
    held = client(aws, "iam").get_role_policy(RoleName="role", PolicyName="inline")["PolicyDocument"]
    assert held["Statement"] == [allow("sqs:*")]
    found = client(aws, "cloudformation").describe_stack_events(StackName="stack")["StackEvents"]
    touched = {item["LogicalResourceId"] for item in found if item["ResourceStatus"] == "UPDATE_COMPLETE"}
    assert touched == {"Role", "Function", "stack"}, "the queue did not change"


def test_a_property_that_leaves_the_template_goes_back_to_its_default(aws: LocalAWS) -> None:
    rules = {"Rules": [{"Id": "a", "Status": "Enabled", "ExpirationInDays": 1}]}
    create(
        aws,
        template(
            B=bucket(BucketName="plain", LifecycleConfiguration=rules, Tags=[{"Key": "a", "Value": "1"}]),
            Q=queue(QueueName="q", VisibilityTimeout=99),
        ),
    )
    stack = update(aws, template(B=bucket(BucketName="plain"), Q=queue(QueueName="q")))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        client(aws, "s3").get_bucket_lifecycle_configuration(Bucket="plain")
    url = client(aws, "sqs").get_queue_url(QueueName="q")["QueueUrl"]
    held = client(aws, "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert held["Attributes"]["VisibilityTimeout"] == "30"


def test_an_update_removes_what_left_the_template_and_replaces_what_was_renamed(aws: LocalAWS) -> None:
    create(aws, template(Old=bucket(BucketName="old"), Q=queue(QueueName="before")))
    stack = update(aws, template(New=bucket(BucketName="new"), Q=queue(QueueName="after")))
    assert stack["StackStatus"] == "UPDATE_COMPLETE", failures(aws)
    assert buckets(aws) == ["new"]
    urls = client(aws, "sqs").list_queues()["QueueUrls"]
    assert [url.rpartition("/")[2] for url in urls] == ["after"]


def test_a_failed_update_brings_back_what_was_there(aws: LocalAWS) -> None:
    create(aws, template(Q=queue(QueueName="q", VisibilityTimeout=11)))
    body = template(
        Q=queue(QueueName="q", VisibilityTimeout=22),
        Added=queue(QueueName="added"),
        Bad={
            "Type": "AWS::S3::BucketPolicy",
            "DependsOn": ["Q", "Added"],
            "Properties": {"Bucket": "nowhere", "PolicyDocument": {}},
        },
    )
    stack = update(aws, body)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "NoSuchBucket" in failures(aws)["Bad"]
    sqs = client(aws, "sqs")
    (url,) = sqs.list_queues()["QueueUrls"]
    held = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert held["Attributes"]["VisibilityTimeout"] == "11"
    assert (
        update(aws, template(Q=queue(QueueName="q", VisibilityTimeout=33)))["StackStatus"]
        == "UPDATE_COMPLETE"
    )


def test_an_update_without_a_difference_is_refused_as_on_aws(aws: LocalAWS) -> None:
    create(aws, template(Q=queue(QueueName="q")))
    with pytest.raises(ClientError, match="No updates are to be performed"):
        update(aws, template(Q=queue(QueueName="q")))


def test_a_custom_named_resource_that_needs_replacing_is_refused_as_on_aws(aws: LocalAWS) -> None:
    create(aws, template(Role=role(RoleName="role", Path="/a/")))
    assert (
        update(aws, template(Role=role(RoleName="role", Path="/b/")))["StackStatus"]
        == "UPDATE_ROLLBACK_COMPLETE"
    )
    assert "custom-named resource requires replacing" in failures(aws)["Role"]


def test_deleting_removes_all_but_what_is_retained_and_a_full_bucket_stays_with_its_reason(
    aws: LocalAWS,
) -> None:
    create(
        aws,
        template(
            Kept={**bucket(BucketName="kept"), "DeletionPolicy": "Retain"},
            Full=bucket(BucketName="full"),
            Queue=queue(QueueName="q"),
        ),
    )
    client(aws, "s3").put_object(Bucket="full", Key="a", Body=b"")
    client(aws, "cloudformation").delete_stack(StackName="stack")
    assert describe(aws)["StackStatus"] == "DELETE_FAILED"
    assert "BucketNotEmpty" in failures(aws)["Full"]
    client(aws, "s3").delete_object(Bucket="full", Key="a")
    client(aws, "cloudformation").delete_stack(StackName="stack")
    assert buckets(aws) == ["kept"]
    assert not client(aws, "sqs").list_queues().get("QueueUrls")
    with pytest.raises(ClientError, match="does not exist"):
        describe(aws)


def test_a_stack_deploys_as_the_role_it_is_given(aws: LocalAWS) -> None:
    iam = client(aws, "iam")
    trust = json.dumps(LAMBDA_TRUST).replace("lambda", "cloudformation")
    arn = iam.create_role(RoleName="deployer", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    client(aws, "cloudformation").create_stack(
        StackName="stack", TemplateBody=json.dumps(template(Q=queue(QueueName="q"))), RoleARN=arn
    )
    assert describe(aws)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "sqs:createqueue" in failures(aws)["Q"].lower()


def test_a_role_that_got_no_policy_yet_goes_when_its_creation_is_rolled_back(aws: LocalAWS) -> None:
    body = template(Role=role(allow("logs:*"), RoleName="half", MaxSessionDuration=1))
    assert create(aws, body)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "half" not in [each["RoleName"] for each in client(aws, "iam").list_roles()["Roles"]]
