"""What CloudFormation may do to make, change and remove a project: the launch role, statement by statement.

Studio's users start it and can do none of it themselves. Whoever may hand this role to CloudFormation with a
template of their own can do all of it, so each statement names projects only, and a role can be made with the
boundary of its kind alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.iam import Grant
from infra.names import STUDIO_PREFIX, STUDIO_PROJECTS
from infra.studio.studio_names import StudioNames, role_of_projects

_PROJECTS = "the projects of Studio, whose ids nobody knows before."
_NO_RESOURCE = "the action supports no resource; it reads names only."


def launch_grants(names: StudioNames, kinds: Iterable[str]) -> list[Grant]:
    """Return the launch role's statements, whoever assumes it; `kinds` says which roles projects have."""
    return [
        *_role_grants(names, kinds),
        *_function_grants(names),
        *_bucket_grants(),
        *_sagemaker_grants(),
        *_queue_and_rule_grants(),
        *_monitoring_grants(),
    ]


def _grant(sid: str, actions: Sequence[str], *resources: str, **more: object) -> Grant:
    return Grant(sid=sid, actions=actions, resources=resources, wildcard=_PROJECTS, **more)  # type: ignore[arg-type]


def _role(name: str) -> str:
    return f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{name}"


def _role_grants(names: StudioNames, kinds: Iterable[str]) -> list[Grant]:
    roles = _role(f"{STUDIO_PROJECTS.project}")
    return [
        # Rights for a role only together with its own boundary, which nothing here can take off or change.
        *(
            _grant(
                f"Make{kind.title().replace('-', '')}Role",
                [
                    "iam:CreateRole",
                    "iam:DeleteRolePolicy",
                    "iam:PutRolePermissionsBoundary",
                    "iam:PutRolePolicy",
                ],
                _role(role_of_projects(kind)),
                conditions={"StringEquals": {"iam:PermissionsBoundary": names.boundary_arn(kind)}},
            )
            for kind in kinds
        ),
        _grant(
            "KeepRoles",
            [
                "iam:DeleteRole",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
            ],
            roles,
        ),
        _grant(
            "PassFunctionRole",
            ["iam:PassRole"],
            _role(STUDIO_PROJECTS.function_role),
            conditions={"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        ),
        _grant(
            "PassPipelineRole",
            ["iam:PassRole"],
            STUDIO_PROJECTS.pipeline_role_arn,
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ),
    ]


def _function_grants(names: StudioNames) -> list[Grant]:
    function = STUDIO_PROJECTS.arn("lambda", f"function:{STUDIO_PROJECTS.function}")
    return [
        _grant(
            "Functions",
            [
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:DeleteFunctionConcurrency",
                "lambda:DeleteFunctionEventInvokeConfig",
                "lambda:GetFunction",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetFunctionEventInvokeConfig",
                "lambda:GetFunctionRecursionConfig",
                "lambda:GetFunctionScalingConfig",
                "lambda:GetPolicy",
                "lambda:GetRuntimeManagementConfig",
                "lambda:PutFunctionConcurrency",
                "lambda:PutFunctionEventInvokeConfig",
                "lambda:RemovePermission",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
                "lambda:UpdateFunctionEventInvokeConfig",
            ],
            function,
        ),
        # Nobody but the bucket and the schedule may be let in.
        _grant(
            "LetServicesInvoke",
            ["lambda:AddPermission"],
            function,
            conditions={"StringEquals": {"lambda:Principal": ["events.amazonaws.com", "s3.amazonaws.com"]}},
        ),
        # The code that the deployment published, this version and the earlier ones: an update may roll back.
        Grant(
            sid="ReadCode",
            actions=["s3:GetObject"],
            resources=[f"{names.templates_arn}/*.zip"],
            wildcard="the versions of the function's code in a bucket that holds nothing else of this kind.",
        ),
    ]


def _bucket_grants() -> list[Grant]:
    return [
        _grant(
            "Buckets",
            [
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:DeleteBucketPolicy",
                "s3:GetAccelerateConfiguration",
                "s3:GetAnalyticsConfiguration",
                "s3:GetBucketAbac",
                "s3:GetBucketAcl",
                "s3:GetBucketCORS",
                "s3:GetBucketLogging",
                "s3:GetBucketMetadataTableConfiguration",
                "s3:GetBucketNotification",
                "s3:GetBucketObjectLockConfiguration",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPolicy",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetBucketWebsite",
                "s3:GetEncryptionConfiguration",
                "s3:GetIntelligentTieringConfiguration",
                "s3:GetInventoryConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:GetMetricsConfiguration",
                "s3:GetReplicationConfiguration",
                "s3:ListBucket",
                "s3:ListTagsForResource",
                "s3:PutBucketLogging",
                "s3:PutBucketNotification",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:TagResource",
                "s3:UntagResource",
            ],
            f"arn:${{AWS::Partition}}:s3:::{STUDIO_PREFIX}-p-*",
        )
    ]


def _sagemaker_grants() -> list[Grant]:
    pipeline = STUDIO_PROJECTS.arn("sagemaker", f"pipeline/{STUDIO_PROJECTS.pipeline}")
    group = STUDIO_PROJECTS.arn("sagemaker", f"model-package-group/{STUDIO_PROJECTS.model_package_group}")
    return [
        _grant(
            "Pipelines",
            [
                "sagemaker:CreatePipeline",
                "sagemaker:DeletePipeline",
                "sagemaker:DescribePipeline",
                "sagemaker:UpdatePipeline",
            ],
            pipeline,
        ),
        _grant(
            "Groups",
            [
                "sagemaker:CreateModelPackageGroup",
                "sagemaker:DeleteModelPackageGroup",
                "sagemaker:DescribeModelPackageGroup",
                "sagemaker:GetModelPackageGroupPolicy",
            ],
            group,
        ),
        _grant(
            "Tags",
            ["sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:ListTags"],
            pipeline,
            group,
        ),
    ]


def _queue_and_rule_grants() -> list[Grant]:
    return [
        _grant(
            "Queues",
            [
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ListQueueTags",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
            ],
            STUDIO_PROJECTS.arn("sqs", STUDIO_PROJECTS.failure_queue),
        ),
        _grant(
            "Rules",
            [
                "events:DeleteRule",
                "events:DescribeRule",
                "events:ListTagsForResource",
                "events:ListTargetsByRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:TagResource",
                "events:UntagResource",
            ],
            STUDIO_PROJECTS.arn("events", f"rule/{STUDIO_PROJECTS.project}"),
        ),
    ]


def _monitoring_grants() -> list[Grant]:
    log = STUDIO_PROJECTS.arn("logs", f"log-group:{STUDIO_PROJECTS.function_log_group}")
    # A dashboard's ARN names no region.
    cloudwatch = "arn:${AWS::Partition}:cloudwatch::${AWS::AccountId}"
    return [
        _grant(
            "Logs",
            [
                "logs:AssociateKmsKey",
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:DeleteMetricFilter",
                "logs:DeleteRetentionPolicy",
                "logs:DescribeIndexPolicies",
                "logs:DescribeMetricFilters",
                "logs:DisassociateKmsKey",
                "logs:GetDataProtectionPolicy",
                "logs:ListTagsForResource",
                "logs:PutMetricFilter",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
                "logs:UntagResource",
            ],
            log,
            f"{log}:*",
        ),
        Grant(
            sid="FindLogGroups",
            actions=["logs:DescribeLogGroups", "logs:DescribeResourcePolicies"],
            resources=["*"],
            wildcard=_NO_RESOURCE,
        ),
        _grant(
            "AlarmsAndDashboards",
            [
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DeleteDashboards",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:GetDashboard",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutDashboard",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ],
            STUDIO_PROJECTS.alarm_arns,
            f"{cloudwatch}:dashboard/{STUDIO_PROJECTS.dashboard}",
        ),
    ]
