"""Change sets on the laptop: what would be done, done when asked, refused when it is not so any more."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAWS
from stacks import STACK, Template, bucket, buckets, client, describe, queue, role, template

NAMES = {"ChangeSetName": "change", "StackName": STACK}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path) as aws:
        yield aws
        client.cache_clear()


def propose(aws: LocalAWS, body: Template, kind: str = "CREATE", **more: Any) -> dict[str, Any]:
    """Create a change set and describe it."""
    cloudformation = client(aws, "cloudformation")
    cloudformation.create_change_set(**NAMES, ChangeSetType=kind, TemplateBody=json.dumps(body), **more)
    described: dict[str, Any] = cloudformation.describe_change_set(**NAMES)
    return described


def execute(aws: LocalAWS) -> str:
    client(aws, "cloudformation").execute_change_set(**NAMES)
    return str(describe(aws)["StackStatus"])


def actions(described: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Give action and replacement by logical id."""
    changes = [each["ResourceChange"] for each in described["Changes"]]
    return {each["LogicalResourceId"]: (each["Action"], each.get("Replacement", "")) for each in changes}


def retained(name: str) -> Any:
    return {**bucket(BucketName=name), "DeletionPolicy": "Retain"}


def test_nothing_is_made_before_the_first_change_set_is_executed(aws: LocalAWS) -> None:
    described = propose(aws, template(B=bucket(BucketName="first"), Q=queue()))
    assert (described["Status"], described["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert actions(described) == {"B": ("Add", ""), "Q": ("Add", "")}
    assert describe(aws)["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert buckets(aws) == []
    assert execute(aws) == "CREATE_COMPLETE"
    assert buckets(aws) == ["first"]


def test_what_would_change_is_told_by_property_and_whether_it_replaces(aws: LocalAWS) -> None:
    propose(aws, template(B=bucket(BucketName="first"), Q=queue(QueueName="q"), Gone=queue()))
    execute(aws)
    body = template(B=bucket(BucketName="second"), Q=queue(QueueName="q", DelaySeconds=5), New=queue())
    described = propose(aws, body, "UPDATE")
    assert actions(described) == {
        "B": ("Modify", "True"),
        "Q": ("Modify", "False"),
        "Gone": ("Remove", ""),
        "New": ("Add", ""),
    }
    (changed,) = [
        each["ResourceChange"]
        for each in described["Changes"]
        if each["ResourceChange"]["LogicalResourceId"] == "Q"
    ]
    assert [each["Target"]["Name"] for each in changed["Details"]] == ["DelaySeconds"]
    assert execute(aws) == "UPDATE_COMPLETE"
    assert buckets(aws) == ["second"]


def test_a_parameter_changes_what_refers_to_it_and_may_keep_its_value(aws: LocalAWS) -> None:
    body = template(Q=queue(DelaySeconds={"Ref": "Delay"}), R=queue())
    body["Parameters"] = {"Delay": {"Type": "Number", "Default": "1"}}
    value = {"ParameterKey": "Delay"}
    propose(aws, body, Parameters=[{**value, "ParameterValue": "2"}])
    execute(aws)
    kept = propose(aws, body, "UPDATE", Parameters=[{**value, "UsePreviousValue": True}])
    assert kept["Status"] == "FAILED"
    client(aws, "cloudformation").delete_change_set(**NAMES)
    changed = propose(aws, body, "UPDATE", Parameters=[{**value, "ParameterValue": "3"}])
    assert actions(changed) == {"Q": ("Modify", "False")}


def test_one_without_changes_says_so_and_cannot_be_executed(aws: LocalAWS) -> None:
    propose(aws, template(B=bucket()))
    execute(aws)
    described = propose(aws, template(B=bucket()), "UPDATE")
    assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert "didn't contain changes" in described["StatusReason"]
    with pytest.raises(ClientError, match="nothing to execute"):
        execute(aws)


def test_one_that_was_made_before_the_stack_changed_is_obsolete(aws: LocalAWS) -> None:
    propose(aws, template(B=bucket()))
    execute(aws)
    propose(aws, template(B=bucket(), Q=queue()), "UPDATE")
    client(aws, "cloudformation").update_stack(
        StackName=STACK, TemplateBody=json.dumps(template(B=bucket(), R=queue()))
    )
    with pytest.raises(ClientError, match="obsolete"):
        execute(aws)


def test_a_template_that_the_laptop_refuses_makes_neither_change_set_nor_stack(aws: LocalAWS) -> None:
    with pytest.raises(ClientError, match="does not implement the property Nonsense"):
        propose(aws, template(B=bucket(Nonsense=1)))
    assert client(aws, "cloudformation").describe_stacks()["Stacks"] == []


def test_a_deleted_one_is_gone_and_a_wrong_type_is_told(aws: LocalAWS) -> None:
    cloudformation = client(aws, "cloudformation")
    propose(aws, template(B=bucket()))
    (listed,) = cloudformation.list_change_sets(StackName=STACK)["Summaries"]
    assert listed["ChangeSetName"] == "change"
    cloudformation.delete_change_set(**NAMES)
    cloudformation.delete_change_set(**NAMES)
    with pytest.raises(ClientError, match="ChangeSetNotFound"):
        cloudformation.describe_change_set(**NAMES)
    propose(aws, template(B=bucket()))
    execute(aws)
    with pytest.raises(ClientError, match="already exists"):
        propose(aws, template(B=bucket()))
    cloudformation.delete_stack(StackName=STACK)
    with pytest.raises(ClientError, match="does not exist"):
        propose(aws, template(B=bucket()), "UPDATE")


def group(policy: str) -> Any:
    properties = {"ModelPackageGroupName": "kept"}
    return {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": properties, "DeletionPolicy": policy}


def test_a_retained_resource_is_taken_over_when_that_is_asked_for(aws: LocalAWS) -> None:
    s3, sagemaker = client(aws, "s3"), client(aws, "sagemaker")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="a", Body=b"a")
    sagemaker.create_model_package_group(ModelPackageGroupName="kept")
    body = template(B=retained("kept"), G=group("Retain"))
    propose(aws, body)
    assert execute(aws) == "ROLLBACK_COMPLETE"
    client(aws, "cloudformation").delete_stack(StackName=STACK)
    propose(aws, body, ImportExistingResources=True)
    assert execute(aws) == "CREATE_COMPLETE"
    assert s3.get_object(Bucket="kept", Key="a")["Body"].read() == b"a"


def test_a_rollback_removes_nothing_that_was_taken_over(aws: LocalAWS) -> None:
    client(aws, "s3").create_bucket(Bucket="kept")
    client(aws, "ssm").put_parameter(Name="/taken", Type="String", Value="theirs")
    properties = {"Name": "/taken", "Type": "String", "Value": "ours"}
    taken = {"Type": "AWS::SSM::Parameter", "Properties": properties, "DependsOn": "B"}
    propose(aws, template(B=retained("kept"), P=taken), ImportExistingResources=True)
    assert execute(aws) == "ROLLBACK_COMPLETE"
    assert buckets(aws) == ["kept"]
    assert client(aws, "ssm").get_parameter(Name="/taken")["Parameter"]["Value"] == "theirs"


def test_what_the_template_does_not_retain_is_not_taken_over(aws: LocalAWS) -> None:
    sagemaker = client(aws, "sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="kept")
    propose(aws, template(G=group("Delete")), ImportExistingResources=True)
    assert execute(aws) == "ROLLBACK_COMPLETE"
    assert sagemaker.describe_model_package_group(ModelPackageGroupName="kept")


def test_a_resource_whose_condition_does_not_hold_may_be_of_any_type(aws: LocalAWS) -> None:
    body = template(B=bucket(BucketName="made"), K={"Type": "AWS::Nobody::Knows", "Condition": "Never"})
    body["Conditions"] = {"Never": {"Fn::Equals": ["a", "b"]}}
    propose(aws, body)
    assert execute(aws) == "CREATE_COMPLETE"


def test_a_parameter_in_ssm_is_made_changed_and_removed(aws: LocalAWS) -> None:
    def body(value: str, **tags: str) -> Template:
        properties = {"Name": "/a/b", "Type": "String", "Value": value, "Tags": tags}
        return template(P={"Type": "AWS::SSM::Parameter", "Properties": properties})

    ssm = client(aws, "ssm")
    propose(aws, body("1", owner="ml", stage="dev"))
    assert execute(aws) == "CREATE_COMPLETE"
    propose(aws, body("2", owner="ops"), "UPDATE")
    assert execute(aws) == "UPDATE_COMPLETE"
    assert ssm.get_parameter(Name="/a/b")["Parameter"]["Value"] == "2"
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/b")["TagList"]
    assert tags == [{"Key": "owner", "Value": "ops"}]
    client(aws, "cloudformation").delete_stack(StackName=STACK)
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/a/b")


def test_a_bucket_may_say_that_it_is_private_and_nothing_else(aws: LocalAWS) -> None:
    propose(aws, template(B=bucket(AccessControl="Private")))
    assert execute(aws) == "CREATE_COMPLETE"
    propose(aws, template(B=bucket(AccessControl="PublicRead")), "UPDATE")
    assert execute(aws) == "UPDATE_ROLLBACK_COMPLETE"


def test_a_trust_policy_needs_no_version_and_a_policy_of_aws_counts(aws: LocalAWS) -> None:
    account = {"AWS": "arn:aws:iam::123456789012:root"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole"}]}
    policy = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    reader = role(RoleName="reader", AssumeRolePolicyDocument=trust, ManagedPolicyArns=[policy])
    propose(aws, template(R=reader))
    assert execute(aws) == "CREATE_COMPLETE"
    client(aws, "s3").create_bucket(Bucket="read")
    arn = "arn:aws:iam::123456789012:role/reader"
    given = client(aws, "sts").assume_role(RoleArn=arn, RoleSessionName="person")["Credentials"]
    s3 = boto3.client(
        "s3",
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert s3.list_objects_v2(Bucket="read")["KeyCount"] == 0
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="read", Key="a", Body=b"a")


def test_a_policy_that_aws_does_not_manage_does_not_exist(aws: LocalAWS) -> None:
    iam = client(aws, "iam")
    assert iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")["Policy"]["PolicyName"]
    for name in ("NobodyKnowsThis", "elsewhere/AdministratorAccess"):
        with pytest.raises(ClientError, match="NoSuchEntity"):
            iam.get_policy(PolicyArn=f"arn:aws:iam::aws:policy/{name}")
