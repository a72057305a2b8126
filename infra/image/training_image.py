"""The training image: built here with Docker, built by AWS, or one that is in ECR already."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import IgnoreMode, aws_ecr_assets
from constructs import Construct

from infra.config.parsers import ECR_DIGEST
from infra.deployment import Deployment
from infra.image.image_build import DOCKER_OUTPUT, ImageBuild

ROOT = Path(__file__).resolve().parents[2]

ASSET = "asset"
"""Docker on the deploying machine builds the image, and the CDK pushes it."""
CODEBUILD = "codebuild"
"""The stack builds the image."""

# The build context is the repository's root, but only the sources of these two are in it, so that the image
# changes with them alone: no byte code, no editor's files, nothing of the machine.
CONTEXT = ["*", "!image_data", "!training", "**/__pycache__", "*/**/.*", "**/*.pyc"]
DOCKERFILE = "training/Dockerfile"


class TrainingImage(Construct):
    """The image of every job, with `uri` for the pipeline and `repository_arn` for the role that pulls it."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        config = deployment.config
        arguments = {
            "TORCH_VARIANT": "cuda" if config.policy.gpus else "cpu",
            "USER_ID": str(config.image_user_id),
        }
        if config.image == CODEBUILD:
            build = ImageBuild(
                self,
                "Build",
                deployment,
                root=ROOT,
                context=CONTEXT,
                dockerfile=DOCKERFILE,
                arguments=arguments,
            )
            self.uri, self.repository_arn = build.uri, build.repository_arn
        elif config.image == ASSET:
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
            self.uri, self.repository_arn = config.image, _repository_arn(config.image)


def _repository_arn(uri: str) -> str:
    found = re.fullmatch(ECR_DIGEST, uri)
    if not found:
        raise ValueError(f"{uri} is no image in ECR with its digest")
    return f"arn:${{AWS::Partition}}:ecr:{found['region']}:{found['account']}:repository/{found['name']}"
