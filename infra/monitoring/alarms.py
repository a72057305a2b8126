"""The alarms: an upload that failed for good, a function that keeps failing, news that nobody gets."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, aws_cloudwatch, aws_cloudwatch_actions, aws_lambda, aws_logs, aws_sns, aws_sqs
from constructs import Construct

from infra.deployment import Deployment
from infra.names import Names, filled

PERIOD = Duration.minutes(5)
"""How soon an alarm tells: what failed is kept for days, so that nobody waits for it by the minute."""


class Alarms(Construct):
    """Alarms on the failure queue, the function and the rules, told to a topic."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        deployment: Deployment,
        *,
        function: aws_lambda.Function,
        failure_queue: aws_sqs.Queue,
        log: aws_logs.ILogGroup,
        topic: aws_sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        names = deployment.names
        self._log = log
        self._action = aws_cloudwatch_actions.SnsAction(topic)
        self.alarms: Sequence[aws_cloudwatch.Alarm] = [
            *self._on_the_queue(names, failure_queue),
            *self._on_the_function(names, function),
            *(self._on_a_rule(construct_id, rule) for construct_id, rule in names.rules.items()),
        ]

    def _on_the_queue(self, names: Names, queue: aws_sqs.Queue) -> list[aws_cloudwatch.Alarm]:
        return [
            self._alarm(
                "FailedUploads",
                name=f"{names.project}-failed-uploads",
                description="An upload started nothing; its event and the error are in the failure queue.",
                metric=queue.metric_approximate_number_of_messages_visible(
                    period=PERIOD, statistic="Maximum"
                ),
            ),
            self._alarm(
                "ForgottenUploads",
                name=f"{names.project}-forgotten-uploads",
                description="A failed upload has waited for a day; the failure queue drops it after 14.",
                metric=queue.metric_approximate_age_of_oldest_message(period=PERIOD, statistic="Maximum"),
                threshold=Duration.days(1).to_seconds(),
            ),
        ]

    def _on_the_function(self, names: Names, function: aws_lambda.Function) -> list[aws_cloudwatch.Alarm]:
        return [
            self._alarm(
                "FunctionErrors",
                name=f"{names.function}-errors",
                description="The function that starts executions failed; Lambda retries it twice.",
                metric=function.metric_errors(period=PERIOD, statistic="Sum"),
            ),
            self._alarm(
                "FailedVerdicts",
                name=f"{names.project}-failed-verdicts",
                description="AWS refused a call for good, so an upload FAILED; mend that, then redrive.",
                metric=self._failed_verdicts(names),
            ),
            self._alarm(
                "FunctionThrottles",
                name=f"{names.function}-throttles",
                description="Lambda had no concurrency for the function; it tries again for up to 6 hours.",
                metric=function.metric_throttles(period=PERIOD, statistic="Sum"),
            ),
            self._alarm(
                "FunctionLostFailures",
                name=f"{names.function}-lost-failures",
                description="A failed upload did not reach the failure queue; the schedule settles it.",
                metric=function.metric("DestinationDeliveryFailures", period=PERIOD, statistic="Sum"),
            ),
        ]

    def _failed_verdicts(self, names: Names) -> aws_cloudwatch.Metric:
        """Count what the function logs of them: it ends well then, so neither errors nor the queue tell."""
        metric = aws_cloudwatch.Metric(
            namespace=filled(names.project), metric_name="FailedVerdicts", period=PERIOD, statistic="Sum"
        )
        aws_logs.CfnMetricFilter(
            self,
            "FailedVerdictsLogged",
            log_group_name=filled(names.function_log_group),
            filter_pattern='{ $.message = "FAILED: *" }',
            metric_transformations=[
                aws_logs.CfnMetricFilter.MetricTransformationProperty(
                    metric_namespace=metric.namespace, metric_name=metric.metric_name, metric_value="1"
                )
            ],
        ).node.add_dependency(self._log)
        return metric

    def _on_a_rule(self, construct_id: str, rule: str) -> aws_cloudwatch.Alarm:
        metric = aws_cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="FailedInvocations",
            dimensions_map={"RuleName": filled(rule)},
            period=PERIOD,
            statistic="Sum",
        )
        return self._alarm(
            construct_id,
            name=f"{rule}-undelivered",
            description=f"EventBridge could not deliver what the rule {rule} is for: a right is missing.",
            metric=metric,
        )

    def _alarm(
        self,
        construct_id: str,
        *,
        name: str,
        description: str,
        metric: aws_cloudwatch.IMetric,
        threshold: float = 1,
    ) -> aws_cloudwatch.Alarm:
        alarm = aws_cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=filled(name),
            alarm_description=filled(description),
            metric=metric,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=aws_cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            # No message and no invocation is the normal state.
            treat_missing_data=aws_cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
        return alarm
