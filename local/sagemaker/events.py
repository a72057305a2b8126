"""What SageMaker tells EventBridge: executions, training jobs and model packages that came to another state.

The laptop tells of a training job's start and end; AWS tells of what is between them, too, and may tell of a
change more than once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.aws.event_rules import EventRules
from local.sagemaker.execution import Execution
from local.engine.jobs.records import TrainingJob

SOURCE = "aws.sagemaker"
_JOB_MEMBERS_WITHOUT_EVENT = ("ModelArtifacts", "FinalMetricDataList")


def execution_changed(execution: Execution, previous: str | None) -> None:
    """Tell of an execution's status; `previous` is None for one that has just started."""
    ended = not execution.running
    detail = {
        "pipelineExecutionDisplayName": execution.display_name,
        "currentPipelineExecutionStatus": execution.status,
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": execution.creation_time,
        "executionEndTime": execution.last_modified_time if ended else None,
        "pipelineExecutionDescription": execution.description,
        "pipelineArn": execution.pipeline.arn,
        "pipelineExecutionArn": execution.arn,
    }
    _tell(
        "SageMaker Model Building Pipeline Execution Status Change",
        [execution.pipeline.arn, execution.arn],
        detail,
        _iso,
    )


def training_job_changed(job: TrainingJob) -> None:
    """Tell of a training job's status."""
    detail = {key: value for key, value in job.describe().items() if key not in _JOB_MEMBERS_WITHOUT_EVENT}
    detail["Tags"] = {tag["Key"]: tag["Value"] for tag in job.tags}
    _tell("SageMaker Training Job State Change", [job.arn], detail, _milliseconds)


def package_changed(arn: str, described: Mapping[str, Any]) -> None:
    """Tell of a model package, `described` as DescribeModelPackage does."""
    _tell("SageMaker Model Package State Change", [arn], described, _iso)


def _tell(
    detail_type: str,
    resources: Sequence[str],
    detail: Mapping[str, Any],
    moment: Callable[[datetime], str | int],
) -> None:
    rules = EventRules.current
    if rules is not None:
        known = {name: value for name, value in detail.items() if value is not None}
        rules.put(SOURCE, detail_type, resources, json.loads(json.dumps(known, default=moment)))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
