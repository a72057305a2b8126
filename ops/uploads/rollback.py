"""Go back to an earlier version of a pipeline: restore its definition, or start it as it is.

Restoring uploads the earlier definition once more, so that it is the newest one, judged and started like any
other upload. Starting alone leaves the newest definition in place. Unless a version is named, it is the
newest one that is known to work: with an execution that Succeeded.
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
SUCCEEDED = "Succeeded"
SHORTEST = 6  # characters of an S3 version id that are enough to mean one
DESCRIPTION = "cv-pipeline rollback --start-only: pipeline version {}"


class Target(NamedTuple):
    """The pipeline version to go back to."""

    pipeline_version: int
    runs: tuple[Entry, ...]
    """Its uploads and executions, newest first; none of a version that only SageMaker knows."""
    why: str
    """Why it is this one, and how its executions ended."""

    @property
    def succeeded(self) -> bool:
        """Return whether an execution of it Succeeded."""
        return any(map(_succeeded, self.runs))

    @property
    def best(self) -> Entry | None:
        """Return the last execution of it that Succeeded, or else the last one."""
        return next(filter(_succeeded, self.runs), next(iter(self.runs), None))


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

    def choose(self, wanted: str | None) -> Target:
        """Find the version to go back to.

        `wanted` is a pipeline version, or the S3 version id of an upload or its beginning; None is the newest
        version before the current one with an execution that Succeeded, or where there is none, the one that
        was uploaded before.

        Raises:
            AbsentError: There is no such version.
        """
        if wanted is None:
            return self._newest_that_works()
        found = next((each for each in self._ran if _is(each, wanted)), None)
        if found:
            return self._target(found.pipeline_version or 0)
        if NUMBER.fullmatch(wanted) and self._knows(int(wanted)):
            return self._target(int(wanted))
        raise AbsentError(
            f"pipeline {self._pipeline} has no version {wanted} that ever ran; it has: {self._known()}. "
            "`cv-pipeline history` shows them"
        )

    def restore(self, target: Target) -> Restored:
        """Upload the definition of a pipeline version once more."""
        runs = sorted(target.runs, key=lambda each: not _succeeded(each))
        copied = next((each for each in runs if each.exists), None)
        if copied:
            source = {"Bucket": self._bucket, "Key": self._key, "VersionId": copied.version_id}
            answer = self._s3.copy_object(Bucket=self._bucket, Key=self._key, CopySource=source)
        else:
            # The bucket forgets overwritten objects after a while; SageMaker keeps every version.
            body = self._definition(target.pipeline_version)
            answer = self._s3.put_object(
                Bucket=self._bucket, Key=self._key, Body=body.encode(), ContentType="application/json"
            )
        upload = DefinitionUpload(self._bucket, self._key, str(answer["VersionId"]))
        return Restored(upload, target.pipeline_version, copied.verdict if copied else None)

    def start(self, target: Target) -> str:
        """Start a pipeline version with the parameters of an earlier execution of it; return the ARN.

        They are those of the last execution that Succeeded, or else of the last one.

        Raises:
            AbsentError: Nothing has ever run it.
        """
        version = target.pipeline_version
        if target.best is None:
            raise AbsentError(
                f"version {version} of pipeline {self._pipeline} has no execution whose parameters could be "
                f"taken; restore its definition instead: `cv-pipeline rollback {version}`"
            )
        answer = self._sagemaker.start_pipeline_execution(
            PipelineName=self._pipeline,
            PipelineVersionId=version,
            PipelineParameters=self._parameters(str(target.best.execution_arn)),
            PipelineExecutionDescription=DESCRIPTION.format(version),
        )
        return str(answer["PipelineExecutionArn"])

    def _newest_that_works(self) -> Target:
        current = next((each for each in self._ran if each.version_id is not None), None)
        earlier = self._earlier(current.pipeline_version or 0) if current else {}
        works = [version for version, runs in earlier.items() if any(map(_succeeded, runs))]
        uploaded = [version for version, runs in earlier.items() if any(each.version_id for each in runs)]
        if current is None or not works + uploaded:
            raise AbsentError(
                f"pipeline {self._pipeline} has no version before the newest one whose definition differs; "
                f"it has: {self._known()}"
            )
        if not works:
            target = self._target(max(uploaded))
            return target._replace(
                why=f"No version before version {current.pipeline_version} has an execution that Succeeded. "
                f"The newest before it is version {target.pipeline_version}. {target.why}"
            )
        target = self._target(max(works))
        passed = [str(version) for version in sorted(earlier) if version > target.pipeline_version]
        return target._replace(
            why=f"Version {target.pipeline_version} is the newest before version {current.pipeline_version} "
            f"with an execution that Succeeded{f', which {_and(passed)} had not' if passed else ''}. "
            f"{target.why}"
        )

    def _earlier(self, current: int) -> dict[int, list[Entry]]:
        """Return the versions before the current one, each with its uploads and executions.

        The current definition under an earlier number, which a rollback brought back, is none of them.
        """
        found: dict[int, list[Entry]] = {}
        for each in self._ran:
            found.setdefault(each.pipeline_version or 0, []).append(each)
        now = set(map(_digest, found[current])) - {None}
        return {
            version: runs
            for version, runs in found.items()
            if version < current and now.isdisjoint(map(_digest, runs))
        }

    def _target(self, version: int) -> Target:
        runs = tuple(each for each in self._ran if each.pipeline_version == version)
        target = Target(version, runs, f"Version {version} has never run")
        if target.best is None:
            return target
        said = f"is {target.best.execution_arn or '-'} of {target.best.at:%Y-%m-%d %H:%M} UTC"
        if target.succeeded:
            return target._replace(why=f"Its last execution that Succeeded {said}")
        return target._replace(
            why=f"Version {version} has never Succeeded: its last execution {said}, {_status(target.best)}"
        )

    def _known(self) -> str:
        last = {int(each.pipeline_version or 0): each for each in reversed(self._ran)}
        listed = [
            f"{version} (last {last[version].at:%Y-%m-%d %H:%M} UTC, {_status(last[version])})"
            for version in sorted(last)
        ]
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


def _succeeded(entry: Entry) -> bool:
    return entry.execution is not None and entry.execution.status == SUCCEEDED


def _digest(entry: Entry) -> str | None:
    """Return the digest of an upload's definition, None where no verdict tells it."""
    return (entry.verdict or {}).get("sha256")


def _and(versions: list[str]) -> str:
    listed = " and ".join([", ".join(versions[:-1]), versions[-1]] if len(versions) > 1 else versions)
    return f"version{'s' if len(versions) > 1 else ''} {listed}"


def _status(entry: Entry) -> str:
    return (entry.execution.status if entry.execution else "") or "status not known"


def _is(entry: Entry, wanted: str) -> bool:
    if str(entry.pipeline_version) == wanted:
        return True
    return len(wanted) >= SHORTEST and (entry.version_id or "").startswith(wanted)
