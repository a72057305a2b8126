"""Go back to an earlier version of a pipeline: restore its definition, or start it as it is.

Restoring uploads the earlier definition once more, so that it is the newest one, judged and started like any
other upload. Starting alone leaves the newest definition in place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ops.errors import AbsentError, error_code
from ops.executions.execution import ABSENT
from ops.uploads.history import Entry, History
from ops.uploads.outcome import Verdict
from ops.uploads.upload import DefinitionUpload

LISTED = 12  # known versions in one message
NUMBER = re.compile("[1-9][0-9]{0,8}")
SHORTEST = 6  # characters of an S3 version id that are enough to mean one
DESCRIPTION = "cv-pipeline rollback --start-only: pipeline version {}"


class Target(NamedTuple):
    """The pipeline version to go back to."""

    pipeline_version: int
    upload: Entry | None
    """An upload of it that can be copied; None when the bucket has none any more."""


class Restored(NamedTuple):
    """An earlier definition, uploaded once more."""

    upload: DefinitionUpload
    pipeline_version: int
    """The version it is a copy of; the upload makes a version of its own."""
    earlier: Verdict | None
    """The verdict on the upload that it was copied from."""


class Rollback:
    """One pipeline, the key of its definition and its history, newest first."""

    def __init__(self, s3: Any, sagemaker: Any, bucket: str, key: str, pipeline: str) -> None:
        self._s3, self._sagemaker = s3, sagemaker
        self._bucket, self._key, self._pipeline = bucket, key, pipeline
        entries = History(s3, sagemaker, bucket, key, pipeline).newest()
        self._ran = [entry for entry in entries if entry.pipeline_version is not None]

    def restore(self, wanted: str | None) -> Restored:
        """Upload the definition of a pipeline version once more; None is the version before the newest.

        `wanted` is a pipeline version, or the S3 version id of an upload or its beginning.

        Raises:
            AbsentError: There is no such version.
        """
        target = self._find(wanted)
        if target.upload:
            source = {"Bucket": self._bucket, "Key": self._key, "VersionId": target.upload.version_id}
            answer = self._s3.copy_object(Bucket=self._bucket, Key=self._key, CopySource=source)
        else:
            # The bucket forgets overwritten objects after a while; SageMaker keeps every version.
            body = self._definition(target.pipeline_version)
            answer = self._s3.put_object(
                Bucket=self._bucket, Key=self._key, Body=body.encode(), ContentType="application/json"
            )
        upload = DefinitionUpload(self._bucket, self._key, str(answer["VersionId"]))
        earlier = target.upload.verdict if target.upload else None
        return Restored(upload, target.pipeline_version, earlier)

    def start(self, wanted: str | None) -> tuple[int, str]:
        """Start a pipeline version with the parameters of its last execution; return version and ARN.

        Raises:
            AbsentError: There is no such version, or nothing has ever run it.
        """
        version = self._find(wanted).pipeline_version
        last = next((each for each in self._ran if each.pipeline_version == version), None)
        if last is None:
            raise AbsentError(
                f"version {version} of pipeline {self._pipeline} has no execution whose parameters could be "
                f"taken; restore its definition instead: `cv-pipeline rollback {version}`"
            )
        answer = self._sagemaker.start_pipeline_execution(
            PipelineName=self._pipeline,
            PipelineVersionId=version,
            PipelineParameters=self._parameters(str(last.execution_arn)),
            PipelineExecutionDescription=DESCRIPTION.format(version),
        )
        return version, str(answer["PipelineExecutionArn"])

    def _find(self, wanted: str | None) -> Target:
        found = self._before_newest() if wanted is None else [each for each in self._ran if _is(each, wanted)]
        if found:
            copyable = next((each for each in found if each.exists), None)
            return Target(int(found[0].pipeline_version or 0), copyable)
        if wanted and NUMBER.fullmatch(wanted) and self._knows(int(wanted)):
            return Target(int(wanted), None)
        raise AbsentError(
            f"pipeline {self._pipeline} has no version {wanted} that ever ran; it has: {self._known()}. "
            "`cv-pipeline history` shows them"
        )

    def _before_newest(self) -> list[Entry]:
        """Find the uploads of the version that the newest one took the place of."""
        versions = [each.pipeline_version for each in self._ran if each.version_id is not None]
        earlier = next((each for each in versions if each != versions[0]), None)
        if earlier is None:
            raise AbsentError(
                f"pipeline {self._pipeline} has no version before the newest one to go back to; "
                f"it has: {self._known()}"
            )
        return [each for each in self._ran if each.pipeline_version == earlier]

    def _known(self) -> str:
        last = {int(each.pipeline_version or 0): each for each in reversed(self._ran)}
        listed = [f"{version} (last {last[version].at:%Y-%m-%d %H:%M} UTC)" for version in sorted(last)]
        return ", ".join(listed[: -LISTED - 1 : -1]) or "none"

    def _knows(self, version: int) -> bool:
        try:
            self._definition(version)
        except ClientError as error:
            if error_code(error) not in ABSENT | {"ValidationException"}:
                raise
            return False
        return True

    def _definition(self, version: int) -> str:
        answer = self._sagemaker.describe_pipeline(PipelineName=self._pipeline, PipelineVersionId=version)
        return str(answer["PipelineDefinition"])

    def _parameters(self, execution_arn: str) -> list[dict[str, str]]:
        pages = self._sagemaker.get_paginator("list_pipeline_parameters_for_execution").paginate(
            PipelineExecutionArn=execution_arn
        )
        # SageMaker takes no empty value at a start: one is the definition's own default, and stays so.
        return [each for page in pages for each in page["PipelineParameters"] if each["Value"]]


def changed(earlier: Verdict, now: Verdict) -> list[str]:
    """Tell which parameters an execution got other values of than an earlier one."""
    before, after = earlier.get("parameters") or {}, now.get("parameters") or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [f"{name} is {_value(after, name)}, was {_value(before, name)}" for name in names]


def _value(parameters: Mapping[str, Any], name: str) -> str:
    return repr(parameters[name]) if name in parameters else "the default"


def _is(entry: Entry, wanted: str) -> bool:
    if str(entry.pipeline_version) == wanted:
        return True
    return len(wanted) >= SHORTEST and (entry.version_id or "").startswith(wanted)
