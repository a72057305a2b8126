"""ListObjectVersions as S3 answers it.

moto orders the versions of a key by their milliseconds, the older first where two have the same, goes on too
late after a KeyMarker that comes alone, and copies every object of the bucket, bytes and all, for each list.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from moto.s3.models import FakeDeleteMarker, S3Backend

from local.aws.events import ORDER

Listing = tuple[list[Any], list[str], list[Any], str | None, str | None]
"""Versions, common prefixes, delete markers, and the markers of the next page."""


class ListedVersion:
    """An object version, or a delete marker, as it stands in one list."""

    def __init__(self, version: Any, *, is_latest: bool) -> None:
        self._version, self.is_latest = version, is_latest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._version, name)

    @property
    def is_marker(self) -> bool:
        """Whether it says that the object was deleted."""
        return isinstance(self._version, FakeDeleteMarker)


def list_object_versions(  # noqa: PLR0917 - moto's signature
    backend: S3Backend,
    bucket_name: str,
    delimiter: str | None = None,
    key_marker: str | None = None,
    max_keys: int | None = 1000,
    prefix: str = "",
    version_id_marker: str | None = None,
) -> Listing:
    """Give a page of versions: by key, and of each key the newest first."""
    bucket = backend.get_bucket(bucket_name)
    with ORDER:
        by_key = {versions[-1].name: list(versions) for _, versions in bucket.keys.iterlists() if versions}
    found = _after(_in_order(by_key, prefix), key_marker or "", version_id_marker)
    entries = list(_folded(found, prefix, delimiter, key_marker or ""))
    limit = len(entries) if max_keys is None else max_keys
    page = entries[:limit]
    versions = [entry for entry in page if not isinstance(entry, str)]
    following: tuple[str | None, str | None] = (None, None)
    if page and len(page) < len(entries):
        last = page[-1]
        following = (last, None) if isinstance(last, str) else (last.name, last.version_id)
    return (
        [version for version in versions if not version.is_marker],
        [entry for entry in page if isinstance(entry, str)],
        [version for version in versions if version.is_marker],
        *following,
    )


def _in_order(by_key: dict[str, list[Any]], prefix: str) -> Iterator[ListedVersion]:
    # S3 orders keys by their UTF-8 bytes.
    for key in sorted((key for key in by_key if key.startswith(prefix)), key=str.encode):
        newest_first = reversed(by_key[key])
        yield from (
            ListedVersion(version, is_latest=number == 0) for number, version in enumerate(newest_first)
        )


def _after(
    versions: Iterator[ListedVersion], key_marker: str, version_marker: str | None
) -> Iterator[ListedVersion]:
    """Leave out what a page before has shown: all of the marker's key, or its versions up to the marker's."""
    wanted = key_marker.encode()
    later = itertools.dropwhile(lambda version: version.name.encode() < wanted, versions)
    passed = False
    for version in later:
        if version.name != key_marker or (passed and version_marker):
            yield version
        passed = passed or version.version_id == version_marker


def _folded(
    versions: Iterator[ListedVersion], prefix: str, delimiter: str | None, key_marker: str
) -> Iterator[ListedVersion | str]:
    """Put a common prefix, once, in the place of all keys that have the delimiter after the prefix."""
    told = key_marker
    for version in versions:
        rest = version.name[len(prefix) :]
        if not delimiter or delimiter not in rest:
            yield version
            continue
        folder = prefix + rest.partition(delimiter)[0] + delimiter
        if folder != told:
            yield folder
        told = folder
