"""The alarms: an upload that failed for good, and a function that keeps failing."""

from __future__ import annotations

from aws_cdk import Duration, aws_cloudwatch, aws_cloudwatch_actions, aws_lambda, aws_sns, aws_sqs
from constructs import Construct

from infra.names import Names


class Observability(Construct):
    """Alarms on the failure queue and on the function, told to an SNS topic when there is one."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        names: Names,
        function: aws_lambda.Function,
        failure_queue: aws_sqs.Queue,
        topic_arn: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        period = Duration.minutes(5)
        alarms = [
            self._alarm(
                "FailedUploads",
                name=f"{names.project}-failed-uploads",
                description="An upload started nothing; its event and the error are in the failure queue.",
                metric=failure_queue.metric_approximate_number_of_messages_visible(
                    period=period, statistic="Maximum"
                ),
            ),
            self._alarm(
                "FunctionErrors",
                name=f"{names.function}-errors",
                description="The function that starts executions failed; Lambda retries it twice.",
                metric=function.metric_errors(period=period, statistic="Sum"),
            ),
        ]
        if topic_arn:
            topic = aws_sns.Topic.from_topic_arn(self, "Topic", topic_arn)
            for alarm in alarms:
                alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(topic))

    def _alarm(
        self, construct_id: str, *, name: str, description: str, metric: aws_cloudwatch.Metric
    ) -> aws_cloudwatch.Alarm:
        return aws_cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=name,
            alarm_description=description,
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            # No message and no invocation is the normal state.
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
        )
