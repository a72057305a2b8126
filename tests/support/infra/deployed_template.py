"""Reads back what a deployed template made: each resource's service, asked for each property."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from local.aws import LocalAWS
from local.run import STACK

DROPPED = {
    # docs/local.md names each of them.
    ("AWS::CloudWatch::Dashboard", "Tags"),
}
"""What MiniStack does not keep of our template, by type and property."""
NOT_READABLE = {
    # Where the code came from; tests/local/test_deploy.py runs it.
    ("AWS::Lambda::Function", "Code"),
    # Names the version that the configuration is of.
    ("AWS::Lambda::EventInvokeConfig", "Qualifier"),
    # Says how long a deletion waits, and nothing before.
    ("AWS::KMS::Key", "PendingWindowInDays"),
}
"""What no service tells about a resource."""


class Stack:
    """The deployed stack, and its template with the references resolved."""

    def __init__(self, aws: LocalAWS, resources: Mapping[str, Any], name: str = STACK) -> None:
        self.aws = aws
        self.resources = resources
        self.client = aws.client
        listed = aws.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}

    def properties(self, logical_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.resolve(self.resources[logical_id]["Properties"])
        return found

    def read(self, logical_id: str) -> dict[str, Any]:
        """Return what the resource's service tells of it, under the names of the template's properties."""
        kind = self.resources[logical_id]["Type"]
        found = READERS[kind](self, self.ids[logical_id], self.properties(logical_id))
        if "Tags" in found:  # CloudFormation adds its own
            found["Tags"] = [tag for tag in found["Tags"] if not tag["Key"].startswith("aws:")]
        return found

    def differences(self, logical_id: str) -> dict[str, tuple[Any, Any]]:
        """Return what the template asks for and what there is, by property, where these differ."""
        kind, found = self.resources[logical_id]["Type"], self.read(logical_id)
        return {
            name: (value, found.get(name))
            for name, value in self.properties(logical_id).items()
            if (kind, name) not in NOT_READABLE and found.get(name) != value
        }

    def lost(self) -> list[str]:
        """Return every property that is not as the template asks for, but for those that MiniStack drops."""
        return [
            f"{logical_id}.{name}: {asked!r} became {found!r}"
            for logical_id, resource in self.resources.items()
            for name, (asked, found) in self.differences(logical_id).items()
            if (resource["Type"], name) not in DROPPED
        ]

    def resolve(self, value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return self.pseudo(name)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: self.pseudo(found[1]), text)
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self.arn(name) if attribute == "Arn" else str(self.ids[name]).rpartition("/")[2]
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(self.resolve(part) for part in parts)
            case dict():
                return {key: self.resolve(each) for key, each in value.items()}
        return [self.resolve(each) for each in value] if isinstance(value, list) else value

    def pseudo(self, name: str) -> str:
        known = {
            "AWS::AccountId": self.aws.account,
            "AWS::Region": self.aws.region,
            "AWS::Partition": "aws",
            "AWS::StackName": STACK,
            "AWS::URLSuffix": "amazonaws.com",
        }
        return known[name] if name in known else str(self.ids[name])

    def arn(self, logical_id: str) -> str:
        name, where = self.ids[logical_id], f"{self.aws.region}:{self.aws.account}"
        return {
            "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
            "AWS::KMS::Key": f"arn:aws:kms:{where}:key/{name}",
            "AWS::Lambda::Function": f"arn:aws:lambda:{where}:function:{name}",
            "AWS::IAM::Role": f"arn:aws:iam::{self.aws.account}:role/{name}",
            "AWS::SQS::Queue": f"arn:aws:sqs:{where}:{str(name).rpartition('/')[2]}",
            "AWS::Events::Rule": f"arn:aws:events:{where}:rule/{name}",
            "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{where}:alarm:{name}",
            "AWS::Logs::LogGroup": f"arn:aws:logs:{where}:log-group:{name}:*",
        }[self.resources[logical_id]["Type"]]


Properties = Mapping[str, Any]
Reader = Callable[[Stack, str, Properties], dict[str, Any]]


def bucket(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    s3 = stack.client("s3")

    def got(what: str) -> Any:
        return getattr(s3, f"get_{what}")(Bucket=name)

    encryption = got("bucket_encryption")["ServerSideEncryptionConfiguration"]["Rules"]
    found: dict[str, Any] = {
        "BucketName": name,
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {
                    "ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"],
                    **({"BucketKeyEnabled": True} if rule.get("BucketKeyEnabled") else {}),
                }
                for rule in encryption
            ]
        },
        "LifecycleConfiguration": {
            "Rules": [_life_cycle(rule) for rule in got("bucket_lifecycle_configuration")["Rules"]]
        },
        "OwnershipControls": got("bucket_ownership_controls")["OwnershipControls"],
        "PublicAccessBlockConfiguration": got("public_access_block")["PublicAccessBlockConfiguration"],
        "Tags": got("bucket_tagging")["TagSet"],
        "VersioningConfiguration": {"Status": got("bucket_versioning")["Status"]},
    }
    if "LoggingEnabled" in (logging := got("bucket_logging")):
        found["LoggingConfiguration"] = {"DestinationBucketName": logging["LoggingEnabled"]["TargetBucket"]}
    if configurations := got("bucket_notification_configuration").get("LambdaFunctionConfigurations"):
        found["NotificationConfiguration"] = {
            "LambdaConfigurations": [
                {
                    "Event": configuration["Events"][0],
                    "Filter": {"S3Key": {"Rules": configuration["Filter"]["Key"]["FilterRules"]}},
                    "Function": configuration["LambdaFunctionArn"],
                }
                for configuration in configurations
            ]
        }
    return found


def _life_cycle(rule: dict[str, Any]) -> dict[str, Any]:
    expiration = rule.get("Expiration", {})
    days = {"ExpirationInDays": expiration["Days"]} if "Days" in expiration else {}
    markers = {name: expiration[name] for name in ("ExpiredObjectDeleteMarker",) if name in expiration}
    prefix = {"Prefix": rule["Filter"]["Prefix"]} if rule["Filter"].get("Prefix") else {}
    kept = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration", "Status")
    return {
        **days,
        **markers,
        **prefix,
        "Id": rule["ID"],
        **{name: rule[name] for name in kept if name in rule},
    }


def bucket_policy(stack: Stack, _: str, properties: Properties) -> dict[str, Any]:
    found = stack.client("s3").get_bucket_policy(Bucket=properties["Bucket"])["Policy"]
    return {"Bucket": properties["Bucket"], "PolicyDocument": json.loads(found)}


def role(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    iam = stack.client("iam")
    found = iam.get_role(RoleName=name)["Role"]
    policies = [
        iam.get_role_policy(RoleName=name, PolicyName=each)
        for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return {
        "RoleName": found["RoleName"],
        "Description": found["Description"],
        "Tags": found["Tags"],
        "AssumeRolePolicyDocument": found["AssumeRolePolicyDocument"],
        "MaxSessionDuration": found["MaxSessionDuration"],
        "Policies": [{name: each[name] for name in ("PolicyName", "PolicyDocument")} for each in policies],
    }


def key(stack: Stack, key_id: str, _: Properties) -> dict[str, Any]:
    kms = stack.client("kms")
    return {
        "Description": kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"],
        "EnableKeyRotation": kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"],
        "KeyPolicy": json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]),
        "Tags": [
            {"Key": tag["TagKey"], "Value": tag["TagValue"]}
            for tag in kms.list_resource_tags(KeyId=key_id)["Tags"]
        ],
    }


def alias(stack: Stack, name: str, properties: Properties) -> dict[str, Any]:
    found = stack.client("kms").describe_key(KeyId=name)["KeyMetadata"]["Arn"]
    return {"AliasName": name, "TargetKeyId": found}


def topic(stack: Stack, arn: str, _: Properties) -> dict[str, Any]:
    sns = stack.client("sns")
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    return {
        "TopicName": arn.rpartition(":")[2],
        "DisplayName": attributes["DisplayName"],
        "KmsMasterKeyId": attributes.get("KmsMasterKeyId"),
        "Tags": sns.list_tags_for_resource(ResourceArn=arn)["Tags"],
    }


def topic_policy(stack: Stack, _: str, properties: Properties) -> dict[str, Any]:
    (arn,) = properties["Topics"]
    attributes = stack.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    return {"Topics": [arn], "PolicyDocument": json.loads(attributes["Policy"])}


def queue(stack: Stack, url: str, _: Properties) -> dict[str, Any]:
    sqs = stack.client("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return {
        "QueueName": url.rpartition("/")[2],
        "KmsMasterKeyId": attributes.get("KmsMasterKeyId"),
        "SqsManagedSseEnabled": attributes.get("SqsManagedSseEnabled") == "true",
        "MessageRetentionPeriod": int(attributes["MessageRetentionPeriod"]),
        "Tags": [
            {"Key": name, "Value": value} for name, value in sqs.list_queue_tags(QueueUrl=url)["Tags"].items()
        ],
    }


def queue_policy(stack: Stack, _: str, properties: Properties) -> dict[str, Any]:
    (url,) = properties["Queues"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return {"Queues": [url], "PolicyDocument": json.loads(found["Attributes"]["Policy"])}


def function(stack: Stack, name: str, properties: Properties) -> dict[str, Any]:
    client = stack.client("lambda")
    found: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    tags = client.list_tags(Resource=found["FunctionArn"])["Tags"]
    # Defaults are told beside what was asked for.
    logging = {each: found["LoggingConfig"][each] for each in properties["LoggingConfig"]}
    return found | {
        "LoggingConfig": logging,
        "Tags": [{"Key": each, "Value": value} for each, value in tags.items()],
    }


def invoke_config(stack: Stack, _: str, properties: Properties) -> dict[str, Any]:
    name = properties["FunctionName"]
    found: dict[str, Any] = stack.client("lambda").get_function_event_invoke_config(
        FunctionName=name, Qualifier=properties["Qualifier"]
    )
    found["DestinationConfig"].pop("OnSuccess", None)
    return {**found, "FunctionName": name}


def permission(stack: Stack, statement_id: str, properties: Properties) -> dict[str, Any]:
    policy = stack.client("lambda").get_policy(FunctionName=properties["FunctionName"])["Policy"]
    for statement in json.loads(policy)["Statement"]:
        conditions = statement.get("Condition", {})
        source = conditions.get("ArnLike", {}).get("AWS:SourceArn")
        if source == properties["SourceArn"]:
            account = conditions.get("StringEquals", {}).get("AWS:SourceAccount")
            return {
                "FunctionName": properties["FunctionName"],
                "Action": statement["Action"],
                "Principal": statement["Principal"]["Service"],
                "SourceArn": source,
                **({"SourceAccount": account} if account else {}),
            }
    return {}


def log_group(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    logs = stack.client("logs")
    (found,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    arn = found["arn"].removesuffix(":*")
    tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
    return {
        "LogGroupName": found["logGroupName"],
        "RetentionInDays": found.get("retentionInDays"),
        "KmsKeyId": found.get("kmsKeyId"),
        "Tags": [{"Key": each, "Value": value} for each, value in tags.items()],
    }


def metric_filter(stack: Stack, _: str, properties: Properties) -> dict[str, Any]:
    group = properties["LogGroupName"]
    (found,) = stack.client("logs").describe_metric_filters(logGroupName=group)["metricFilters"]
    names = ("metricName", "metricNamespace", "metricValue")
    return {
        "LogGroupName": group,
        "FilterPattern": found["filterPattern"],
        "MetricTransformations": [
            {f"{name[0].upper()}{name[1:]}": each[name] for name in names}
            for each in found["metricTransformations"]
        ],
    }


def rule(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    events = stack.client("events")
    found: dict[str, Any] = events.describe_rule(Name=name)
    if found.get("EventPattern"):
        found["EventPattern"] = json.loads(found["EventPattern"])
    found["Targets"] = events.list_targets_by_rule(Rule=name)["Targets"]
    found["Tags"] = events.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]
    return found


def alarm(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    client = stack.client("cloudwatch")
    found: dict[str, Any] = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    return found | {"Tags": client.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]}


def dashboard(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    found: dict[str, Any] = stack.client("cloudwatch").get_dashboard(DashboardName=name)
    return found


def group(stack: Stack, name: str, _: Properties) -> dict[str, Any]:
    client = stack.client("sagemaker")
    found: dict[str, Any] = client.describe_model_package_group(ModelPackageGroupName=name)
    return found | {"Tags": client.list_tags(ResourceArn=found["ModelPackageGroupArn"])["Tags"]}


READERS: dict[str, Reader] = {
    "AWS::S3::Bucket": bucket,
    "AWS::S3::BucketPolicy": bucket_policy,
    "AWS::IAM::Role": role,
    "AWS::KMS::Key": key,
    "AWS::KMS::Alias": alias,
    "AWS::SNS::Topic": topic,
    "AWS::SNS::TopicPolicy": topic_policy,
    "AWS::SQS::Queue": queue,
    "AWS::SQS::QueuePolicy": queue_policy,
    "AWS::Lambda::Function": function,
    "AWS::Lambda::EventInvokeConfig": invoke_config,
    "AWS::Lambda::Permission": permission,
    "AWS::Logs::LogGroup": log_group,
    "AWS::Logs::MetricFilter": metric_filter,
    "AWS::Events::Rule": rule,
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": dashboard,
    "AWS::SageMaker::ModelPackageGroup": group,
}
