"""Every choice that a deployment has, with what of the template it changes: a new one has to be put here."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.config import DeploymentPolicy
from tests.support.infra.studio_offers import OFFERS
from tests.support.shared import made_once

Template = Mapping[str, Any]
Context = dict[str, Any]

ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team/birds@sha256:{'a' * 64}"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:ours"

FUNCTION = "AWS::Lambda::Function"
ENVIRONMENT = {f"{FUNCTION}.Environment"}
"""What the function gives to executions, and judges uploads by."""
RIGHTS = {"AWS::IAM::Role.Policies"}
RIGHTS_TOO = RIGHTS | ENVIRONMENT
TRUST = {"AWS::IAM::Role.AssumeRolePolicyDocument"}
OFFER = {
    *("+AWS::CloudFormation::CustomResource", "+AWS::IAM::ManagedPolicy", "+AWS::IAM::Role"),
    *("+AWS::Lambda::Function", "+AWS::S3::Bucket", "+AWS::S3::BucketPolicy"),
    *("AWS::SNS::TopicPolicy.PolicyDocument", "Outputs.StudioLaunchRoleArn"),
}
OFFER_OF_A_BUCKET = OFFER | {"Outputs.StudioTemplatesLocation"}
OFFER_TO_BE_TAGGED = OFFER_OF_A_BUCKET | {"Outputs.StudioDomainTagCommand"}
OFFER_OF_A_CATALOG = {
    *OFFER,
    *("+AWS::ServiceCatalog::CloudFormationProduct", "+AWS::ServiceCatalog::LaunchRoleConstraint"),
    *("+AWS::ServiceCatalog::Portfolio", "+AWS::ServiceCatalog::PortfolioPrincipalAssociation"),
    "+AWS::ServiceCatalog::PortfolioProductAssociation",
    *("Outputs.StudioPortfolioId", "Outputs.StudioProductVersion"),
}
EXPIRY = {"AWS::S3::Bucket.LifecycleConfiguration"}
KEPT_BY = ("DeletionPolicy", "UpdateReplacePolicy")
GOES = {
    f"{kind}.{each}" for kind in ("AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup") for each in KEPT_BY
}
KEY_GOES = {f"AWS::KMS::Key.{each}" for each in KEPT_BY}
YOUR_KEY = {
    *RIGHTS,
    *ENVIRONMENT,
    *("AWS::S3::Bucket.BucketEncryption", "AWS::S3::BucketPolicy.PolicyDocument"),
    *("AWS::SQS::Queue.KmsMasterKeyId", "AWS::SQS::Queue.SqsManagedSseEnabled"),
    "AWS::Logs::LogGroup.KmsKeyId",
}
OWN_KEY = YOUR_KEY | {"+AWS::KMS::Key", "+AWS::KMS::Alias"}
HARDENED_BUT_FOR_THE_KEY = {
    # A key that CloudWatch and EventBridge may use.
    *("+AWS::KMS::Key", "AWS::SNS::Topic.KmsMasterKeyId"),
    *("+AWS::IAM::Role", "AWS::S3::BucketPolicy.PolicyDocument", "AWS::S3::BucketPolicy.DependsOn"),
    *("Outputs.BreakGlassRoleArn", "Outputs.UploadCommand", "Outputs.UploaderRoleArn"),
}
HARDENED = OWN_KEY | HARDENED_BUT_FOR_THE_KEY
BUILT_IMAGE = {
    *RIGHTS_TOO,
    *("+AWS::CodeBuild::Project", "+AWS::ECR::Repository", "+AWS::Events::Rule", "+AWS::IAM::Role"),
    *("+AWS::Lambda::Function", "+AWS::Lambda::Permission", "+AWS::Logs::LogGroup", "+Custom::TrainingImage"),
}
OTHER_TOPIC = {
    *("-AWS::SNS::Topic", "-AWS::SNS::TopicPolicy"),
    *("AWS::CloudWatch::Alarm.AlarmActions", "AWS::Events::Rule.Targets", "Outputs.NotificationTopicArn"),
}
TAGGED = (
    *("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Events::Rule", "AWS::IAM::Role"),
    *("AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::SQS::Queue"),
    *("AWS::SageMaker::ModelPackageGroup", FUNCTION),
)


@dataclass(frozen=True)
class Option:
    """A context with a policy, and what they change in the default template or in that of `base`."""

    context: Context
    changes: set[str] = field(default_factory=set)
    policy: Context = field(default_factory=dict)
    everything: bool = False
    """Whether every name changes, so that it is another deployment."""
    base: str | None = None
    """The option that it is a choice within."""


@functools.cache
def _synthesised(name: str | None) -> Template:
    option = Option({}) if name is None else OPTIONS[name]

    def synthesise() -> Template:
        template: Template = importlib.import_module("infra.template").synthesise(
            option.context, DeploymentPolicy(**option.policy)
        )
        return template

    template: Template = made_once(f"option {name}", synthesise)
    return template


def default() -> Template:
    """Return the template without any choice; Node has to be on PATH, as the fixture `synthesis` sees to."""
    return _synthesised(None)


def template(name: str) -> Template:
    """Return the template of an option."""
    return _synthesised(name)


def changes(before: Template, after: Template) -> set[str]:
    """Say what differs: Type.Property, +Type of a new resource, -Type of one that is gone, Outputs.Name."""
    old, new = before["Resources"], after["Resources"]
    found = {f"-{old[name]['Type']}" for name in old.keys() - new.keys()}
    found |= {f"+{new[name]['Type']}" for name in new.keys() - old.keys()}
    for name in old.keys() & new.keys():
        found |= {f"{old[name]['Type']}.{part}" for part in _parts(old[name], new[name])}
    return found | {f"Outputs.{name}" for name in _differing(before["Outputs"], after["Outputs"])}


def _parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _differing(old.get("Properties", {}), new.get("Properties", {}))
    yield from (part for part in _differing(old, new) if part not in ("Properties", "Metadata"))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


SUBNETS: Context = {
    "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "security_group_ids": ["sg-0123456789abcdef0"],
}
OPTIONS: dict[str, Option] = {
    "another project": Option({"project": "a-name-of-thirty-letters-aaaaa"}, everything=True),
    "an environment": Option({"environment": "staging"}, everything=True),
    "an image in ECR": Option({"image": IMAGE}, RIGHTS_TOO),
    "an image of this machine's Docker": Option({"image": "asset"}),
    "an image that AWS builds": Option({"image": "codebuild"}, BUILT_IMAGE),
    "an image that AWS builds, data that goes": Option(
        {"image": "codebuild", "retain_data": False}, BUILT_IMAGE | GOES
    ),
    "an image that AWS builds for GPUs": Option(
        {"image": "codebuild"}, BUILT_IMAGE, policy={"training_instance_types": ("ml.g5.xlarge",)}
    ),
    "containers of another user than root": Option({"image_user_id": 1000}, ENVIRONMENT),
    "other types for processing": Option(
        {}, RIGHTS_TOO, policy={"processing_instance_types": ("ml.c5.xlarge",)}
    ),
    "types with a GPU for training": Option(
        {}, RIGHTS_TOO, policy={"training_instance_types": ("ml.g5.xlarge",)}
    ),
    "a shorter run time": Option({}, RIGHTS_TOO, policy={"max_runtime_seconds": 3600}),
    "approval by the pipeline": Option(
        {}, RIGHTS_TOO, policy={"model_approval_statuses": ("Approved", "Rejected")}
    ),
    "a policy of uploads": Option(
        {},
        ENVIRONMENT,
        policy={
            "max_instance_count": 1,
            "max_volume_gb": 50,
            "max_wait_seconds": 3600,
            "max_retry_attempts": 0,
            "max_cache_days": 7,
            "max_execution_cost_usd": 10.0,
            "instance_prices": {"ml.g5.xlarge": 1.5},
            "entry_points": ("python train.py",),
            "allowed_images": (IMAGE,),
            "environment_keys": ("LOG_LEVEL",),
            "tag_keys": ("TrainingType", "Team"),
            "policy_off": {"cost": "an AWS budget bounds it"},
            "further_step_types": {"Lambda": "it tells our own service"},
        },
    ),
    "one upload at a time": Option({"reserved_concurrency": 1}, {f"{FUNCTION}.ReservedConcurrentExecutions"}),
    "stopping what runs": Option({"on_running": "stop"}, RIGHTS_TOO),
    "starting beside what runs": Option({"on_running": "parallel"}),
    "executions that expire": Option({"executions_expire_days": 60}, EXPIRY),
    "checkpoints that stay": Option({"checkpoints_expire_days": None}, EXPIRY),
    "other times": Option(
        {"noncurrent_versions_expire_days": 7, "log_retention_days": 7},
        EXPIRY | {"AWS::Logs::LogGroup.RetentionInDays"},
    ),
    "default": Option({"security": "default"}),
    "hardened": Option({"security": "hardened"}, HARDENED),
    "hardened, keys of AWS's": Option(
        {"security": "hardened", "encryption_key": "s3"}, HARDENED_BUT_FOR_THE_KEY
    ),
    "hardened, a key of yours": Option(
        {"security": "hardened", "encryption_key": KEY}, YOUR_KEY | HARDENED_BUT_FOR_THE_KEY
    ),
    "hardened, data that goes": Option(
        {"security": "hardened", "retain_data": False}, GOES | KEY_GOES, base="hardened"
    ),
    "hardened, a network of yours": Option(
        {"security": "hardened", **SUBNETS}, RIGHTS_TOO | {"Outputs.UploadCommand"}, base="hardened"
    ),
    "data that goes": Option({"retain_data": False}, GOES),
    "data that stays": Option({"retain_data": True}),
    "keys of AWS's": Option({"encryption_key": "s3"}),
    "a key of yours": Option({"encryption_key": KEY}, YOUR_KEY),
    "a key of its own": Option({"encryption_key": "own"}, OWN_KEY),
    "a key of its own, data that goes": Option(
        {"encryption_key": "own", "retain_data": False}, GOES | KEY_GOES, base="a key of its own"
    ),
    "volumes with the key": Option(
        {"encrypt_volumes": True, "encryption_key": "own"}, RIGHTS_TOO, base="a key of its own"
    ),
    "volumes with a key of yours": Option(
        {"encrypt_volumes": True, "encryption_key": KEY}, RIGHTS_TOO, base="a key of yours"
    ),
    "volumes with AWS's keys": Option({"encrypt_volumes": False}),
    "a network of yours": Option(SUBNETS, RIGHTS_TOO | {"Outputs.UploadCommand"}),
    "an earlier key": Option({"former_encryption_keys": [KEY]}, RIGHTS),
    "hardened, an earlier key": Option(
        {"security": "hardened", "former_encryption_keys": [KEY]}, RIGHTS, base="hardened"
    ),
    "who uploads": Option(
        {
            "security": "hardened",
            "uploader_arns": [f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/*"],
        },
        TRUST,
        base="hardened",
    ),
    "who breaks the glass": Option(
        {"security": "hardened", "break_glass_arns": [f"arn:aws:iam::{ACCOUNT}:user/jo"]},
        TRUST,
        base="hardened",
    ),
    "breaking the glass without MFA": Option(
        {"security": "hardened", "break_glass_requires_mfa": False}, TRUST, base="hardened"
    ),
    "breaking the glass with MFA": Option(
        {"security": "hardened", "break_glass_requires_mfa": True}, base="hardened"
    ),
    "a topic of yours": Option({"alarm_topic_arn": TOPIC}, OTHER_TOPIC),
    "hardened, a topic of yours": Option(
        {"security": "hardened", "alarm_topic_arn": TOPIC}, OTHER_TOPIC | {"-AWS::KMS::Key"}, base="hardened"
    ),
    "mail": Option({"notify_email": "team@example.com"}, {"+AWS::SNS::Subscription"}),
    "projects of Studio from a bucket": Option(OFFERS["s3"], OFFER_TO_BE_TAGGED),
    "projects of Studio from a bucket, for a domain": Option(
        {**OFFERS["s3"], "studio_domain_id": "d-abc123"}, OFFER_OF_A_BUCKET
    ),
    "projects of Studio from the catalog": Option(OFFERS["catalog"], OFFER_OF_A_CATALOG),
    "projects of Studio with an image in ECR": Option(
        {**OFFERS["s3"], "image": IMAGE}, OFFER_TO_BE_TAGGED | RIGHTS_TOO
    ),
    "a boundary": Option({"permissions_boundary": "our-boundary"}, {"AWS::IAM::Role.PermissionsBoundary"}),
    "tags": Option({"tags": {"owner": "ml"}}, {f"{each}.Tags" for each in TAGGED}),
}
