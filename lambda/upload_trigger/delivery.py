"""Bring uploads to their verdicts, so that nothing is lost, doubled or overtaken: see docs/delivery.md.

Another invocation may store an older definition meanwhile, so each look ends with another look: whatever is
newest and valid by then is stored again, until it is what was stored last. The verdict comes after that: an
invocation that dies leaves an upload without one, and the next event or the schedule takes it up again.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from upload_trigger import admission, sagemaker_calls, uploads, verdicts
from upload_trigger.admission import Judgement
from upload_trigger.definition import loading
from upload_trigger.definition.loading import InvalidDefinitionError
from upload_trigger.definition.problems import Problem, find
from upload_trigger.sagemaker_calls import Execution
from upload_trigger.settings import STOP, Settings
from upload_trigger.uploads import UnknownPipelineError, Upload
from upload_trigger.verdicts import FAILED, REJECTED, SETTLED, STARTED, SUPERSEDED, Kept, Verdict

log = logging.getLogger("upload_trigger")

VALIDATE = "`cv-pipeline validate FILE` may tell more"


class Clients(NamedTuple):
    """The two services this function talks to."""

    s3: Any
    sagemaker: Any


class Delivery:
    """The handling of uploads for one deployment."""

    def __init__(self, settings: Settings, services: Clients) -> None:
        self._settings = settings
        self._s3, self._sagemaker = services
        self._stored: dict[str, str] = {}
        """By key, the object version that this invocation stored last in the key's pipeline."""

    def deliver(self, upload: Upload) -> Verdict:
        """Settle one upload and leave its verdict; done twice, it is the same verdict."""
        known = verdicts.read(self._s3, upload)
        verdict = self.settle(upload, known)
        # After a rejection, too: an invocation before this one may have stored it and then been kept from
        # starting it.
        if verdict["verdict"] != FAILED or upload.key in self._stored:
            self.converge(upload.bucket, upload.key, {upload.version_id: verdict})
        return self.write(upload, verdict, known)

    def settle(self, upload: Upload, known: Kept | None = None) -> Verdict:
        """Return the verdict on one upload, the known one if it holds; what may pass by itself is raised."""
        if known and known.kind == STARTED:
            return self._completed(known.verdict)
        settled = known.verdict if known and known.kind in SETTLED else None
        try:
            return self._judge(upload, settled)
        except (UnknownPipelineError, uploads.TooLargeError) as error:
            kind, why = REJECTED, str(error)
        except ClientError as error:
            if sagemaker_calls.is_transient(error):
                raise
            kind, why = FAILED, sagemaker_calls.sentence(error)
        return settled or verdicts.make(upload, kind, reasons=verdicts.reasons([Problem("", why)]))

    def _judge(self, upload: Upload, settled: Verdict | None) -> Verdict:
        """Find the upload's own execution, or else give what was `settled`, or a new verdict."""
        name = uploads.pipeline_name(upload.key, self._settings.pipeline_name)
        content = uploads.read(self._s3, upload, loading.MAX_BYTES)
        sha256 = hashlib.sha256(content.body).hexdigest()
        seen = self._seen(name, upload, content.uploaded_at)
        if seen and seen.upload.version_id == upload.version_id:
            # It runs already: what is beside it or in the deployment may have changed since.
            return self.started(name, Execution(seen.arn, upload, sha256))
        if settled:
            return settled
        try:
            definition = admission.admit(content.body, upload, self._settings, self._s3)
        except InvalidDefinitionError as error:
            given = verdicts.reasons(error.problems)
            return verdicts.make(upload, REJECTED, sha256=sha256, reasons=given)
        if seen:
            newer = {"versionId": seen.upload.version_id, "executionArn": seen.arn}
            return verdicts.make(upload, SUPERSEDED, sha256=sha256, pipelineName=name, supersededBy=newer)
        try:
            version, arn = self._start(name, upload, definition, sha256)
        except ClientError as error:
            if sagemaker_calls.code(error) != sagemaker_calls.INVALID:
                raise
            why = [Problem("", f"SageMaker refuses it: {sagemaker_calls.sentence(error)}; {VALIDATE}")]
            return verdicts.make(upload, REJECTED, sha256=sha256, reasons=verdicts.reasons(why))
        verdict = self.started(name, Execution(arn, upload, sha256), version)
        if definition.worst_case_cost is not None:
            verdict["worstCaseCostUSD"] = definition.worst_case_cost
        return {**verdict, "warnings": [*verdicts.reasons(definition.warnings), *verdict["warnings"]]}

    def _seen(self, name: str, upload: Upload, uploaded_at: datetime) -> Execution | None:
        """Find the upload's own execution, or else one that a newer upload of the key has started."""
        listed = uploads.listing(self._s3, upload)
        newer = None
        for execution in sagemaker_calls.since(self._sagemaker, name, uploaded_at, upload):
            if execution.upload.version_id == upload.version_id:
                return execution
            if newer is None and uploads.is_newer(execution.upload, upload, listed):
                newer = execution
        return newer

    def _start(self, name: str, upload: Upload, definition: Judgement, sha256: str) -> tuple[int, str]:
        token = request_token(upload)
        version = self._store(name, upload, definition.text)
        response = self._sagemaker.start_pipeline_execution(
            PipelineName=name,
            PipelineVersionId=version,
            PipelineParameters=[
                {"Name": key, "Value": value} for key, value in definition.parameters.items()
            ],
            PipelineExecutionDescription=sagemaker_calls.description(upload, sha256),
            ClientRequestToken=token,
        )
        return version, str(response["PipelineExecutionArn"])

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

    def _store(self, name: str, upload: Upload, text: str) -> int:
        version = sagemaker_calls.store(self._sagemaker, name, text, self._settings.role_arn)
        self._stored[upload.key] = upload.version_id
        return version

    def started(self, name: str, execution: Execution, version: int | None = None) -> Verdict:
        """Return the verdict on an upload that runs: a call refused from now on is a warning, no failure."""
        refused: list[Problem] = []

        def ask(call: Callable[..., Any], *given: Any) -> Any:
            try:
                return call(*given)
            except ClientError as error:
                if sagemaker_calls.is_transient(error):
                    raise
                refused.append(Problem("", sagemaker_calls.sentence(error)))
            return None

        version = version or ask(sagemaker_calls.version, self._sagemaker, execution.arn)
        # Asked, because of two starts with one token only the first one's parameters count.
        parameters = ask(sagemaker_calls.parameters, self._sagemaker, execution.arn)
        # Only now: an upload that cannot start stops nothing.
        ask(self._stop_older, name, execution.upload)
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

    def _completed(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the parameters that SageMaker refused to tell when it was given.

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

    def converge(self, bucket: str, key: str, settled: dict[str, Verdict]) -> None:
        """Look for what is newest until it is what was stored last, settling what came after `settled`."""
        found: dict[str, Verdict] = {}
        written = functools.cache(lambda: {each for each, _ in verdicts.written(self._s3, bucket, key)})

        @functools.cache
        def known(version_id: str) -> Verdict | None:
            if verdicts.key(key, version_id) not in written():
                return None
            return self._known(verdicts.load(self._s3, Upload(bucket, key, version_id)))

        while newest := self._newest(Upload(bucket, key, ""), settled, found, known):
            if self._stored.get(key) == newest.version_id:
                break
            self._store_again(newest)
        for version_id, verdict in found.items():
            self.write(Upload(bucket, key, version_id), verdict)

    def _newest(
        self,
        like: Upload,
        settled: Mapping[str, Verdict],
        found: dict[str, Verdict],
        known: Callable[[str], Verdict | None],
    ) -> Upload | None:
        """Find the newest upload that has started, after settling those that came since in order."""
        pending, newest = [], None
        own = not settled
        for version in uploads.versions_of(self._s3, like.bucket, like.key):
            upload = replace(like, version_id=version.version_id)
            own = own or version.version_id in settled
            verdict = settled.get(version.version_id) or found.get(version.version_id)
            verdict = verdict or known(version.version_id)
            if verdict is None and not own:
                pending.append(upload)
            elif verdict and verdict["verdict"] == STARTED:
                newest = upload
                break
        for upload in reversed(pending):
            verdict = found[upload.version_id] = self.settle(upload)
            newest = upload if verdict["verdict"] == STARTED else newest
        return newest

    def _store_again(self, upload: Upload) -> None:
        """Make the pipeline hold the definition of an upload that has started before."""
        name = uploads.pipeline_name(upload.key, self._settings.pipeline_name)
        content = uploads.read(self._s3, upload, loading.MAX_BYTES)
        document = loading.load(content.body)
        if sagemaker_calls.holds(self._sagemaker, name, document):
            self._stored[upload.key] = upload.version_id
        else:
            log.warning("%s is stored again over an older definition", upload, extra=asdict(upload))
            self._store(name, upload, loading.serialise(document))

    @staticmethod
    def _known(known: Kept | None) -> Verdict | None:
        return known.verdict if known and known.kind in verdicts.KINDS else None

    def write(self, upload: Upload, verdict: Verdict, known: Kept | None = None) -> Verdict:
        """Write a verdict that is not the known one; give the one that counts."""
        if known and verdict is known.verdict:
            log.info("%s is settled: %s", upload, known.kind, extra=asdict(upload))
            return verdict
        if not verdicts.write(self._s3, upload, verdict, known):
            log.info("%s was settled by another invocation", upload, extra=asdict(upload))
            return self._known(verdicts.read(self._s3, upload)) or verdict
        level = logging.ERROR if verdict["verdict"] == FAILED else logging.INFO
        log.log(level, "%s: %s", verdict["verdict"], upload, extra=verdict)
        return verdict


def request_token(upload: Upload) -> str:
    """Make the token that is the same for every delivery of one upload (64 hexadecimal digits)."""
    return hashlib.sha256("\0".join((upload.bucket, upload.key, upload.version_id)).encode()).hexdigest()
