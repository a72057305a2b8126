"""What SageMaker tells EventBridge: executions, training jobs and model packages that came to another state.

Local AWS sends an event at a training job's start and end; AWS sends one at what is between them, too, and
may send one more than once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.engine.host import Host
from local.engine.jobs.records import TrainingJob
from local.sagemaker.pipeline import RUNNING, PipelineExecution

SOURCE = "aws.sagemaker"
logger = logging.getLogger(__name__)
_JOB_MEMBERS_WITHOUT_EVENT = ("ModelArtifacts", "FinalMetricDataList")


def execution_changed(host: Host, execution: PipelineExecution, status: str, previous: str | None) -> None:
    """Send an execution's status; `previous` is None for one that has just started."""
    ended = status not in RUNNING
    detail = {
        "pipelineExecutionDisplayName": execution.display_name,
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": previous,
        "executionStartTime": execution.creation_time,
        "executionEndTime": execution.last_modified_time if ended else None,
        "pipelineExecutionDescription": execution.description,
        "pipelineArn": execution.pipeline.arn,
        "pipelineExecutionArn": execution.arn,
    }
    _send(
        host,
        "SageMaker Model Building Pipeline Execution Status Change",
        [execution.pipeline.arn, execution.arn],
        detail,
        _iso,
    )


def training_job_changed(host: Host, job: TrainingJob) -> None:
    """Send a training job's status."""
    detail = {key: value for key, value in job.describe().items() if key not in _JOB_MEMBERS_WITHOUT_EVENT}
    detail["Tags"] = {tag["Key"]: tag["Value"] for tag in job.tags}
    _send(host, "SageMaker Training Job State Change", [job.arn], detail, _milliseconds)


def package_changed(host: Host, arn: str, described: Mapping[str, Any]) -> None:
    """Send a model package, `described` as DescribeModelPackage does."""
    _send(host, "SageMaker Model Package State Change", [arn], described, _iso)


def _send(
    host: Host,
    detail_type: str,
    resources: Sequence[str],
    detail: Mapping[str, Any],
    moment: Callable[[datetime], str | int],
) -> None:
    known = {name: value for name, value in detail.items() if value is not None}
    try:
        host.put_event(SOURCE, detail_type, resources, json.loads(json.dumps(known, default=moment)))
    except Exception:
        # Whatever EventBridge has met: a job or an execution goes on without it, and its end is waited for.
        logger.exception("an event could not be sent: %s", detail_type)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
