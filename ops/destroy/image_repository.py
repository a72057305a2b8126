"""The repository of the training images that a stack with `-c image=codebuild` builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ops.errors import error_code


@dataclass(frozen=True)
class Repository:
    """The repository, with how many images are in it."""

    name: str
    kept: bool
    """Whether the stack leaves it in place."""
    images: int


def repository_name(stack: str) -> str:
    """Name the repository of a stack, as infra/names.py does."""
    return f"{stack}-training"


def find_repository(ecr: Any, stack: str, kept: bool) -> Repository | None:
    """Find the stack's repository; one of this name without the stack's tags is somebody else's."""
    name = repository_name(stack)
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
    return Repository(name, kept, len(digests)) if owner == stack else None
