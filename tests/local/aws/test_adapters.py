"""Each adapter mends what MiniStack lacks, and MiniStack lacks it still: without them, every check fails.

When a check holds without its adapter, MiniStack has mended that itself: the adapter goes, and so does its
row in docs/local.md.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from local.aws import LocalAWS
from tests.support.local_aws.functions import (
    EVERYTHING,
    call,
    eventually,
    log_of,
    make_function,
    make_role,
    messages,
)

ROOT = Path(__file__).resolve().parents[3]
ANY_ROLE = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
FAILS = "def handler(event, context):\n    raise ValueError('no')\n"


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("mended")) as aws:
        yield aws


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("bare"), without=CHECKS) as aws:
        yield aws


def denied(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the message of a refusal, or "" when the call is allowed."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error)
    return ""


def bucket(aws: LocalAWS, name: str, *statements: Any) -> str:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    if statements:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    return name


def deny(name: str, **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{name}/*",
        "Condition": condition,
    }


def stack(aws: LocalAWS, name: str, **resources: Any) -> Any:
    cloudformation = aws.client("cloudformation")
    body, named = json.dumps({"Resources": resources}), ["CAPABILITY_NAMED_IAM"]
    cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=named)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    return cloudformation


def foreign_client(aws: LocalAWS, service: str, key: str, secret: str, token: str | None = None) -> Any:
    return boto3.session.Session(key, secret, token).client(
        service, region_name=aws.region, endpoint_url=aws.endpoint_url
    )


def keys_of(aws: LocalAWS, role: str) -> tuple[str, str, str]:
    given = aws.role_environment(role, "somebody")
    return given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], given["AWS_SESSION_TOKEN"]


# One check an adapter: whether AWS behaves as it should.


def no_root_user(aws: LocalAWS) -> bool:
    keys = ("test", aws.account, "000000000000")
    return all(denied(foreign_client(aws, "s3", key, "any").list_buckets) for key in keys)


def deny_what_has_no_name(aws: LocalAWS) -> bool:
    role = make_role(aws, "nobody", trust={"Version": "2012-10-17", "Statement": [ANY_ROLE]})
    keys = Credentials(*keys_of(aws, role))
    request = AWSRequest("POST", f"{aws.endpoint_url}/", data=b"{}", headers={"content-type": "text/plain"})
    SigV4Auth(keys, "events", aws.region).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    return b"AccessDenied" in answer.content and b"UnknownOperation" in answer.content


def batches_of_messages(aws: LocalAWS) -> bool:
    allowed = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    send = aws.client("sqs", make_role(aws, "sender", allowed)).send_message_batch
    url = aws.client("sqs").create_queue(QueueName="batches")["QueueUrl"]
    return not denied(send, QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "a"}])


def batches_of_deletions(aws: LocalAWS) -> bool:
    name, s3 = bucket(aws, "deletions"), aws.client("s3")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    which = {"Key": "a", "VersionId": s3.put_object(Bucket=name, Key="a", Body=b"")["VersionId"]}
    allowed = {"Effect": "Allow", "Action": "s3:DeleteObjectVersion", "Resource": "*"}
    role = make_role(aws, "deleter", allowed)
    # The second has the bucket in the host's name.
    clients = (aws.client("s3", role), foreign_client(aws, "s3", *keys_of(aws, role)))
    return not any(denied(each.delete_objects, Bucket=name, Delete={"Objects": [which]}) for each in clients)


def loopback_is_private(aws: LocalAWS) -> bool:
    name = bucket(aws, "private-way", deny("private-way", Bool={"aws:SecureTransport": "false"}))
    return not denied(aws.client("s3").put_object, Bucket=name, Key="a", Body=b"")


def role_of_a_session(aws: LocalAWS) -> bool:
    role = make_role(aws, "writer", EVERYTHING)
    name = bucket(aws, "of-one-role", deny("of-one-role", ArnNotEquals={"aws:PrincipalArn": role}))
    return not denied(aws.client("s3", role).put_object, Bucket=name, Key="a", Body=b"")


def keys_of_objects(aws: LocalAWS) -> bool:
    header = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    name = bucket(aws, "of-one-key", deny("of-one-key", StringEquals={header: "another"}))
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "another"}
    return bool(denied(aws.client("s3").put_object, Bucket=name, Key="a", Body=b"", **encryption))


def streams_of_logs(aws: LocalAWS) -> bool:
    logs, group = aws.client("logs"), f"arn:aws:logs:{aws.region}:{aws.account}:log-group:streams"
    logs.create_log_group(logGroupName="streams")
    for name in ("own", "others"):
        logs.create_log_stream(logGroupName="streams", logStreamName=name)
    allowed = {"Effect": "Allow", "Action": "logs:GetLogEvents", "Resource": f"{group}:log-stream:own"}
    read = aws.client("logs", make_role(aws, "reader", allowed)).get_log_events
    assert denied(read, logGroupName="streams", logStreamName="others")
    return not denied(read, logGroupName="streams", logStreamName="own")


def newlines_in_names(aws: LocalAWS) -> bool:
    name, s3 = bucket(aws, "newlines"), aws.client("s3")
    s3.put_object(Bucket=name, Key="secret/a\nb", Body=b"")
    never = {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{name}/secret/*"}
    reader = aws.client("s3", make_role(aws, "newlines", EVERYTHING, never))
    return bool(denied(reader.get_object, Bucket=name, Key="secret/a\nb"))


def services_by_name(aws: LocalAWS) -> bool:
    return "NotImplemented" in denied(aws.client("pricing").describe_services)


def namespace_of_metrics(aws: LocalAWS) -> bool:
    own = {"StringEquals": {"cloudwatch:namespace": "birds"}}
    allow = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": own}
    put = aws.client("cloudwatch", make_role(aws, "metrics", allow)).put_metric_data
    metric = [{"MetricName": "a", "Value": 1}]
    assert denied(put, Namespace="others", MetricData=metric)
    return not denied(put, Namespace="birds", MetricData=metric)


def resource_of_a_denial(aws: LocalAWS) -> bool:
    role = make_role(aws, "without-rights")
    return "on resource: arn:aws:sns:" in denied(
        aws.client("sns", role).publish, TopicArn=f"arn:aws:sns:{aws.region}:{aws.account}:a", Message="a"
    )


def statement_of_a_denial(aws: LocalAWS) -> bool:
    only = {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/only"}}
    bucket(aws, "guarded", {**deny("guarded", **only), "Sid": "OnlyTheRole"})
    said = denied(aws.client("s3").put_object, Bucket="guarded", Key="a", Body=b"")
    assert "explicit deny in a resource-based policy" in said
    return ": statement OnlyTheRole lets only arn:aws:iam::123456789012:role/only do it" in said


def secret_keys(aws: LocalAWS) -> bool:
    arn = make_function(aws, "guessed", "def handler(event, context):\n    return 1\n", EVERYTHING)
    assert call(aws, "guessed") == 1
    digest = hashlib.sha256(f"{arn}:arn:aws:iam::{aws.account}:role/guessed".encode()).hexdigest()
    secret, token = (hashlib.sha256(f"{each}:{digest}".encode()).hexdigest() for each in ("secret", "token"))
    return bool(denied(foreign_client(aws, "s3", f"ASIA{digest[:16].upper()}", secret, token).list_buckets))


def role_of_a_function(aws: LocalAWS) -> bool:
    maker = make_role(aws, "maker", {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"})
    request = {
        "FunctionName": "passed",
        "Role": make_role(aws, "powerful", EVERYTHING),
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Code": {"ZipFile": b"PK\x05\x06" + bytes(18)},
    }
    return "iam:PassRole" in denied(aws.client("lambda", maker).create_function, **request)


def s3_asks_the_function(aws: LocalAWS) -> bool:
    arn = make_function(aws, "notified", "def handler(event, context):\n    print('came')\n", EVERYTHING)
    s3, name = aws.client("s3"), bucket(aws, "notifying")
    to = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"LambdaFunctionConfigurations": [to]}
    )
    s3.put_object(Bucket=name, Key="a", Body=b"")
    return not eventually(lambda: "came" in log_of(aws, "notified"), 2)


def failures_ask_the_role(aws: LocalAWS) -> bool:
    sqs, functions = aws.client("sqs"), aws.client("lambda")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    make_function(aws, "failing", FAILS)
    to = f"arn:aws:sqs:{aws.region}:{aws.account}:failures"
    functions.put_function_event_invoke_config(
        FunctionName="failing", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": to}}
    )
    functions.invoke(FunctionName="failing", InvocationType="Event", Payload=b"{}")
    assert eventually(lambda: any("ValueError" in line for line in log_of(aws, "failing")))
    return not messages(aws, url, 1)


def type_of_an_error(aws: LocalAWS) -> bool:
    make_function(aws, "raising", FAILS)
    return bool(call(aws, "raising")["errorType"] == "ValueError")


def s3s_own_key(aws: LocalAWS) -> bool:
    name, encryption = bucket(aws, "own-key"), {"ServerSideEncryption": "aws:kms"}
    return not denied(aws.client("s3").put_object, Bucket=name, Key="a", Body=b"", **encryption)


def taken_names(aws: LocalAWS) -> bool:
    trust = {"Version": "2012-10-17", "Statement": [ANY_ROLE]}
    metric = {"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60}
    alarm = {"EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold", **metric}
    make_function(aws, "taken", FAILS)
    role = aws.client("iam").get_role(RoleName="taken")["Role"]["Arn"]
    aws.client("cloudwatch").put_dashboard(DashboardName="taken", DashboardBody="{}")
    aws.client("cloudwatch").put_metric_alarm(AlarmName="taken", **alarm)
    aws.client("events").put_rule(Name="taken", ScheduleExpression="rate(1 day)")
    aws.client("logs").create_log_group(logGroupName="taken")
    aws.client("sns").create_topic(Name="taken")
    aws.client("sqs").create_queue(QueueName="taken")
    code = {"Handler": "index.handler", "Runtime": "python3.12", "Code": {"ZipFile": FAILS}, "Role": role}
    properties: dict[str, dict[str, Any]] = {
        "CloudWatch::Alarm": {"AlarmName": "taken", **alarm},
        "CloudWatch::Dashboard": {"DashboardName": "taken", "DashboardBody": "{}"},
        "Events::Rule": {"Name": "taken", "ScheduleExpression": "rate(1 day)"},
        "IAM::Role": {"RoleName": "taken", "AssumeRolePolicyDocument": trust},
        "Lambda::Function": {"FunctionName": "taken", **code},
        "Logs::LogGroup": {"LogGroupName": "taken"},
        "SNS::Topic": {"TopicName": "taken"},
        "SQS::Queue": {"QueueName": "taken"},
    }
    return all(refused(aws, f"AWS::{kind}", given) for kind, given in properties.items())


def refused(aws: LocalAWS, kind: str, properties: dict[str, Any]) -> bool:
    """Whether a stack with this resource fails because there is one."""
    cloudformation, name = aws.client("cloudformation"), kind.replace("::", "-")
    body, named = (
        json.dumps({"Resources": {"Taken": {"Type": kind, "Properties": properties}}}),
        ["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.create_stack(StackName=name, TemplateBody=body, Capabilities=named)

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    assert eventually(lambda: not status().endswith("IN_PROGRESS"), 10)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    said = any("already exists" in event.get("ResourceStatusReason", "") for event in events)
    return status() == "ROLLBACK_COMPLETE" and said


def full_buckets_stay(aws: LocalAWS) -> bool:
    properties = {"BucketName": "full"}
    cloudformation = stack(aws, "full", Bucket={"Type": "AWS::S3::Bucket", "Properties": properties})
    aws.client("s3").put_object(Bucket="full", Key="a", Body=b"kept")
    cloudformation.delete_stack(StackName="full")
    return not denied(aws.client("s3").get_object, Bucket="full", Key="a")


def roles_in_use_stay(aws: LocalAWS) -> bool:
    iam, trust = aws.client("iam"), {"Version": "2012-10-17", "Statement": [ANY_ROLE]}
    properties = {"RoleName": "in-use", "AssumeRolePolicyDocument": trust}
    cloudformation = stack(aws, "in-use", Role={"Type": "AWS::IAM::Role", "Properties": properties})
    document = json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})
    policy = iam.create_policy(PolicyName="by-hand", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="in-use", PolicyArn=policy)
    cloudformation.delete_stack(StackName="in-use")
    return not eventually(lambda: denied(iam.get_role, RoleName="in-use"), 2)


def dropped_properties(aws: LocalAWS) -> bool:
    encryption = [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/a"}}]
    properties = {
        "BucketName": "complete",
        "BucketEncryption": {"ServerSideEncryptionConfiguration": encryption},
    }
    stack(aws, "complete", Bucket={"Type": "AWS::S3::Bucket", "Properties": properties})
    given = aws.client("s3").get_bucket_encryption(Bucket="complete")["ServerSideEncryptionConfiguration"]
    return "alias/a" in json.dumps(given)


def boundaries_of_roles(aws: LocalAWS) -> bool:
    iam, trust = aws.client("iam"), {"Version": "2012-10-17", "Statement": [ANY_ROLE]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})
    edge = iam.create_policy(PolicyName="edge", PolicyDocument=document)["Policy"]["Arn"]

    def role(**boundary: str) -> dict[str, Any]:
        properties = {"RoleName": "bounded", "AssumeRolePolicyDocument": trust, **boundary}
        return {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}

    def bound() -> Any:
        return iam.get_role(RoleName="bounded")["Role"].get("PermissionsBoundary")

    cloudformation = stack(aws, "bounded", **role(PermissionsBoundary=edge))
    first = bound()
    body, named = json.dumps({"Resources": role()}), ["CAPABILITY_NAMED_IAM"]
    cloudformation.update_stack(StackName="bounded", TemplateBody=body, Capabilities=named)
    cloudformation.get_waiter("stack_update_complete").wait(StackName="bounded", WaiterConfig={"Delay": 1})
    return bool(first and first["PermissionsBoundaryArn"] == edge and not bound())


CHECKS: dict[str, Callable[[LocalAWS], bool]] = {
    "no root user": no_root_user,
    "deny what has no name": deny_what_has_no_name,
    "batches of messages": batches_of_messages,
    "batches of deletions": batches_of_deletions,
    "loopback is private": loopback_is_private,
    "role of a session": role_of_a_session,
    "keys of objects": keys_of_objects,
    "streams of logs": streams_of_logs,
    "newlines in names": newlines_in_names,
    "services by name": services_by_name,
    "namespace of metrics": namespace_of_metrics,
    "resource of a denial": resource_of_a_denial,
    "statement of a denial": statement_of_a_denial,
    "secret keys of functions": secret_keys,
    "role of a function": role_of_a_function,
    "S3 asks the function": s3_asks_the_function,
    "failures ask the role": failures_ask_the_role,
    "type of an error": type_of_an_error,
    "S3's own key": s3s_own_key,
    "names that are taken": taken_names,
    "full buckets stay": full_buckets_stay,
    "roles in use stay": roles_in_use_stay,
    "dropped properties": dropped_properties,
    "boundaries of roles": boundaries_of_roles,
}


def test_every_adapter_has_a_check() -> None:
    # In a process of its own: MiniStack reads the environment when it is imported.
    code = "from local.aws.adapters import ADAPTERS; print(*ADAPTERS, sep='\\n')"
    listed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines() == list(CHECKS)


def test_every_adapter_has_its_row_in_the_document() -> None:
    page = (ROOT / "docs" / "local.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \|", page.partition("| adapter | mends |\n|---|---|\n")[2], re.MULTILINE)
    assert rows == list(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_with_the_adapter_local_aws_does_as_aws_does(name: str, mended: LocalAWS) -> None:
    assert CHECKS[name](mended)


@pytest.mark.parametrize("name", CHECKS)
def test_without_the_adapter_ministack_does_not_yet(name: str, bare: LocalAWS) -> None:
    assert not CHECKS[name](bare), f"MiniStack has mended this itself: take the adapter {name!r} out"
