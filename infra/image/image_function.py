"""The function that CloudFormation asks for the training image, and the end of a build that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from aws_cdk import Duration, IgnoreMode, RemovalPolicy, aws_events, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from infra.deployment import Deployment
from infra.iam import Grant, role_with
from infra.nag import acknowledge
from infra.names import Names, filled

SOURCE = Path(__file__).with_name("function")

_NOBODY_WAITS = "CloudFormation waits for an answer, and fails the deployment when there is none."
_RUNTIME = "The runtime changes on purpose, with the function's tests, and not by a release of the CDK."
_NO_NETWORK = "It calls the public endpoints of ECR and CodeBuild, and nothing in a network."
_RARE = "It is called twice for a deployment with a changed image."
_REASONS_OF_THE_FUNCTION = {
    "AwsSolutions-L1": _RUNTIME,
    "Serverless-LambdaLatestVersion": _RUNTIME,
    "Serverless-LambdaDLQ": _NOBODY_WAITS,
    "Serverless-LambdaAsyncFailureDestination": _NOBODY_WAITS,
    "NIST.800.53.R5-LambdaDLQ": _NOBODY_WAITS,
    "CKV_AWS_116": _NOBODY_WAITS,
    "Serverless-LambdaTracing": "Its few calls are in its log; a trace would cost a right on every resource.",
    "NIST.800.53.R5-LambdaConcurrency": _RARE,
    "CKV_AWS_115": _RARE,
    "NIST.800.53.R5-LambdaInsideVPC": _NO_NETWORK,
    "CKV_AWS_117": _NO_NETWORK,
    "CKV_AWS_173": "The variables are the names of a repository and of a project, and no secret.",
}
_LOG_KEY = "CloudWatch encrypts it with a key of its own; it holds the output of a build of public packages."


class ImageFunction(Construct):
    """`function`, the service token of the custom resource; what it does is in function/."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        *,
        repository_name: str,
        project_name: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._names = deployment, deployment.names
        self.function = self._function(repository_name, project_name)
        self.heard = self._tell_it_of_builds(project_name)
        """Made when the function hears of builds."""

    def _role(self) -> aws_iam.Role:
        names = self._names
        return role_with(
            self,
            "Role",
            name=names.image_function_role,
            description=f"Finds the training image of {names.project}, or starts its build",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            grants=[
                Grant(
                    sid="FindImage",
                    actions=["ecr:DescribeImages"],
                    resources=[names.arn("ecr", f"repository/{names.image_repository}")],
                ),
                Grant(
                    sid="StartBuild",
                    actions=["codebuild:StartBuild"],
                    resources=[names.arn("codebuild", f"project/{names.image_build}")],
                ),
                own_log(names, names.image_function_log_group),
            ],
        )

    def _function(self, repository_name: str, project_name: str) -> aws_lambda.Function:
        names = self._names
        function = aws_lambda.Function(
            self,
            "Function",
            function_name=filled(names.image_function),
            description="Tells CloudFormation the digest of the training image, once it is built",
            handler="build_image.handler",
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            architecture=aws_lambda.Architecture.ARM_64,
            code=aws_lambda.Code.from_asset(
                str(SOURCE), exclude=["*", "!*.py"], ignore_mode=IgnoreMode.DOCKER
            ),
            # It makes a call or two and waits for nothing: the least there is will do.
            memory_size=128,
            timeout=Duration.minutes(1),
            role=cast(aws_iam.IRole, self._role()),
            log_group=log_group(self, "Log", self._deployment, name=names.image_function_log_group),
            environment={"REPOSITORY_NAME": repository_name, "PROJECT_NAME": project_name},
        )
        # The CDK repeats what the reference to the role says already.
        cast(aws_lambda.CfnFunction, function.node.default_child).add_deletion_override("DependsOn")
        acknowledge(function, _REASONS_OF_THE_FUNCTION)
        return function

    def _tell_it_of_builds(self, project_name: str) -> aws_lambda.CfnPermission:
        """Tell the function when a build has ended, however it did."""
        pattern: dict[str, Any] = {
            "source": ["aws.codebuild"],
            "detail-type": ["CodeBuild Build State Change"],
            "detail": {
                "project-name": [project_name],
                "build-status": ["FAILED", "FAULT", "STOPPED", "SUCCEEDED", "TIMED_OUT"],
            },
        }
        rule = aws_events.CfnRule(
            self,
            "BuildEnded",
            name=filled(self._names.image_rule),
            description="Tells when the training image is built",
            event_pattern=pattern,
            targets=[aws_events.CfnRule.TargetProperty(id="Function", arn=self.function.function_arn)],
        )
        acknowledge(rule, {"Serverless-EventBusDLQ": _NOBODY_WAITS})
        return aws_lambda.CfnPermission(
            self,
            "Permission",
            action="lambda:InvokeFunction",
            function_name=self.function.function_arn,
            principal="events.amazonaws.com",
            source_arn=rule.attr_arn,
        )


def log_group(scope: Construct, construct_id: str, deployment: Deployment, *, name: str) -> aws_logs.LogGroup:
    """Make the log group of a build or of the function."""
    group = aws_logs.LogGroup(
        scope, construct_id, log_group_name=filled(name), removal_policy=RemovalPolicy.DESTROY
    )
    # The L2 takes the enum RetentionDays only, whose names say months where CloudWatch counts days.
    resource = cast(aws_logs.CfnLogGroup, group.node.default_child)
    resource.retention_in_days = deployment.config.log_retention_days
    acknowledge(group, {"NIST.800.53.R5-CloudWatchLogGroupEncrypted": _LOG_KEY, "CKV_AWS_158": _LOG_KEY})
    return group


def own_log(names: Names, group: str) -> Grant:
    """Let a role write into its log group."""
    return Grant(
        sid="OwnLog",
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[names.arn("logs", f"log-group:{group}:*")],
        wildcard="the streams of its own log group, which the service names.",
    )
