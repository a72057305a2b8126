"""An in-memory S3 of versioned buckets: what uploads, their listings, verdicts and events rest on.

`direct_client.DirectClient` calls it as boto3 would; `test_fake_services.py` holds both against moto.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from urllib.parse import quote_plus

from botocore.response import StreamingBody

from tests.support.services.service_answers import FakeServiceError

Given = dict[str, Any]


@dataclass
class ObjectVersion:
    key: str
    version_id: str
    body: bytes
    uploaded_at: datetime
    sequencer: str
    is_delete_marker: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


@dataclass
class FakeS3:
    bucket: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    objects: dict[str, list[ObjectVersion]] = field(default_factory=dict)
    """By key, the versions from the oldest to the newest."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """What S3 would notify of, in the order in which it happened."""
    broken_body: BaseException | None = None
    """Raised, once, while somebody reads a body."""
    bytes_read: int = 0
    _made: dict[str, int] = field(default_factory=dict)
    """By key, how many versions there have ever been."""

    def fork(self) -> "FakeS3":
        """Return another bucket with the same versions: what is put into one is not in the other."""
        objects = {key: list(versions) for key, versions in self.objects.items()}
        return replace(self, objects=objects, records=list(self.records), _made=dict(self._made))

    def call(self, operation: str, given: Given) -> dict[str, Any]:
        """Answer one request or raise a `FakeServiceError`."""
        if given["Bucket"] != self.bucket:
            raise FakeServiceError("NoSuchBucket", "The specified bucket does not exist", 404)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(given)
        return answer

    def put(self, key: str, body: bytes) -> dict[str, Any]:
        """Upload and give the record that S3 would send."""
        self._add(key, body, "ObjectCreated:Put")
        return self.records[-1]

    def latest(self, key: str) -> ObjectVersion | None:
        """Return what a key holds now, None for nothing and for a delete marker."""
        versions = self.objects.get(key)
        return None if not versions or versions[-1].is_delete_marker else versions[-1]

    def _add(self, key: str, body: bytes, event: str, marker: bool = False) -> ObjectVersion:
        if len(key.encode()) > 1024:
            raise FakeServiceError("KeyTooLongError", "Your key is too long", 400)
        # Counted by key, so that the names of versions tell nothing of what happened to other keys meanwhile.
        count = self._made[key] = self._made.get(key, 0) + 1
        # Their order tells nothing about their age, as with S3's.
        version_id = hashlib.sha256(f"{count} {key}".encode()).hexdigest()[:32]
        # Lengths differ once the zeros at the end are gone, and the order stays that of the padded ones.
        sequencer = f"{0x61E7E0 + count * 8:08X}".rstrip("0")
        version = ObjectVersion(key, version_id, body, self.clock(), sequencer, marker)
        self.objects.setdefault(key, []).append(version)
        self.records.append(self._record(event, version))
        return version

    def _record(self, event: str, version: ObjectVersion) -> dict[str, Any]:
        entry = {
            "key": quote_plus(version.key, safe="/"),
            "size": len(version.body),
            "versionId": version.version_id,
            "sequencer": version.sequencer,
        }
        return {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": event,
            "s3": {"bucket": {"name": self.bucket}, "object": entry},
        }

    def _PutObject(self, given: Given) -> dict[str, Any]:  # noqa: N802 - the operation's name
        latest = self.latest(given["Key"])
        if "IfMatch" in given and latest is None:
            raise FakeServiceError("NoSuchKey", "The specified key does not exist.", 404)
        matches = latest is not None and given.get("IfMatch", latest.etag) == latest.etag
        if ("IfMatch" in given and not matches) or (given.get("IfNoneMatch") == "*" and latest):
            raise FakeServiceError(
                "PreconditionFailed", "At least one of the pre-conditions did not hold", 412
            )
        version = self._add(given["Key"], given.get("Body", b""), "ObjectCreated:Put")
        return {"ETag": version.etag, "VersionId": version.version_id}

    def _CopyObject(self, given: Given) -> dict[str, Any]:  # noqa: N802
        path, _, query = given["CopySource"].partition("?versionId=")
        found = self._find({"Key": path.partition("/")[2], **({"VersionId": query} if query else {})})
        version = self._add(given["Key"], found.body, "ObjectCreated:Copy")
        result = {"ETag": version.etag, "LastModified": version.uploaded_at}
        return {
            "CopyObjectResult": result,
            "VersionId": version.version_id,
            "CopySourceVersionId": found.version_id,
        }

    def _GetObject(self, given: Given) -> dict[str, Any]:  # noqa: N802
        found = self._find(given)
        body = StreamingBody(_BreakingBody(self, found.body), len(found.body))
        return {**_head(found), "Body": body}

    def _HeadObject(self, given: Given) -> dict[str, Any]:  # noqa: N802
        try:
            return _head(self._find(given))
        except FakeServiceError as error:
            # The answer to HEAD has no body that could name the error.
            raise FakeServiceError(str(error.status), "Not Found", error.status) from error

    def _DeleteObject(self, given: Given) -> dict[str, Any]:  # noqa: N802
        key, version_id = given["Key"], given.get("VersionId")
        if version_id is None:
            marker = self._add(key, b"", "ObjectRemoved:DeleteMarkerCreated", marker=True)
            return {"DeleteMarker": True, "VersionId": marker.version_id}
        versions = self.objects.get(key, [])
        for version in versions:
            if version.version_id == version_id:
                versions.remove(version)
                self.records.append(self._record("ObjectRemoved:Delete", version))
                return {
                    "VersionId": version_id,
                    **({"DeleteMarker": True} if version.is_delete_marker else {}),
                }
        return {"VersionId": version_id}

    def _ListObjectsV2(self, given: Given) -> dict[str, Any]:  # noqa: N802
        prefix, delimiter = given.get("Prefix", ""), given.get("Delimiter", "")
        keys = [key for key in self._keys(given) if self.latest(key)]
        folder_of = {key: _folder(key, prefix, delimiter) for key in keys}
        start: str = given.get("ContinuationToken", "")
        after = [name for name in dict.fromkeys(folder_of[key] or key for key in keys) if name > start]
        limit = given.get("MaxKeys", 1000)
        shown, truncated = after[:limit], len(after) > limit
        there = {*folder_of.values()}
        folders = [name for name in shown if name in there]
        objects = [each for name in shown if name not in folders and (each := self.latest(name))]
        answer = {"KeyCount": len(shown), "MaxKeys": limit, "IsTruncated": truncated, "Name": self.bucket}
        if objects:
            answer["Contents"] = [{"Key": each.key, **_entry(each)} for each in objects]
        if folders:
            answer["CommonPrefixes"] = [{"Prefix": name} for name in folders]
        if truncated:
            answer["NextContinuationToken"] = shown[-1]
        return answer

    def _ListObjectVersions(self, given: Given) -> dict[str, Any]:  # noqa: N802
        if "Delimiter" in given:
            raise NotImplementedError("Delimiter")
        everything = [(key, each) for key in self._keys(given) for each in reversed(self.objects[key])]
        marker = (given.get("KeyMarker", ""), given.get("VersionIdMarker"))
        everything = list(_after(everything, *marker))
        limit = given.get("MaxKeys", 1000)
        shown = everything[:limit]
        answer: dict[str, Any] = {"Name": self.bucket, "MaxKeys": limit}
        answer["IsTruncated"] = len(everything) > limit
        for name, markers in (("Versions", False), ("DeleteMarkers", True)):
            entries = [self._listed(version) for _, version in shown if version.is_delete_marker is markers]
            answer |= {name: entries} if entries else {}
        if answer["IsTruncated"] and shown:
            answer |= {"NextKeyMarker": shown[-1][0], "NextVersionIdMarker": shown[-1][1].version_id}
        return answer

    def _listed(self, version: ObjectVersion) -> dict[str, Any]:
        is_latest = self.objects[version.key][-1] is version
        entry = {"LastModified": version.uploaded_at} if version.is_delete_marker else _entry(version)
        return {"Key": version.key, "VersionId": version.version_id, "IsLatest": is_latest, **entry}

    def _keys(self, given: Given) -> list[str]:
        prefix = given.get("Prefix", "")
        return sorted(key for key, versions in self.objects.items() if versions and key.startswith(prefix))

    def _find(self, given: Given) -> ObjectVersion:
        versions, version_id = self.objects.get(given["Key"], []), given.get("VersionId")
        if version_id is None:
            found = self.latest(given["Key"])
            if found is None:
                raise FakeServiceError("NoSuchKey", "The specified key does not exist.", 404)
            return found
        for version in versions:
            if version.version_id == version_id and version.is_delete_marker:
                raise FakeServiceError(
                    "MethodNotAllowed", "The method is not allowed on a delete marker.", 405
                )
            if version.version_id == version_id:
                return version
        raise FakeServiceError("NoSuchVersion", "The specified version does not exist.", 404)


class _BreakingBody(BytesIO):
    """What urllib3 gives below a StreamingBody: whoever reads it may lose the connection."""

    def __init__(self, s3: FakeS3, body: bytes) -> None:
        super().__init__(body)
        self._s3 = s3

    def read(self, amount: int | None = None, /) -> bytes:
        if self._s3.broken_body:
            error, self._s3.broken_body = self._s3.broken_body, None
            raise error
        content = super().read(amount)
        self._s3.bytes_read += len(content)
        return content


def _folder(key: str, prefix: str, delimiter: str) -> str:
    """Return the folder that a listing shows for a key, nothing when it shows the key itself."""
    inside, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
    return f"{prefix}{inside}{delimiter}" if found else ""


def _after(
    everything: list[tuple[str, ObjectVersion]], key_marker: str, version_marker: str | None
) -> Iterator[tuple[str, ObjectVersion]]:
    """Yield what a listing that goes on after a version, or after all of a key, has left."""
    passed = version_marker is None
    for key, version in everything:
        if key > key_marker or (key == key_marker and passed and version_marker is not None):
            yield key, version
        passed = passed or (key, version.version_id) == (key_marker, version_marker)


def _head(version: ObjectVersion) -> dict[str, Any]:
    return {
        "ContentLength": len(version.body),
        "ETag": version.etag,
        "LastModified": version.uploaded_at,
        "VersionId": version.version_id,
    }


def _entry(version: ObjectVersion) -> dict[str, Any]:
    return {"LastModified": version.uploaded_at, "Size": len(version.body), "ETag": version.etag}
