"""Wait for what an upload starts: the execution, or the Lambda's error in the failure queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from ops.endpoint import on_this_machine
from ops.errors import StartFailed, StartTimeout, error_code
from ops.execution import ABSENT
from ops.upload import Upload

CLOCK_SKEW = timedelta(minutes=5)  # the service's clock and this machine's
HIDDEN_SECONDS = 3  # a message we looked at comes back for others, such as a redrive
RECEIVES = 20  # of ten messages each, in one look at the queue


def wait_for_start(  # noqa: PLR0917 - the first six are what everybody gives
    sagemaker: Any,
    sqs: Any,
    pipeline_name: str,
    upload: Upload,
    queue_url: str,
    timeout: float,
    *,
    function_name: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Give the ARN of the execution that `upload` started, waiting at most `timeout` seconds.

    Raises:
        StartFailed: The Lambda failed for this upload; the message holds its error.
        StartTimeout: Neither an execution nor an error of this upload appeared in time.
    """
    pause = 0.25 if on_this_machine(sagemaker) else 2.0
    started = time.monotonic()
    while True:
        arn = _execution_of(sagemaker, pipeline_name, upload)
        if arn:
            return arn
        for record in _failures(sqs, queue_url):
            if _is_about(record, upload):
                raise StartFailed(_failure(record, upload))
        if time.monotonic() - started >= timeout:
            raise StartTimeout(_nothing(upload, pipeline_name, timeout, function_name))
        sleep(pause)


def _execution_of(sagemaker: Any, pipeline_name: str, upload: Upload) -> str | None:
    """Find the execution whose description names this object version, among those newer than the upload."""
    request = {"PipelineName": pipeline_name, "SortBy": "CreationTime", "SortOrder": "Descending"}
    try:
        for page in sagemaker.get_paginator("list_pipeline_executions").paginate(**request):
            for summary in page["PipelineExecutionSummaries"]:
                if _is_older(summary.get("StartTime"), upload):
                    return None
                if _describes(_description(sagemaker, summary), upload):
                    return str(summary["PipelineExecutionArn"])
    except ClientError as error:
        if error_code(error) not in ABSENT:
            raise  # the first upload makes the pipeline; until then it is not found
    return None


def _is_older(start: datetime | None, upload: Upload) -> bool:
    return start is not None and start < upload.uploaded_at - CLOCK_SKEW


def _description(sagemaker: Any, summary: Mapping[str, Any]) -> str:
    if "PipelineExecutionDescription" in summary:
        return str(summary["PipelineExecutionDescription"])
    answer = sagemaker.describe_pipeline_execution(PipelineExecutionArn=summary["PipelineExecutionArn"])
    return str(answer.get("PipelineExecutionDescription", ""))


def _describes(description: str, upload: Upload) -> bool:
    document = _object(description)
    wanted = {"bucket": upload.bucket, "key": upload.key, "versionId": upload.version_id}
    return {name: document.get(name) for name in wanted} == wanted


def _failures(sqs: Any, queue_url: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records in the failure queue and leave them there: redriving them is another command."""
    for _ in range(RECEIVES):
        answer = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_SECONDS
        )
        messages = answer.get("Messages", [])
        yield from (_object(message["Body"]) for message in messages)
        if not messages:
            return


def _is_about(record: Mapping[str, Any], upload: Upload) -> bool:
    payload = record.get("requestPayload")
    events = payload.get("Records", []) if isinstance(payload, dict) else []
    for event in events:
        s3 = event.get("s3", {})
        thing = s3.get("object", {})
        found = (s3.get("bucket", {}).get("name"), unquote_plus(thing.get("key", "")), thing.get("versionId"))
        if found == (upload.bucket, upload.key, upload.version_id):
            return True
    return False


def _failure(record: Mapping[str, Any], upload: Upload) -> str:
    response = record.get("responsePayload")
    response = response if isinstance(response, dict) else {}
    kind = response.get("errorType", "Error")
    message = response.get("errorMessage", "the function said nothing")
    function = (
        str(record.get("requestContext", {}).get("functionArn", "")).split(":function:")[-1].split(":")[0]
    )
    return (
        f"{upload.url} (version {upload.version_id}) did not start: {kind}: {message}\n"
        f"The whole story is in the log group {_log_group(function)}."
    )


def _nothing(upload: Upload, pipeline_name: str, timeout: float, function_name: str | None) -> str:
    return (
        f"no execution of {pipeline_name} and no error for {upload.url} (version {upload.version_id}) "
        f"within {timeout:.0f} s. S3 events are sometimes late: `python -m ops watch` finds it when it "
        f"comes; what the function did is in the log group {_log_group(function_name)}"
    )


def _log_group(function_name: str | None) -> str:
    return f"/aws/lambda/{function_name or '<function>'}"


def _object(text: str) -> dict[str, Any]:
    """Read a JSON object; anything else, which somebody else may have written, is an empty one."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
