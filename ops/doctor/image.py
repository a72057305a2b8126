"""Whether SageMaker can pull the training image: that it is in ECR, and with a manifest of docker's own."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError

from ops.aws.session import ClientFactory, on_this_machine
from ops.doctor.diagnosis import Looking, not_asked, ok, problem
from ops.errors import error_code

URI = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[a-z0-9._/-]+)"
    r"(@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))"
)
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
"""What CreateModel takes; an ordinary `docker build` of today pushes an OCI index."""
GONE = frozenset({"ImageNotFoundException", "RepositoryNotFoundException"})


def image(clients: ClientFactory, uri: str) -> Looking[None]:
    """Yield whether an image is in ECR, and of docker's media type."""
    ecr = clients.client("ecr")
    if on_this_machine(ecr):
        yield not_asked("image", "local AWS has no images: jobs run the sources of this repository")
        return
    found = URI.fullmatch(uri)
    if found is None:
        yield not_asked("image", f"{uri} is not in ECR")
        return
    if found["region"] != ecr.meta.region_name:
        yield not_asked("image", f"{uri} is in ECR of {found['region']}, and you are in another region")
        return
    try:
        details = _details(ecr, found)
    except ClientError as error:
        if error_code(error) not in GONE:
            raise
        yield problem("image", f"{uri} is not in ECR, so no job would start", _push(found))
        return
    media_type = details.get("imageManifestMediaType")
    if media_type is None:
        yield not_asked("image", f"ECR does not tell the media type of {uri}")
    elif media_type == DOCKER:
        yield ok("image", f"{uri} is in ECR, {media_type}")
    else:
        said = f"{uri} is {media_type}; SageMaker's CreateModel takes {DOCKER} alone"
        yield problem("image", said, _push_again(found))


def _details(ecr: Any, found: re.Match[str]) -> dict[str, Any]:
    image_id = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"]}
    answer = ecr.describe_images(
        registryId=found["account"], repositoryName=found["name"], imageIds=[image_id]
    )
    details: dict[str, Any] = answer["imageDetails"][0]
    return details


def _push(found: re.Match[str]) -> str:
    """Return how an image comes to be there: the CDK pushes its own, and a person theirs."""
    return _build(found) if found["digest"] else "make deploy"


def _push_again(found: re.Match[str]) -> str:
    """Return how one of docker's type comes in its place; the CDK pushes no tag that is there already."""
    if found["digest"]:
        return _build(found)
    image_id = f"--repository-name {found['name']} --image-ids imageTag={found['tag']}"
    return f"aws ecr batch-delete-image --registry-id {found['account']} {image_id} && make deploy"


def _build(found: re.Match[str]) -> str:
    repository = found.string.partition("@")[0]
    return (
        f"docker buildx build --platform linux/amd64 --provenance=false --output type=docker -t {repository}"
        f":again -f training/Dockerfile . && docker push {repository}:again && make deploy "
        f"ARGS='-c image={repository}@<digest that the push told>'"
    )
