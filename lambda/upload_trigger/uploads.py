"""The object versions that were uploaded: which an S3 event reports, what each holds, and which is newer."""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from upload_trigger.definition.problems import find

log = logging.getLogger("upload_trigger")

PREFIX, SUFFIX = "pipeline/", "pipeline.json"
"""What the bucket notifies the function of."""
# SageMaker writes ARNs in lower case, so names that differ in nothing else may be one.
PIPELINE_NAME = re.compile(r"[a-z0-9](-*[a-z0-9]){0,255}")
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON may hold one, UTF-8 and thus S3 cannot
KEY = re.compile(r"pipeline/(?:(?P<name>[^/]+)/)?pipeline\.json")


class UploadError(ValueError):
    """A record that names no object version, so that not even a verdict can be left for it."""


class UnknownPipelineError(ValueError):
    """The key of an upload stands for no pipeline."""


@dataclass(frozen=True)
class Upload:
    """One object version; `sequencer` is empty where no event told it."""

    bucket: str
    key: str
    version_id: str
    sequencer: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key} (version {self.version_id})"


def read_event(event: Any) -> list[Any]:
    """Return the records of an S3 event; none for the test event that S3 sends when it is set up."""
    if find(event, "Event") == "s3:TestEvent":
        log.info("s3:TestEvent: the notification is set up", extra={"bucket": event.get("Bucket")})
        return []
    records = find(event, "Records")
    if not isinstance(records, list):
        raise UploadError(
            'neither an S3 event with "Records" nor {"reconcile": {}}; '
            "only the bucket, the schedule and ops are to call this function"
        )
    return records


def read_record(record: Any) -> Upload | None:
    """Read which object version was uploaded; None for another record, such as of a deletion."""
    version, name = str(find(record, "eventVersion")), str(find(record, "eventName"))
    if version.partition(".")[0] != "2":
        raise UploadError(f"an event of version {version[:20]}: this function reads S3's event version 2.x")
    if not name.startswith("ObjectCreated:"):
        log.info("%s starts nothing", name, extra={"eventName": name})
        return None
    bucket, key = find(record, "s3", "bucket", "name"), find(record, "s3", "object", "key")
    version_id, sequencer = (find(record, "s3", "object", each) for each in ("versionId", "sequencer"))
    if not (isinstance(bucket, str) and bucket and isinstance(key, str) and key):
        raise UploadError("an S3 record without s3.bucket.name or s3.object.key")
    if _SURROGATE.search(f"{bucket}{key}{version_id}"):
        raise UploadError("an S3 record with half of a surrogate pair (\\ud800 to \\udfff) in a name")
    if not isinstance(version_id, str) or version_id in ("", "null"):
        raise UploadError(
            f"s3://{bucket}/{unquote_plus(key)} has no version, so its execution could not be told from the "
            f"next; turn on versioning: aws s3api put-bucket-versioning --bucket {bucket} "
            "--versioning-configuration Status=Enabled"
        )
    return Upload(bucket, unquote_plus(key), version_id, sequencer if isinstance(sequencer, str) else "")


def pipeline_name(key: str, project_pipeline: str) -> str:
    """Return `<project>-<name>` for `pipeline/<name>/pipeline.json`, or raise UnknownPipelineError."""
    match = KEY.fullmatch(key)
    if not match:
        raise UnknownPipelineError(
            f'the key "{key}" stands for no pipeline; upload to pipeline/pipeline.json '
            "or pipeline/<name>/pipeline.json"
        )
    name = project_pipeline if match["name"] is None else f"{project_pipeline}-{match['name']}"
    if len(name) > 256 or not PIPELINE_NAME.fullmatch(name):
        raise UnknownPipelineError(
            f'"{name}" (from the key "{key}") is no name of a pipeline: lower-case letters, digits and '
            "hyphens, none of them at an end, at most 256 characters"
        )
    return name


def origin(upload: Upload, sha256: str) -> dict[str, str]:
    """Say where an execution comes from, as its description and its verdict do."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "versionId": upload.version_id,
        "sequencer": upload.sequencer,
        "sha256": sha256,
    }


class TooLargeError(ValueError):
    """The object has more bytes than whoever reads it takes."""


class Content(NamedTuple):
    """The bytes of one object version, and when they were uploaded."""

    body: bytes
    uploaded_at: datetime


class Version(NamedTuple):
    """One entry of a listing."""

    key: str
    version_id: str
    uploaded_at: datetime


def read(s3: Any, upload: Upload, limit: int) -> Content:
    """Read exactly the version uploaded, its size known before the first byte is read."""
    response = s3.get_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version_id)
    # Not the body's own `with`, which hands out the raw stream: that one's errors are not botocore's.
    with closing(response["Body"]) as body:
        size = response["ContentLength"]
        if size > limit:
            raise TooLargeError(f"{size:,} bytes; at most {limit:,} are read")
        content = body.read()
    return Content(content, response["LastModified"])


def versions(s3: Any, bucket: str, prefix: str) -> Iterator[Version]:
    """Yield the versions below a prefix, by key and then newest first; delete markers are none."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Versions", []):
            yield Version(entry["Key"], entry["VersionId"], entry["LastModified"])


def versions_of(s3: Any, bucket: str, key: str) -> Iterator[Version]:
    """Yield the versions of one key, newest first."""
    return (version for version in versions(s3, bucket, key) if version.key == key)


def listing(s3: Any, upload: Upload) -> Callable[[], list[str]]:
    """Return the versions of an upload's key, newest first, listed when they are first asked for."""
    return functools.cache(
        lambda: [version.version_id for version in versions_of(s3, upload.bucket, upload.key)]
    )


def latest(s3: Any, bucket: str, key: str) -> str | None:
    """Return the versionId of what the key holds now, None when it is not there or was deleted."""
    # Reading the object on the off-chance would need the right to learn of missing keys.
    page = s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=1)
    for entry in page.get("Versions", []):
        if entry["Key"] == key and entry["IsLatest"]:
            return str(entry["VersionId"])
    return None


def is_newer(one: Upload, other: Upload, listed: Callable[[], Sequence[str]]) -> bool:
    """Return whether `one` was uploaded after `other`, to the same key.

    Sequencers decide where both came with an event. What reconcile found has none: then the order of the
    listing decides, in which a version deleted since counts as the older one.
    """
    if one.version_id == other.version_id:
        return False
    if one.sequencer and other.sequencer:
        width = max(len(one.sequencer), len(other.sequencer))
        return _padded(one.sequencer, width) > _padded(other.sequencer, width)
    place = {version_id: index for index, version_id in enumerate(listed())}
    return place.get(one.version_id, len(place)) < place.get(other.version_id, len(place))


def _padded(sequencer: str, width: int) -> str:
    return sequencer.upper().ljust(width, "0")
