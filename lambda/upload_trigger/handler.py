"""Start the pipeline that was uploaded: an S3 event becomes one execution of exactly those bytes.

Lambda calls `handler` for each upload below `pipeline/`, and the schedule calls it to find what got lost.
What becomes of an upload is left beside it (see verdicts.py). What may pass by itself is raised, so that
Lambda tries again and at last leaves the event in the failure queue; what was done is not done again.
"""

import functools
import itertools
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from upload_trigger import sagemaker_calls, verdicts
from upload_trigger.definition.problems import Problem
from upload_trigger.delivery import Clients, Delivery
from upload_trigger.settings import Settings, SettingsError
from upload_trigger.uploads import (
    PREFIX,
    SUFFIX,
    UnknownPipelineError,
    Upload,
    UploadError,
    pipeline_name,
    read_event,
    read_record,
    versions,
)
from upload_trigger.verdicts import FAILED, SETTLED, STARTED, UNREADABLE, Kept, Verdict

log = logging.getLogger("upload_trigger")
log.setLevel(logging.INFO)

# Three attempts of one call (connect + read, and the pauses) stay below the function's timeout.
CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)
LEAST_BOTOCORE = "1.40.0"
"""Runtimes have their SDK by region and month."""
ENOUGH_TIME = 30_000
"""Milliseconds that a reconciliation leaves for the uploads at hand."""
SECOND_LOOK = timedelta(days=7)
"""For so long executions are held against their verdicts: one may not have been listed when it was given."""
AT_ONCE = 20
"""Uploads of a key that are settled before their verdicts are written: what is written is not lost."""
NAMED = ("verdict", "bucket", "key", "versionId")
MAX_ANSWER_BYTES = 1_048_576
"""Lambda gives back six times as much; who wants the rest reads it beside the upload."""


class StartError(RuntimeError):
    """Something was left undone; trying again later is safe and makes sense."""


class UnfinishedError(RuntimeError):
    """Something was left undone; done again, it goes on."""


@functools.cache
def clients() -> Clients:
    """Return the clients, made once for the life of the process.

    By botocore itself: boto3's are the same, and importing it takes a tenth of a cold start.
    """
    session = botocore.session.Session()
    s3, sagemaker = (session.create_client(service, config=CLIENT_CONFIG) for service in ("s3", "sagemaker"))
    start = sagemaker.meta.service_model.operation_model("StartPipelineExecution").input_shape
    if "PipelineVersionId" not in start.members:
        raise StartError(
            f"this runtime has botocore {botocore.__version__}, whose StartPipelineExecution has no "
            f"PipelineVersionId; botocore {LEAST_BOTOCORE} or later is needed"
        )
    return Clients(s3, sagemaker)


# Lambda sets its region before it imports this, and lends an import a whole processor: later it would take
# seconds. Elsewhere the first event makes them, and says what is missing.
if "AWS_REGION" in os.environ:
    clients()


def handler(event: Any, context: Any) -> list[Verdict]:
    """Return the verdicts on the uploads of an event; raise `StartError` at the end if any has none.

    An event is S3's own, or `{"reconcile": {"minimumAgeSeconds": 900, "failed": false}}`.
    """
    try:
        if isinstance(event, dict) and "reconcile" in event:
            return _answer(_reconcile(event["reconcile"], context))
        records = read_event(event)
        return _answer(_deliver(records)) if records else []
    except (BotoCoreError, ClientError, SettingsError, UnfinishedError, UploadError) as error:
        raise StartError(f"{type(error).__name__}: {error}") from error


def _deliver(records: list[Any]) -> list[Verdict]:
    delivery = Delivery(Settings.read(os.environ), clients())
    made, failures = [], []
    for record in records:
        name: object = f"record {record}"
        try:
            upload = read_record(record)
            if upload:
                name = upload
                made.append(delivery.deliver(upload))
        except (BotoCoreError, ClientError, UploadError) as error:
            log.exception("no verdict on %s", name, extra={"upload": str(name)})
            failures.append((name, error))
    if failures:
        reasons = "\n".join(f"{name}: {type(error).__name__}: {error}" for name, error in failures)
        count = f"{len(failures)} of {len(records)} records were left without a verdict"
        raise StartError(f"{count}:\n{reasons}") from failures[0][1]
    return made


def _reconcile(given: Any, context: Any) -> list[Verdict]:
    given = given if isinstance(given, dict) else {}
    age, failed = given.get("minimumAgeSeconds", 0), given.get("failed", False)
    if type(age) is not int or not 0 <= age <= 10**6 or type(failed) is not bool:
        raise UploadError(
            '{"reconcile": {"minimumAgeSeconds": <0 to 1000000>, "failed": <true or false>}} is due'
        )
    settings, services = Settings.read(os.environ), clients()
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: math.inf)
    return Reconciliation(
        settings=settings,
        services=services,
        minimum_age=timedelta(seconds=age),
        failed=failed,
        out_of_time=lambda: remaining() < ENOUGH_TIME,
    ).run()


def _answer(made: list[Verdict]) -> list[Verdict]:
    """Return verdicts whole as long as they fit into an answer, then what names them."""
    answer: list[Verdict] = []
    size = 0
    for verdict in made:
        size += len(json.dumps(verdict))
        short = size > MAX_ANSWER_BYTES
        answer.append({name: verdict[name] for name in NAMED if name in verdict} if short else verdict)
    return answer


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
