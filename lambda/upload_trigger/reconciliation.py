"""Find what got lost: settle every upload that has no verdict, and hold what runs against its verdict.

The schedule calls it, and `ops reconcile`. S3 or Lambda may have lost an event, and an execution may not have
been listed yet when its upload was given a verdict.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from upload_trigger import sagemaker_calls, verdicts
from upload_trigger.delivery import Clients, Delivery, KeyHistory, not_started
from upload_trigger.settings import Settings
from upload_trigger.uploads import PREFIX, SUFFIX, UnknownPipelineError, Upload, pipeline_name, versions
from upload_trigger.verdicts import FAILED, SETTLED, STARTED, UNREADABLE, StoredVerdict, Verdict

log = logging.getLogger("upload_trigger")

SECOND_LOOK = timedelta(days=7)
"""For so long executions are held against their verdicts: one may not have been listed when it was given."""
AT_ONCE = 20
"""Uploads of a key that are settled before their verdicts are written: what is written is not lost."""


class UnfinishedError(RuntimeError):
    """Something was left undone; done again, it goes on."""


class _NoTimeError(Exception):
    """The rest is for the next invocation."""


@dataclass
class Reconciliation:
    """One look through all uploads of the bucket."""

    settings: Settings
    services: Clients
    minimum_age: timedelta
    """A younger upload without a verdict is left to its own event."""
    failed: bool
    """Whether to settle what has FAILED once more."""
    out_of_time: Callable[[], bool]
    made: list[Verdict] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What could not be done, and why."""

    def run(self) -> list[Verdict]:
        """Settle what has no verdict, then look again at what runs; raise `UnfinishedError` at the end."""
        self._s3, self._bucket = self.services.s3, self.settings.bucket
        self._delivery = Delivery(self.settings, self.services)
        self._written = dict.fromkeys(verdicts.written(self._s3, self._bucket))
        uploads_by_key = self._uploads_by_key()
        try:
            # First what nobody has settled; looking again takes the time that is left.
            for key, uploads in uploads_by_key.items():
                with self._turn_of(key):
                    self._settle(key, uploads)
            for key in uploads_by_key:
                with self._turn_of(key):
                    self._look_again(key)
        except _NoTimeError:
            self.left.append("the rest, for which there was no time")
        if self.left:
            raise UnfinishedError(f"{len(self.made)} uploads were settled, but not {'; '.join(self.left)}")
        return self.made

    @contextmanager
    def _turn_of(self, key: str) -> Iterator[None]:
        """Keep what fails for one key from the turn of the next."""
        self._check_time()
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            log.exception("reconciling %s failed", key)
            self.left.append(f"{key}: {sagemaker_calls.sentence(error)}")

    def _check_time(self) -> None:
        if self.out_of_time():
            raise _NoTimeError

    def _uploads_by_key(self) -> dict[str, list[Upload]]:
        """Return every key with its uploads that may have to be settled, newest first."""
        found: dict[str, list[Upload]] = {}
        for version in versions(self._s3, self._bucket, PREFIX):
            if version.key.endswith(SUFFIX):
                uploads = found.setdefault(version.key, [])
                upload = Upload(self._bucket, version.key, version.version_id)
                is_due = not self._has_verdict(upload) and _age(version.uploaded_at) >= self.minimum_age
                if self.failed or is_due:
                    uploads.append(upload)
        for verdict_key in self._written:
            # What is deleted by now may have started, too.
            found.setdefault(verdict_key.removeprefix(verdicts.PREFIX).rpartition("/")[0], [])
        return found

    def _has_verdict(self, upload: Upload) -> bool:
        return verdicts.key(upload.key, upload.version_id) in self._written

    def _settle(self, key: str, uploads: list[Upload]) -> None:
        to_settle = self._to_settle(uploads)
        while batch := dict(itertools.islice(to_settle, AT_ONCE)):
            history = KeyHistory(self._s3, self._bucket, key)
            for upload, stored in batch.items():
                history.stored[upload.version_id] = stored
                self._settle_or_fail(history, upload)
            self._delivery.converge(history)
            written = self._delivery.write_all(history)
            for upload, stored in batch.items():
                verdict = written[upload.version_id]
                if stored is None or verdict is not stored.verdict:
                    self.made.append(verdict)
            self._check_time()

    def _to_settle(self, uploads: list[Upload]) -> Iterator[tuple[Upload, StoredVerdict | None]]:
        """Yield uploads without a verdict, and where it is wanted those that FAILED or lack parameters."""
        for upload in uploads:
            stored = verdicts.load(self._s3, upload) if self._has_verdict(upload) else None
            if (
                stored is None
                or stored.kind in (FAILED, UNREADABLE)
                or verdicts.lacks_parameters(stored.verdict)
            ):
                yield replace(upload, sequencer=_sequencer(stored)), stored

    def _settle_or_fail(self, history: KeyHistory, upload: Upload) -> None:
        """Settle an upload for which no event is repeated: what would pass by itself FAILED, too."""
        try:
            self._delivery.settle(history, upload)
        except (BotoCoreError, ClientError) as error:
            verdict = not_started(FAILED, upload, sagemaker_calls.sentence(error))
            stored = history.stored[upload.version_id]
            if stored and stored.kind in SETTLED:
                verdict = stored.verdict
            history.given[upload.version_id] = verdict

    def _look_again(self, key: str) -> None:
        """Make the verdict on what runs STARTED and complete; store the newest definition again if lost."""
        try:
            name = pipeline_name(key, self.settings.pipeline_name)
        except UnknownPipelineError:
            return
        since, like = datetime.now(UTC) - SECOND_LOOK, Upload(self._bucket, key, "")
        for execution in sagemaker_calls.since(self.services.sagemaker, name, since, like):
            self._check_time()
            if self._has_verdict(execution.upload):
                stored = verdicts.load(self._s3, execution.upload)
                if stored.kind == STARTED:
                    verdict = self._delivery.with_parameters(stored.verdict)
                else:
                    verdict = self._delivery.started(name, execution)
                if verdict is not stored.verdict:
                    self.made.append(self._delivery.write(execution.upload, verdict, stored))
        self._delivery.converge(KeyHistory(self._s3, self._bucket, key))


def _sequencer(stored: StoredVerdict | None) -> str:
    found = stored.verdict.get("sequencer") if stored else ""
    return found if isinstance(found, str) else ""


def _age(at: datetime) -> timedelta:
    return datetime.now(UTC) - at
