"""What became of an upload, kept beside it as `verdicts/<key>/<versionId>.json`.

STARTED      with the execution, the pipeline version and the parameters
SUPERSEDED   a newer upload of the same key had started when this one's event came
REJECTED     with every reason, the deployment's or SageMaker's; the pipeline is as it was
FAILED       with the reason; `cv-pipeline redrive` tries it again
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from upload_trigger.definition.problems import Problem
from upload_trigger.sagemaker_calls import code
from upload_trigger.uploads import Upload, origin

log = logging.getLogger("upload_trigger")

PREFIX = "verdicts/"
STARTED, SUPERSEDED, REJECTED, FAILED = "STARTED", "SUPERSEDED", "REJECTED", "FAILED"
SETTLED = (STARTED, SUPERSEDED, REJECTED)
KINDS = (*SETTLED, FAILED)
UNREADABLE = "UNREADABLE"
"""In the place of a verdict is something else, which counts as none and is replaced."""
NOT_AS_READ = ("PreconditionFailed", "NoSuchKey")
MAX_BYTES = 4_194_304
"""Two hundred parameters and the reasons, whatever characters they are of."""
MAX_REASONS_BYTES = 131_072
MAX_KEY_BYTES = 1024

Verdict = dict[str, Any]


class StoredVerdict(NamedTuple):
    """A verdict as it was read."""

    verdict: Verdict
    etag: str

    @property
    def kind(self) -> str:
        """Return STARTED, SUPERSEDED, REJECTED or FAILED."""
        return str(self.verdict["verdict"])


def key(upload_key: str, version_id: str) -> str:
    """Return the key of an upload's verdict; one of a key that leaves S3 no room for it has its digest."""
    name = upload_key
    if len(f"{PREFIX}{name}/{version_id}.json".encode()) > MAX_KEY_BYTES:
        name = hashlib.sha256(upload_key.encode()).hexdigest()
    return f"{PREFIX}{name}/{version_id}.json"


def make(upload: Upload, verdict: str, **members: Any) -> Verdict:
    """Make a verdict; members that are None are left out."""
    named = {name: value for name, value in origin(upload, members.pop("sha256", "")).items() if value}
    given = {name: value for name, value in members.items() if value is not None}
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"verdict": verdict, **named, "at": at, **given}


def lacks_parameters(verdict: Verdict) -> bool:
    """Return whether an execution is there, and what it started with could not be asked."""
    return verdict["verdict"] == STARTED and "parameters" not in verdict


def reasons(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Write problems as a verdict holds them, as many as can be read again."""
    told: list[dict[str, str]] = []
    size = 0
    listed = [{"pointer": problem.pointer, "message": problem.message} for problem in problems]
    for each in listed:
        size += len(json.dumps(each))
        if size > MAX_REASONS_BYTES:
            more = f"{len(listed) - len(told)} more, for which there is no room here"
            return [*told, {"pointer": "", "message": more}]
        told.append(each)
    return told


def read(s3: Any, upload: Upload) -> StoredVerdict | None:
    """Return the verdict on an upload, None while there is none."""
    wanted = key(upload.key, upload.version_id)
    # A listing says that it is missing; reading a missing object would need the right to list them all.
    page = s3.list_objects_v2(Bucket=upload.bucket, Prefix=wanted, MaxKeys=1)
    if not any(entry["Key"] == wanted for entry in page.get("Contents", [])):
        return None
    return load(s3, upload)


def load(s3: Any, upload: Upload) -> StoredVerdict:
    """Return the verdict on an upload, which is known to be there."""
    wanted = key(upload.key, upload.version_id)
    answer = s3.get_object(Bucket=upload.bucket, Key=wanted)
    with closing(answer["Body"]) as body:
        content = body.read(MAX_BYTES)
    try:
        verdict = json.loads(content)
    except (ValueError, RecursionError):
        verdict = None
    if not isinstance(verdict, dict) or verdict.get("verdict") not in KINDS:
        log.warning("s3://%s/%s is no verdict; it will be replaced", upload.bucket, wanted)
        verdict = {"verdict": UNREADABLE}
    return StoredVerdict(verdict, str(answer["ETag"]))


def write(s3: Any, upload: Upload, verdict: Verdict, replaces: StoredVerdict | None = None) -> bool:
    """Leave the verdict beside the upload; False when somebody else was quicker, whose verdict counts.

    STARTED tells of an execution that is there, so it is written over anything; any other verdict only over
    what was read, or nothing.
    """
    body = json.dumps(verdict, indent=2, allow_nan=False) + "\n"
    condition = {"IfMatch": replaces.etag} if replaces else {"IfNoneMatch": "*"}
    try:
        s3.put_object(
            Bucket=upload.bucket,
            Key=key(upload.key, upload.version_id),
            Body=body.encode(),
            ContentType="application/json",
            **({} if verdict["verdict"] == STARTED else condition),
        )
    except ClientError as error:
        if code(error) not in NOT_AS_READ:
            raise
        return False
    return True


def written(s3: Any, bucket: str, upload_key: str = "") -> Iterator[str]:
    """Yield the keys of all verdicts, or of those on one key."""
    prefix = key(upload_key, "").removesuffix(".json") if upload_key else PREFIX
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (entry["Key"] for entry in page.get("Contents", []))
