"""CloudFormation: what it may not take over or delete, and what MiniStack drops of a resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, iam, lambda_svc, s3, sns, sqs
from ministack.services.cloudformation import provisioners

from local.aws.host import ServerHost

Properties = Mapping[str, Any]

_NAMED: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", lambda name: name in cloudwatch._alarms),
    "AWS::CloudWatch::Dashboard": ("DashboardName", lambda name: name in cloudwatch._dashboards),
    "AWS::Events::Rule": ("Name", lambda name: eventbridge._rule_key(name, "default") in eventbridge._rules),
    "AWS::IAM::Role": ("RoleName", lambda name: name in iam._roles),
    "AWS::Lambda::Function": ("FunctionName", lambda name: name in lambda_svc._functions),
    "AWS::Logs::LogGroup": ("LogGroupName", lambda name: name in cloudwatch_logs._log_groups),
    "AWS::SNS::Topic": ("TopicName", lambda name: any(a.endswith(f":{name}") for a in sns._topics)),
    "AWS::SQS::Queue": ("QueueName", lambda name: name in sqs._queue_name_to_url),
}
"""By type that MiniStack does not look at itself: the property with a name, and whether the name is taken.

Buckets and model package groups refuse by themselves.
"""


def taken_names(_: ServerHost) -> None:
    """Fail to make a resource whose name is taken, as AWS does.

    MiniStack replaces somebody else's, and would delete it with the stack.
    """
    for kind, (member, is_taken) in _NAMED.items():
        handler = provisioners._RESOURCE_HANDLERS[kind]
        handler["create"] = _unless_taken(handler["create"], kind, member, is_taken)


def _unless_taken(
    create: Callable[..., Any], kind: str, member: str, is_taken: Callable[[str], bool]
) -> Callable[..., Any]:
    """Return `create`, which raises ValueError where there is a resource of the name."""

    def created(logical_id: str, properties: Properties, *more: Any) -> Any:
        name = properties.get(member)
        if name and is_taken(name):
            raise ValueError(f"Resource of type '{kind}' with identifier '{name}' already exists.")
        return create(logical_id, properties, *more)

    return created


def full_buckets_stay(_: ServerHost) -> None:
    """Fail to delete a bucket that holds objects, as AWS does; MiniStack deletes them with it."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    delete = handler["delete"]

    def deleted(name: str, properties: Properties) -> None:
        if (s3._buckets.get(name) or {}).get("objects") or s3._bucket_has_versions(name):
            raise ValueError(
                f"The bucket you tried to delete is not empty. You must delete all its versions. ({name})"
            )
        delete(name, properties)

    handler["delete"] = deleted


def roles_in_use_stay(_: ServerHost) -> None:
    """Fail to delete a role that somebody attached a policy to, as AWS does; MiniStack detaches it."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    delete = handler["delete"]

    def deleted(name: str, properties: Properties) -> None:
        attached = (iam._roles.get(name) or {}).get("AttachedPolicies", [])
        if set(attached) - set(properties.get("ManagedPolicyArns", [])):
            raise ValueError(f"Cannot delete entity, must detach all policies first. ({name})")
        delete(name, properties)

    handler["delete"] = deleted


def dropped_properties(host: ServerHost) -> None:
    """Set through S3's and SNS's own API what MiniStack's CloudFormation drops of their resources."""
    _finish("AWS::S3::Bucket", _finish_bucket, host)
    _finish("AWS::SNS::Topic", _finish_topic, host)


def boundaries_of_roles(host: ServerHost) -> None:
    """Bound a role as its template says; MiniStack's CloudFormation leaves it unbounded."""
    _finish("AWS::IAM::Role", _finish_role, host)


def _finish(kind: str, finish: Callable[[ServerHost, str, Properties], None], host: ServerHost) -> None:
    """Let `finish` follow whatever makes or changes a resource of this type."""
    handler = provisioners._RESOURCE_HANDLERS[kind]
    # create(logical id, properties, ...); update(physical id, old properties, new properties, ...)
    for verb, position in (("create", 1), ("update", 2)):
        handler[verb] = _finished(handler[verb], position, finish, host)


def _finished(
    provision: Callable[..., Any],
    position: int,
    finish: Callable[[ServerHost, str, Properties], None],
    host: ServerHost,
) -> Callable[..., Any]:
    """Return `provision` with `finish` after it, which takes the physical id and the properties."""

    def provisioned(*given: Any) -> Any:
        answer = provision(*given)
        finish(host, answer[0], given[position])
        return answer

    return provisioned


def _finish_bucket(host: ServerHost, name: str, properties: Properties) -> None:
    bucket = {"Bucket": name}
    if encryption := properties.get("BucketEncryption"):
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
                "BucketKeyEnabled": rule.get("BucketKeyEnabled") in (True, "true"),
            }
            for rule in encryption["ServerSideEncryptionConfiguration"]
        ]
        host.call("s3", "PutBucketEncryption", **bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    else:
        host.call("s3", "DeleteBucketEncryption", **bucket)
    if life_cycle := properties.get("LifecycleConfiguration"):
        rules = [_rule(rule) for rule in life_cycle["Rules"]]
        host.call("s3", "PutBucketLifecycleConfiguration", **bucket, LifecycleConfiguration={"Rules": rules})
    else:
        host.call("s3", "DeleteBucketLifecycle", **bucket)
    to = {}
    if logging := properties.get("LoggingConfiguration"):
        target = {"TargetBucket": logging.get("DestinationBucketName", name)}
        to = {"LoggingEnabled": {**target, "TargetPrefix": logging.get("LogFilePrefix", "")}}
    host.call("s3", "PutBucketLogging", **bucket, BucketLoggingStatus=to)
    if tags := properties.get("Tags"):
        host.call("s3", "PutBucketTagging", **bucket, Tagging={"TagSet": [dict(tag) for tag in tags]})
    if ownership := properties.get("OwnershipControls"):
        host.call("s3", "PutBucketOwnershipControls", **bucket, OwnershipControls=ownership)


def _rule(rule: Properties) -> dict[str, Any]:
    """Return a rule of a life cycle as S3's API words it, for the members that our templates have."""
    expiration = {
        theirs: rule[ours]
        for ours, theirs in (("ExpirationInDays", "Days"), ("ExpiredObjectDeleteMarker",) * 2)
        if ours in rule
    }
    kept = {
        name: rule[name]
        for name in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
        if name in rule
    }
    return {
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        **({"ID": rule["Id"]} if "Id" in rule else {}),
        **({"Expiration": expiration} if expiration else {}),
        **kept,
    }


def _finish_topic(host: ServerHost, arn: str, properties: Properties) -> None:
    key = properties.get("KmsMasterKeyId", "")
    host.call("sns", "SetTopicAttributes", TopicArn=arn, AttributeName="KmsMasterKeyId", AttributeValue=key)


def _finish_role(host: ServerHost, name: str, properties: Properties) -> None:
    if boundary := properties.get("PermissionsBoundary"):
        host.call("iam", "PutRolePermissionsBoundary", RoleName=name, PermissionsBoundary=boundary)
    elif iam._roles[name].get("PermissionsBoundary"):
        host.call("iam", "DeleteRolePermissionsBoundary", RoleName=name)
