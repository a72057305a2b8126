"""Bring a job's inputs from S3 and take its outputs there, with the credentials of the job's role."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from local.engine.jobs.records import JobFailedError, JobStoppedError

PARALLEL_OBJECTS = 4
"""Enough to hide how long a request waits; more threads would take the cores from the containers."""
_CHUNK_BYTES = 1 << 20
"""Read between two looks at whether the job was stopped."""


@dataclass(frozen=True)
class S3Uri:
    """A bucket and a key or a prefix of keys in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Return what s3://bucket/key names; raise JobFailedError for anything else."""
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise JobFailedError(f"ClientError: {text!r} is not an S3 URI: write s3://bucket/prefix")
        return cls(bucket, key)

    def join(self, relative: str) -> S3Uri:
        """Return the place of `relative` under this prefix."""
        prefix = self.key.rstrip("/")
        return S3Uri(self.bucket, f"{prefix}/{relative}" if prefix else relative)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Download:
    """Which objects a container gets, and where: `shard` is its number among so many hosts."""

    uri: S3Uri
    target: Path
    shard: tuple[int, int] = (0, 1)


class Transfer:
    """S3 as a job sees it: `client` calls as the job's role, `stopped` ends a transfer half way."""

    def __init__(self, client: Any, role_arn: str, region: str, stopped: Callable[[], bool]) -> None:
        self._client = client
        self._role_arn = role_arn
        self._region = region
        self._stopped = stopped

    def keys(self, uri: S3Uri) -> list[str]:
        """Return the keys that start with the URI's, folder markers left out, in order."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=uri.key)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")]

    def download_inputs(self, downloads: Iterable[Download]) -> None:
        """Fetch all inputs, several objects at once; raise JobFailedError where one has no object."""
        try:
            self._fetch(self._objects(downloads, required=True))
        except (ClientError, BotoCoreError) as error:
            raise JobFailedError(f"ClientError: Data download failed:{_said(error)}") from error
        except OSError as error:
            raise JobFailedError(f"ClientError: Data download failed:{error}") from error

    def download_checkpoints(self, uri: S3Uri, target: Path) -> None:
        """Fetch what is under the URI; nothing there is fine."""
        try:
            self._fetch(self._objects([Download(uri, target)], required=False))
        except (ClientError, BotoCoreError) as error:
            raise JobFailedError(f"ClientError: Checkpoint download failed:{_said(error)}") from error
        except OSError as error:
            raise JobFailedError(f"ClientError: Checkpoint download failed:{error}") from error

    def upload_folder(self, folder: Path, uri: S3Uri, kms_key: str | None = None) -> None:
        """Put every regular file of the folder under the URI; symbolic links are left out."""
        self._upload([(path, uri.join(relative)) for relative, path in regular_files(folder)], kms_key)

    def upload_file(self, path: Path, uri: S3Uri, kms_key: str | None = None) -> None:
        """Put one file at the URI."""
        self._upload([(path, uri)], kms_key)

    def put(self, body: bytes | BinaryIO, uri: S3Uri, kms_key: str | None = None) -> None:
        """Put one object at the URI; errors come as boto3 raises them."""
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        self._client.put_object(Bucket=uri.bucket, Key=uri.key, Body=body, **encryption)

    def _upload(self, files: list[tuple[Path, S3Uri]], kms_key: str | None) -> None:
        try:
            _in_parallel(lambda item: self._put_file(item[0], item[1], kms_key), files)
        except (ClientError, BotoCoreError) as error:
            raise JobFailedError(f"ClientError: Artifact upload failed:{_said(error)}") from error
        except OSError as error:
            raise JobFailedError(f"ClientError: Artifact upload failed:{error}") from error

    def _put_file(self, path: Path, uri: S3Uri, kms_key: str | None) -> None:
        with path.open("rb") as body:
            self.put(body, uri, kms_key)

    def _objects(self, downloads: Iterable[Download], *, required: bool) -> list[tuple[str, str, Path]]:
        objects = []
        for download in downloads:
            keys = self.keys(download.uri)
            if required and not keys:
                raise JobFailedError(self._nothing_found(download.uri))
            number, count = download.shard
            download.target.mkdir(parents=True, exist_ok=True)
            for key in keys[number::count]:
                objects.append((download.uri.bucket, key, _target(download, key)))
        return objects

    def _fetch(self, objects: list[tuple[str, str, Path]]) -> None:
        _in_parallel(self._get, objects)

    def _get(self, item: tuple[str, str, Path]) -> None:
        bucket, key, target = item
        target.parent.mkdir(parents=True, exist_ok=True)
        body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        with target.open("wb") as stream:
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                if self._stopped():
                    raise JobStoppedError
                stream.write(chunk)

    def _nothing_found(self, uri: S3Uri) -> str:
        return (
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
            f"source. Please ensure that the bucket exists in the selected region ({self._region}), that "
            f'objects exist under that S3 prefix, and that the role "{self._role_arn}" has "s3:ListBucket" '
            f'permissions on bucket "{uri.bucket}".'
        )


def relative_name(prefix: str, key: str) -> str:
    """Return the name of an object as it lands in a channel: what follows the prefix, or its last folder.

    A prefix that ends within a name ("data/part-") keeps that name ("part-0"), as S3Prefix does.
    """
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    if not key.startswith(folder):
        folder = prefix[: prefix.rfind("/") + 1]
    return key.removeprefix(folder)


def regular_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the regular files of a folder in a fixed order, as relative name and path; no link is followed.

    The folder itself may be gone, or be a link or a file by now: then there is nothing in it.
    """
    if folder.is_symlink():
        return
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path.relative_to(folder).as_posix(), path


def _target(download: Download, key: str) -> Path:
    relative = relative_name(download.uri.key, key)
    if any(part in ("", ".", "..") for part in relative.split("/")):
        raise JobFailedError(
            f"ClientError: Data download failed:the key {key!r} of bucket {download.uri.bucket} cannot be a "
            "file's name; rename the object"
        )
    return download.target / relative


def _in_parallel(work: Callable[[Any], None], items: list[Any]) -> None:
    """Do the work for every item, a few at once; the first error ends it."""
    if len(items) <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(PARALLEL_OBJECTS, thread_name_prefix="transfer") as pool:
        futures: list[Future[None]] = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _said(error: ClientError | BotoCoreError) -> str:
    """Return what S3 said; a refusal's message names action and resource."""
    if not isinstance(error, ClientError):
        return str(error)
    details = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return f"{details.get('Code')} ({status}): {details.get('Message')}"
