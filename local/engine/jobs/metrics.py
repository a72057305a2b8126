"""Read a training job's metrics from its log: the last values for SageMaker, every value for CloudWatch."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.jobs.records import JobFailedError, TrainingJob

NAMESPACE = "/aws/sagemaker/TrainingJobs"
_BATCH = 1000
"""The most data that one PutMetricData call takes."""


class JobMetrics:
    """The metrics of one job's MetricDefinitions; `client` is CloudWatch's, with the job's role."""

    def __init__(self, job: TrainingJob, client: Any) -> None:
        definitions = job.request["AlgorithmSpecification"].get("MetricDefinitions") or []
        self._patterns = [(d["Name"], re.compile(d["Regex"])) for d in definitions]
        self._job = job
        self._client = client
        self._last: dict[str, dict[str, Any]] = {}
        self._pending: list[dict[str, Any]] = []

    def read(self, line: str) -> None:
        """Take the metrics of one line."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    self._take(name, value)

    def flush(self) -> None:
        """Send CloudWatch what was read; raise JobFailedError when it refuses."""
        while self._pending:
            try:
                self._client.put_metric_data(Namespace=NAMESPACE, MetricData=self._pending[:_BATCH])
            except (ClientError, BotoCoreError) as error:
                reason = f"ClientError: The job's metrics cannot be written to CloudWatch:{error}"
                raise JobFailedError(reason) from error
            del self._pending[:_BATCH]

    def _take(self, name: str, value: float) -> None:
        datum = {"MetricName": name, "Value": value, "Timestamp": datetime.now(UTC)}
        self._last[name] = datum
        with self._job.lock:
            self._job.metrics = [self._last[name] for name, _ in self._patterns if name in self._last]
        if math.isfinite(value):  # CloudWatch takes nothing else
            dimension = {"Name": "TrainingJobName", "Value": self._job.name}
            self._pending.append({**datum, "Dimensions": [dimension]})


def _number(match: re.Match[str]) -> float | None:
    try:
        return float(match.group(1))
    except (IndexError, TypeError, ValueError):
        return None  # the expression has no group, or took something that is not a number
