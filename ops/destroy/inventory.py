"""What a deployment holds on AWS: its stack, what the stack keeps, and what executions left beside it.

Pipelines are nobody's resource in CloudFormation: the function makes them. They belong to the deployment
whose role they run with, so that `birds` never touches the pipelines of `birds-two`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory
from ops.errors import AbsentError, error_code
from ops.executions.execution import ABSENT, RUNNING

BUCKET_TYPE, GROUP_TYPE = "AWS::S3::Bucket", "AWS::SageMaker::ModelPackageGroup"
REPOSITORY_TYPE = "AWS::ECR::Repository"
ROLE_TYPE = "AWS::IAM::Role"
KEY_TAG = "data-key-of"
"""The tag that says whose data a key was made for: infra/storage/encryption.py."""
GUARDED = ("pipeline/", "verdicts/")
"""Prefixes below which the bucket's policy lets the break-glass role alone delete versions."""
_KEPT = frozenset({"Retain", "RetainExceptOnCreate"})


class Amount(NamedTuple):
    """Object versions, delete markers among them, and their size."""

    versions: int
    size: int


@dataclass(frozen=True)
class StoredBucket:
    """A bucket with what it holds by prefix, the first folder of the keys."""

    name: str
    kept: bool
    """Whether the stack leaves it in place."""
    prefixes: Mapping[str, Amount]
    key: str | None = None
    """The KMS key of its default encryption; None where that is S3's own."""

    @property
    def guarded(self) -> bool:
        """Return whether versions are in it below a guarded prefix."""
        return any(prefix in self.prefixes for prefix in GUARDED)


@dataclass(frozen=True)
class PackageGroup:
    """A model package group with the ARNs of its packages by approval status."""

    name: str
    kept: bool
    packages: Mapping[str, list[str]]

    @property
    def arns(self) -> list[str]:
        """List every package."""
        return [arn for arns in self.packages.values() for arn in arns]


@dataclass(frozen=True)
class ImageRepository:
    """The repository of the images that a stack with `-c image=codebuild` builds."""

    name: str
    kept: bool
    """Whether the stack leaves it in place."""
    images: int


@dataclass(frozen=True)
class Inventory:
    """Everything of one deployment at one moment."""

    stack: str
    stack_id: str | None
    """None when the stack is gone, or never was."""
    resources: Mapping[str, int] = field(default_factory=dict)
    """How many resources of each type the stack has."""
    buckets: tuple[StoredBucket, ...] = ()
    groups: tuple[PackageGroup, ...] = ()
    pipelines: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    """The ARNs of executions that have not ended."""
    keys: tuple[str, ...] = ()
    """The ARN of the key that the deployment made for its bucket; never one of somebody else's."""
    repositories: tuple[ImageRepository, ...] = ()
    break_glass: str | None = None
    """The ARN of the stack's break-glass role; None where it, and the bucket policy with it, is gone."""

    @property
    def guarded(self) -> bool:
        """Return whether something is here that the break-glass role alone may delete."""
        return bool(self.break_glass) and any(each.guarded for each in self.buckets)

    @property
    def nothing(self) -> bool:
        """Return whether there is nothing here."""
        held = (self.buckets, self.groups, self.pipelines, self.running, self.repositories)
        return not self.stack_id and not any(held)

    @property
    def refilled(self) -> bool:
        """Return whether something is in it that can be removed before the stack is."""
        return (
            bool(self.running)
            or any(each.prefixes for each in self.buckets)
            or any(each.packages for each in self.groups)
        )

    @property
    def keeps(self) -> bool:
        """Return whether data stays when the stack goes."""
        kept = [each.kept for part in (self.buckets, self.groups, self.repositories) for each in part]
        return self.stack_id is None or any(kept)

    def to_delete(self, *, data: bool) -> Inventory:
        """Return the part that goes: executions and stack, and what `data` says or nothing keeps.

        Pipelines and their history tell where the models of a group come from, and stay as long as it does.
        """
        return replace(
            self,
            buckets=tuple(each for each in self.buckets if data or not each.kept),
            groups=tuple(each for each in self.groups if data or not each.kept),
            repositories=tuple(each for each in self.repositories if data or not each.kept),
            pipelines=self.pipelines if data or not self.keeps else (),
            keys=self.keys if data or not self.keeps else (),
        )


