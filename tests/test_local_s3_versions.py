"""ListObjectVersions on the laptop: the newest first, also within a millisecond, and in whole pages."""

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from local.aws import LocalAWS
from local_clients import refusal

NUMBERS = itertools.count()
KEYS = ("pipeline/a/pipeline.json", "pipeline/b/pipeline.json", "pipeline/pipeline.json")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with LocalAWS(work_dir=tmp_path_factory.mktemp("aws")) as opened:
        yield opened.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"versions-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def put(s3: Any, bucket: str, key: str = KEYS[0], body: bytes = b"x") -> str:
    return str(s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


def listed(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["Key"], each["VersionId"]) for each in page.get("Versions", [])]


def test_of_uploads_in_the_same_millisecond_the_newest_comes_first(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 3, 1, 12)
    monkeypatch.setattr("moto.s3.models.utcnow", lambda: moment)
    versions = [put(s3, bucket, body=str(number).encode()) for number in range(5)]
    entries = s3.list_object_versions(Bucket=bucket, Prefix=KEYS[0])["Versions"]
    assert [each["VersionId"] for each in entries] == versions[::-1]
    assert [each["IsLatest"] for each in entries] == [True] + [False] * 4
    assert s3.get_object(Bucket=bucket, Key=KEYS[0])["VersionId"] == versions[-1]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_pages_of_any_size_give_every_version_once_and_in_order(s3: Any, bucket: str, size: int) -> None:
    by_key = {key: [put(s3, bucket, key) for _ in range(4)] for key in KEYS}
    put(s3, bucket, "other/pipeline.json")
    marker = s3.delete_object(Bucket=bucket, Key=KEYS[1])["VersionId"]
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix="pipeline/", PaginationConfig={"PageSize": size}
        )
    )
    assert [each for page in pages for each in listed(page)] == [
        (key, version) for key in KEYS for version in reversed(by_key[key])
    ]
    markers = [each for page in pages for each in page.get("DeleteMarkers", [])]
    assert [(each["Key"], each["VersionId"], each["IsLatest"]) for each in markers] == [
        (KEYS[1], marker, True)
    ]
    latest = [each["Key"] for page in pages for each in page.get("Versions", []) if each["IsLatest"]]
    assert latest == [KEYS[0], KEYS[2]]


def test_a_key_marker_alone_goes_on_after_all_versions_of_the_key(s3: Any, bucket: str) -> None:
    last = {key: [put(s3, bucket, key) for _ in range(2)][-1] for key in KEYS}
    page = s3.list_object_versions(Bucket=bucket, KeyMarker=KEYS[0])
    assert {key for key, _ in listed(page)} == set(KEYS[1:])
    page = s3.list_object_versions(Bucket=bucket, KeyMarker="pipeline/a")
    assert listed(page)[0] == (KEYS[0], last[KEYS[0]])


def test_a_delimiter_folds_keys_into_prefixes_over_pages(s3: Any, bucket: str) -> None:
    for key in KEYS * 2:
        put(s3, bucket, key)
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix="pipeline/", Delimiter="/", PaginationConfig={"PageSize": 1}
        )
    )
    folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    assert folders == ["pipeline/a/", "pipeline/b/"]
    assert [key for page in pages for key, _ in listed(page)] == [KEYS[2]] * 2


def test_deleting_the_newest_version_makes_the_one_before_it_the_latest(s3: Any, bucket: str) -> None:
    first, second = put(s3, bucket), put(s3, bucket)
    s3.delete_object(Bucket=bucket, Key=KEYS[0], VersionId=second)
    (entry,) = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert (entry["VersionId"], entry["IsLatest"]) == (first, True)
    code, status, _ = refusal(s3.get_object, Bucket=bucket, Key=KEYS[0], VersionId=second)
    assert (code, status) == ("NoSuchVersion", 404)
