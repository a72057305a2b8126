"""The data that an execution reads: one data set below `data/`, and a digest of what is there when it starts.

SageMaker finds a cached step by its arguments and never looks at the objects behind a location. So the digest
is one of the arguments: a step that gets it runs again when an object was added, removed or overwritten.
"""

import hashlib
import itertools
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

URL, DIGEST = "InputDataUrl", "InputDataDigest"
"""The parameters that say where the data is, and what was there."""
UNKNOWN = "unknown"
"""The digest of what was not listed to its end; SageMaker refuses an empty value."""
FOLDER = "data/"
"""The function may list nothing else of what jobs read."""
PARTS = ("images.txt", "images/")
"""What is in a data set and is none by itself."""
MAX_OBJECTS = 50_000
MAX_SECONDS = 20.0
"""Fifty pages of a listing take five to ten seconds; the function has five minutes for all that it does."""
DIGITS = 16
SHOWN = 10
_URI = re.compile(r"s3://([^/]+)/(.*)", re.DOTALL)
_NOT_NOTICED = (
    f"so {DIGEST} is {UNKNOWN} and the step cache does not notice objects that are overwritten there; "
    "upload changed data under another name"
)


class NoDataSetError(ValueError):
    """The data is not one data set; the message says what to do."""


class InputData(NamedTuple):
    """What an execution is to read."""

    url: str
    digest: str = UNKNOWN
    warning: str = ""


def only_data_set(s3: Any, bucket: str, url: str) -> str:
    """Return the URL of the one data set (object or folder) directly below `url`, or raise NoDataSetError."""
    key = _key(bucket, url)
    if key is None:
        return url
    found = list(itertools.islice(_first_level(s3, bucket, key), SHOWN + 1))
    if 1 < len(found) <= SHOWN:
        # A console's "Create folder" leaves an object that marks a folder with nothing in it.
        found = [each for each in found if not each.endswith("/") or any(_objects(s3, bucket, each))]
    if not found:
        raise NoDataSetError(
            f"{url} holds no data set; upload one (cv-pipeline upload --data PATH, or "
            f"aws s3 cp CUB_200_2011.tgz {url}), then the definition again"
        )
    if any(each.removeprefix(key) in PARTS for each in found):
        raise NoDataSetError(
            f"{url} holds what is in a data set ({_names(found, key)}), and not in a folder of its own; if "
            f'all of it is one data set, write {{"{URL}": "{url}"}} into parameters.json beside the '
            "definition, else move it into a folder there; then upload the definition again"
        )
    if len(found) > 1:
        first = found[0].removeprefix(key)
        raise NoDataSetError(
            f"{url} holds several data sets ({_names(found, key)}); say which: write "
            f'{{"{URL}": "{url}{first}"}} into parameters.json beside the definition and upload the '
            "definition again, or use cv-pipeline upload --data PATH"
        )
    return f"s3://{bucket}/{found[0]}"


def look(s3: Any, bucket: str, url: str, *, digest: bool) -> InputData:
    """Return what is below a location, its digest if it is wanted; raise NoDataSetError if nothing is."""
    key = _key(bucket, url)
    if key is None:
        where = f"{url} is not below s3://{bucket}/{FOLDER}, where alone the function may look"
        return InputData(url, warning=f"{where}, {_NOT_NOTICED}" if digest else "")
    prefix = _prefix(s3, bucket, key)
    found, objects = InputData(f"s3://{bucket}/{prefix}"), _objects(s3, bucket, prefix)
    first = next(objects, None)
    if first is None:
        there = list(itertools.islice(_first_level(s3, bucket, FOLDER), SHOWN + 1))
        holds = f"; s3://{bucket}/{FOLDER} holds {_names(there, FOLDER)}" if there else ""
        raise NoDataSetError(
            f"there is no object below {found.url}{holds}; upload the data, then the definition again"
        )
    return _with_digest(found, itertools.chain([first], objects)) if digest else found


def _with_digest(found: InputData, objects: Iterable[dict[str, Any]]) -> InputData:
    began, digest = time.monotonic(), hashlib.sha256()
    for count, each in enumerate(objects):
        if count == MAX_OBJECTS or time.monotonic() - began > MAX_SECONDS:
            what = f"{found.url} holds more objects than the {count:,} that there was time to list"
            return found._replace(warning=f"{what}, {_NOT_NOTICED}")
        digest.update(f"{each['Key']}\0{each['ETag']}\0{each['Size']}\n".encode())
    return found._replace(digest=digest.hexdigest()[:DIGITS])


def _names(keys: Sequence[str], folder: str) -> str:
    listed = ", ".join(key.removeprefix(folder) for key in keys[:SHOWN])
    return f"{listed}, ..." if len(keys) > SHOWN else listed


def _key(bucket: str, url: str) -> str | None:
    """Return the key of a location that the function may list, None of any other."""
    match = _URI.fullmatch(url)
    return match[2] if match and match[1] == bucket and match[2].startswith(FOLDER) else None


def _prefix(s3: Any, bucket: str, key: str) -> str:
    """Return the prefix of one data set alone: S3 would read data/birds-2/ for data/birds, too."""
    if key.endswith("/"):
        return key
    page = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=2)
    keys = [each["Key"] for each in page.get("Contents", [])]
    if key not in keys:
        return f"{key}/"
    if len(keys) > 1:
        raise NoDataSetError(
            f"s3://{bucket}/{keys[1]} begins with s3://{bucket}/{key}, so a job would read both; "
            f"move the data into a folder of its own below s3://{bucket}/{FOLDER} and name that"
        )
    return key


def _first_level(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the objects and folders directly below a prefix; hidden ones, like .DS_Store, are no data."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    for page in pages:
        objects = (each["Key"] for each in page.get("Contents", []) if not _is_marker(each))
        folders = (each["Prefix"] for each in page.get("CommonPrefixes", []))
        for key in (*objects, *folders):
            if not key.removeprefix(prefix).startswith(".") and key != prefix:
                yield key


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (each for each in page.get("Contents", []) if not _is_marker(each))


def _is_marker(entry: dict[str, Any]) -> bool:
    return bool(entry["Key"].endswith("/") and entry["Size"] == 0)
