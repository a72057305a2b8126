"""Bring uploads to their verdicts, so that nothing is lost, doubled or overtaken: see docs/delivery.md.

`Delivery.deliver` is what happens to one upload, from its event to its verdict. Other invocations may be at
work on the same key all the while, and this one may end at any call: the order of the steps allows for both.
"""

import functools
import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from upload_trigger import admission, sagemaker_calls, uploads, verdicts
from upload_trigger.admission import Examination
from upload_trigger.definition import loading
from upload_trigger.definition.loading import InvalidDefinitionError
from upload_trigger.definition.problems import Problem, find
from upload_trigger.sagemaker_calls import UploadExecution
from upload_trigger.settings import STOP, Settings
from upload_trigger.uploads import TooLargeError, UnknownPipelineError, Upload
from upload_trigger.verdicts import (
    FAILED,
    KINDS,
    REJECTED,
    SETTLED,
    STARTED,
    SUPERSEDED,
    StoredVerdict,
    Verdict,
)

log = logging.getLogger("upload_trigger")

VALIDATE = "`cv-pipeline validate FILE` may tell more"


class Clients(NamedTuple):
    """The two services this function talks to."""

    s3: Any
    sagemaker: Any


class KeyHistory:
    """What is known of the uploads of one key, and what this invocation makes of them.

    It is of one piece of work: what S3 holds is read once, and only when it is asked for.
    """

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self.bucket, self.key = bucket, key
        self.stored: dict[str, StoredVerdict | None] = {}
        """By version, the verdict that was found in S3, None where there is none."""
        self.given: dict[str, Verdict] = {}
        """By version, the verdict that this invocation gives; `Delivery.write_all` writes them at the end."""
        self.in_pipeline = ""
        """The version whose definition this invocation has stored last in the key's pipeline."""
        self._s3 = s3
        # One listing for all: of a pile of uploads, only those with a verdict are worth a call.
        self._written = functools.cache(lambda: set(verdicts.written(s3, bucket, key)))

    def upload(self, version_id: str) -> Upload:
        """Return a version as an upload."""
        return Upload(self.bucket, self.key, version_id)

    @property
    def stored_in_vain(self) -> bool:
        """Whether what this invocation has stored last in the pipeline did not start."""
        verdict = self.given.get(self.in_pipeline)
        return verdict is not None and verdict["verdict"] != STARTED

    def newest_first(self) -> Iterator[tuple[Upload, datetime]]:
        """Yield the uploads of the key, and when they came, as S3 lists them now."""
        for version in uploads.versions_of(self._s3, self.bucket, self.key):
            yield self.upload(version.version_id), version.uploaded_at

    def verdict(self, version_id: str) -> Verdict | None:
        """Return the verdict on a version: this invocation's, or else the one that S3 holds."""
        if version_id in self.given:
            return self.given[version_id]
        if version_id not in self.stored:
            is_there = verdicts.key(self.key, version_id) in self._written()
            self.stored[version_id] = verdicts.load(self._s3, self.upload(version_id)) if is_there else None
        return _readable(self.stored[version_id])


