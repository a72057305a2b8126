"""What is asked of SageMaker: a pipeline's versions and executions; and which errors pass by themselves."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from upload_trigger.definition.problems import find
from upload_trigger.uploads import Upload, origin

CLOCK_SKEW = timedelta(minutes=5)  # between S3's clock and SageMaker's
RUNNING = "Executing"
INVALID = "ValidationException"
"""SageMaker's word on a definition, or on the values to start it with."""
LIST_PARAMETERS = "ListPipelineParametersForExecution"
TRANSIENT = frozenset(
    {
        "ConditionalRequestConflict",
        "ConflictException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalFailure",
        "InternalServerException",
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceInUse",
        "ResourceLimitExceeded",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class UploadExecution(NamedTuple):
    """An execution that an upload started."""

    arn: str
    upload: Upload
    sha256: str


def description(upload: Upload, sha256: str) -> str:
    """Write where an execution comes from, for the trigger itself and the reports to read back."""
    return json.dumps(origin(upload, sha256), separators=(",", ":"))


def since(sagemaker: Any, name: str, uploaded_at: datetime, like: Upload) -> Iterator[UploadExecution]:
    """Yield the executions that uploads of the same key have started since `uploaded_at`, newest first."""
    request = {"PipelineName": name, "CreatedAfter": uploaded_at - CLOCK_SKEW}
    for summary in _summaries(sagemaker, request):
        found = _upload(summary)
        if found and (found.bucket, found.key) == (like.bucket, like.key):
            sha256 = str(json.loads(summary["PipelineExecutionDescription"]).get("sha256", ""))
            yield UploadExecution(str(summary["PipelineExecutionArn"]), found, sha256)


def version(sagemaker: Any, arn: str) -> int | None:
    """Return the pipeline version that an execution was started with."""
    answer = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    found: int | None = answer.get("PipelineVersionId")
    return found


def parameters(sagemaker: Any, arn: str) -> dict[str, str]:
    """Return the value of every parameter of an execution, the defaults of its definition included."""
    pages = sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
        PipelineExecutionArn=arn, PaginationConfig={"PageSize": 100}
    )
    return {each["Name"]: each["Value"] for page in pages for each in page["PipelineParameters"]}


def running(sagemaker: Any, name: str) -> Iterator[tuple[str, Upload | None]]:
    """Yield what runs among the newest hundred executions, and the upload it comes from."""
    for summary in _summaries(sagemaker, {"PipelineName": name}, pages=1):
        if summary["PipelineExecutionStatus"] == RUNNING:
            yield str(summary["PipelineExecutionArn"]), _upload(summary)


def stop(sagemaker: Any, arn: str, token: str) -> None:
    """Ask an execution to stop; done twice with the same token, it is the same request."""
    own_token = hashlib.sha256(f"{token}\0{arn}".encode()).hexdigest()
    try:
        sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=own_token)
    except ClientError:
        # It may have ended since it was listed, which SageMaker reports as an error of the request.
        answer = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        if answer["PipelineExecutionStatus"] == RUNNING:
            raise


def _summaries(sagemaker: Any, request: dict[str, Any], pages: int | None = None) -> Iterator[dict[str, Any]]:
    order = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    try:
        while pages is None or pages > 0:
            page = sagemaker.list_pipeline_executions(**request, **order)
            yield from page["PipelineExecutionSummaries"]
            if not page.get("NextToken"):
                return
            request = {**request, "NextToken": page["NextToken"]}
            pages = pages and pages - 1
    except ClientError as error:
        if code(error) != "ResourceNotFound":
            raise  # the first upload makes the pipeline; until then it is not found


def _upload(summary: dict[str, Any]) -> Upload | None:
    """Read a description back; None for those that people and other programs write."""
    try:
        found = json.loads(summary.get("PipelineExecutionDescription", ""))
    except (ValueError, RecursionError):
        return None
    given = [find(found, name) for name in ("bucket", "key", "versionId", "sequencer")]
    return Upload(*given) if all(isinstance(each, str) for each in given) else None


def store(sagemaker: Any, name: str, text: str, role_arn: str) -> int:
    """Create or update the pipeline; return the id of the version that holds this definition."""
    content = {"PipelineName": name, "PipelineDefinition": text, "RoleArn": role_arn}
    version = _update(sagemaker, content)
    if version is None:
        try:
            # With a token of its own each time: that of a pipeline that was deleted since would make none.
            sagemaker.create_pipeline(**content)
        except ClientError:
            # The name may have been taken since: SageMaker says so in a general ValidationException's text.
            version = _update(sagemaker, content)
            if version is None:
                raise
        else:
            # The answer does not name the version.
            order = {"SortOrder": "Ascending", "MaxResults": 1}
            page = sagemaker.list_pipeline_versions(PipelineName=name, **order)
            return int(page["PipelineVersionSummaries"][0]["PipelineVersionId"])
    return version


def _update(sagemaker: Any, content: dict[str, str]) -> int | None:
    try:
        # An unchanged definition makes no new version: the answer names the one that holds it.
        return int(sagemaker.update_pipeline(**content)["PipelineVersionId"])
    except ClientError as error:
        if code(error) != "ResourceNotFound":
            raise
    return None


def holds(sagemaker: Any, name: str, definition: dict[str, Any]) -> bool:
    """Return whether the pipeline's latest version is this definition."""
    try:
        latest = sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"]
    except ClientError as error:
        if code(error) != "ResourceNotFound":
            raise
        return False
    return bool(json.loads(latest) == definition)


def is_transient(error: ClientError) -> bool:
    """Return whether the same request may succeed later, without anybody changing anything."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    return code(error) in TRANSIENT or status >= 500 or status == 429


def code(error: ClientError) -> str:
    """Return AWS's code of a refused call, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def sentence(error: BotoCoreError | ClientError) -> str:
    """Say which call was refused and why, or what kept it from being answered."""
    if not isinstance(error, ClientError):
        return str(error)
    message = error.response.get("Error", {}).get("Message", "")
    return f"{error.operation_name} failed with {code(error)}: {message}"
