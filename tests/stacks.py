"""Templates for tests of the laptop's CloudFormation, and the calls that they need."""

import functools
import json
from typing import Any

from local.aws import LocalAWS

STACK = "stack"
LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


@functools.cache
def client(aws: LocalAWS, service: str) -> Any:
    return aws.client(service)


Template = dict[str, Any]


def template(**resources: Any) -> Template:
    return {"Resources": resources}


def bucket(**properties: Any) -> Any:
    return {"Type": "AWS::S3::Bucket", "Properties": properties}


def queue(**properties: Any) -> Any:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def role(*statements: Any, **properties: Any) -> Any:
    policy = {"Version": "2012-10-17", "Statement": list(statements) or [allow("logs:*")]}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": LAMBDA_TRUST,
            "Policies": [{"PolicyName": "inline", "PolicyDocument": policy}],
            **properties,
        },
    }


def function(source: str, **properties: Any) -> Any:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": source},
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Runtime": "python3.13",
            **properties,
        },
    }


def allow(action: str, resource: str = "*") -> dict[str, str]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def create(aws: LocalAWS, body: Template, **parameters: str) -> dict[str, Any]:
    client(aws, "cloudformation").create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    return describe(aws)


def update(aws: LocalAWS, body: Template) -> dict[str, Any]:
    client(aws, "cloudformation").update_stack(StackName=STACK, TemplateBody=json.dumps(body))
    return describe(aws)


def describe(aws: LocalAWS) -> dict[str, Any]:
    stack: dict[str, Any] = client(aws, "cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return stack


def failures(aws: LocalAWS) -> dict[str, str]:
    found = client(aws, "cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in found
        if event["ResourceStatus"].endswith("_FAILED")
    }


def buckets(aws: LocalAWS) -> list[str]:
    return [item["Name"] for item in client(aws, "s3").list_buckets()["Buckets"]]
