"""Find what got lost: settle every upload that has no verdict, and hold what runs against its verdict.

The schedule calls it, and `ops reconcile`. S3 or Lambda may have lost an event, and an execution may not have
been listed yet when its upload was given a verdict.
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from upload_trigger import sagemaker_calls, verdicts
from upload_trigger.definition.problems import Problem
from upload_trigger.delivery import Clients, Delivery
from upload_trigger.settings import Settings
from upload_trigger.uploads import PREFIX, SUFFIX, UnknownPipelineError, Upload, pipeline_name, versions
from upload_trigger.verdicts import FAILED, SETTLED, STARTED, UNREADABLE, Kept, Verdict

log = logging.getLogger("upload_trigger")

SECOND_LOOK = timedelta(days=7)
"""For so long executions are held against their verdicts: one may not have been listed when it was given."""
AT_ONCE = 20
"""Uploads of a key that are settled before their verdicts are written: what is written is not lost."""


class UnfinishedError(RuntimeError):
    """Something was left undone; done again, it goes on."""


class _NoTimeError(Exception):
    """The rest is for the next invocation."""


_Work = Callable[[str, list[Upload], dict[str, datetime]], None]


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
        self._delivery = Delivery(self.settings, self.services)
        written = dict(verdicts.written(self.services.s3, self.settings.bucket))
        by_key = self._open_uploads(written)
        try:
            # First what nobody has settled; looking again takes the time that is left.
            for work in (self._settle, self._look_again):
                for key, uploads in by_key.items():
                    self._try(work, key, uploads, written)
        except _NoTimeError:
            self.left.append("the rest, for which there was no time")
        if self.left:
            raise UnfinishedError(f"{len(self.made)} uploads were settled, but not {'; '.join(self.left)}")
        return self.made

    def _try(self, work: _Work, key: str, uploads: list[Upload], written: dict[str, datetime]) -> None:
        self._check_time()
        try:
            work(key, uploads, written)
        except (BotoCoreError, ClientError) as error:
            log.exception("reconciling %s failed", key)
            self.left.append(f"{key}: {sagemaker_calls.sentence(error)}")

    def _check_time(self) -> None:
        if self.out_of_time():
            raise _NoTimeError

    def _open_uploads(self, written: dict[str, datetime]) -> dict[str, list[Upload]]:
        """Return for each key the uploads that may have to be settled, newest first."""
        found: dict[str, list[Upload]] = {}
        bucket = self.settings.bucket
        for version in versions(self.services.s3, bucket, PREFIX):
            if version.key.endswith(SUFFIX):
                uploads = found.setdefault(version.key, [])
                is_open = verdicts.key(version.key, version.version_id) not in written
                if self.failed or (is_open and _age(version.uploaded_at) >= self.minimum_age):
                    uploads.append(Upload(bucket, version.key, version.version_id))
        for each in written:
            # What is deleted by now may have started, too.
            found.setdefault(each.removeprefix(verdicts.PREFIX).rpartition("/")[0], [])
        return found

    def _settle(self, key: str, uploads: list[Upload], written: dict[str, datetime]) -> None:
        due = self._due(uploads, written)
        while batch := list(itertools.islice(due, AT_ONCE)):
            settled = {upload.version_id: self._settle_or_fail(upload, known) for upload, known in batch}
            self._delivery.converge(self.settings.bucket, key, settled)
            for upload, known in batch:
                verdict = settled[upload.version_id]
                if known is None or verdict is not known.verdict:
                    self.made.append(self._delivery.write(upload, verdict, known))
            self._check_time()

    def _due(
        self, uploads: list[Upload], written: dict[str, datetime]
    ) -> Iterator[tuple[Upload, Kept | None]]:
        """Yield uploads without a verdict, and where it is wanted those that FAILED or lack parameters."""
        for upload in uploads:
            is_open = verdicts.key(upload.key, upload.version_id) not in written
            known = None if is_open else verdicts.load(self.services.s3, upload)
            wants_more = known is not None and verdicts.lacks_parameters(known.verdict)
            if known is None or known.kind in (FAILED, UNREADABLE) or wants_more:
                yield replace(upload, sequencer=_sequencer(known)), known

    def _settle_or_fail(self, upload: Upload, known: Kept | None) -> Verdict:
        """Settle an upload for which no event is repeated: what would pass by itself FAILED, too."""
        try:
            return self._delivery.settle(upload, known)
        except (BotoCoreError, ClientError) as error:
            if known and known.kind in SETTLED:
                return known.verdict
            why = [Problem("", sagemaker_calls.sentence(error))]
            return verdicts.make(upload, FAILED, reasons=verdicts.reasons(why))

    def _look_again(self, key: str, _: list[Upload], written: dict[str, datetime]) -> None:
        """Make the verdict on what runs STARTED, and store the newest definition again if it got lost."""
        try:
            name = pipeline_name(key, self.settings.pipeline_name)
        except UnknownPipelineError:
            return
        since, like = datetime.now(UTC) - SECOND_LOOK, Upload(self.settings.bucket, key, "")
        for execution in sagemaker_calls.since(self.services.sagemaker, name, since, like):
            upload = execution.upload
            self._check_time()
            if verdicts.key(key, upload.version_id) in written:
                known = verdicts.load(self.services.s3, upload)
                if known.kind != STARTED:
                    verdict = self._delivery.started(name, execution)
                    self.made.append(self._delivery.write(upload, verdict, known))
        self._delivery.converge(self.settings.bucket, key, {})


def _sequencer(known: Kept | None) -> str:
    found = known.verdict.get("sequencer") if known else ""
    return found if isinstance(found, str) else ""


def _age(at: datetime) -> timedelta:
    return datetime.now(UTC) - at