class Delivery:
    """The handling of uploads for one deployment."""

    def __init__(self, settings: Settings, services: Clients) -> None:
        self._settings = settings
        self._s3, self._sagemaker = services

    def deliver(self, upload: Upload) -> Verdict:
        """Bring one upload to its verdict and write that; done twice, it is the same verdict."""
        history = KeyHistory(self._s3, upload.bucket, upload.key)
        history.stored[upload.version_id] = verdicts.read(self._s3, upload)
        verdict = self.settle(history, upload)
        # After a rejection, too: an invocation before this one may have stored the definition and then been
        # kept from starting it. After a failure only if there is something to put right: a second refused
        # call would keep the verdict from being written.
        if verdict["verdict"] != FAILED or history.in_pipeline:
            self.converge(history)
        # Last: whoever dies before leaves an upload without a verdict, which its next event or the schedule
        # takes through the same steps again.
        return self.write_all(history)[upload.version_id]

    def settle(self, history: KeyHistory, upload: Upload) -> Verdict:
        """Return the verdict on an upload, the stored one if that holds; raise what may pass by itself."""
        verdict = self._settled(history, upload, history.stored.get(upload.version_id))
        history.given[upload.version_id] = verdict
        return verdict

    def _settled(self, history: KeyHistory, upload: Upload, stored: StoredVerdict | None) -> Verdict:
        if stored and stored.kind == STARTED:
            return self.with_parameters(stored.verdict)
        # Once REJECTED or SUPERSEDED it stays that, unless it runs all the same.
        settled = stored.verdict if stored and stored.kind in SETTLED else None
        try:
            return self._find_or_start(history, upload, settled)
        except (UnknownPipelineError, TooLargeError) as error:
            return settled or not_started(REJECTED, upload, str(error))
        except ClientError as error:
            if sagemaker_calls.is_transient(error):
                raise
            return settled or not_started(FAILED, upload, sagemaker_calls.sentence(error))

    def _find_or_start(self, history: KeyHistory, upload: Upload, settled: Verdict | None) -> Verdict:
        """Return the verdict on an upload that is not known to run; what is `settled` is not started."""
        name = uploads.pipeline_name(upload.key, self._settings.pipeline_name)
        # Exactly the version of the event: by now the key may hold another one.
        content = uploads.read(self._s3, upload, loading.MAX_BYTES)
        sha256 = hashlib.sha256(content.body).hexdigest()

        # SageMaker may have forgotten the token of an earlier start; its list still has the execution.
        own, newer = self._executions(name, upload, content.uploaded_at)
        if own:
            # Not judged again: what is beside it or in the deployment may have changed since it started.
            return self.started(name, UploadExecution(own.arn, upload, sha256))
        if settled:
            return settled

        try:
            admitted = admission.admit(content.body, upload, self._settings, self._s3)
        except InvalidDefinitionError as error:
            return not_started(REJECTED, upload, error.problems, sha256)
        if newer:
            # Its event came late: the pipeline is the newer upload's.
            by = {"versionId": newer.upload.version_id, "executionArn": newer.arn}
            return verdicts.make(upload, SUPERSEDED, sha256=sha256, pipelineName=name, supersededBy=by)

        try:
            version = self._store(history, name, upload, admitted.text)
            arn = self._start(name, upload, version, admitted, sha256)
        except ClientError as error:
            if sagemaker_calls.code(error) != sagemaker_calls.INVALID:
                raise
            # SageMaker's word on the definition: trying it again would change nothing.
            why = f"SageMaker refuses it: {sagemaker_calls.sentence(error)}; {VALIDATE}"
            return not_started(REJECTED, upload, why, sha256)

        verdict = self.started(name, UploadExecution(arn, upload, sha256), version)
        if admitted.worst_case_cost is not None:
            verdict["worstCaseCostUSD"] = admitted.worst_case_cost
        verdict["warnings"] = [*verdicts.reasons(admitted.warnings), *verdict["warnings"]]
        return verdict

    def _executions(
        self, name: str, upload: Upload, uploaded_at: datetime
    ) -> tuple[UploadExecution | None, UploadExecution | None]:
        """Return the upload's own execution, and the latest that a newer upload of the key has started."""
        listed = uploads.listing(self._s3, upload)
        newer = None
        for execution in sagemaker_calls.since(self._sagemaker, name, uploaded_at, upload):
            if execution.upload.version_id == upload.version_id:
                return execution, newer
            if newer is None and uploads.is_newer(execution.upload, upload, listed):
                newer = execution
        return None, newer

    def _store(self, history: KeyHistory, name: str, upload: Upload, text: str) -> int:
        version = sagemaker_calls.store(self._sagemaker, name, text, self._settings.role_arn)
        history.in_pipeline = upload.version_id
        return version

    def _start(self, name: str, upload: Upload, version: int, admitted: Examination, sha256: str) -> str:
        """Start the pipeline; return the execution's ARN, of two starts of one upload the same."""
        response = self._sagemaker.start_pipeline_execution(
            PipelineName=name,
            # Pinned: another invocation may have stored another upload's definition since.
            PipelineVersionId=version,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in admitted.parameters.items()],
            # By this the execution is found again, and told apart from what people start.
            PipelineExecutionDescription=sagemaker_calls.description(upload, sha256),
            # Without it boto3 makes a new one for each call, and each delivery would be an execution.
            ClientRequestToken=request_token(upload),
        )
        return str(response["PipelineExecutionArn"])

    def started(self, name: str, execution: UploadExecution, version: int | None = None) -> Verdict:
        """Return the verdict on an upload that runs: a call refused from now on is a warning, no failure."""
        refused: list[Problem] = []
        parameters = None
        with _noted(refused):
            version = version or sagemaker_calls.version(self._sagemaker, execution.arn)
        with _noted(refused):
            # Asked, because of two starts with one token only the first one's parameters count.
            parameters = sagemaker_calls.parameters(self._sagemaker, execution.arn)
        with _noted(refused):
            # Only now: an upload that cannot start stops nothing.
            self._stop_older(name, execution.upload)
        return verdicts.make(
            execution.upload,
            STARTED,
            sha256=execution.sha256,
            pipelineName=name,
            pipelineVersionId=version,
            executionArn=execution.arn,
            parameters=parameters,
            warnings=verdicts.reasons(refused),
        )

    def _stop_older(self, name: str, upload: Upload) -> None:
        """Stop what runs, if configured: neither this upload's execution nor a newer one's."""
        if self._settings.on_running != STOP:
            return
        token, listed = request_token(upload), uploads.listing(self._s3, upload)
        for arn, other in sagemaker_calls.running(self._sagemaker, name):
            same_key = other is not None and (other.bucket, other.key) == (upload.bucket, upload.key)
            if other and same_key and not uploads.is_newer(upload, other, listed):
                continue
            sagemaker_calls.stop(self._sagemaker, arn, token)
            log.info("%s is to stop for %s", arn, upload, extra=asdict(upload))

    def with_parameters(self, verdict: Verdict) -> Verdict:
        """Return a STARTED verdict with the parameters that SageMaker refused to tell when it was given.

        While it refuses them still, that is the verdict itself.
        """
        arn, warnings = verdict.get("executionArn"), verdict.get("warnings")
        if not verdicts.lacks_parameters(verdict) or not isinstance(arn, str):
            return verdict
        try:
            parameters = sagemaker_calls.parameters(self._sagemaker, arn)
        except ClientError as error:
            if sagemaker_calls.is_transient(error):
                raise
            return verdict
        refused = sagemaker_calls.LIST_PARAMETERS
        left = [each for each in warnings or () if refused not in str(find(each, "message"))]
        return {**verdict, "parameters": parameters, "warnings": left}

    def converge(self, history: KeyHistory) -> None:
        """Look which upload is the newest that has started, until it is what this invocation stored last.

        Two invocations that overtake each other may store in the wrong order, and a definition may have been
        stored whose start was refused. Each look ends with another one, because another invocation may have
        stored something meanwhile.
        """
        while newest := self._newest_started(history):
            if history.in_pipeline == newest.version_id:
                return
            self._store_again(history, newest)

    def _newest_started(self, history: KeyHistory) -> Upload | None:
        """Find the newest upload that has started, after settling those that came since, in their order.

        Those are newer than every upload that this invocation is about and have no verdict; the older ones
        are left to their own events. Without an upload of its own it settles nothing.
        """
        came_since, newest = [], None
        is_newer = bool(history.given)
        for upload, uploaded_at in history.newest_first():
            is_newer = is_newer and upload.version_id not in history.given
            verdict = history.verdict(upload.version_id)
            if verdict and verdict["verdict"] == STARTED:
                newest = upload
                break
            if verdict is None and is_newer:
                came_since.append(upload)
            elif verdict is None and history.stored_in_vain and self._runs(upload, uploaded_at):
                newest = upload  # another invocation is about to write its verdict
                break
        for upload in reversed(came_since):
            if self.settle(history, upload)["verdict"] == STARTED:
                newest = upload
        return newest

    def _runs(self, upload: Upload, uploaded_at: datetime) -> bool:
        name = uploads.pipeline_name(upload.key, self._settings.pipeline_name)
        executions = sagemaker_calls.since(self._sagemaker, name, uploaded_at, upload)
        return any(each.upload.version_id == upload.version_id for each in executions)

    def _store_again(self, history: KeyHistory, upload: Upload) -> None:
        """Make the pipeline hold the definition of an upload that has started before."""
        name = uploads.pipeline_name(upload.key, self._settings.pipeline_name)
        content = uploads.read(self._s3, upload, loading.MAX_BYTES)
        document = loading.load(content.body)
        if sagemaker_calls.holds(self._sagemaker, name, document):
            history.in_pipeline = upload.version_id
        else:
            log.warning("%s is stored again over another definition", upload, extra=asdict(upload))
            self._store(history, name, upload, loading.serialise(document))

    def write_all(self, history: KeyHistory) -> dict[str, Verdict]:
        """Write the verdicts that this invocation gives; return by version the ones that count."""
        # What came since before what the event was about, which comes again until that has a verdict.
        return {
            version_id: self.write(history.upload(version_id), verdict, history.stored.get(version_id))
            for version_id, verdict in reversed(history.given.items())
        }

    def write(self, upload: Upload, verdict: Verdict, stored: StoredVerdict | None) -> Verdict:
        """Write a verdict that is not the stored one; return the one that counts."""
        if stored and verdict is stored.verdict:
            log.info("%s is settled: %s", upload, stored.kind, extra=asdict(upload))
            return verdict
        if not verdicts.write(self._s3, upload, verdict, stored):
            log.info("%s was settled by another invocation", upload, extra=asdict(upload))
            return _readable(verdicts.read(self._s3, upload)) or verdict
        level = logging.ERROR if verdict["verdict"] == FAILED else logging.INFO
        log.log(level, "%s: %s", verdict["verdict"], upload, extra=verdict)
        return verdict


def request_token(upload: Upload) -> str:
    """Return the token that is the same for every delivery of one upload (64 hexadecimal digits)."""
    return hashlib.sha256("\0".join((upload.bucket, upload.key, upload.version_id)).encode()).hexdigest()


def not_started(kind: str, upload: Upload, why: str | Iterable[Problem], sha256: str = "") -> Verdict:
    """Return the verdict REJECTED or FAILED, with a reason or several."""
    problems = [Problem("", why)] if isinstance(why, str) else why
    return verdicts.make(upload, kind, sha256=sha256, reasons=verdicts.reasons(problems))


@contextmanager
def _noted(refused: list[Problem]) -> Iterator[None]:
    """Note a call that AWS refuses, and go on; what may pass by itself is raised."""
    try:
        yield
    except ClientError as error:
        if sagemaker_calls.is_transient(error):
            raise
        refused.append(Problem("", sagemaker_calls.sentence(error)))


def _readable(stored: StoredVerdict | None) -> Verdict | None:
    return stored.verdict if stored and stored.kind in KINDS else None
