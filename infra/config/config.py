"""One deployment's choices, typed: each is a key of the context of cdk.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from infra.config.deployment_policy import DeploymentPolicy
from infra.config.parsers import (
    PROJECT,
    choice,
    flag,
    image,
    integer,
    optional,
    perhaps_several,
    project,
    tags,
    text,
)

LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400),
    *(545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""The retentions that CloudWatch Logs accepts."""

_TOPIC_ARN = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+"
_POLICY = r"(arn:aws[a-z-]*:iam::(\d{12}|aws):policy/)?([\w+=,.@-]+/)*[\w+=,.@-]{1,128}"
_KEY_ARN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"
_ENCRYPTION_KEY = rf"own|s3|{_KEY_ARN}"
# IAM: a path of up to 512 characters, and a name of up to 64.
_PERSON = r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/*?-]{1,576}"
_ROLE_ARN = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = rf"(?!\.)(?!.*\.[.@])[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}@({_LABEL}\.)+(?!\d+$){_LABEL}"


def _setting(default: Any, parse: Callable[[str, object], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse})


_PEOPLE = perhaps_several(
    text(_PERSON, "the ARN of a role or a user, arn:aws:iam::<account>:role/<path><name>, perhaps with *")
)
_DAYS_OR_NEVER = optional(integer(1, 3650))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One deployment's choices; every field is the context key of the same name."""

    project: str = _setting("cv-birds", project)
    """Names the stack, the bucket, the pipeline, the model package group and every role."""
    environment: str | None = _setting(
        None, optional(text(PROJECT, "lower-case letters, digits and hyphens"))
    )
    """Begins all of those names, as in `staging-cv-birds`: several deployments of a project side by side."""
    security: str = _setting("default", choice("default", "hardened"))
    """`default` has what a first user needs, at no cost; `hardened` adds a key for the data and one for the
    topic, an uploader role that alone writes definitions, and a break-glass role: docs/security.md."""
    image: str = _setting("asset", image)
    """The image of the jobs: `asset` builds training/Dockerfile with the Docker of this machine, `codebuild`
    lets the stack build it, and the URI of an image in ECR with its digest takes that."""
    # AWS, "Custom Inference Code with Hosting Services": SageMaker expects all containers to run with root
    # users. Its folders are root's: a user 1000 could not write /opt/ml/processing/output (aws/sagemaker-
    # python-sdk, issue 4764), nor /opt/ml/model and /opt/ml/output (its pull request 4325).
    image_user_id: int = _setting(0, integer(0, 60000))
    """The user of the image's containers: 0 is root, which SageMaker expects. A job of another user ends at
    once, with the reason, where it may not write."""
    encrypt_volumes: bool = _setting(False, flag)
    """Whether the jobs' volumes have the deployment's key, too, which SageMaker refuses for instance types
    with storage of their own, such as ml.g4dn or ml.g5."""
    subnet_ids: tuple[str, ...] = _setting(
        (),
        perhaps_several(
            text(r"subnet-[0-9a-f]{8,17}", "the id of a subnet, such as subnet-0123456789abcdef0")
        ),
    )
    """Subnets of this account that every job runs in, for definitions that say so: docs/configuration.md."""
    security_group_ids: tuple[str, ...] = _setting(
        (),
        perhaps_several(
            text(r"sg-[0-9a-f]{8,17}", "the id of a security group, such as sg-0123456789abcdef0")
        ),
    )
    """The security groups of every job in `subnet_ids`."""
    reserved_concurrency: int | None = _setting(None, optional(integer(1, 1000)))
    """Concurrency reserved for the function: 1 takes uploads one by one; new accounts have none to spare."""
    on_running: str = _setting("parallel", choice("parallel", "stop"))
    """What an upload does while an execution of its pipeline runs: start in `parallel`, or `stop` that."""
    executions_expire_days: int | None = _setting(None, _DAYS_OR_NEVER)
    """Days after which executions/ is deleted; by default never, because model packages point into it."""
    checkpoints_expire_days: int | None = _setting(30, _DAYS_OR_NEVER)
    """Days after which a checkpoint is too old to resume from."""
    noncurrent_versions_expire_days: int = _setting(90, integer(1, 3650))
    """Days for which an overwritten or deleted object can be brought back."""
    log_retention_days: int = _setting(90, choice(*LOG_RETENTION_DAYS))
    """Days for which logs are kept: the function's, a build's, and who read and wrote what in the bucket."""
    retain_data: bool = _setting(True, flag)
    """Whether `cdk destroy` leaves bucket, key, model package group and the images it built in place."""
    encryption_key: str = _setting(
        "s3",
        text(_ENCRYPTION_KEY, "own, s3, or the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>"),
    )
    """The key of bucket, failure queue and the function's log: `own`, which the stack makes and which is the
    hardened profile's default, `s3` for S3's own, or the ARN of one of yours in this region;
    docs/operations.md says what its policy must allow."""
    former_encryption_keys: tuple[str, ...] = _setting(
        (), perhaps_several(text(_KEY_ARN, "the ARN of a KMS key, arn:aws:kms:<region>:<account>:key/<id>"))
    )
    """Keys that some objects in the bucket have still, after encryption_key changed: the roles may read these
    objects, and nothing new is encrypted so."""
    alarm_topic_arn: str | None = _setting(None, optional(text(_TOPIC_ARN, "the ARN of an SNS topic")))
    """A topic of yours that is told of alarms, executions, failed jobs and models, instead of one of the
    stack's own; it must let cloudwatch.amazonaws.com and events.amazonaws.com publish and use its key."""
    notify_email: str | None = _setting(None, optional(text(_EMAIL, "one address such as team@example.com")))
    """Who gets that by mail, after following the link in the first one; without it nobody is subscribed."""
    uploader_arns: tuple[str, ...] = _setting((), _PEOPLE)
    """With security=hardened, who may assume the uploader role, as ARNs of roles and users with * where names
    vary; by default whoever the account's own policies let."""
    break_glass_arns: tuple[str, ...] = _setting((), _PEOPLE)
    """With security=hardened, who may assume the role that deletes versions, in the same form."""
    break_glass_requires_mfa: bool = _setting(True, flag)
    """Whether that takes a second factor, as IAM users have; sessions of IAM Identity Center and of other
    identity providers do not tell of theirs and are refused then, so name them and say false."""
    permissions_boundary: str | None = _setting(
        None, optional(text(_POLICY, "the name of a managed policy of the account, or its ARN"))
    )
    """A managed policy, by name or ARN, that bounds every role of the stack; it must be there before it."""
    studio_template: str | None = _setting(None, optional(choice("s3", "catalog")))
    """Offer the deployment to SageMaker Studio as a project template: from a bucket (`s3`) or in the Service
    Catalog (`catalog`); docs/studio.md."""
    studio_principals: tuple[str, ...] = _setting(
        (), perhaps_several(text(_ROLE_ARN, "the ARN of a role, such as a Studio domain's execution role"))
    )
    """The roles of Studio's users who may make projects from it."""
    studio_versions: tuple[str, ...] = _setting(
        (), perhaps_several(text(r"[0-9a-f]{12}", "what the output StudioProductVersion said, twelve digits"))
    )
    """Earlier versions of the catalog's product that people may still choose."""
    studio_domain_id: str | None = _setting(None, optional(text(r"d-[a-z0-9]{1,60}", "d-..., a domain's id")))
    """The Studio domain that shows the templates of the bucket; without it an output says how to tag one."""
    tags: tuple[tuple[str, str], ...] = _setting((), tags)
    """More tags for every resource, beside project and environment."""
    policy: DeploymentPolicy = dataclasses.field(default_factory=DeploymentPolicy)

    @property
    def hardened(self) -> bool:
        """Return whether the deployment has the rules of the hardened profile."""
        return self.security == "hardened"

    @property
    def name(self) -> str:
        """Return what the deployment is called.

        The environment comes first: an upload to `pipeline/staging/` of the project `birds` makes the
        pipeline `birds-staging`, which must be nobody else's.
        """
        return f"{self.environment}-{self.project}" if self.environment else self.project

    @property
    def own_tags(self) -> dict[str, str]:
        """Return the tags that every resource has, by which Cost Explorer tells deployments apart."""
        both = {"project": self.project, "environment": self.environment}
        return {name: value for name, value in both.items() if value}


def context_keys() -> dict[str, Callable[[str, object], Any]]:
    """Return what reads each key of the context."""
    fields = dataclasses.fields(Config)
    return {field.name: field.metadata["parse"] for field in fields if "parse" in field.metadata}
