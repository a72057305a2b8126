"""Every call needs the actions, ARNs and condition keys of AWS's service authorization reference."""

from __future__ import annotations

from typing import Any

import pytest

from captured_calls import ACCOUNT, REGION, ROLE, asked, names

# --- S3 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("get_object", {"Key": "a b/ü"}, [("s3:GetObject", "b-1/a b/ü")]),
        ("get_object", {"Key": "a", "VersionId": "1"}, [("s3:GetObjectVersion", "b-1/a")]),
        ("head_object", {"Key": "a"}, [("s3:GetObject", "b-1/a")]),
        ("head_object", {"Key": "a", "VersionId": "1"}, [("s3:GetObjectVersion", "b-1/a")]),
        ("get_object_tagging", {"Key": "a"}, [("s3:GetObjectTagging", "b-1/a")]),
        ("put_object", {"Key": "a", "Body": b"x"}, [("s3:PutObject", "b-1/a")]),
        ("put_object", {"Key": "a", "Body": b"x", "IfNoneMatch": "*"}, [("s3:PutObject", "b-1/a")]),
        (
            "put_object",
            {"Key": "a", "Body": b"x", "IfMatch": '"e"'},
            [("s3:PutObject", "b-1/a"), ("s3:GetObject", "b-1/a")],
        ),
        (
            "put_object",
            {"Key": "a", "Body": b"x", "Tagging": "k=v"},
            [("s3:PutObject", "b-1/a"), ("s3:PutObjectTagging", "b-1/a")],
        ),
        ("delete_object", {"Key": "a"}, [("s3:DeleteObject", "b-1/a")]),
        ("delete_object", {"Key": "a", "VersionId": "1"}, [("s3:DeleteObjectVersion", "b-1/a")]),
        (
            "delete_objects",
            {"Delete": {"Objects": [{"Key": "a"}, {"Key": "b", "VersionId": "1"}]}},
            [("s3:DeleteObject", "b-1/a"), ("s3:DeleteObjectVersion", "b-1/b")],
        ),
        (
            "copy_object",
            {"Key": "a", "CopySource": {"Bucket": "other", "Key": "x/y z"}},
            [("s3:PutObject", "b-1/a"), ("s3:GetObject", "other/x/y z")],
        ),
        (
            "copy_object",
            {"Key": "a", "CopySource": {"Bucket": "other", "Key": "x", "VersionId": "1"}},
            [("s3:PutObject", "b-1/a"), ("s3:GetObjectVersion", "other/x")],
        ),
        ("create_multipart_upload", {"Key": "a"}, [("s3:PutObject", "b-1/a")]),
        (
            "upload_part",
            {"Key": "a", "UploadId": "u", "PartNumber": 1, "Body": b"x"},
            [("s3:PutObject", "b-1/a")],
        ),
        ("abort_multipart_upload", {"Key": "a", "UploadId": "u"}, [("s3:AbortMultipartUpload", "b-1/a")]),
        ("list_objects_v2", {}, [("s3:ListBucket", "b-1")]),
        ("list_object_versions", {}, [("s3:ListBucketVersions", "b-1")]),
        ("head_bucket", {}, [("s3:ListBucket", "b-1")]),
        ("get_bucket_location", {}, [("s3:GetBucketLocation", "b-1")]),
        ("put_bucket_policy", {"Policy": "{}"}, [("s3:PutBucketPolicy", "b-1")]),
        ("get_bucket_notification_configuration", {}, [("s3:GetBucketNotification", "b-1")]),
        ("get_bucket_encryption", {}, [("s3:GetEncryptionConfiguration", "b-1")]),
    ],
)
def test_s3_calls_need_their_actions_on_their_objects(
    operation: str, parameters: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    found = names(asked("s3", operation, Bucket="b-1", **parameters))
    assert found == [(action, f"arn:aws:s3:::{resource}") for action, resource in expected]


def test_listing_buckets_has_no_resource() -> None:
    assert names(asked("s3", "list_buckets")) == [("s3:ListAllMyBuckets", "*")]


def test_a_listing_carries_its_prefix_and_a_whole_one_the_empty_prefix() -> None:
    [listing] = asked("s3", "list_objects_v2", Bucket="b-1", Prefix="data/x", Delimiter="/")
    assert listing.context["s3:prefix"] == "data/x"
    assert listing.context["s3:delimiter"] == "/"
    [whole] = asked("s3", "list_objects_v2", Bucket="b-1")
    assert whole.context["s3:prefix"] == ""


# --- other services -------------------------------------------------------------------------------------

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:start"


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "action", "resource"),
    [
        ("lambda", "invoke", {"FunctionName": "start"}, "lambda:InvokeFunction", FUNCTION),
        ("lambda", "get_function", {"FunctionName": FUNCTION}, "lambda:GetFunction", FUNCTION),
        ("lambda", "list_functions", {}, "lambda:ListFunctions", "*"),
        (
            "sqs",
            "send_message",
            {"QueueUrl": f"http://localhost:1/{ACCOUNT}/failures", "MessageBody": "x"},
            "sqs:SendMessage",
            f"arn:aws:sqs:{REGION}:{ACCOUNT}:failures",
        ),
        ("sqs", "list_queues", {}, "sqs:ListQueues", "*"),
        (
            "logs",
            "put_log_events",
            {"logGroupName": "/aws/x", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]},
            "logs:PutLogEvents",
            f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/x:log-stream:s",
        ),
        (
            "logs",
            "create_log_group",
            {"logGroupName": "/aws/x"},
            "logs:CreateLogGroup",
            f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/x:*",
        ),
        ("iam", "get_role", {"RoleName": "r"}, "iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/r"),
        ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "me"}, "sts:AssumeRole", ROLE),
        (
            "cloudformation",
            "describe_stacks",
            {"StackName": "birds"},
            "cloudformation:DescribeStacks",
            f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/birds/*",
        ),
        (
            "ssm",
            "get_parameter",
            {"Name": "/a/b"},
            "ssm:GetParameter",
            f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b",
        ),
        (
            "kms",
            "decrypt",
            {"KeyId": "1-2", "CiphertextBlob": b"x"},
            "kms:Decrypt",
            f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1-2",
        ),
        ("ecr", "get_authorization_token", {}, "ecr:GetAuthorizationToken", "*"),
        (
            "ecr",
            "batch_get_image",
            {"repositoryName": "birds", "imageIds": [{"imageTag": "1"}]},
            "ecr:BatchGetImage",
            f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/birds",
        ),
        (
            "events",
            "put_rule",
            {"Name": "nightly", "ScheduleExpression": "rate(1 day)"},
            "events:PutRule",
            f"arn:aws:events:{REGION}:{ACCOUNT}:rule/nightly",
        ),
        (
            "cloudwatch",
            "put_metric_data",
            {"Namespace": "/aws/sagemaker/x", "MetricData": [{"MetricName": "m", "Value": 1.0}]},
            "cloudwatch:PutMetricData",
            "*",
        ),
        ("xray", "put_trace_segments", {"TraceSegmentDocuments": ["{}"]}, "xray:PutTraceSegments", "*"),
    ],
)
def test_other_services_calls_need_their_action_on_their_resource(
    service: str, operation: str, parameters: dict[str, Any], action: str, resource: str
) -> None:
    assert names(asked(service, operation, **parameters)) == [(action, resource)]


def test_a_metric_shows_its_namespace() -> None:
    [metric] = asked(
        "cloudwatch", "put_metric_data", Namespace="/aws/x", MetricData=[{"MetricName": "m", "Value": 1.0}]
    )
    assert metric.context == {"cloudwatch:namespace": "/aws/x"}


def test_creating_a_function_passes_its_role_to_lambda() -> None:
    found = asked(
        "lambda",
        "create_function",
        FunctionName="start",
        Runtime="python3.13",
        Handler="a.b",
        Role=ROLE,
        Code={"ZipFile": b"x"},
    )
    assert names(found) == [("lambda:CreateFunction", FUNCTION), ("iam:PassRole", ROLE)]
    assert found[1].context["iam:PassedToService"] == "lambda.amazonaws.com"


def test_a_function_s_code_is_read_in_the_name_of_whoever_brings_it() -> None:
    code = {"S3Bucket": "tmpl", "S3Key": "a.zip"}
    creating = asked(
        "lambda",
        "create_function",
        FunctionName="start",
        Runtime="python3.13",
        Handler="a.b",
        Role=ROLE,
        Code=code,
    )
    updating = asked("lambda", "update_function_code", FunctionName="start", **code)
    for found in (creating, updating):
        assert ("s3:GetObject", "arn:aws:s3:::tmpl/a.zip") in names(found)


def test_creating_a_stack_passes_its_role_to_cloudformation_and_tells_role_and_template() -> None:
    url = "https://tmpl.s3.us-east-1.amazonaws.com/templates/a.yaml"
    found = asked("cloudformation", "create_stack", StackName="SP-1", TemplateURL=url, RoleARN=ROLE)
    stack = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/SP-1/*"
    assert names(found) == [("cloudformation:CreateStack", stack), ("iam:PassRole", ROLE)]
    assert found[0].context["cloudformation:RoleArn"] == ROLE
    assert found[0].context["cloudformation:TemplateUrl"] == url
    assert found[1].context["iam:PassedToService"] == "cloudformation.amazonaws.com"


@pytest.mark.parametrize(
    ("service", "arn"),
    [
        ("events", f"arn:aws:events:{REGION}:{ACCOUNT}:rule/nightly"),
        ("cloudwatch", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:late"),
    ],
)
def test_tagging_names_the_resource_that_is_tagged(service: str, arn: str) -> None:
    tagging = asked(service, "tag_resource", ResourceARN=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert names(tagging) == [(f"{service}:TagResource", arn)]
