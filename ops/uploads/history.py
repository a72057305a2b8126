"""What became of every upload of a pipeline: object versions, verdicts and executions, joined.

An execution says in its description which object version it comes from; one without such a description was
started by hand, or by `rollback --start-only`, and stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ops.errors import error_code
from ops.executions import jobs
from ops.executions.execution import ABSENT, read_steps
from ops.uploads import outcome
from ops.uploads.outcome import Verdict
from ops.uploads.upload import CONNECTIONS
from upload_trigger import verdicts
from upload_trigger.verdicts import STARTED, SUPERSEDED

CLOCK_SKEW = timedelta(minutes=5)  # between S3's clock and SageMaker's
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class ListedExecution(NamedTuple):
    """One execution of the pipeline, as ListPipelineExecutions tells it."""

    arn: str
    started_at: datetime
    status: str
    version_id: str | None
    """The object version it comes from, None where somebody else started it."""
    description: str
    failure_reason: str


@dataclass(frozen=True)
class Entry:
    """One upload with its verdict and execution, or an execution that no upload started."""

    at: datetime
    version_id: str | None = None
    exists: bool = False
    """Whether the object version is still in the bucket."""
    verdict_key: str | None = None
    verdict: Verdict | None = None
    execution: ListedExecution | None = None
    pipeline_version: int | None = None

    @property
    def outcome(self) -> str:
        """Return the verdict's kind, or say that there is none."""
        if self.version_id is None:
            return "no upload"
        return str(self.verdict["verdict"]) if self.verdict else "no verdict yet"

    @property
    def execution_arn(self) -> str | None:
        """Return the execution that this entry tells of."""
        found = self.execution.arn if self.execution else (self.verdict or {}).get("executionArn")
        return str(found) if found else None

    @property
    def reason(self) -> str:
        """Say why it did not start, or why its execution ended as it did."""
        if self.version_id is None:
            return self.execution.description if self.execution else ""
        if self.verdict is None or self.verdict["verdict"] == STARTED:
            return self.execution.failure_reason if self.execution else ""
        if self.verdict["verdict"] == SUPERSEDED:
            newer = outcome.superseded_by(self.verdict)
            return f"by upload {outcome.short(str(newer.get('versionId')))}"
        found = outcome.reasons(self.verdict)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}" if found else ""

    def document(self) -> dict[str, Any]:
        """Return the entry as a JSON object: the columns unabridged, with the whole verdict."""
        return {
            "at": self.at.astimezone(UTC).isoformat(),
            "versionId": self.version_id,
            "verdict": self.verdict,
            "pipelineVersionId": self.pipeline_version,
            "executionArn": self.execution_arn,
            "executionStatus": self.execution.status if self.execution else None,
            "reason": self.reason,
        }


class History:
    """The uploads and executions of one pipeline; reads no more of them than it is asked for."""

    def __init__(self, s3: Any, sagemaker: Any, bucket: str, key: str, pipeline: str) -> None:
        self._s3, self._sagemaker = s3, sagemaker
        self._bucket, self._key, self._pipeline = bucket, key, pipeline

    def newest(self, limit: int | None = None) -> list[Entry]:
        """Return the newest entries, the newest first; None is all there are."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(self._complete, self._entries(limit)))

    def explained(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return the entries; of an execution that failed, with the reason of the step that did."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(self._explain, entries))

    def _entries(self, limit: int | None) -> list[Entry]:
        uploads = self._uploads()
        oldest_shown = min((each.at for each in _newest(uploads.values(), limit)), default=LONG_AGO)
        executions = list(self._executions(oldest_shown - CLOCK_SKEW, limit))
        own = {each.version_id: each for each in executions}
        others = [each for each in executions if each.version_id not in uploads]
        entries = [replace(each, execution=own.get(each.version_id)) for each in uploads.values()]
        return _newest([*entries, *(Entry(each.started_at, execution=each) for each in others)], limit)

    def _uploads(self) -> dict[str | None, Entry]:
        """List the object versions of the key, newest first, and those gone of which a verdict is left."""
        found: dict[str | None, Entry] = {}
        for each in self._pages("list_object_versions", "Versions", self._key):
            if each["Key"] == self._key:
                version_id = each["VersionId"]
                found[version_id] = Entry(each["LastModified"], version_id, exists=True)
        prefix = verdicts.key(self._key, "").removesuffix(".json")
        for each in self._pages("list_objects_v2", "Contents", prefix):
            version_id = each["Key"].removeprefix(prefix).removesuffix(".json")
            if "/" in version_id:
                continue  # of another key, which begins with this one
            entry = found.get(version_id) or Entry(each["LastModified"], version_id)
            found[version_id] = replace(entry, verdict_key=each["Key"])
        return found

    def _pages(self, operation: str, member: str, prefix: str) -> Iterator[Mapping[str, Any]]:
        for page in self._s3.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=prefix):
            yield from page.get(member, [])

    def _executions(self, since: datetime, limit: int | None) -> Iterator[ListedExecution]:
        """Yield the executions since then, and some from before while they are fewer than `limit`."""
        request = {"PipelineName": self._pipeline, "SortBy": "CreationTime", "SortOrder": "Descending"}
        pages = self._sagemaker.get_paginator("list_pipeline_executions").paginate(**request)
        try:
            for number, summary in enumerate(
                each for page in pages for each in page["PipelineExecutionSummaries"]
            ):
                if limit is not None and number >= limit and summary["StartTime"] < since:
                    return
                yield self._execution(summary)
        except ClientError as error:
            if error_code(error) not in ABSENT:
                raise  # the first upload makes the pipeline; until then it is not found

    def _execution(self, summary: Mapping[str, Any]) -> ListedExecution:
        description = str(summary.get("PipelineExecutionDescription", ""))
        origin = outcome.json_object(description)
        same = (origin.get("bucket"), origin.get("key")) == (self._bucket, self._key)
        version_id = origin.get("versionId") if same else None
        return ListedExecution(
            str(summary["PipelineExecutionArn"]),
            summary["StartTime"],
            str(summary.get("PipelineExecutionStatus", "")),
            version_id if isinstance(version_id, str) else None,
            "" if origin else description,
            str(summary.get("PipelineExecutionFailureReason", "")),
        )

    def _complete(self, entry: Entry) -> Entry:
        """Read the entry's verdict and the pipeline version that its execution ran."""
        verdict = None
        if entry.verdict_key:
            verdict = outcome.load(self._s3, self._bucket, entry.verdict_key)
        version = (verdict or {}).get("pipelineVersionId")
        if version is None and entry.execution:
            answer = self._sagemaker.describe_pipeline_execution(PipelineExecutionArn=entry.execution.arn)
            version = answer.get("PipelineVersionId")
        return replace(entry, verdict=verdict, pipeline_version=version if isinstance(version, int) else None)

    def _explain(self, entry: Entry) -> Entry:
        if entry.execution is None or entry.execution.status != "Failed":
            return entry
        steps = read_steps(self._sagemaker, entry.execution.arn)
        failed = [step for step in steps if step.status == "Failed"]
        if not failed:
            return entry
        first = jobs.with_exit_message(self._sagemaker, failed[0])
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        reason = f"{first.name}: {' '.join(first.reason.split())}{more}"
        return replace(entry, execution=entry.execution._replace(failure_reason=reason))


def _newest(entries: Iterable[Entry], limit: int | None) -> list[Entry]:
    # Sorting keeps the order of what is of the same second, which is how exactly S3 tells the time.
    return sorted(entries, key=lambda each: each.at, reverse=True)[:limit]
