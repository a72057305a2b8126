"""The training image built by AWS: a repository, a project that builds, and what asks it to.

The tag of an image is a hash of its source and of how it is built, and the stack asks for that tag: an
unchanged source builds nothing, a changed one makes a new image, and a rollback finds the old one. The jobs
get the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import (
    Aws,
    CustomResource,
    Duration,
    Fn,
    IgnoreMode,
    aws_codebuild,
    aws_ecr,
    aws_iam,
    aws_s3_assets,
)
from constructs import Construct

from infra.deployment import Deployment
from infra.iam import Grant, role_with
from infra.image.image_function import ImageFunction, log_group, own_log
from infra.nag import acknowledge
from infra.names import filled

# CreateModel refuses manifests in OCI's media types. Docker writes these by default where it keeps images in
# containerd's store (new installations since Docker 29), also for type=docker, unless it is told not to.
DOCKER_OUTPUT = "type=docker,oci-mediatypes=false"

BUILD_IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
# CloudFormation waits for an hour, for queue and build together.
BUILD_MINUTES, QUEUE_MINUTES = 50, 5

_REASONS_OF_THE_REPOSITORY = {
    "CKV_AWS_136": "ECR encrypts images with a key of its own; what is in them is public but for the code. "
    "Another key would replace the repository, and with it every image that a model package names.",
}
_NO_ARTIFACTS = "The project stores nothing that its key would encrypt: its result is an image in ECR."
_PRIVILEGED = (
    "Docker builds the image, and only a privileged build may run it. What it runs is the Dockerfile of the "
    "source that the deployment uploaded."
)
_REASONS_OF_THE_PROJECT = {
    "AwsSolutions-CB3": _PRIVILEGED,
    "AwsSolutions-CB4": _NO_ARTIFACTS,
}


class ImageBuild(Construct):
    """The image, with `uri` once it is built and the `repository_arn` of where it is."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        *,
        root: Path,
        context: Sequence[str],
        dockerfile: str,
        arguments: Mapping[str, str],
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._names = deployment, deployment.names
        source = aws_s3_assets.Asset(
            self, "Source", path=str(root), exclude=list(context), ignore_mode=IgnoreMode.DOCKER
        )
        buildspec = _buildspec(dockerfile, arguments)
        tag = hashlib.sha256(
            json.dumps([source.asset_hash, arguments, buildspec, BUILD_IMAGE], sort_keys=True).encode()
        ).hexdigest()
        repository = self._repository()
        project = self._project(repository, source, buildspec, {**arguments, "IMAGE_TAG": tag})
        answers = ImageFunction(
            self,
            "Answers",
            deployment,
            repository_name=repository.repository_name,
            project_name=project.ref,
        )
        self.repository_arn = self._names.arn("ecr", f"repository/{self._names.image_repository}")
        answer = CustomResource(
            self,
            "Image",
            service_token=answers.function.function_arn,
            resource_type="Custom::TrainingImage",
            properties={"ImageTag": tag},
        )
        # Nobody may ask before the end of a build can be heard of, or one that fails at once is waited for.
        answer.node.add_dependency(answers.heard)
        self.uri = f"{repository.repository_uri}@{answer.get_att_string('ImageDigest')}"

    def _repository(self) -> aws_ecr.Repository:
        repository = aws_ecr.Repository(
            self,
            "Repository",
            repository_name=filled(self._names.image_repository),
            image_scan_on_push=True,
            image_tag_mutability=aws_ecr.TagMutability.IMMUTABLE,
            encryption=aws_ecr.RepositoryEncryption.AES_256,
            # An image with a tag stays: a model package may name it, for as long as the model is served.
            lifecycle_rules=[
                aws_ecr.LifecycleRule(
                    description="What a build left unfinished",
                    tag_status=aws_ecr.TagStatus.UNTAGGED,
                    max_image_age=Duration.days(7),
                )
            ],
            removal_policy=self._deployment.removal_policy,
            empty_on_delete=not self._deployment.config.retain_data,
        )
        acknowledge(repository, _REASONS_OF_THE_REPOSITORY)
        return repository

    def _project(
        self,
        repository: aws_ecr.Repository,
        source: aws_s3_assets.Asset,
        buildspec: str,
        variables: Mapping[str, str],
    ) -> aws_codebuild.CfnProject:
        log = log_group(self, "Log", self._deployment, name=self._names.image_build_log_group)
        given = {
            **variables,
            "REPOSITORY_URI": repository.repository_uri,
            "REGISTRY": Fn.select(0, Fn.split("/", repository.repository_uri)),
        }
        project = aws_codebuild.CfnProject(
            self,
            "Project",
            name=filled(self._names.image_build),
            description=filled(f"Builds the training image of {self._names.project}"),
            service_role=self._build_role(source).role_arn,
            source=aws_codebuild.CfnProject.SourceProperty(
                type="S3", location=f"{source.s3_bucket_name}/{source.s3_object_key}", build_spec=buildspec
            ),
            artifacts=aws_codebuild.CfnProject.ArtifactsProperty(type="NO_ARTIFACTS"),
            environment=aws_codebuild.CfnProject.EnvironmentProperty(
                type="LINUX_CONTAINER",
                # 7 GB of memory, and the disk that the CUDA libraries need twice: unpacked, and as a layer.
                compute_type="BUILD_GENERAL1_MEDIUM",
                image=BUILD_IMAGE,
                privileged_mode=True,
                environment_variables=[
                    aws_codebuild.CfnProject.EnvironmentVariableProperty(name=name, value=value)
                    for name, value in given.items()
                ],
            ),
            logs_config=aws_codebuild.CfnProject.LogsConfigProperty(
                cloud_watch_logs=aws_codebuild.CfnProject.CloudWatchLogsConfigProperty(
                    status="ENABLED", group_name=log.log_group_name
                )
            ),
            timeout_in_minutes=BUILD_MINUTES,
            # No limit of its own: a new account may run one build at a time, and CodeBuild refuses a project
            # that asks for more. What cannot run yet waits in the queue.
            queued_timeout_in_minutes=QUEUE_MINUTES,
        )
        acknowledge(project, _REASONS_OF_THE_PROJECT)
        return project

    def _build_role(self, source: aws_s3_assets.Asset) -> aws_iam.Role:
        names = self._names
        return role_with(
            self,
            "BuildRole",
            name=names.image_build_role,
            description=f"Builds and pushes the training image of {names.project}",
            assumed_by=aws_iam.ServicePrincipal(
                "codebuild.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnEquals": {
                        "aws:SourceArn": filled(names.arn("codebuild", f"project/{names.image_build}"))
                    },
                },
            ),
            grants=[
                Grant(
                    sid="ReadSource",
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[source.bucket.arn_for_objects(source.s3_object_key)],
                ),
                Grant(
                    sid="PushImage",
                    actions=[
                        "ecr:BatchCheckLayerAvailability",
                        # Docker may look whether the tag is there before it pushes.
                        "ecr:BatchGetImage",
                        "ecr:CompleteLayerUpload",
                        "ecr:InitiateLayerUpload",
                        "ecr:PutImage",
                        "ecr:UploadLayerPart",
                    ],
                    resources=[names.arn("ecr", f"repository/{names.image_repository}")],
                ),
                Grant(
                    sid="LogInToEcr",
                    actions=["ecr:GetAuthorizationToken"],
                    resources=["*"],
                    wildcard="the action supports no resource; what may be pushed is PushImage's business.",
                ),
                own_log(names, names.image_build_log_group),
            ],
        )


def _buildspec(dockerfile: str, arguments: Mapping[str, str]) -> str:
    """Return the commands of a build; docker takes the arguments' values from variables of the same names."""
    given = " ".join(f"--build-arg {name}" for name in arguments)
    image = '"$REPOSITORY_URI:$IMAGE_TAG"'
    commands = [
        'aws ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY"',
        # Attestations would make an index of the image, which is in OCI's media types, too.
        f"docker build --provenance=false --sbom=false --output {DOCKER_OUTPUT} --platform linux/amd64 "
        f"--file {dockerfile} {given} --tag {image} .",
        f"docker push {image}",
    ]
    script = "\n".join(["set -euo pipefail", *commands])
    return json.dumps(
        {"version": 0.2, "env": {"shell": "bash"}, "phases": {"build": {"commands": [script]}}}, indent=2
    )
