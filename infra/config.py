"""What a deployment may choose: the flat context keys of `cdk.json`, checked and typed.

    python -m infra.config    # the table of them

`-c key=value` on the command line wins over `cdk.json`. Only `app.py` reads the context; everything
else is handed a frozen `Config`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

from infra.config_checks import check
from infra.config_parsers import (
    ECR_DIGEST,
    INSTANCE_TYPE,
    PROJECT,
    ConfigError,
    choice,
    did_you_mean,
    flag,
    image,
    integer,
    number,
    optional,
    perhaps_several,
    prices,
    project,
    rules_off,
    several,
    tags,
    text,
)

__all__ = ["APPROVAL_STATUSES", "LOG_RETENTION_DAYS", "Config", "ConfigError", "table"]

LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400),
    *(545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""The retentions that CloudWatch Logs accepts."""

ENTRY_POINTS = tuple(f"python -m training.{step}" for step in ("preprocess", "train", "evaluate"))
"""How the shipped definition's containers start."""

APPROVAL_STATUSES = ("Approved", "PendingManualApproval", "Rejected")

_COMMAND = r"[\w./-]+( [\w./:=-]+)*"
_TOPIC_ARN = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+"
_POLICY = r"(arn:aws[a-z-]*:iam::(\d{12}|aws):policy/)?([\w+=,.@-]+/)*[\w+=,.@-]{1,128}"
_KEY_ARN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"
_ENCRYPTION_KEY = rf"own|s3|{_KEY_ARN}"
_PERSON = r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=.@/*?-]{1,576}"
_ROLE_ARN = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+"
_EMAIL = r"[^\s@,;<>]+@[^\s@,;<>]+\.[^\s@,;<>.]+"


def _setting(default: Any, parse: Callable[[str, object], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse})


_INSTANCE_TYPES = several(text(INSTANCE_TYPE, "an instance type looks like ml.m5.xlarge"))
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
    torch_index_url: str | None = _setting(
        None, optional(text(r"https://[^\s@]+", "an https:// address without a login"))
    )
    """The index of CPU-only wheels that PyTorch's install page names, for an image of 0.7 GB instead of 5.5;
    without it the image gets pip's own wheels, which run on CPU and GPU instances."""
    image_user_id: int = _setting(1000, integer(0, 60000))
    """The user of the image's containers; 0 (root) should SageMaker's folders not let others write."""
    processing_instance_types: tuple[str, ...] = _setting(
        ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge"), _INSTANCE_TYPES
    )
    """What Preprocess and the evaluations may run on; IAM refuses anything else."""
    training_instance_types: tuple[str, ...] = _setting(
        ("ml.c5.xlarge", "ml.c5.2xlarge", "ml.c5.4xlarge", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.g4dn.xlarge"),
        _INSTANCE_TYPES,
    )
    """What the training jobs may run on; IAM refuses anything else."""
    max_runtime_seconds: int = _setting(86400, integer(60, 2419200))
    """The longest MaxRuntimeInSeconds that IAM lets a job ask for: the ceiling of its bill."""
    encrypt_volumes: bool = _setting(False, flag)
    """Whether the jobs' volumes have the deployment's key, too, which SageMaker refuses for instance types
    with storage of their own, such as ml.g4dn or ml.g5."""
    create_vpc: bool = _setting(False, flag)
    """Whether jobs run in a VPC that the stack makes, without a way out but to the bucket, instead of in
    `subnet_ids`: docs/job-protection.md."""
    subnet_ids: tuple[str, ...] = _setting(
        (),
        perhaps_several(
            text(r"subnet-[0-9a-f]{8,17}", "the id of a subnet, such as subnet-0123456789abcdef0")
        ),
    )
    """Subnets of this account that every job runs in, for definitions that say so: docs/job-protection.md."""
    security_group_ids: tuple[str, ...] = _setting(
        (),
        perhaps_several(
            text(r"sg-[0-9a-f]{8,17}", "the id of a security group, such as sg-0123456789abcdef0")
        ),
    )
    """The security groups of every job in `subnet_ids`."""
    model_approval_statuses: tuple[str, ...] = _setting(
        ("PendingManualApproval",), several(choice(*APPROVAL_STATUSES))
    )
    """The approval statuses the pipeline may register with; by default only a person approves."""
    min_accuracy_threshold: float = _setting(0.5, number(0, 1))
    """The test accuracy below which no definition may register a model, whatever threshold it has itself."""
    max_instance_count: int = _setting(4, integer(1, 100))
    """How many instances a job may have."""
    max_volume_gb: int = _setting(100, integer(1, 16384))
    """The largest volume of an instance."""
    max_wait_seconds: int = _setting(172800, integer(60, 2419200))
    """The longest MaxWaitTimeInSeconds of a Spot job; waiting costs time and no money."""
    max_retry_attempts: int = _setting(5, integer(0, 20))
    """The most MaxAttempts of a retry policy; each may run, and bill, a job again."""
    max_execution_cost_usd: float = _setting(150.0, number(0, 1000000))
    """The most that an execution may cost if every job runs its whole time and is retried to the end."""
    instance_prices: tuple[tuple[str, float], ...] = _setting((), prices)
    """USD an hour of instance types, instead of and beside us-east-1's in `lambda/function_settings.py`."""
    entry_points: tuple[str, ...] = _setting(ENTRY_POINTS, several(text(_COMMAND, "words between blanks")))
    """The commands that a job's container may start with."""
    allowed_images: tuple[str, ...] = _setting(
        (), perhaps_several(text(ECR_DIGEST, "an image in ECR with its digest, ...@sha256:<64 digits>"))
    )
    """More images for jobs, by digest; IAM lets jobs pull from the training image's repository only."""
    environment_keys: tuple[str, ...] = _setting(
        (), perhaps_several(text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable"))
    )
    """What a definition may set in the Environment of a container."""
    tag_keys: tuple[str, ...] = _setting(
        ("TrainingType", "project", "execution"),
        perhaps_several(text(r"[\w.:/=+@-]{1,128}", "the key of a tag")),
    )
    """The tags that a definition may give to jobs."""
    policy_off: tuple[tuple[str, str], ...] = _setting((), rules_off)
    """Rules of the deployment policy that do not count, each with the reason: docs/policy.md lists them."""
    reserved_concurrency: int | None = _setting(None, optional(integer(1, 1000)))
    """Concurrency reserved for the function: 1 takes uploads one by one; new accounts have none to spare."""
    on_running: str = _setting("parallel", choice("parallel", "stop"))
    """What an upload does while an execution of its pipeline runs: start in `parallel`, or `stop` that."""
    reconcile_minutes: int = _setting(60, integer(5, 1440))
    """How often the function looks for uploads whose event got lost."""
    executions_expire_days: int | None = _setting(None, _DAYS_OR_NEVER)
    """Days after which executions/ is deleted; by default never, because model packages point into it."""
    checkpoints_expire_days: int | None = _setting(30, _DAYS_OR_NEVER)
    """Days after which a checkpoint is too old to resume from."""
    noncurrent_versions_expire_days: int = _setting(90, integer(1, 3650))
    """Days for which an overwritten or deleted object can be brought back."""
    log_retention_days: int = _setting(90, choice(*LOG_RETENTION_DAYS))
    """How long the function's log is kept."""
    access_logs_expire_days: int = _setting(90, integer(1, 3650))
    """How long it is kept who read and wrote what in the bucket."""
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
    """More tags for every resource, beside project."""

    @classmethod
    def from_context(cls, context: Mapping[str, object]) -> Self:
        """Read our keys out of the CDK's context; raise `ConfigError` on an unknown key or illegal value."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        # The CDK's own keys are namespaced (aws:cdk:..., @aws-cdk/...); ours are plain words.
        ours = {key: value for key, value in context.items() if not re.search(r"[:@/]", key)}
        if "training_image_uri" in ours:
            raise ConfigError(
                "context 'training_image_uri' is now 'image': write -c image=<uri>@sha256:<digest>, or the "
                "same in cdk.json."
            )
        for key in sorted(ours.keys() - fields.keys()):
            raise ConfigError(
                f"context {key!r} is not a setting{did_you_mean(key, fields)}. Known: {', '.join(fields)}."
            )
        config = cls(**{key: fields[key].metadata["parse"](key, value) for key, value in ours.items()})
        if config.hardened and "encryption_key" not in ours:
            config = dataclasses.replace(config, encryption_key="own")
        check(config)
        return config

    @property
    def hardened(self) -> bool:
        """Return whether the deployment has the rules of the hardened profile."""
        return self.security == "hardened"

    @property
    def name(self) -> str:
        """Give what the deployment is called.

        The environment comes first: an upload to `pipeline/staging/` of the project `birds` makes the
        pipeline `birds-staging`, which must be nobody else's.
        """
        return f"{self.environment}-{self.project}" if self.environment else self.project

    @property
    def own_tags(self) -> dict[str, str]:
        """Give the tags that every resource has, by which Cost Explorer tells deployments apart."""
        both = {"project": self.project, "environment": self.environment}
        return {name: value for name, value in both.items() if value}


def table() -> str:
    """Write every context key as a Markdown table; what it does is its field's docstring."""
    (body,) = (node for node in ast.parse(inspect.getsource(Config)).body if isinstance(node, ast.ClassDef))
    rows = ["| Key | Default | What it does |", "|---|---|---|"]
    for field, said in itertools.pairwise(body.body):
        match field, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                what = inspect.cleandoc(text).replace("\n", " ")
                rows.append(f"| `{name}` | {_shown(name)} | {what} |")
    return "\n".join(rows)


def _shown(name: str) -> str:
    default = getattr(Config(), name)
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default else "none"


if __name__ == "__main__":
    print(table())
