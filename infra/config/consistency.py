"""What the choices of a deployment have to agree on with each other."""

from __future__ import annotations

import re

from infra.config.config import Config
from infra.config.deployment_policy import POLICY_FILE
from infra.config.parsers import fail, has_own_storage

MAX_NAME = 30
"""With it the bucket's name has 58 of 63 characters, and the longest role's 61 of 64."""
OPENED_BY_AWS = ("sagemaker", "deepracer", "aws-glue", "labelingfunction")
"""What AmazonSageMakerFullAccess opens buckets and functions by."""
MAX_PEOPLE = 1300
"""Characters of ARNs: a role's trust policy has 2,048, and needs the rest for names and conditions."""
MAX_SUBNETS, MAX_SECURITY_GROUPS = 16, 5
"""What SageMaker takes in a job's VpcConfig."""
MAX_TAGS = 45
"""A resource has at most 50; some are this deployment's own, and some SageMaker's or Service Catalog's."""
RESERVED_BY_S3 = ("sthree-", "amzn-s3-demo-")
"""S3 makes no bucket of these beginnings. What it reserves at the end, and xn--, no name of ours can have."""

_OF_STUDIO = r"studio(-p(-.*)?)?"
"""Names under which an upload could define the pipeline of a project of Studio."""


def check(config: Config) -> None:
    """Raise `ConfigError` for choices that are legal each and not together."""
    _check_name(config)
    _check_tags(config)
    _check_people(config)
    _check_studio(config)
    _check_network(config)
    _check_volumes(config)


def _check_name(config: Config) -> None:
    name = config.name
    if len(name) > MAX_NAME:
        raise fail("environment", config.environment, f"{name} is longer than {MAX_NAME} characters")
    if re.fullmatch(_OF_STUDIO, name):
        raise fail("project", name, "the projects of SageMaker Studio are called studio-p-<id>")
    if reserved := [word for word in RESERVED_BY_S3 if f"{name}-".startswith(word)]:
        key = "environment" if config.environment else "project"
        raise fail(
            key, getattr(config, key), f"S3 keeps names of buckets that begin with {reserved[0]} to itself"
        )
    if opened := [word for word in OPENED_BY_AWS if word in name]:
        why = (
            "AWS's own policies, such as AmazonSageMakerFullAccess, let their holders write in buckets "
            f"and call functions with {opened[0]} in their name: choose a name without it"
        )
        raise fail("project", name, why)


def _check_tags(config: Config) -> None:
    given = dict(config.tags)
    if len(given) > MAX_TAGS:
        raise fail(
            "tags", given, f"{len(given)} tags are more than the {MAX_TAGS} that a resource has room for"
        )
    own = {name.casefold() for name in config.own_tags}
    first: dict[str, str] = {}
    for name in given:
        if name.casefold() in own:
            raise fail("tags", given, f"{name} is the deployment's own tag: leave it out")
        if (other := first.setdefault(name.casefold(), name)) != name:
            raise fail("tags", given, f"IAM takes {other} and {name} for the same key: leave one of them")


def _check_people(config: Config) -> None:
    given = {
        "uploader_arns": config.uploader_arns,
        "break_glass_arns": config.break_glass_arns,
        "break_glass_requires_mfa": not config.break_glass_requires_mfa,
    }
    for key in [key for key, chosen in given.items() if chosen and not config.hardened]:
        what = (
            "its role is the hardened profile's: write security=hardened as well (-c, or in cdk.json), or "
            f"leave {key} out"
        )
        raise fail(key, getattr(config, key), what)
    for key in ("uploader_arns", "break_glass_arns"):
        given = getattr(config, key)
        size = len('","'.join(given))
        if size > MAX_PEOPLE:
            why = (
                f"{size:,} characters, and the role's trust policy has room for {MAX_PEOPLE:,}: name fewer, "
                "or several by one pattern such as arn:aws:iam::<account>:role/uploaders/*"
            )
            raise fail(key, list(given), why)


def _check_studio(config: Config) -> None:
    needs = {"studio_domain_id": "s3", "studio_principals": "s3 or catalog", "studio_versions": "catalog"}
    for key, kinds in needs.items():
        if getattr(config, key) and config.studio_template not in kinds.split(" or "):
            raise fail(key, getattr(config, key), f"it is for studio_template={kinds}")
    if config.studio_template and config.image == "codebuild":
        why = (
            "projects of Studio take an image that is there before: deploy with image=codebuild alone, "
            "and give what it built as image=<uri>@sha256:<digest>"
        )
        raise fail("image", config.image, why)


def _check_network(config: Config) -> None:
    for key, given, most in (
        ("subnet_ids", config.subnet_ids, MAX_SUBNETS),
        ("security_group_ids", config.security_group_ids, MAX_SECURITY_GROUPS),
    ):
        if len(given) > most or len(set(given)) < len(given):
            raise fail(key, list(given), f"at most {most} different ones, which is what a job takes")
    if bool(config.subnet_ids) != bool(config.security_group_ids):
        key = "security_group_ids" if config.subnet_ids else "subnet_ids"
        raise fail(key, [], "a job's network has subnets and security groups: give both or none")


def _check_volumes(config: Config) -> None:
    if not config.encrypt_volumes:
        return
    if config.encryption_key == "s3":
        what = "there is no key for volumes with encryption_key=s3: write encryption_key=own as well"
        raise fail("encrypt_volumes", True, what)
    for key in ("processing_instance_types", "training_instance_types"):
        refused = [kind for kind in getattr(config.policy, key) if has_own_storage(kind)]
        if refused:
            what = (
                f"SageMaker refuses it for {', '.join(refused)}, which have storage of their own: take them "
                f"out of {key} in {POLICY_FILE}"
            )
            raise fail("encrypt_volumes", True, what)