@dataclass(frozen=True)
class _Stack:
    """The stack's own part, or, where there is none, what it would be called."""

    stack_id: str | None
    outputs: Mapping[str, str]
    resources: Mapping[str, int]
    data: Mapping[str, Mapping[str, bool]]
    """By type, the names of buckets, groups and repositories and whether the stack keeps them."""
    roles: frozenset[str] = frozenset()


def read(session: ClientFactory, stack: str) -> Inventory:
    """Read all of it; AbsentError when the stack is another product's."""
    own, names = _stack(session.client("cloudformation"), stack), _names(session, stack)
    sagemaker = session.client("sagemaker")
    role = own.outputs.get("PipelineExecutionRoleArn", names["PipelineExecutionRoleArn"])
    pipelines = tuple(_pipelines(sagemaker, own.outputs.get("PipelineName", stack), role))
    # What an earlier deployment of the name left is there without a stack, too.
    ours = dict.fromkeys((names["BucketName"], f"{names['BucketName']}-logs"), True)
    buckets = {**ours, **own.data.get(BUCKET_TYPE, {})}
    groups = {stack: True, **own.data.get(GROUP_TYPE, {})}
    kept_images = own.data.get(REPOSITORY_TYPE, {}).get(_repository_name(stack), True)
    s3, images = session.client("s3"), _repository(session.client("ecr"), stack, kept_images)
    found = tuple(filter(None, (_bucket(s3, name, kept) for name, kept in buckets.items())))
    return Inventory(
        stack,
        own.stack_id,
        own.resources,
        found,
        tuple(filter(None, (_group(sagemaker, name, kept) for name, kept in groups.items()))),
        pipelines,
        tuple(arn for name in pipelines for arn in running(sagemaker, name)),
        tuple(_own_keys(session, stack, names["PipelineExecutionRoleArn"].split(":")[4], found)),
        (images,) if images else (),
        _break_glass(own),
    )


def _break_glass(own: _Stack) -> str | None:
    arn = own.outputs.get("BreakGlassRoleArn", "")
    return arn if arn.rpartition("/")[2] in own.roles else None


def running(sagemaker: Any, pipeline: str) -> Iterator[str]:
    """Yield the executions of a pipeline that have not ended."""
    for page in sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=pipeline):
        for each in page["PipelineExecutionSummaries"]:
            if each["PipelineExecutionStatus"] in RUNNING:
                yield str(each["PipelineExecutionArn"])


