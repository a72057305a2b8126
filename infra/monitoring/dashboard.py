"""The CloudWatch dashboard: uploads on the left, what became of them in SageMaker on the right."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, aws_cloudwatch, aws_lambda, aws_sqs
from constructs import Construct

from infra.deployment import Deployment
from infra.names import Names, filled

PIPELINES = "AWS/Sagemaker/ModelBuildingPipeline"
"""Where SageMaker counts executions and steps."""
PERIOD = Duration.minutes(5)
"""As the alarms beside it have."""
HALF = 12
"""Columns of half a dashboard: CloudWatch's have 24."""


class Dashboard(Construct):
    """One page that says whether uploads become executions, and executions models."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        *,
        function: aws_lambda.Function,
        failure_queue: aws_sqs.Queue,
        alarms: Sequence[aws_cloudwatch.Alarm],
    ) -> None:
        super().__init__(scope, construct_id)
        names = deployment.names
        aws_cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=filled(names.dashboard),
            default_interval=Duration.days(7),
            widgets=[
                [aws_cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=2 * HALF)],
                [_calls(function), _executions(names)],
                [_duration(function), _steps(names)],
                [_queue(failure_queue), _age(failure_queue)],
            ],
        )


def _calls(function: aws_lambda.Function) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(
        title="The function that starts executions",
        width=HALF,
        left=[
            function.metric_invocations(label="invocations", period=PERIOD),
            function.metric_errors(label="errors", period=PERIOD),
            function.metric_throttles(label="throttles", period=PERIOD),
        ],
    )


def _duration(function: aws_lambda.Function) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(
        title="Its duration",
        width=HALF,
        left=[
            function.metric_duration(label=statistic, statistic=statistic, period=PERIOD)
            for statistic in ("p50", "p99", "Maximum")
        ],
    )


def _queue(queue: aws_sqs.Queue) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(
        title="Failed uploads in the failure queue",
        width=HALF,
        left=[
            queue.metric_approximate_number_of_messages_visible(
                label="uploads", statistic="Maximum", period=PERIOD
            )
        ],
    )


def _age(queue: aws_sqs.Queue) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(
        title="How long the oldest of them has waited",
        width=HALF,
        left=[
            queue.metric_approximate_age_of_oldest_message(
                label="seconds", statistic="Maximum", period=PERIOD
            )
        ],
    )


def _executions(names: Names) -> aws_cloudwatch.IWidget:
    return aws_cloudwatch.GraphWidget(
        title=filled(f"Executions of {names.pipeline}"),
        width=HALF,
        left=[
            aws_cloudwatch.Metric(
                namespace=PIPELINES,
                metric_name=f"Execution{status}",
                dimensions_map={"PipelineName": filled(names.pipeline)},
                label=status.lower(),
                statistic="Sum",
                period=PERIOD,
            )
            for status in ("Started", "Succeeded", "Failed", "Stopped")
        ],
    )


def _steps(names: Names) -> aws_cloudwatch.IWidget:
    """Show how long each step took: a TrainingType has a step of its own, and no metric has tags."""
    wanted = f'PipelineName="{filled(names.pipeline)}" MetricName="StepDuration"'
    return aws_cloudwatch.GraphWidget(
        title="Steps, and with them the training types",
        width=HALF,
        left=[
            aws_cloudwatch.MathExpression(
                expression=f"SEARCH('{{{PIPELINES},PipelineName,StepName}} {wanted}', 'Maximum', 300)",
                label="",
                period=PERIOD,
            )
        ],
    )
