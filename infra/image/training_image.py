"""The training image: built here with Docker, built by AWS, or one that is in ECR already."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import IgnoreMode, aws_ecr_assets
from constructs import Construct

from infra.config.parsers import ECR_DIGEST
from infra.image.image_build import DOCKER_OUTPUT, ImageBuild
from infra.names import Names

ROOT = Path(__file__).resolve().parents[2]

ASSET = "asset"
"""Docker on the deploying machine builds the image, and the CDK pushes it."""
CODEBUILD = "codebuild"
"""The stack builds the image."""

# The build context is the repository's root, but only the sources of training/ are in it, so that the
# image changes with them alone: no byte code, no editor's files, nothing of the machine.
CONTEXT = ["*", "!training", "training/**/__pycache__", "training/**/.*", "training/**/*.pyc"]
DOCKERFILE = "training/Dockerfile"


class TrainingImage(Construct):
    """The image of every job, with `uri` for the pipeline and `repository_arn` for the role that pulls it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: Names,
        image: str,
        gpus: bool,
        user_id: int,
        retain: bool,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        arguments = {"TORCH_VARIANT": "cuda" if gpus else "cpu", "USER_ID": str(user_id)}
        if image == CODEBUILD:
            build = ImageBuild(
                self,
                "Build",
                names=names,
                root=ROOT,
                context=CONTEXT,
                dockerfile=DOCKERFILE,
                arguments=arguments,
                retain=retain,
                log_retention_days=log_retention_days,
            )
            self.uri, self.repository_arn = build.uri, build.repository_arn
        elif image == ASSET:
            asset = aws_ecr_assets.DockerImageAsset(
                self,
                "Asset",
                directory=str(ROOT),
                file=DOCKERFILE,
                exclude=CONTEXT,
                ignore_mode=IgnoreMode.DOCKER,
                build_args=arguments,
                # SageMaker's instance types are x86, whatever the deploying machine is.
                platform=aws_ecr_assets.Platform.LINUX_AMD64,
                # Attestations the CDK's command leaves out itself.
                outputs=[DOCKER_OUTPUT],
            )
            self.uri, self.repository_arn = asset.image_uri, asset.repository.repository_arn
        else:
            self.uri, self.repository_arn = image, _repository_arn(image)


def _repository_arn(uri: str) -> str:
    found = re.fullmatch(ECR_DIGEST, uri)
    if not found:
        raise ValueError(f"{uri} is no image in ECR with its digest")
    return f"arn:${{AWS::Partition}}:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