def versions(s3: Any, bucket: str, prefix: str = "") -> Iterator[list[dict[str, Any]]]:
    """Yield the versions and delete markers of a bucket, or of one prefix in it, a page at a time."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        yield [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def _stack(cloudformation: Any, stack: str) -> _Stack:
    try:
        described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        return _Stack(None, {}, {}, {})
    stack_id = described["StackId"]
    template = cloudformation.get_template(StackName=stack_id, TemplateStage="Processed")["TemplateBody"]
    # One that is not JSON comes as text: not ours, whose app writes JSON.
    if not isinstance(template, dict) or "PipelineExecutionRoleArn" not in template.get("Outputs", {}):
        raise AbsentError(
            f"stack {stack} is not a deployment of this pipeline: it has no output PipelineExecutionRoleArn; "
            "name the right one with --stack"
        )
    resources, data, roles = Counter[str](), dict[str, dict[str, bool]](), set[str]()
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
    for each in (each for page in pages for each in page["StackResourceSummaries"]):
        kind, name = each["ResourceType"], each.get("PhysicalResourceId", "").rpartition("/")[2]
        if each["ResourceStatus"] in ("DELETE_COMPLETE", "DELETE_SKIPPED") or not name:
            continue
        resources[kind] += 1
        if kind == ROLE_TYPE:
            roles.add(name)
        if kind in (BUCKET_TYPE, GROUP_TYPE, REPOSITORY_TYPE):
            declared = template["Resources"].get(each["LogicalResourceId"], {})
            data.setdefault(kind, {})[name] = declared.get("DeletionPolicy") in _KEPT
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    return _Stack(stack_id, outputs, resources, data, frozenset(roles))


def _names(session: ClientFactory, stack: str) -> dict[str, str]:
    """Name what a deployment makes, as infra/names.py does, for when no stack is there to tell."""
    sts = session.client("sts")
    identity, region = sts.get_caller_identity(), sts.meta.region_name
    account, partition = identity["Account"], identity["Arn"].split(":")[1]
    return {
        "BucketName": f"{stack}-{account}-{region}",
        "PipelineExecutionRoleArn": f"arn:{partition}:iam::{account}:role/{stack}-pipeline-{region}",
    }


def _pipelines(sagemaker: Any, project: str, role_arn: str) -> Iterator[str]:
    for page in sagemaker.get_paginator("list_pipelines").paginate(PipelineNamePrefix=project):
        for each in page["PipelineSummaries"]:
            name = str(each["PipelineName"])
            if (name == project or name.startswith(f"{project}-")) and each.get("RoleArn") == role_arn:
                yield name


def _bucket(s3: Any, name: str, kept: bool) -> StoredBucket | None:
    counts, sizes = Counter[str](), Counter[str]()
    try:
        for page in versions(s3, name):
            for each in page:
                folder, slash, _ = each["Key"].partition("/")
                prefix = folder + slash if slash else "(no folder)"
                counts[prefix] += 1
                sizes[prefix] += each.get("Size", 0)
    except ClientError as error:
        if error_code(error) != "NoSuchBucket":
            raise
        return None
    amounts = {prefix: Amount(counts[prefix], sizes[prefix]) for prefix in sorted(counts)}
    return StoredBucket(name, kept, amounts, _default_key(s3, name))


def _default_key(s3: Any, bucket: str) -> str | None:
    try:
        answer = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    except ClientError as error:
        if error_code(error) != "ServerSideEncryptionConfigurationNotFoundError":
            raise
        return None
    defaults = (rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in answer["Rules"])
    return next((each["KMSMasterKeyID"] for each in defaults if each.get("KMSMasterKeyID")), None)


def _own_keys(
    session: ClientFactory, stack: str, account: str, buckets: Iterable[StoredBucket]
) -> Iterator[str]:
    """Yield the ARN of the bucket's key if a stack of this name made it, which its tag tells."""
    for key_id in dict.fromkeys(each.key for each in buckets if each.key):
        kms = session.client("kms")
        key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        # KMS tells the tags of another account's key to nobody else, and no stack of ours made that one.
        if key["Arn"].split(":")[4] == account and key["KeyState"] != "PendingDeletion":
            pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key["Arn"])
            tags = {each["TagKey"]: each["TagValue"] for page in pages for each in page["Tags"]}
            if tags.get(KEY_TAG) == stack:
                yield str(key["Arn"])


def _group(sagemaker: Any, name: str, kept: bool) -> PackageGroup | None:
    packages: dict[str, list[str]] = {}
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=name)
        for each in (each for page in pages for each in page["ModelPackageSummaryList"]):
            status = each.get("ModelApprovalStatus", "without a status")
            packages.setdefault(status, []).append(each["ModelPackageArn"])
    except ClientError as error:
        # SageMaker says ValidationException of a group that is not there.
        if error_code(error) not in ABSENT | {"ValidationException"}:
            raise
        return None
    return PackageGroup(name, kept, packages)


def _repository_name(stack: str) -> str:
    """Name the repository of a stack, as infra/names.py does."""
    return f"{stack}-training"


def _repository(ecr: Any, stack: str, kept: bool) -> ImageRepository | None:
    """Find the stack's repository; one of this name without the stack's tags is somebody else's."""
    name = _repository_name(stack)
    try:
        arn = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryArn"]
        tags = {each["Key"]: each["Value"] for each in ecr.list_tags_for_resource(resourceArn=arn)["tags"]}
        pages = ecr.get_paginator("list_images").paginate(repositoryName=name)
        digests = {each["imageDigest"] for page in pages for each in page["imageIds"]}
    except ClientError as error:
        if error_code(error) != "RepositoryNotFoundException":
            raise
        return None
    owner = "-".join(filter(None, (tags.get("environment"), tags.get("project"))))
    return ImageRepository(name, kept, len(digests)) if owner == stack else None
