"""What the two ways in need beside the launch role's own rights: the Service Catalog, and Studio's users."""

from __future__ import annotations

from infra.iam import Grant
from infra.names import STUDIO_PROJECTS, Names
from infra.studio.studio_names import StudioNames
from infra.studio.templates import TEMPLATES

_STACKS = "SageMaker names the stacks of projects."
_NO_RESOURCE = "the action supports no resource."


def catalog_grants(names: Names) -> list[Grant]:
    """Return what a launch role needs in addition when the Service Catalog makes the stacks with it."""
    return [
        Grant(
            sid="Stacks",
            actions=[
                "cloudformation:CreateStack",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:SetStackPolicy",
                "cloudformation:TagResource",
                "cloudformation:UpdateStack",
            ],
            resources=[names.arn("cloudformation", "stack/SC-*")],
            wildcard="the Service Catalog names the stacks of its products.",
        ),
        Grant(
            sid="CheckTemplates",
            actions=["cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate"],
            resources=["*"],
            wildcard=_NO_RESOURCE,
        ),
        # The Service Catalog keeps the template in a bucket of its own, which nobody else names.
        Grant(
            sid="ReadProduct",
            actions=["s3:GetObject"],
            resources=["*"],
            conditions={"StringEquals": {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}},
            wildcard="the Service Catalog's own bucket; the tag is its mark.",
        ),
    ]


def user_grants(names: StudioNames, *, makes_stacks: bool) -> list[Grant]:
    """Return what Studio's users need to upload to projects and, without the catalog, to make them."""
    stacks = [*_template_grants(names), *_project_grants(names), *_stack_grants(names)]
    return [*(stacks if makes_stacks else [_see_stacks_grant(names)]), _upload_grant()]


def _see_stacks_grant(names: StudioNames) -> Grant:
    """Let users of the catalog find out what a project is called, as the commands do."""
    return Grant(
        sid="SeeStacks",
        actions=["cloudformation:DescribeStacks"],
        resources=[names.arn("cloudformation", "stack/SC-*")],
        wildcard="the Service Catalog names the stacks of its products.",
    )


def _upload_grant() -> Grant:
    return Grant(
        sid="Upload",
        actions=["sts:AssumeRole"],
        resources=[STUDIO_PROJECTS.uploader_role_arn],
        wildcard="the uploader role of every project; uploader_arns says whom each lets in.",
    )


def _template_grants(names: StudioNames) -> list[Grant]:
    return [
        Grant(
            sid="ListTemplates",
            actions=["s3:ListBucket"],
            resources=[names.templates_arn],
            conditions={"StringLike": {"s3:prefix": f"{TEMPLATES}*"}},
        ),
        Grant(
            sid="ReadTemplates",
            actions=["s3:GetObject", "s3:GetObjectTagging"],
            resources=[f"{names.templates_arn}/{TEMPLATES}*"],
            wildcard="the templates, all of which the deployment offers.",
        ),
    ]


def _project_grants(names: StudioNames) -> list[Grant]:
    return [
        Grant(
            sid="Projects",
            actions=[
                "sagemaker:AddTags",
                "sagemaker:CreateProject",
                "sagemaker:DeleteProject",
                "sagemaker:DescribeProject",
                "sagemaker:UpdateProject",
            ],
            resources=[names.arn("sagemaker", "project/*")],
            wildcard="people choose the names of projects.",
        ),
        Grant(sid="ListProjects", actions=["sagemaker:ListProjects"], resources=["*"], wildcard=_NO_RESOURCE),
    ]


def _stack_grants(names: StudioNames) -> list[Grant]:
    stacks = [names.arn("cloudformation", "stack/SP-*")]
    return [
        # With the launch role and a template of the bucket, or not at all: with one of their own, users would
        # have all that the launch role may do.
        Grant(
            sid="MakeStacks",
            actions=["cloudformation:CreateStack", "cloudformation:UpdateStack"],
            resources=stacks,
            conditions={
                "StringEquals": {"cloudformation:RoleArn": names.launch_role_arn},
                "StringLike": {"cloudformation:TemplateUrl": _template_urls(names)},
            },
            wildcard=_STACKS,
        ),
        Grant(
            sid="KeepStacks",
            actions=[
                "cloudformation:DeleteStack",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:TagResource",
            ],
            resources=stacks,
            wildcard=_STACKS,
        ),
        Grant(
            sid="PassLaunchRole",
            actions=["iam:PassRole"],
            resources=[names.launch_role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        ),
    ]


def _template_urls(names: StudioNames) -> list[str]:
    host = "s3.${AWS::Region}.${AWS::URLSuffix}"
    return [
        f"https://{names.templates}.{host}/{TEMPLATES}*",
        f"https://{host}/{names.templates}/{TEMPLATES}*",
    ]
