"""A project of SageMaker Studio: everything that a deployment has, named by the project's id.

Studio fills in the template's two parameters, CloudFormation the names. Beside itself the template needs the
function's code and the training image, both of which the deployment that offers it has published.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any, cast

from aws_cdk import App, CfnOutput, CfnParameter, Fn, aws_sagemaker

from infra.config import Config
from infra.nag import check
from infra.names import filled
from infra.stack import PipelineStack
from infra.storage import S3_MANAGED
from infra.studio.studio_names import PROJECT, PROJECT_ID, PROJECT_NAME, StudioNames

DEFINITION = Path(__file__).resolve().parents[2] / "pipeline_definition" / "pipeline.json"


class ProjectStack(PipelineStack):
    """The template of a project; it is offered to Studio and never deployed with the app."""

    def __init__(self, scope: App, *, config: Config, code_bucket: str) -> None:
        super().__init__(
            scope,
            config=config,
            names=PROJECT,
            description="Training pipeline of a SageMaker project, started by uploading pipeline.json",
        )
        self._ask()
        upload = cast(CfnOutput, self.node.find_child("UploadCommand"))
        upload.value = filled("cv-pipeline upload --stack ${AWS::StackName}")
        # Where the deployment keeps every version of it for as long as there may be projects.
        self.function.add_property_override("Code.S3Bucket", filled(code_bucket))
        aws_sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=filled(PROJECT.pipeline),
            # As the function writes it, so that uploading the same file makes no other version.
            pipeline_definition={"PipelineDefinitionBody": _definition()},
            role_arn=self.pipeline_role.role.role_arn,
        )

    def _ask(self) -> None:
        """Declare the parameters, which Studio fills in when somebody makes a project."""
        CfnParameter(
            self,
            PROJECT_NAME,
            description="Name of the project",
            allowed_pattern="[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}",
        )
        CfnParameter(
            self,
            PROJECT_ID,
            description="Id that SageMaker gave the project",
            # What the launch role may name; with twenty characters every name still fits.
            allowed_pattern="p-[a-z0-9]{1,18}",
        )

    def _own_tags(self) -> dict[str, str]:
        """Return SageMaker's own tags, by which Studio finds what belongs to a project."""
        return {
            "project": Fn.ref(PROJECT_NAME),
            "sagemaker:project-name": Fn.ref(PROJECT_NAME),
            "sagemaker:project-id": Fn.ref(PROJECT_ID),
        }


def synthesise(config: Config, names: StudioNames) -> dict[str, Any]:
    """Return the template of the projects that a deployment offers; raise on what cdk-nag finds in it."""
    # Hardened whatever the deployment is: users of Studio have no right on buckets, and get what they need by
    # the uploader role. A key that a stack makes has no name before; one of the account's own does.
    key = config.encryption_key if config.encryption_key.startswith("arn:") else S3_MANAGED
    own = dataclasses.replace(
        config,
        security="hardened",
        encryption_key=key,
        encrypt_volumes=config.encrypt_volumes and key != S3_MANAGED,
        studio_template=None,
        # Everybody hears of all projects where they hear of the deployment, and no project pays for a key.
        alarm_topic_arn=config.alarm_topic_arn or names.arn("sns", names.notification_topic),
        notify_email=None,
        # Each of its roles gets one of its own.
        permissions_boundary=None,
    )
    with tempfile.TemporaryDirectory(prefix="studio-project-") as outdir:
        app = App(outdir=outdir, tree_metadata=False)
        stack = ProjectStack(app, config=own, code_bucket=names.templates)
        check(app)
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    return template


def _definition() -> str:
    return json.dumps(json.loads(DEFINITION.read_text(encoding="utf-8")), separators=(",", ":"))
